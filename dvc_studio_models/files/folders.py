"""Folders below a root, opened one by one without following a link.

All writes to the user's files go through here. An open folder stays the one that was
checked, even if its name is given to another one afterwards. The root itself may be a
link, since the user named it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UnsafePathError
from dvc_studio_models.files.paths import fold, own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class FileStamp:
    """What identifies the content of a path: equal if nobody has changed it."""

    inode: int
    mtime_ns: int
    size: int
    """In bytes."""

    @classmethod
    def of(cls, found: os.stat_result) -> FileStamp:
        """Make the stamp of a file from its status."""
        return cls(found.st_ino, found.st_mtime_ns, found.st_size)

    @property
    def mtime(self) -> float:
        """In seconds; exactly the number that Python has in ``st_mtime``."""
        seconds, rest_ns = divmod(self.mtime_ns, 10**9)
        return seconds + 1e-9 * rest_ns


@dataclass(frozen=True)
class Staged:
    """Flushed files, from which targets are made."""

    files: Mapping[str, Path | str]
    """By target."""

    stamps: Mapping[str, FileStamp]
    """Of these files, by target."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    """New folder to the staged folder from which it is made. That contains only staged
    files, at their paths."""


def stat_target(name: str | Path, folder: int | None = None) -> FileStamp | None:
    """Return the stamp of a path, or None if nothing exists there. Follow no link."""
    try:
        found = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    return FileStamp.of(found)


def check_root(root: Path) -> None:
    """Refuse to place files inside of a folder of Git or DVC.

    What is above the nearest Git root does not count: DVC runs experiments in clones
    below ``.dvc/tmp``.

    Args:
        root: A real path.

    Raises:
        UnsafePathError: A part of it names such a folder.
    """
    inner = root
    for above in (root, *root.parents):
        if os.path.lexists(above / ".git"):
            inner = root.relative_to(above)
            break
    for name in inner.parts:
        if own := own_folder(name):
            why = f"it leads into '{own}'"
            raise UnsafePathError([(os.fspath(root), why)], source=None)


def nearest_existing(folder: Path) -> Path:
    """Return the deepest existing folder of a path: itself, or a parent."""
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())


def is_listed(folder: Path, path: str) -> bool:
    """Return whether the names in a path are those that the folders list."""
    for name in path.split("/"):
        if name not in os.listdir(folder):  # noqa: PTH208 - only the names
            return False
        folder /= name
    return True


def is_spelled(root: Path, path: str) -> bool:
    """Return whether the folder of a file lists its name as it is in the path.

    Raises:
        OSError: The folder cannot be read.
    """
    folder, name = posixpath.split(path)
    return name in os.listdir(root / folder)  # noqa: PTH208 - only the names


def as_listed(root: Path, paths: Iterable[str]) -> list[str]:
    """Return paths with each name as its folder lists it, if it is of the same file.

    The names of what does not exist stay as they are.

    Raises:
        OSError: A folder cannot be read.
    """
    names_in = functools.cache(os.listdir)
    return [_as_listed(os.fspath(root), path, names_in) for path in paths]


def _as_listed(root: str, path: str, names_in: Callable[[str], list[str]]) -> str:
    here = root
    for name in path.split("/"):
        spelling = name
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = names_in(here)
            if name not in names:
                found = stat_target(f"{here}/{name}")
                folded = [other for other in names if fold(other) == fold(name)]
                same = (o for o in folded if stat_target(f"{here}/{o}") == found)
                spelling = next(same, name)
        here = f"{here}/{spelling}"
    return here.removeprefix(f"{root}/")


class SafeFolders:
    """The folders below one root."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self._entered: dict[str, int] = {}
        self._inodes: dict[str, int] = {}

    def __enter__(self) -> SafeFolders:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    @contextlib.contextmanager
    def open(self, folder: str, *, made: list[str] | None = None) -> Iterator[int]:
        """Open a folder until the context ends.

        Args:
            folder: Relative to the root, ``""`` for the root itself.
            made: Missing folders are made and added to this list, the outermost first.
                With None, no folder is made.

        Raises:
            FileNotFoundError: The folder does not exist, and ``made`` is None.
            UnsafePathError: It or a parent is a link, or not a folder.
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

    def enter(self, folder: str, made: list[str] | None) -> int:
        """Open a folder until another one is entered; see :meth:`open`.

        Raises:
            FileNotFoundError: The folder does not exist, and ``made`` is None.
            UnsafePathError: It or a parent is a link, or not a folder.
        """
        if folder not in self._entered:
            self._leave()
            with self.open(folder, made=made) as opened:
                self._inodes[folder] = os.fstat(opened).st_ino
                self._entered[folder] = os.dup(opened)
        return self._entered[folder]

    def _leave(self) -> None:
        while self._entered:
            os.close(self._entered.popitem()[1])

    def has_moved(self, folder: str, opened: int) -> bool:
        """Return whether another folder was entered by that name than is open now."""
        inode = os.fstat(opened).st_ino
        return self._inodes.get(folder, inode) != inode

    def respell(self, path: str) -> None:
        """Give a file the spelling of its name that a path has.

        For folders that find the file by any spelling, as on macOS. Nothing happens if
        they store another form of each name, as HFS+ does.

        Raises:
            UnsafePathError: A parent is a symlink or not a folder.
            OSError: The file system refuses.
        """
        parent, name = posixpath.split(path)
        with self.open(parent) as folder:
            found = stat_target(name, folder)
            names = os.listdir(folder)  # noqa: PTH208 - only the names
            for other in names if name not in names else ():
                if fold(other) == fold(name) and stat_target(other, folder) == found:
                    os.rename(other, name, src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, folder: str) -> None:
        """Remove an empty folder.

        Raises:
            OSError: It is not empty, or the file system refuses.
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
    with contextlib.suppress(FileExistsError):  # another pull made it
        os.mkdir(name, dir_fd=parent)
        made.append(walked)
    return open_folder(name, parent=parent, known_as=walked)


def folders_between(folder: str, path: str) -> Iterator[str]:
    """Yield the folders that are inside of a folder and contain a path."""
    parent = posixpath.dirname(path)
    while parent != folder:
        yield parent
        parent = posixpath.dirname(parent)


def open_folder(name: str, *, parent: int | None = None, known_as: str) -> int:
    """Open one folder, but not through a link in the last part of its path.

    Args:
        name: Its name in ``parent``, or its path if that is None.
        parent: The open folder that contains it.
        known_as: Its name for an error.

    Raises:
        UnsafePathError: It is a symlink or not a folder.
        OSError: It does not exist, or the file system refuses.
    """
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        raise UnsafePathError.no_folder(known_as) from None
