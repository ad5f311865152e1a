"""The stamp of the refs of a real repo changes whenever real Git changes a ref."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from projects import Project, git

from dvc_studio_models.server.repos.refs import (
    BRANCHES,
    RECENT_NS,
    SETTLED_S,
    RefsStamp,
)

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
    "set by hand": [("update-ref", "refs/tags/churn@v1.0.0", "HEAD^{commit}")],
    "detached": [("checkout", "--quiet", "--detach")],
    "moved when packed": [("pack-refs", "--all"), ("tag", "-f", "churn@v1.0.0")],
    "packed in a folder": [("pack-refs", "--all"), ("tag", "-f", "a/b=fraud@v1.0.0")],
    "garbage collected": [("gc", "--quiet"), ("tag", "x"), ("gc", "--quiet")],
}


@pytest.mark.parametrize("commands", CHANGES.values(), ids=CHANGES)
def test_a_change_of_refs_changes_the_stamp(
    repo: Path, commands: list[tuple[str, ...]]
) -> None:
    refs = RefsStamp(str(repo / ".git"), now_ns=later)
    for command in commands:
        before = refs.read()

        git(repo, *command)

        assert before is not None
        assert refs.read() != before


def test_a_tag_in_a_folder_made_since_is_seen(repo: Path) -> None:
    refs = RefsStamp(str(repo / ".git"), now_ns=later)
    refs.read()
    git(repo, "tag", "c/d/one")
    before = refs.read()

    git(repo, "tag", "c/d/two")

    assert refs.read() != before


@pytest.mark.parametrize(
    "command",
    [("tag", "x"), ("tag", "-f", "churn@v1.0.0"), ("tag", "-d", "churn@v1.0.0")],
    ids=["new", "moved", "deleted"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_fetch_of_a_mirror_changes_the_stamp(
    repo: Path, tmp_path: Path, command: tuple[str, ...], *, packed: bool
) -> None:
    git(tmp_path, "clone", "--quiet", "--mirror", str(repo), "mirror")
    mirror = tmp_path / "mirror"
    if not packed:  # a clone's are, until they change
        tag = git(mirror, "rev-parse", "churn@v1.0.0").strip()
        for value in ("HEAD^{commit}", tag):
            git(mirror, "update-ref", "refs/tags/churn@v1.0.0", value)
    refs = RefsStamp(mirror, now_ns=later)
    before = refs.read()

    git(repo, *command)
    git(mirror, "fetch", "--quiet", "--prune")

    assert before is not None
    assert refs.read() != before


def test_the_head_of_a_working_tree_of_its_own_is_seen(
    repo: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    git(repo, "worktree", "add", "--quiet", str(tree))
    refs = RefsStamp(repo / ".git", root=tree, now_ns=later)
    before = refs.read()

    git(tree, "checkout", "--quiet", "--detach")

    assert before is not None
    assert refs.read() != before


def test_a_reftable_is_seen(repo: Path) -> None:
    refs = RefsStamp(repo / ".git", now_ns=later)
    stamps = [refs.read()]
    for tables in ("one", "one\ntwo", "six"):
        new = repo / ".git/reftable/tables.list.lock"
        new.parent.mkdir(exist_ok=True)
        new.write_text(tables)
        new.rename(new.with_suffix(""))
        stamps.append(refs.read())

    assert len(set(stamps)) == 4


def test_a_folder_that_was_given_its_old_time_is_seen(repo: Path) -> None:
    tags = repo / ".git/refs/tags"
    refs = RefsStamp(repo / ".git", now_ns=later)
    before = refs.read()
    times = tags.stat().st_atime_ns, tags.stat().st_mtime_ns

    git(repo, "tag", "x")
    os.utime(tags, ns=times)  # as programs do that restore a copy

    assert refs.read() != before


def test_refs_that_stay_have_one_stamp(repo: Path) -> None:
    refs = RefsStamp(str(repo / ".git"), now_ns=later)
    before = refs.read()

    (repo / "file").write_text("x")
    git(repo, "add", "file")

    assert refs.read() == before == RefsStamp(str(repo / ".git"), now_ns=later).read()


def test_while_refs_are_changing_there_is_no_stamp(repo: Path) -> None:
    refs = RefsStamp(str(repo / ".git"), now_ns=lambda: now, monotonic=lambda: 0)
    now = time.time_ns()
    first = refs.read()
    now += RECENT_NS
    second = refs.read()
    now -= 3 * RECENT_NS  # the clock of the file server goes ahead of ours
    third = refs.read()

    assert first is None
    assert second is not None
    assert third is not None


def test_a_stamp_of_fine_times_counts_as_soon_as_it_stays(repo: Path) -> None:
    refs = RefsStamp(str(repo / ".git"), monotonic=lambda: now)
    now = 0.0
    git(repo, "tag", "one")
    first = refs.read()
    now += SETTLED_S
    second = refs.read()
    git(repo, "tag", "two")
    third = refs.read()
    now += SETTLED_S
    fourth = refs.read()

    assert (first, third) == (None, None)
    assert second is not None
    assert fourth is not None
    assert fourth != second


def test_a_stamp_of_coarse_times_has_to_be_old(repo: Path) -> None:
    refs = RefsStamp(str(repo / ".git"), now_ns=lambda: now_ns, monotonic=lambda: now)
    now, now_ns = 0.0, 1_700_000_000 * 10**9
    for path in (repo / ".git/HEAD", *(repo / ".git").glob("refs/**")):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # as a file system of seconds
    first = refs.read()
    now += 10 * SETTLED_S
    second = refs.read()
    now_ns += RECENT_NS
    third = refs.read()

    assert (first, second) == (None, None)
    assert third is not None


def test_the_stamp_of_branches_does_not_change_with_a_tag(repo: Path) -> None:
    refs = RefsStamp(repo / ".git", folders=[BRANCHES], now_ns=later)
    before = refs.read()
    git(repo, "tag", "x")
    tagged = refs.read()
    git(repo, "commit", "--quiet", "--allow-empty", "--message", "y")

    assert before is not None
    assert tagged == before != refs.read()
