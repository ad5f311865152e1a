"""Refs of a real repo change by real Git, and no look into them is needed to see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from projects import Project, git

from dvc_studio_models.server.watch import RECENT_NS, Refs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repo with a branch, a loose tag, and one in a folder."""
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    Project(tmp_path).tag("churn@v1.0.0")
    Project(tmp_path).tag("a/b=fraud@v1.0.0")
    return folder


def later() -> int:
    """A clock, by which all that was done is long ago."""
    return time.time_ns() + 2 * RECENT_NS


CHANGES = {
    "new tag": [("tag", "x")],
    "new tag in a folder": [("tag", "a/b=fraud@v2.0.0")],
    "new folder": [("tag", "c/d/e")],
    "moved tag": [("tag", "--force", "churn@v1.0.0")],
    "deleted tag": [("tag", "--delete", "churn@v1.0.0")],
    "packed": [("pack-refs", "--all")],
    "deleted when packed": [("pack-refs", "--all"), ("tag", "-d", "churn@v1.0.0")],
    "commit": [("commit", "--quiet", "--allow-empty", "--message", "y")],
    "branch": [("symbolic-ref", "HEAD", "refs/heads/other")],
}


@pytest.mark.parametrize("commands", CHANGES.values(), ids=CHANGES)
def test_a_change_of_refs_changes_the_stamp(
    repo: Path, commands: list[tuple[str, ...]]
) -> None:
    refs = Refs(str(repo / ".git"), now_ns=later)
    for command in commands:
        before = refs.stamp()

        git(repo, *command)

        assert before is not None
        assert refs.stamp() != before


def test_a_tag_in_a_folder_made_since_is_seen(repo: Path) -> None:
    refs = Refs(str(repo / ".git"), now_ns=later)
    refs.stamp()
    git(repo, "tag", "c/d/one")
    before = refs.stamp()

    git(repo, "tag", "c/d/two")

    assert refs.stamp() != before


def test_refs_that_stay_have_one_stamp(repo: Path) -> None:
    refs = Refs(str(repo / ".git"), now_ns=later)
    before = refs.stamp()

    (repo / "file").write_text("x")
    git(repo, "add", "file")

    assert refs.stamp() == before == Refs(str(repo / ".git"), now_ns=later).stamp()


def test_while_refs_are_changing_there_is_no_stamp(repo: Path) -> None:
    refs = Refs(str(repo / ".git"), now_ns=lambda: now)
    now = time.time_ns()
    first = refs.stamp()
    now += RECENT_NS
    second = refs.stamp()
    now -= 3 * RECENT_NS  # the clock of the file server goes ahead of ours
    third = refs.stamp()

    assert first is None
    assert second is not None
    assert third is not None
