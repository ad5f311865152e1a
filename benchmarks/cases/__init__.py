"""The benchmark cases: the work, the tools that do it, and the goals.

Goals compare medians of one run of the benchmark.

large     one large file, several large files, a killed pull, memory
small     1,000 and 10,000 small files
nothing   pulls that have nothing to download
calls     system calls of a pull
start     start-up: time, imports, the hook
bench     what all cases share
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cases import calls, large, nothing, small, start
from benchmarks.cases.bench import GIB, KIB, MIB, Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Result

__all__ = ["CASES", "LARGEST_BYTES", "Bench"]

CASES: dict[str, Callable[[Bench], Result]] = {
    "startup": start.commands,
    "imports": start.imports,
    "large": large.open_port,
    "throttled": large.throttled,
    "resume": large.resumed,
    "memory": large.memory,
    "eight": large.eight_throttled,
    "many": small.many_open,
    "far": small.many_far,
    "calls": calls.system_calls,
    "tiny": small.tiny_open,
    "tiny-cached": nothing.many_files,
    "one-cached": nothing.one_file,
    "cached": nothing.two_versions,
    "hook": start.hook,
}
"""Ordered so that few projects are created twice."""

LARGEST_BYTES = {
    "large": GIB,
    "throttled": GIB,
    "resume": GIB,
    "memory": 4 * GIB,
    "eight": GIB,
    "many": 100 * MIB,
    "far": 100 * MIB,
    "calls": 100 * MIB,
    "tiny": 10_000 * 4 * KIB,
    "tiny-cached": 10_000 * 4 * KIB,
    "cached": GIB,
}
"""Size of the largest project of a case on disk, in bytes. It is there up to three
times: on the server, in the cache and in the workspace."""
