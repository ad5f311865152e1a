"""Checks that a version can be released; dates its section, commits and tags it.

It makes two commits. "Release X" has the version, the date in CHANGELOG.md and in
CITATION.cff, and the tag. The next one gives the version a ".dev0", so that what is
built from main afterwards is not taken for the release. Nothing is pushed.

The commits are made in a working tree of their own. The branch and its three files
change at the end; other changes in the clone stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from releasing.changelog import dated
from releasing.refusal import RefusalError, end, git

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path("dvc_studio_models/__init__.py")
CHANGELOG = Path("CHANGELOG.md")
CITATION = Path("CITATION.cff")
BRANCH = "main"
HOST = "git.example.com"
"""Stands for the host of this repository until it has one."""

BEGUN = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}
"""Commands of Git that the next commit would conclude, by the file of each."""

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
ASSIGNED = re.compile(r'^__version__ = "([^"]+)"$', re.M)
CITED = re.compile(r"^(?:version|date-released):.*\n", re.M)


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version.

    Raises:
        RefusalError: It is not three numbers with dots between them.
    """
    if not VERSION.fullmatch(version):
        message = f"'{version}' is not a version: give one as VERSION=1.2.0"
        raise RefusalError(message)
    return tuple(map(int, version.split(".")))


def check(root: Path, version: str) -> None:
    """Check that a version can be released from what is checked out.

    Raises:
        RefusalError: It cannot; the message says why and what to do.
    """
    given = numbers(version)
    _check_tree(root)
    _check_origin(root)
    released = _released(root)
    if released and given <= released[-1]:
        newest = ".".join(map(str, released[-1]))
        message = f"{version} is not newer than {newest}, which has a tag: give another"
        raise RefusalError(message)
    _check_announced(root, version)
    _check_address(root)


def _check_tree(root: Path) -> None:
    _check_branch(root)
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(f"'{line[3:]}'" for line in changed[:3])
        message = f"uncommitted changes: {names}; commit or remove them"
        raise RefusalError(message)
    for name, command in BEGUN.items():
        if (root / git(root, "rev-parse", "--git-path", name).rstrip("\n")).exists():
            message = (
                f"a {command} has begun: commit it, or run 'git {command} --abort'"
            )
            raise RefusalError(message)


def _check_branch(root: Path) -> None:
    branch = git(root, "branch", "--show-current").strip()
    if branch != BRANCH:
        message = (
            f"releases are made from '{BRANCH}', not from "
            f"'{branch or 'a detached HEAD'}': run 'git switch {BRANCH}'"
        )
        raise RefusalError(message)


def _check_origin(root: Path) -> None:
    git(root, "fetch", "--quiet", "origin", f"refs/heads/{BRANCH}")
    if git(root, "rev-list", "HEAD..FETCH_HEAD"):
        message = (
            f"'{BRANCH}' lacks commits that origin has: run "
            f"'git pull --rebase origin {BRANCH}'"
        )
        raise RefusalError(message)


def _released(root: Path) -> list[tuple[int, ...]]:
    listed = git(root, "ls-remote", "--tags", "--refs", "origin", "v*").split()
    names = [name.removeprefix("refs/tags/") for name in listed[1::2]]
    names += git(root, "tag", "--list", "v*").split()
    versions = [name.removeprefix("v") for name in names]
    return sorted(numbers(each) for each in versions if VERSION.fullmatch(each))


def _check_announced(root: Path, version: str) -> None:
    found = ASSIGNED.search((root / PACKAGE).read_text("utf-8"))
    if found is None:
        message = f"{PACKAGE} has no line '__version__ = \"...\"'"
        raise RefusalError(message)
    announced = found[1].removesuffix(".dev0")
    if not VERSION.fullmatch(announced):
        message = (
            f'{PACKAGE} has __version__ = "{found[1]}": '
            f'set it to "{version}.dev0" and commit'
        )
        raise RefusalError(message)
    if numbers(version) < numbers(announced):
        message = (
            f"{version} is lower than {announced}, which {PACKAGE} announces: "
            f"give {announced} or a higher one"
        )
        raise RefusalError(message)


def _check_address(root: Path) -> None:
    if HOST in (root / "pyproject.toml").read_text("utf-8"):
        name = f"https://{HOST}/dvc-studio-models"
        message = (
            f"pyproject.toml has '{HOST}', which stands for this repository's host. "
            "Put the real address everywhere, check and commit:\n"
            f"  git grep -lz {name} | xargs -0 perl -pi -e 's#{name}#ADDRESS#g'"
        )
        raise RefusalError(message)


def release(root: Path, version: str, date: str) -> None:
    """Commit and tag a version, then commit the one of builds after it.

    If anything fails or is interrupted, branch, files and tags are as before.

    Raises:
        RefusalError: The changelog has nothing to release, or Git failed.
    """
    changelog = dated((root / CHANGELOG).read_text("utf-8"), version, date)
    start = _head(root)
    tag = f"v{version}"
    with _working_tree(root) as tree:
        (tree / CHANGELOG).write_text(changelog, "utf-8")
        _cite(tree, version, date)
        _assign(tree, version)
        _commit(tree, f"Release {version}")
        with _removed_on_failure(root, tag, _head(tree)):
            git(tree, "tag", "--annotate", "--message", f"Release {version}", tag)
            _assign(tree, _next(version))
            _commit(tree, f"Begin {_next(version)}")
            ignore_signals()
            _advance(root, start, _head(tree))


@contextlib.contextmanager
def _working_tree(root: Path) -> Iterator[Path]:
    """Check HEAD out in a temporary folder."""
    with contextlib.ExitStack() as at_the_end:
        folder = Path(tempfile.mkdtemp()).resolve()
        tree = folder / "release"
        at_the_end.callback(_remove, root, tree)
        at_the_end.callback(ignore_signals)
        add = ("worktree", "add", "--quiet", "--detach")
        git(root, *add, os.fspath(tree), "HEAD", apart=True)
        yield tree


def _remove(root: Path, tree: Path) -> None:
    """Remove a temporary working tree and its folder, or say how to do it."""
    try:
        shutil.rmtree(tree, ignore_errors=True)
        listed = git(root, "worktree", "list", "--porcelain", apart=True)
        if f"worktree {tree}\n" in listed:
            # Twice "-f": also one that Git has locked while it was made.
            git(root, "worktree", "remove", "-ff", os.fspath(tree), apart=True)
        shutil.rmtree(tree.parent)
    except (OSError, RefusalError):
        print(
            f"WARNING: cannot remove '{tree.parent}': remove it, and run "
            "'git worktree prune'",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _removed_on_failure(root: Path, tag: str, commit: str) -> Iterator[None]:
    """Delete a tag of a commit if what follows fails."""
    try:
        yield
    except BaseException:
        ignore_signals()
        try:
            if git(root, "tag", "--list", "--points-at", commit, tag, apart=True):
                git(root, "tag", "--delete", tag, apart=True)
        except RefusalError as error:
            command = f"git tag --delete {tag}"
            message = f"the tag {tag} is left, as {error}\nDelete it:  {command}"
            raise RefusalError(message) from None
        raise


def _advance(root: Path, start: str, made: str) -> None:
    """Move the branch and its files from a commit to another.

    Raises:
        RefusalError: The branch or one of these files was changed meanwhile.
    """
    _check_branch(root)
    git(root, "update-index", "-q", "--refresh", apart=True)
    git(root, "read-tree", "-m", "-u", start, made, apart=True)
    try:
        move = ("update-ref", "-m", "release: two commits", f"refs/heads/{BRANCH}")
        git(root, *move, made, start, apart=True)
    except RefusalError:
        git(root, "read-tree", "-m", "-u", made, start, apart=True)
        raise


def _head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD").strip()


def ignore_signals() -> None:
    """Let nothing interrupt what follows."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    ignore_signals()
    raise KeyboardInterrupt


def _next(version: str) -> str:
    major, minor, patch = numbers(version)
    return f"{major}.{minor}.{patch + 1}.dev0"


def _assign(root: Path, version: str) -> None:
    path = root / PACKAGE
    text = path.read_text("utf-8")
    path.write_text(ASSIGNED.sub(f'__version__ = "{version}"', text), "utf-8")


def _cite(root: Path, version: str, date: str) -> None:
    path = root / CITATION
    kept = CITED.sub("", path.read_text("utf-8"))
    path.write_text(f"{kept}version: {version}\ndate-released: {date}\n", "utf-8")


def _commit(root: Path, subject: str) -> None:
    git(root, "add", "--", *map(os.fspath, (PACKAGE, CHANGELOG, CITATION)))
    git(root, "commit", "--quiet", "--allow-empty", "--message", subject)


def main() -> None:
    """Release a version from the current folder."""
    parser = argparse.ArgumentParser(prog="releasing.release", description=__doc__)
    parser.add_argument("version", help="as 1.2.0")
    version = parser.parse_args().version
    root = Path.cwd()
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    date = datetime.now(tz=timezone.utc).date().isoformat()
    try:
        check(root, version)
        release(root, version, date)
    except KeyboardInterrupt:
        message = "interrupted; branch, files and tags are as before"
        raise RefusalError(message) from None
    print(f"Committed and tagged {version}, dated {date}. Nothing is pushed yet.")
    print(f"Look at it:  git show v{version}")
    print(f"Publish it:  git push --atomic origin heads/{BRANCH} tags/v{version}")
    print(f"Or undo it:  git tag --delete v{version} && git reset --keep HEAD~2")


if __name__ == "__main__":
    end(main)
