"""Measures, and compares with the goals."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.serve.load import CLIENTS, Server, run, serving
from benchmarks.serve.registries import (
    FILES,
    TAGS,
    VERSIONS,
    WIDE,
    make_many_versions,
)

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS = 100_000
LONGEST_S = 150  # for all rounds of wrk
ROUND_S = 10
WARM_ROUNDS = 7
WARM_S = 8  # until the server has its imports, threads and buffers
AT_ONCE = 100
ROUNDS = 5

GOAL_RATE = 2000
GOAL_S3_RATE = 300
GOAL_P99_MS = 50
GOAL_GROWTH_MB = 5
GOAL_COLD_S = 3
GOAL_WARM_S = 1
GOAL_START_S = 5
GOAL_NEW_TAG_S = 1


@dataclass(frozen=True)
class Row:
    """A goal and the measured value."""

    case: str
    goal: str
    measured: str
    reached: bool | None = None
    """None without a goal."""

    def __str__(self) -> str:
        outcome = {True: "reached", False: "**not reached**", None: ""}[self.reached]
        return f"| {self.case} | {self.goal} | {self.measured} | {outcome} |"


def measure_wide(server: Server, *, where: str, goals: bool = True) -> list[Row]:
    """Request the directory of 10,000 files, which the server has not read yet."""
    cold, count = server.request("wide")
    warm = statistics.median(server.request("wide")[0] for _ in range(WARM_ROUNDS))
    if count != WIDE:
        message = f"the server returned {count} links, not {WIDE}"
        raise SystemExit(message)
    case = f"{WIDE:,} files{where}"
    return [
        Row(
            f"{case}, cold",
            f"< {GOAL_COLD_S} s" if goals else "",
            f"{cold:.2f} s",
            cold < GOAL_COLD_S if goals else None,
        ),
        Row(
            f"{case}, warm (median of {WARM_ROUNDS})",
            f"< {GOAL_WARM_S} s" if goals else "",
            f"{warm:.2f} s",
            warm < GOAL_WARM_S if goals else None,
        ),
    ]


def measure_load(server: Server) -> list[Row]:
    """Request the model of 10 files a hundred thousand times."""
    server.load("narrow", WARM_S)
    before = server.memory_mb()
    begun = time.monotonic()
    loads = []
    while sum(load.requests for load in loads) < REQUESTS:
        if time.monotonic() - begun > LONGEST_S:
            break
        loads.append(server.load("narrow", ROUND_S))
    growth = server.memory_mb() - before
    count = sum(load.requests for load in loads)
    failed = sum(load.failed for load in loads)
    rate = count / sum(load.seconds for load in loads)
    p50 = statistics.median(load.p50_ms for load in loads)
    worst = max(load.p99_ms for load in loads)
    return [
        Row(
            f"{FILES} files, {CLIENTS} clients: requests per second",
            f">= {GOAL_RATE}",
            f"{rate:.0f}",
            rate >= GOAL_RATE and not failed,
        ),
        Row(
            "99th percentile (worst round), and median",
            f"< {GOAL_P99_MS} ms",
            f"{worst:.1f} ms, {p50:.1f} ms",
            worst < GOAL_P99_MS,
        ),
        Row(
            f"memory over {REQUESTS:,} requests",
            f"flat: within {GOAL_GROWTH_MB} MB",
            f"{growth:+.1f} MB of {before:.0f} MB over {count:,} requests",
            growth < GOAL_GROWTH_MB and count >= REQUESTS,
        ),
        Row("failed requests", "0", str(failed), not failed),
    ]


def measure_s3(server: Server) -> list[Row]:
    """Request the same models, signed for S3 (version 4)."""
    server.load("narrow", WARM_S)
    load = server.load("narrow", ROUND_S)
    rate = f"{load.rate:.0f} per second, 99th percentile {load.p99_ms:.1f} ms"
    return [
        Row(
            f"{FILES} files signed for S3, {CLIENTS} clients",
            f">= {GOAL_S3_RATE}, < {GOAL_P99_MS} ms",
            rate,
            load.rate >= GOAL_S3_RATE and load.p99_ms < GOAL_P99_MS and not load.failed,
        ),
        *measure_wide(server, where=" signed for S3"),
    ]


def measure_many_versions(root: Path) -> list[Row]:
    """Start with many versions; send requests after new tags, one and many at once."""
    mirror = make_many_versions(root)
    begun = time.perf_counter()
    with serving(root, "--port", "0", f"acme/models={mirror}") as server:
        started = time.perf_counter() - begun
        server.request("many")
        first = [_ask_after_tag(server, mirror, number) for number in range(ROUNDS)]
        _tag(mirror, ROUNDS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            responses = list(pool.map(server.request, ["many"] * AT_ONCE))
    slowest = max(seconds for seconds, _ in responses)
    case = f"{VERSIONS:,} versions of a model, {TAGS:,} tags"
    return [
        Row(
            f"{case}: start",
            f"< {GOAL_START_S} s",
            f"{started:.2f} s",
            started < GOAL_START_S,
        ),
        Row(
            f"first response after a new tag (median of {ROUNDS})",
            f"< {GOAL_NEW_TAG_S} s",
            f"{statistics.median(first):.2f} s",
            statistics.median(first) < GOAL_NEW_TAG_S,
        ),
        Row(
            f"{AT_ONCE} clients at once right after a new tag: slowest response",
            "all 200",
            f"{slowest:.2f} s, all 200",
            reached=True,
        ),
    ]


def _ask_after_tag(server: Server, mirror: Path, number: int) -> float:
    _tag(mirror, number)
    return server.request("many")[0]


def _tag(mirror: Path, number: int) -> None:
    tag = f"many@v2.{number}.0"
    run(mirror, "git", "tag", "--annotate", "--message", "x", tag, "main")
