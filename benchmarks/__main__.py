"""Run the benchmark: ``make bench``, or ``python -m benchmarks``.

Environment:
    BENCH_CASES   cases to run, e.g. ``large,many``; default: all
    BENCH_ROUNDS  minimum number of runs of each tool; default: 5
    BENCH_SCALE   factor for sizes and counts, e.g. 0.05 for a quick try; default: 1
    TMPDIR        folder for all temporary files

The results are written to ``benchmarks/RESULTS.md`` only if all cases ran in full size
and the code is that of a commit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from benchmarks.cases import CASES, LARGEST_BYTES, Bench
from benchmarks.cases.bench import MIB, most_memory
from benchmarks.measure import CommandError, Runner, compile_packages
from benchmarks.needs import require
from benchmarks.report import (
    disk,
    facts_table,
    goals_table,
    is_dirty,
    machine,
    say,
    write,
)
from benchmarks.servers import HOST, RATE_BYTES_S, serving_files, serving_studio

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = Path(__file__).with_name("RESULTS.md")
ROUNDS = 5
COPIES = 3
SPARE_BYTES = 1 << 30
_PROBE_BYTES = 16 * MIB
_PROBES = 3
_RATE_TOLERANCE = 1.4  # nginx counts in milliseconds, so small reads are too fast
_FOREIGN = ("DVC_", "STUDIO_", "GIT_", "XDG_", "PYTHON")
_INTRODUCTION = """\
# How fast a pull is

`make bench` measures this. It creates all files, starts all servers and runs the tools
in turn, every other round in reverse order. Each run starts with an empty folder and an
empty DVC cache. All Python packages are compiled before. Times are medians of {rounds}
rounds, or of the number in the column "runs". The page cache is not emptied, so nginx
serves from memory. CPU and memory are those of the tool, without the servers. `<` marks
a peak below the benchmark's own memory, which cannot be measured.
"""


def main() -> None:
    """Run the cases that the environment selects."""
    rounds = int(os.environ.get("BENCH_ROUNDS", ROUNDS))
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    chosen = _chosen()
    is_whole = scale == 1 and rounds >= ROUNDS and set(chosen) == set(CASES)
    is_committed = not is_dirty()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    require()
    compile_packages()
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="dvc-models-bench-"))
        )
        _check_room(folder, chosen, scale)
        facts = machine(("nginx", "curl", "aria2c", "md5sum", "strace"))
        facts["disk"] = disk(folder)
        if scale != 1:
            facts["sizes and counts"] = f"{scale:g} times the numbers below"
        bench = _open_bench(folder, stack, rounds=rounds, scale=scale)
        text = _run(bench, chosen, facts)
    print(text)
    if is_whole and is_committed:
        write(RESULTS, text)
        say(f"Written to {RESULTS}")
    else:
        say(f"Not a full run of a commit: {RESULTS} is not changed")


def _chosen() -> list[str]:
    names = os.environ.get("BENCH_CASES", "").replace(",", " ").split() or list(CASES)
    if unknown := set(names) - set(CASES):
        message = f"unknown: {', '.join(sorted(unknown))}; cases: {', '.join(CASES)}"
        raise SystemExit(message)
    return [name for name in CASES if name in names]


def _check_room(folder: Path, chosen: list[str], scale: float) -> None:
    largest = max(LARGEST_BYTES.get(name, 0) for name in chosen)
    needed = round(COPIES * largest * scale) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    say(f"Needs up to {needed / 1e9:.1f} GB in {folder.parent}")
    if free < needed:
        message = (
            f"only {free / 1e9:.1f} GB free; set TMPDIR to a folder on another disk"
        )
        raise SystemExit(message)


def _open_bench(
    folder: Path, stack: contextlib.ExitStack, *, rounds: int, scale: float
) -> Bench:
    served = folder / "served"
    served.mkdir()
    studio = stack.enter_context(serving_studio())
    storage = stack.enter_context(serving_files(folder / "nginx", served))
    storage.limited_rate = _check_rate(served, storage.ports.throttled)
    runner = Runner(_environment(folder, studio.url), folder / "output.log")
    bench = Bench(folder, runner, storage, studio, rounds=rounds, scale=scale)
    stack.callback(bench.close)
    return bench


def _environment(folder: Path, studio_url: str) -> dict[str, str]:
    """Return an environment without the user's settings and without proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }
    who = {"NAME": "Bench", "EMAIL": "bench@example.com"}
    identity = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in who.items()
    }
    home = folder / "home"
    home.mkdir()
    return {
        **kept,
        **identity,
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_STUDIO_URL": studio_url,
        "DVC_STUDIO_TOKEN": "isat_benchmark",
    }


def _check_rate(served: Path, port: int) -> float:
    """Check that nginx limits a new connection from its first byte."""
    probe = served / "probe"
    with probe.open("wb") as file:
        file.truncate(_PROBE_BYTES)
    rate = min(_fetch_rate(f"http://{HOST}:{port}/probe") for _ in range(_PROBES))
    probe.unlink()
    say(f"A new connection to the limited port gets {rate / 1e6:.0f} MB/s")
    if rate > RATE_BYTES_S * _RATE_TOLERANCE:
        message = (
            "this nginx does not respect the limit, so the tools cannot be compared"
        )
        raise SystemExit(message)
    return rate


def _fetch_rate(url: str) -> float:
    """Return the rate of a download over a new connection, in bytes per second."""
    began, count = time.perf_counter(), 0
    with urlopen(url) as response:
        while piece := response.read(MIB):
            count += len(piece)
    return count / (time.perf_counter() - began)


def _run(bench: Bench, chosen: list[str], facts: Mapping[str, str]) -> str:
    results = []
    for name in chosen:
        began = time.monotonic()
        try:
            results.append(CASES[name](bench))
        except CommandError as error:
            message = f"{name}: {error}"
            raise SystemExit(message) from None
        say(f"{name}: {time.monotonic() - began:.0f} s")
    goals = [goal for result in results for goal in result.goals]
    if bench.pulls:
        goals.append(most_memory(bench))
    parts = [_INTRODUCTION.format(rounds=bench.rounds), facts_table(facts)]
    if goals:
        parts += ["## Goals\n", goals_table(goals)]
    parts += ["## Measurements\n", *(result.markdown() for result in results)]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
