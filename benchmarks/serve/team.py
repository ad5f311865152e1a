"""Measures a server of many repos, with tokens that may see some of them."""

from __future__ import annotations

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.serve.load import API, CLIENTS, Server, run, serving
from benchmarks.serve.registries import (
    MODELS,
    REPOS,
    TEAM_TAGS,
    make_team,
    write_config,
)
from benchmarks.serve.rows import (
    AT_ONCE,
    GOAL_NEW_TAG_S,
    GOAL_P99_MS,
    GOAL_RATE,
    GOAL_START_S,
    ROUND_S,
    ROUNDS,
    WARM_S,
    Row,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GOAL_WARM_MS = 5
WARM_REQUESTS = 500
BETWEEN_S = 1.5  # new tags
LONGEST_S = 30  # for a new tag to be seen

_SCRIPT = """\
local repos, models, n = {repos}, {models}, 0
request = function()
  n = n + 1
  local repo = string.format("acme/team-%03d", (n * 7) % repos)
  local model = string.format("model-%02d", n % models)
  return wrk.format(nil, "{api}?repo=" .. repo .. "&name=" .. model)
end
"""


def measure_team(root: Path) -> list[Row]:
    """Start with all repos; request all models; request a model after a new tag."""
    names = make_team(root)
    config = write_config(root, names)
    script = root / "team.lua"
    script.write_text(_SCRIPT.format(repos=REPOS, models=MODELS, api=API), "utf-8")
    begun = time.perf_counter()
    with serving(root, "--config", config) as server:
        started = time.perf_counter() - begun
        case = f"{REPOS} repos, {TEAM_TAGS:,} tags"
        return [
            Row(
                f"{case}: start",
                f"< {GOAL_START_S} s",
                f"{started:.2f} s",
                started < GOAL_START_S,
            ),
            _measure_warm(server, names),
            _measure_rate(server, script),
            _measure_new_tags(server, root, names, script),
        ]


def _measure_warm(server: Server, names: Sequence[str]) -> Row:
    for name in names:  # what was not read at the start
        for number in range(MODELS):
            server.request(f"model-{number:02d}", f"acme/{name}")
    chance = random.Random(15)
    seconds = [
        server.request(
            f"model-{chance.randrange(MODELS):02d}", f"acme/{chance.choice(names)}"
        )[0]
        for _ in range(WARM_REQUESTS)
    ]
    median_ms = statistics.median(seconds) * 1000
    p99_ms = statistics.quantiles(seconds, n=100)[-1] * 1000
    return Row(
        f"one client, any model, warm: median and 99th percentile of {WARM_REQUESTS}",
        f"< {GOAL_WARM_MS} ms",
        f"{median_ms:.1f} ms, {p99_ms:.1f} ms",
        p99_ms < GOAL_WARM_MS,
    )


def _measure_rate(server: Server, script: Path) -> Row:
    server.load("model-00", WARM_S, script=script)
    load = server.load("model-00", ROUND_S, script=script)
    return Row(
        f"{CLIENTS} clients, all models, one file each: requests per second",
        f">= {GOAL_RATE}, < {GOAL_P99_MS} ms",
        f"{load.rate:.0f}, 99th percentile {load.p99_ms:.1f} ms",
        load.rate >= GOAL_RATE and load.p99_ms < GOAL_P99_MS and not load.failed,
    )


def _measure_new_tags(
    server: Server, root: Path, names: Sequence[str], script: Path
) -> Row:
    with ThreadPoolExecutor(1) as pool:
        seconds = int((ROUNDS + 2) * (BETWEEN_S + 1))
        load = pool.submit(
            server.load, "model-00", seconds, clients=AT_ONCE, script=script
        )
        time.sleep(1)
        took = []
        for number in range(ROUNDS):
            took.append(_see_new_tag(server, root, names[number], number))
            time.sleep(BETWEEN_S)
        failed = load.result().failed
    return Row(
        f"{AT_ONCE} clients, a new tag: seen after (worst of {ROUNDS})",
        f"< {GOAL_NEW_TAG_S} s, no failed request",
        f"{max(took):.2f} s, {failed} failed",
        max(took) < GOAL_NEW_TAG_S and not failed,
    )


def _see_new_tag(server: Server, root: Path, name: str, number: int) -> float:
    """Tag a version, and return how long it takes until it is the latest one."""
    version = f"v9.{number}.0"
    tag = f"model-00@{version}"
    run(root / f"{name}.git", "git", "tag", "-a", "-m", "x", tag, "main")
    begun = time.perf_counter()
    while server.ask("model-00", f"acme/{name}")[2] != version:
        if time.perf_counter() - begun > LONGEST_S:
            message = f"the tag {tag} was not seen"
            raise SystemExit(message)
    return time.perf_counter() - begun
