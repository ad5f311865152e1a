"""Cases of many small files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cases.bench import KIB, faster
from benchmarks.report import Goal, Result
from benchmarks.servers import DELAY_MS
from benchmarks.tools import (
    CURL_MANY,
    CURL_WIDE,
    GET,
    GET_CONNECTIONS,
    PULL,
    PULL_LINKED,
    TOOL_BARE,
    TOOL_BARE_LINKED,
    TOOL_BARE_WIDE,
    TOOL_CHECKOUT,
    TOOL_CURL_MANY,
    TOOL_CURL_WIDE,
    TOOL_GET,
    TOOL_MD5SUM,
    TOOL_PULL,
    TOOL_PULL_AS_GET,
    TOOL_PULL_LINKED,
    aria2c,
    then_md5sum,
)

if TYPE_CHECKING:
    from benchmarks.cases.bench import Bench
    from benchmarks.project import Project

MANY = 1_000
TINY = 10_000
_ARIA2C_MANY = aria2c("-j16")
_MOST_TINY_MB = 130


def many(bench: Bench) -> Project:
    """Return the project of 1,000 files of 100 KiB."""
    return bench.folder_project("many", MANY, 100 * KIB)


def tiny(bench: Bench) -> Project:
    """Return the project of 10,000 files of 2 KiB."""
    return bench.folder_project("tiny", TINY, 2 * KIB)


def many_open(bench: Bench) -> Result:
    """Measure 1,000 files of 100 KiB without a delay."""
    work = bench.work(many(bench), bench.storage.ports.open)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET, TOOL_CURL_MANY, _ARIA2C_MANY]
    bare = [TOOL_BARE, TOOL_BARE_LINKED]
    rows = bench.compare(work, [*candidates, TOOL_MD5SUM, *bare])
    case = "1,000 x 100 KiB open"
    text = (
        "A directory of small files. Each tool may use 16 connections, except "
        f"`{GET}`, which uses {GET_CONNECTIONS}. The bare prototype "
        "(`benchmarks/bare.py`) shows what the machine allows: it does the least that "
        "a pull must do, and checks and restores nothing."
    )
    goals = [
        faster(case, rows, GET, times=1.15),
        faster(case, rows, GET, times=1.6, who=PULL_LINKED),
    ]
    goals += [
        faster(case, rows, then_md5sum(_ARIA2C_MANY.name), who=who)
        for who in (PULL, PULL_LINKED)
    ]
    return Result(case, text, rows, PULL, tuple(goals))


def many_far(bench: Bench) -> Result:
    """Measure 1,000 files of 100 KiB with a delay."""
    work = bench.work(many(bench), bench.storage.ports.far)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_PULL_AS_GET, TOOL_GET]
    rows = bench.compare(
        work,
        [*candidates, TOOL_CURL_MANY, TOOL_CURL_WIDE, _ARIA2C_MANY, TOOL_BARE_WIDE],
        few={GET, TOOL_PULL_AS_GET.name, _ARIA2C_MANY.name},
    )
    case = f"1,000 x 100 KiB at {DELAY_MS} ms"
    goals = (
        faster(case, rows, GET, times=4),
        faster(case, rows, then_md5sum(CURL_MANY)),
        faster(case, rows, then_md5sum(_ARIA2C_MANY.name)),
    )
    text = (
        f"The same, but every response arrives {DELAY_MS} ms later. Studio's responses "
        f"and new connections are not delayed. `{CURL_WIDE}` and the bare prototype "
        "use 64 connections; a pull without `--jobs` may use as many."
    )
    return Result(case, text, rows, PULL, goals)


def tiny_open(bench: Bench) -> Result:
    """Measure 10,000 files of 2 KiB without a delay."""
    work = bench.work(tiny(bench), bench.storage.ports.open)
    ours = [TOOL_PULL, TOOL_PULL_LINKED]
    others = [TOOL_GET, TOOL_CHECKOUT, TOOL_CURL_MANY, _ARIA2C_MANY, TOOL_MD5SUM]
    rows = bench.compare(
        work,
        [*ours, *others, TOOL_BARE, TOOL_BARE_LINKED],
        few={TOOL_CHECKOUT.name, _ARIA2C_MANY.name},
    )
    case = "10,000 x 2 KiB open"
    text = (
        "A directory of very small files. `dvc checkout` downloads nothing: its cache "
        "is full and its workspace is empty."
    )
    goals = [faster(case, rows, GET, times=1.3, who=who) for who in (PULL, PULL_LINKED)]
    peak = max(rows[name].peak_bytes for name in (PULL, PULL_LINKED)) / 1e6
    wanted = f"peak RSS <= {_MOST_TINY_MB} MB"
    goals.append(Goal(case, wanted, f"{peak:.0f} MB", peak <= _MOST_TINY_MB))
    return Result(case, text, rows, PULL, tuple(goals))
