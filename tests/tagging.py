"""Makes tags of every shape, many at once, and stands between a test and ``git``."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projects import git

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pytest

TAGGER = "Ada <ada@example.com>"


@dataclass(frozen=True)
class NewTag:
    """A tag that is to be made."""

    name: str
    commit: str
    """What it is of."""

    time: int = 1_700_000_000
    """In seconds since 1970."""

    zone: str = "+0000"
    is_lightweight: bool = False


def make_commits(repo: Path, count: int) -> list[str]:
    """Make an empty repository with so many commits on main; give their ids."""
    repo.mkdir(parents=True)
    git(repo, "init", "--quiet", "--initial-branch", "main")
    for number in range(count):
        git(repo, "commit", "--quiet", "--allow-empty", "--message", str(number))
    return git(repo, "rev-list", "--reverse", "main").split()


def import_tags(repo: Path, tags: Iterable[NewTag]) -> None:
    """Make tags with one call of Git."""
    lines = []
    for tag in tags:
        if tag.is_lightweight:
            lines += [f"reset refs/tags/{tag.name}", f"from {tag.commit}", ""]
            continue
        tagger = f"tagger {TAGGER} {tag.time} {tag.zone}"
        lines += [f"tag {tag.name}", f"from {tag.commit}", tagger, "data 2", "m", ""]
    command = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(command, cwd=repo, input="\n".join(lines), check=True, text=True)


def delete_tags(repo: Path) -> None:
    """Leave no tag, loose or packed, in a repository whose other refs are loose."""
    shutil.rmtree(repo / ".git" / "refs" / "tags", ignore_errors=True)
    (repo / ".git" / "packed-refs").unlink(missing_ok=True)


def write_tag(repo: Path, name: str, lines: Sequence[bytes | str]) -> str:
    """Make a tag's object out of its very lines, which Git need not like; its id."""
    raw = b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines)
    command = ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"]
    done = subprocess.run(command, cwd=repo, input=raw, check=True, capture_output=True)
    oid = done.stdout.decode().strip()
    write_ref(repo, name, oid)
    return oid


def write_ref(repo: Path, name: str, content: str) -> None:
    """Write a loose ref by hand, whatever it is to hold."""
    path = repo / ".git" / "refs" / "tags" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def stand_before_git(folder: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script called ``git`` first on PATH.

    Args:
        folder: Where the script is to be.
        patch: Of the test.
        script: Finds the real Git in ``$GIT``.
    """
    folder.mkdir()
    real = shutil.which("git")
    path = folder / "git"
    path.write_text(f"#!/bin/sh\nGIT={real}\n{script}\n")
    path.chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def count_git(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let every call of ``git`` leave a line in the file that is given."""
    log = folder / "calls"
    script = f'echo "$*" >> \'{log}\'\nexec "$GIT" "$@"'
    stand_before_git(folder, patch, script)
    log.touch()
    return log
