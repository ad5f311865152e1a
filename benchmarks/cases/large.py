"""Cases of large files."""

from __future__ import annotations

import shutil
import statistics
from typing import TYPE_CHECKING

from benchmarks import tools
from benchmarks.cases.bench import DVC_VERSION, GIB, MIB, faster
from benchmarks.measure import Runs
from benchmarks.report import Goal, Result
from benchmarks.servers import RATE_BYTES_S
from benchmarks.tools import (
    CURL,
    GET,
    GET_CONNECTIONS,
    MD5SUM,
    PULL,
    PULL_LINKED,
    TOOL_CURL,
    TOOL_GET,
    TOOL_MD5SUM,
    TOOL_PULL,
    TOOL_PULL_LINKED,
    aria2c,
    run_in_turn,
    then_md5sum,
)

if TYPE_CHECKING:
    from benchmarks.cases.bench import Bench
    from benchmarks.project import Project

_ARIA2C_SPLIT = aria2c("-x16", "-s16", "-k1M")
_ARIA2C_EIGHT = aria2c("-j8", "-x2", "-s2", "-k1M")
_TIMES_MD5SUM = 1.3
_TIMES_THROTTLED = 7.5
_MOST_RESUMED = 0.55
_MEMORY_TOLERANCE = 1.1


def _large(bench: Bench) -> Project:
    return bench.project("large", [{"": bench.scaled(GIB)}])


def open_port(bench: Bench) -> Result:
    """Measure 1 GiB without a limit."""
    work = bench.work(_large(bench), bench.storage.ports.open)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET, TOOL_CURL, _ARIA2C_SPLIT]
    rows = bench.compare(work, [*candidates, TOOL_MD5SUM])
    limit = _TIMES_MD5SUM * (rows[MD5SUM].seconds + bench.startup().seconds)
    case = "1 GiB open"
    goals = [
        Goal(
            f"{case}, `{name}`",
            f"<= {_TIMES_MD5SUM} x (`md5sum` + `{DVC_VERSION}`) = {limit:.2f} s",
            f"{rows[name].seconds:.2f} s",
            rows[name].seconds <= limit,
        )
        for name in (PULL, PULL_LINKED)
    ]
    goals += [
        faster(case, rows, then_md5sum(name), who=who)
        for who in (PULL, PULL_LINKED)
        for name in (CURL, _ARIA2C_SPLIT.name, GET)
    ]
    text = (
        "One file, from nginx without a limit. No tool that verifies can be faster "
        "than `md5sum`. Without reflinks, `dvc models pull` copies from the cache, as "
        "`dvc pull` does; with `cache.type hardlink` it does not."
    )
    return Result(case, text, rows, PULL, tuple(goals))


def throttled(bench: Bench) -> Result:
    """Measure 1 GiB from a storage that limits each connection."""
    work = bench.work(_large(bench), bench.storage.ports.throttled)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET, TOOL_CURL, _ARIA2C_SPLIT]
    rows = bench.compare(work, candidates, few={GET, CURL})
    case = "1 GiB throttled"
    others = ((GET, _TIMES_THROTTLED), (CURL, 8), (then_md5sum(_ARIA2C_SPLIT.name), 1))
    goals = tuple(
        faster(case, rows, other, times=times, who=who)
        for who in (PULL, PULL_LINKED)
        for other, times in others
    )
    text = (
        f"The same file, limited to {RATE_BYTES_S // 1_000_000} MB/s per connection; "
        f"a new connection measured {bench.storage.limited_rate / 1e6:.0f} MB/s."
    )
    return Result(case, text, rows, PULL, goals)


def eight_throttled(bench: Bench) -> Result:
    """Measure a model of several large files."""
    sizes = {f"part{number}.bin": bench.scaled(128 * MIB) for number in range(8)}
    project = bench.project("eight", [sizes])
    work = bench.work(project, bench.storage.ports.throttled)
    candidates = [TOOL_PULL, TOOL_GET, TOOL_CURL, _ARIA2C_EIGHT]
    rows = bench.compare(work, candidates)
    text = (
        "A directory, with the same limit. Each tool uses 16 connections, except curl "
        f"(one per file) and `{GET}` (up to {GET_CONNECTIONS})."
    )
    return Result("8 x 128 MiB throttled", text, rows, PULL)


def resumed(bench: Bench) -> Result:
    """Kill a pull when half of the bytes are written, and pull again."""
    project = _large(bench)
    work = bench.work(project, bench.storage.ports.open)
    size = project.latest.total_bytes
    shares = []
    for _ in range(bench.rounds):
        command = tools.pull_linked(work, bench.cold)
        bench.runner.interrupt(command, bench.cold, at_bytes=size // 2)
        bench.storage.traffic()
        bench.pulls.append(Runs((bench.runner.run(command, bench.cold),)))
        shares.append(bench.storage.traffic().body_bytes / size)
        tools.check(bench.runner, work, bench.cold)
        shutil.rmtree(bench.cold)
    share = statistics.median(shares)
    goal = Goal(
        "resume at 50 %",
        "downloads <= 55 % of the bytes",
        f"{share:.1%} ({min(shares):.1%} to {max(shares):.1%})",
        share <= _MOST_RESUMED,
    )
    text = (
        f"1 GiB open: SIGKILL when half of the bytes are written, then `{PULL}` again, "
        "with `cache.type hardlink`, which writes no byte twice. The second pull "
        "downloaded, according to nginx's log:"
    )
    lines = ["| round | share of the file |", "|--:|--:|"]
    lines += [f"| {number} | {share:.1%} |" for number, share in enumerate(shares, 1)]
    return Result("Interrupted", text, goals=(goal,), table="\n".join(lines))


def memory(bench: Bench) -> Result:
    """Measure the peak memory for 1 GiB and for 4 GiB."""
    peaks = []
    for project in (_large(bench), None):
        huge = project or bench.project("huge", [{"": bench.scaled(4 * GIB)}])
        work = bench.work(huge, bench.storage.ports.open)
        once = run_in_turn(bench.runner, work, bench.cold, [TOOL_PULL], rounds=1)
        bench.pulls.append(once[PULL])
        peaks.append(once[PULL].peak_bytes)
    ratio = peaks[1] / peaks[0]
    goal = Goal(
        "memory",
        "the same for 1 GiB and 4 GiB",
        f"{peaks[0] / 1e6:.0f} and {peaks[1] / 1e6:.0f} MB",
        ratio <= _MEMORY_TOLERANCE,
    )
    table = (
        "| file | peak, MB |\n|---|--:|\n"
        f"| 1 GiB | {peaks[0] / 1e6:.0f} |\n| 4 GiB | {peaks[1] / 1e6:.0f} |"
    )
    text = f"Peak memory of `{PULL}`, without a limit."
    return Result("Memory", text, goals=(goal,), table=table)
