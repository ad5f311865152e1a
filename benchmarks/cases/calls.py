"""System calls of a pull, counted by strace."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.cases.small import many, tiny
from benchmarks.report import Goal, Result, table
from benchmarks.strace import GROUPS, read_counts, traced
from benchmarks.tools import PULL, PULL_LINKED, TOOL_GET, TOOL_PULL, TOOL_PULL_LINKED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.cases.bench import Bench
    from benchmarks.tools import Work

NOTHING = f"{PULL}, nothing to do"
_LIMITS = {"fsync": 50, "open": 4_500, "stat": 13_000, "futex": 20_000}
_HEAD = ("files", "command", *GROUPS)


def system_calls(bench: Bench) -> Result:
    """Count the system calls of a first pull and of one with nothing to do."""
    rows, goals = [], []
    for title, make in (("1,000 x 100 KiB", many), ("10,000 x 2 KiB", tiny)):
        project = make(bench)
        work = bench.work(project, bench.storage.ports.open)
        count = len(project.latest.files)
        counts = _count(bench, work)
        rows += [(title, f"`{who}`", *_cells(counts[who], count)) for who in counts]
        if make is many:
            goals = [
                _goal(who, counts[who], group, limit)
                for who in (PULL, PULL_LINKED)
                for group, limit in _LIMITS.items()
            ]
    text = (
        "By `strace -f -c`, in one run of each command; for each file in parentheses. "
        "fsync includes fdatasync, most of which is SQLite's; open is openat; stat is "
        "the family of stat, fstat, lstat and statx."
    )
    return Result("System calls", text, goals=tuple(goals), table=table(_HEAD, rows))


def _count(bench: Bench, work: Work) -> dict[str, Mapping[str, int]]:
    counts = {}
    for tool in (TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET):
        command = tool.prepare(work, bench.cold)
        counts[tool.name] = _trace(bench, command)
        if tool is TOOL_PULL_LINKED:
            counts[NOTHING] = _trace(bench, command)
        shutil.rmtree(bench.cold)
    return counts


def _trace(bench: Bench, command: list[str]) -> Mapping[str, int]:
    log = bench.folder / "calls"
    bench.runner.run([*traced(log), *command], bench.cold)
    return read_counts(log.read_text("utf-8"))


def _cells(counts: Mapping[str, int], files: int) -> list[str]:
    return [f"{counts[group]:,} ({counts[group] / files:.1f})" for group in GROUPS]


def _goal(who: str, counts: Mapping[str, int], group: str, limit: int) -> Goal:
    found = counts[group]
    case = f"1,000 small files, `{who}`"
    return Goal(case, f"{group} <= {limit:,}", f"{found:,}", found <= limit)
