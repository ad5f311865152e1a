"""Folders below a root, opened one by one without following a link.

The only way to the user's files for whoever writes. A folder that is open stays the
folder that was checked, whatever its name means by now; so nothing can slip in between
check and use. The root itself may be a link: it is the user's own word.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UnsafePathError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class FileStamp:
    """What was at a name, as far as it tells whether it is still the same."""

    inode: int
    mtime_ns: int
    size: int
    """In bytes."""

    @classmethod
    def of(cls, found: os.stat_result) -> FileStamp:
        """Take it from what the file system says of a file."""
        return cls(found.st_ino, found.st_mtime_ns, found.st_size)


def stat_target(name: str | Path, folder: int | None = None) -> FileStamp | None:
    """Tell what is at a name; None if nothing. Follows no link."""
    try:
        found = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    return FileStamp.of(found)


def nearest_existing(folder: Path) -> Path:
    """Find the deepest folder of a path that is there: itself, or one above it."""
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())


class SafeFolders:
    """The folders below one root."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> SafeFolders:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    @contextlib.contextmanager
    def open(self, folder: str, *, made: list[str] | None = None) -> Iterator[int]:
        """Open a folder for as long as the context lasts.

        Args:
            folder: Relative to the root, ``""`` for the root itself.
            made: Gets the folders that were missing and had to be made, the outermost
                first. None makes none.

        Raises:
            FileNotFoundError: It is not there, and none is made.
            UnsafePathError: It, or one above it, is a link or no folder.
        """
        here, walked = os.dup(self._root), ""
        try:
            for name in folder.split("/") if folder else ():
                walked = f"{walked}/{name}" if walked else name
                inner = _enter(here, name, walked, made)
                os.close(here)
                here = inner
            yield here
        finally:
            os.close(here)

    def remove(self, folder: str) -> None:
        """Remove an empty folder.

        Raises:
            OSError: It is not empty, or must stay for another reason.
        """
        parent, name = posixpath.split(folder)
        with self.open(parent) as opened:
            os.rmdir(name, dir_fd=opened)


def _enter(parent: int, name: str, walked: str, made: list[str] | None) -> int:
    try:
        return open_folder(name, parent=parent, known_as=walked)
    except FileNotFoundError:
        if made is None:
            raise
    with contextlib.suppress(FileExistsError):  # another pull was faster
        os.mkdir(name, dir_fd=parent)
        made.append(walked)
    return open_folder(name, parent=parent, known_as=walked)


def open_folder(name: str, *, parent: int | None = None, known_as: str) -> int:
    """Open one folder; the last part of its path is no link.

    Args:
        name: Of the folder.
        parent: The open folder that it is in; None takes ``name`` as a path.
        known_as: What an error calls it.

    Raises:
        UnsafePathError: It is a symlink or not a folder.
        OSError: It is not there, or the file system refused.
    """
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        raise UnsafePathError.no_folder(known_as) from None
