"""Cases of the start: time, imports and the hook."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks import hook as hook_script
from benchmarks.cases.bench import DVC_VERSION, KIB
from benchmarks.project import DVC, MODEL
from benchmarks.report import Goal, Result, table

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases.bench import Bench
    from benchmarks.measure import Runs
    from benchmarks.project import Project

_HOOK_RUNS = 20
_PYTHON_HOOK_MS = 0.25
_DVC_HOOK_MS = 5.0
_IMPORT = re.compile(r"^import time: +(\d+) \| +\d+ \|", re.MULTILINE)
_NO_PLUGIN = ["env", "DVC_STUDIO_MODELS_NO_PLUGIN=1"]


def commands(bench: Bench) -> Result:
    """Measure the start of the commands."""
    rows: dict[str, Runs] = {
        DVC_VERSION: bench.startup(),
        "dvc models pull --help": bench.repeat([DVC, "models", "pull", "--help"]),
        "python -c pass": bench.repeat([sys.executable, "-c", "pass"]),
    }
    return Result("Start-up", "", rows, DVC_VERSION)


def imports(bench: Bench) -> Result:
    """Count the modules that commands import, and their time."""
    project = bench.project("one", [{"": bench.scaled(KIB)}])
    bench.work(project, bench.storage.ports.open)
    pull = ["models", "pull", MODEL]
    placed = project.clone(bench.folder / "placed")
    bench.runner.run([DVC, *pull], placed)
    lines = {
        "dvc models pull (first)": _first_pull(bench, project, pull),
        "dvc models pull (nothing to do)": _median(bench, placed, *pull),
        "dvc models list": _median(bench, placed, "models", "list"),
        "dvc models status": _median(bench, placed, "models", "status", MODEL),
        "dvc models pull --help": _median(bench, placed, *pull[:2], "--help"),
        DVC_VERSION: _median(bench, placed, "--version"),
        f"{DVC_VERSION}, without the hook": _median(
            bench, placed, "--version", prefix=_NO_PLUGIN
        ),
    }
    shutil.rmtree(placed)
    head = ("command", "modules", "import time, ms")
    rows = [(f"`{name}`", f"{n}", f"{ms:.0f}") for name, (n, ms) in lines.items()]
    text = (
        "By `python -X importtime`, which itself takes time. The model is one file. "
        "Without the hook: `DVC_STUDIO_MODELS_NO_PLUGIN=1`."
    )
    return Result("Imports", text, table=table(head, rows))


def _first_pull(bench: Bench, project: Project, pull: list[str]) -> tuple[int, float]:
    measured = []
    for _ in range(bench.rounds):
        project.clone(bench.cold)
        measured.append(_import_time(bench, bench.cold, pull, []))
        shutil.rmtree(bench.cold)
    return statistics.median_low(measured)


def _median(
    bench: Bench, folder: Path, *command: str, prefix: list[str] | None = None
) -> tuple[int, float]:
    return statistics.median_low(
        _import_time(bench, folder, list(command), prefix or [])
        for _ in range(bench.rounds)
    )


def _import_time(
    bench: Bench, folder: Path, command: list[str], prefix: list[str]
) -> tuple[int, float]:
    """Return the number of modules, and the time of their imports in milliseconds."""
    python = [*prefix, sys.executable, "-X", "importtime", DVC]
    bench.runner.run([*python, *command], folder)
    taken_us = [int(us) for us in _IMPORT.findall(bench.runner.output())]
    return len(taken_us), sum(taken_us) / 1e3


def hook(bench: Bench) -> Result:
    """Measure the time that the plugin adds to the start of Python and ``dvc``."""
    runs = str(max(2, bench.scaled(_HOOK_RUNS)))
    command = [sys.executable, hook_script.__file__, runs]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    written = done.stdout.strip()
    cells = [line.strip("| ").split(" | ") for line in written.splitlines()]
    cost_ms = {row[0].strip("`"): float(row[-1]) for row in cells[2:]}
    python, dvc = cost_ms["python -c pass"], cost_ms[DVC_VERSION]
    goals = (
        Goal(
            "hook", "about 0.2 ms", f"{python:.2f} ms", abs(python) <= _PYTHON_HOOK_MS
        ),
        Goal(f"hook, `{DVC_VERSION}`", "<= 5 ms", f"{dvc:.2f} ms", dvc <= _DVC_HOOK_MS),
    )
    text = "The difference is the median of the differences of pairs of runs."
    return Result("The hook", text, goals=goals, table=written)
