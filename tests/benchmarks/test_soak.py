"""A short soak: the one of ``make soak`` takes ten minutes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.serve.changes import ChangingRepo, Timeline
from benchmarks.serve.soak import soak

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 20


def test_a_timeline_allows_what_was_right_at_some_moment_of_a_request() -> None:
    line = Timeline()
    line.set("one", 10, 11)
    line.set("two", 20, 21)

    assert line.at(12, 13) == {"one"}
    assert line.at(19, 20.5) == line.at(20.5, 30) == {"one", "two"}
    assert line.at(22, 23) == {"two"}
    assert line.at(22, 23, late_s=5) == {"one", "two"}


def test_a_changing_repo_knows_what_its_tags_select(tmp_path: Path) -> None:
    repo = ChangingRepo.make(tmp_path, "repo")
    repo.register()
    now = time.time()

    (latest,) = repo.timelines[""].at(now, now)
    selected = repo.git("rev-parse", "m@v1.3.0^{commit}").strip()

    assert latest == selected == repo.commits[3]


@pytest.mark.slow
def test_nothing_breaks_while_everything_changes(tmp_path: Path) -> None:
    run = soak(tmp_path, SECONDS)

    log = (tmp_path / "serve.log").read_text("utf-8")
    assert run.problems == []
    assert "Traceback" not in log
    assert " status=5" not in log
    assert run.counts["links 200"] > 1000
    assert min(run.counts[what] for what in ("register", "move", "gc", "reload")) > 0
