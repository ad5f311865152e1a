"""Run the benchmark: ``make bench``, or ``python -m benchmarks``.

Environment:
    BENCH_CASES   which cases, e.g. ``large,many``; all by default
    BENCH_ROUNDS  how often each tool runs, at least; 5
    BENCH_SCALE   factor for sizes and counts, e.g. 0.05 for a try; 1
    TMPDIR        where everything lies while it runs

The results go to ``benchmarks/RESULTS.md``, unless it was only a part or a try, or
the code is not that of a commit.
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

from benchmarks.cases import CASES, LARGEST_BYTES, MIB, Bench, most_memory
from benchmarks.measure import CommandError, Runner
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
_RATE_TOLERANCE = 1.4  # nginx counts in milliseconds; small reads come out too fast
_FOREIGN = ("DVC_", "STUDIO_", "GIT_", "XDG_", "PYTHON")
_INTRODUCTION = """\
# How fast a pull is

Measured by `make bench`, which starts every server and makes every file itself, and
runs the tools in turn: medians of {rounds} rounds, or of as many as the column "runs"
says, each from a cold folder and cache; every other round goes backwards.
The page cache is left alone, so what nginx serves is in memory. CPU and memory are the
tool's, not the servers'. A peak below the benchmark's own cannot be told: `<`.
"""


def main() -> None:
    """Run what the environment asks for."""
    rounds = int(os.environ.get("BENCH_ROUNDS", ROUNDS))
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    chosen = _chosen()
    is_whole = scale == 1 and rounds >= ROUNDS and set(chosen) == set(CASES)
    is_committed = not is_dirty()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    require()
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="dvc-models-bench-"))
        )
        _check_room(folder, chosen, scale)
        facts = machine(("nginx", "curl", "aria2c", "md5sum"))
        facts["disk"] = disk(folder)
        if scale != 1:
            facts["sizes and counts"] = f"{scale:g} of what is named below"
        bench = _open_bench(folder, stack, rounds=rounds, scale=scale)
        text = _run(bench, chosen, facts)
    print(text)
    if is_whole and is_committed:
        write(RESULTS, text)
        say(f"Written to {RESULTS}")
    else:
        say(f"A part, a try, or no commit: {RESULTS} stays as it is")


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
    say(f"Up to {needed / 1e9:.1f} GB are needed in {folder.parent}")
    if free < needed:
        message = f"only {free / 1e9:.1f} GB are free; set TMPDIR to another disk"
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
    """Keep the user's settings out, and everything that leaves this machine."""
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
    """Make sure that the limit holds from the first byte of a new connection on."""
    probe = served / "probe"
    with probe.open("wb") as file:
        file.truncate(_PROBE_BYTES)
    rate = min(_fetch_rate(f"http://{HOST}:{port}/probe") for _ in range(_PROBES))
    probe.unlink()
    say(f"The limited port gives {rate / 1e6:.0f} MB/s to a new connection")
    if rate > RATE_BYTES_S * _RATE_TOLERANCE:
        message = "this nginx does not keep the limit: nothing can be compared"
        raise SystemExit(message)
    return rate


def _fetch_rate(url: str) -> float:
    """Fetch with a new connection; bytes a second."""
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
