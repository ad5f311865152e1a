"""Creates tags of every form, many at once, and wraps ``git`` with a script."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projects import git

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

TAGGER = "Ada <ada@example.com>"


@dataclass(frozen=True)
class NewTag:
    """A tag to create."""

    name: str
    commit: str
    """The tagged commit."""

    time: int = 1_700_000_000
    """Seconds since 1970."""

    zone: str = "+0000"
    is_lightweight: bool = False


def make_commits(repo: Path, count: int) -> list[str]:
    """Create a repository with ``count`` empty commits on main; return their IDs."""
    repo.mkdir(parents=True)
    git(repo, "init", "--quiet", "--initial-branch", "main")
    for number in range(count):
        git(repo, "commit", "--quiet", "--allow-empty", "--message", str(number))
    return git(repo, "rev-list", "--reverse", "main").split()


def import_tags(repo: Path, tags: Iterable[NewTag]) -> None:
    """Create tags with one call of Git."""
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
    """Delete all tags, loose and packed. All other refs must be loose."""
    shutil.rmtree(repo / ".git" / "refs" / "tags", ignore_errors=True)
    (repo / ".git" / "packed-refs").unlink(missing_ok=True)


def write_tag(repo: Path, name: str, lines: Sequence[bytes | str]) -> str:
    """Create a tag object from lines, which may be invalid; return its ID."""
    raw = b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines)
    command = ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"]
    done = subprocess.run(command, cwd=repo, input=raw, check=True, capture_output=True)
    oid = done.stdout.decode().strip()
    write_ref(repo, name, oid)
    return oid


def write_ref(repo: Path, name: str, content: str) -> None:
    """Write any content to a loose ref."""
    path = repo / ".git" / "refs" / "tags" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")
