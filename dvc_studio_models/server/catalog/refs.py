"""Whether the refs of a served repo changed, told by the times of a few files.

Reading all tags takes milliseconds; asking for these times takes microseconds. Git
writes a ref by renaming a file into its folder, which changes the folder's time, packed
refs and reftables by replacing a file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECENT_NS = 2_000_000_000
"""Two changes so close together may leave a file with one and the same time."""

_FILES = ("HEAD", "packed-refs", "reftable/tables.list")
_FOLDERS = ("refs/heads", "refs/tags")

FileStamp = tuple[int, int, int, int]


def file_stamp(path: str | Path) -> FileStamp | None:
    """Give what changes when a file, or the list of names in a folder, does.

    The time of the last change, too, which no program can set back: one that restores
    a copy of a folder gives it the time that it had.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - takes a third of Path's time
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


class Refs:
    """The refs of one repo."""

    def __init__(
        self,
        git_dir: str | Path,
        *,
        root: Path | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Look at nothing yet.

        Args:
            git_dir: The folder that holds ``refs``, common to all working trees.
            root: Of the working tree that is served; it may have a HEAD of its own.
            now_ns: The clock.
        """
        self._now_ns = now_ns
        self._folders = [Path(git_dir, folder) for folder in _FOLDERS]
        places = [git_dir, *_own_folder(root)]
        self._files = [str(Path(place, file)) for place in places for file in _FILES]
        self._seen: tuple[list[str], tuple[FileStamp | None, ...]] = ([], ())

    def stamp(self) -> tuple[FileStamp | None, ...] | None:
        """Give what is another one when any ref has changed.

        Returns:
            None while the last change is so recent that another might go unseen.
        """
        paths, before = self._seen
        stamp = tuple(map(file_stamp, paths))
        if stamp != before or not paths:
            # A new folder in refs/tags has changed the time of the one around it.
            paths = [*self._files, *_all_folders(self._folders)]
            stamp = tuple(map(file_stamp, paths))
            self._seen = (paths, stamp)
        newest = max((one[0] for one in stamp if one), default=0)
        return None if abs(self._now_ns() - newest) < RECENT_NS else stamp


def _all_folders(tops: list[Path]) -> Iterator[str]:
    for top in tops:
        yield str(top)
        for folder, names, _ in os.walk(top):
            names.sort()
            yield from (os.path.join(folder, name) for name in names)  # noqa: PTH118


def _own_folder(root: Path | None) -> Iterator[Path]:
    """Find where a working tree that ``git worktree`` made keeps its HEAD."""
    link = root and root / ".git"
    if root and link and link.is_file():
        named = os.fsdecode(link.read_bytes()).partition("gitdir:")[2].strip()
        yield root / named
