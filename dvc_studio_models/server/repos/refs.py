"""Whether the refs of a served repo have changed, by the times of a few files.

Reading all tags takes milliseconds, these times take microseconds. Git writes a ref by
renaming a file into its folder, which changes the folder's time; it replaces packed
refs and reftables as a whole.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RECENT_NS = 2_000_000_000
"""Two changes so close together may leave a file with one and the same time, on the
coarsest of file systems."""

FINE_NS = 10_000_000
"""Systems give times in steps of at most so much, unless the file system has coarser
ones. All times of such a file system are multiples of this."""

SETTLED_S = 0.1
"""How long, in seconds, a stamp with fine times has to be the same: a change of the
same step has happened by then, and one of a later step would have changed it."""

_FILES = ("HEAD", "packed-refs", "reftable/tables.list")
BRANCHES = "refs/heads"
_FOLDERS = (BRANCHES, "refs/tags")

FileStamp = tuple[int, int, int, int]


def file_stamp(path: str | Path) -> FileStamp | None:
    """Return a value that changes when a file, or the names in a folder, do.

    It includes the time of the last status change, which no program can set back: one
    that restores a copy of a folder sets the other time to that of the original.

    Returns:
        None where there is nothing.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - takes a third of Path's time
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


class RefsStamp:
    """The stamp of one repo's refs."""

    def __init__(
        self,
        git_dir: str | Path,
        *,
        root: Path | None = None,
        folders: Sequence[str] = _FOLDERS,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the folders; :meth:`read` looks at the files.

        Args:
            git_dir: The folder of ``refs``, common to all working trees.
            root: Of the working tree that is served; it may have a HEAD of its own.
            folders: Where the refs are, besides HEAD.
            now_ns: The clock.
            monotonic: The clock by which waits are measured, in seconds.
        """
        self._git_dir = Path(git_dir)
        self._root = root
        self._folders = tuple(folders)
        self._now_ns = now_ns
        self._monotonic = monotonic
        self._seen: tuple[list[str], tuple[FileStamp | None, ...], float] = ([], (), 0)
        """What was looked at, its stamp, and when it was first seen."""

    def read(self) -> tuple[FileStamp | None, ...] | None:
        """Return a value that changes whenever a ref changes.

        Returns:
            None while the last change is so recent that another might go unseen.
        """
        paths, before, since = self._seen
        stamp = tuple(map(file_stamp, paths))
        if stamp != before or not paths:
            # A new folder in refs/tags has changed the time of the one around it.
            paths = list(self._paths())
            stamp = tuple(map(file_stamp, paths))
            since = self._monotonic()
            self._seen = (paths, stamp, since)
        newest = max((one[0] for one in stamp if one), default=0)
        is_old = abs(self._now_ns() - newest) >= RECENT_NS
        is_settled = newest % FINE_NS and self._monotonic() - since >= SETTLED_S
        return stamp if is_old or is_settled else None

    def _paths(self) -> Iterator[str]:
        """List the files and folders that change when a ref does."""
        for place in (self._git_dir, *_own_git_dir(self._root)):
            yield from (str(place / file) for file in _FILES)
        for top in self._folders:
            yield str(self._git_dir / top)
            for folder, names, _ in os.walk(self._git_dir / top):
                names.sort()
                yield from (os.path.join(folder, name) for name in names)  # noqa: PTH118


def _own_git_dir(root: Path | None) -> Iterator[Path]:
    """Find where a working tree that ``git worktree`` made has its HEAD."""
    if root is None:
        return
    try:
        named = os.fsdecode((root / ".git").read_bytes()).partition("gitdir:")[2]
    except OSError:  # it is a folder, or cannot be read: Git says why
        return
    yield root / named.strip()
