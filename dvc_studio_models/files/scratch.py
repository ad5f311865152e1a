"""Folders of our own, for files on their way to their names.

Git does not show them, and what killed pulls left in them is swept.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.files.durable import fsync_files
from dvc_studio_models.files.folders import FOLDER, open_folder
from dvc_studio_models.files.owner import is_dead, owner_id

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

STALE_AFTER_S = 24 * 3600.0  # for what was left by a machine that is not this one
TEMPORARY = "placing-"
"""How the names of files and folders begin that go when placing ends."""

_IGNORE = ".gitignore"
_IGNORE_EVERYTHING = b"*\n"


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there, and be sure that it is one.

    Raises:
        LocalDiskError: It cannot be made.
        UnsafePathError: A link or a file is in its place.
    """
    os.close(_open_made(folder))


def make_hidden_folder(folder: Path) -> None:
    """Make a folder that Git does not show.

    Raises:
        LocalDiskError: It cannot be made.
        UnsafePathError: A link or a file is in its place.
    """
    opened = _open_made(folder)
    try:
        with disk_errors(folder):
            hide_from_git(opened)
    finally:
        os.close(opened)


def _open_made(folder: Path) -> int:
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        return open_folder(os.fspath(folder), known_as=os.fspath(folder))


def hide_from_git(folder: int) -> None:
    """Tell Git to ignore an open folder, itself included."""
    try:
        _link_ignore(folder)
    except FileExistsError:
        pass
    except (OSError, AttributeError):  # neither this system nor this file system has it
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(_IGNORE, flags, 0o666, dir_fd=folder), "wb") as file:
            file.write(_IGNORE_EVERYTHING)


def _link_ignore(folder: int) -> None:
    """Give the file its name after its content, or Git shows it for a moment."""
    unnamed = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o666, dir_fd=folder)
    try:
        os.write(unnamed, _IGNORE_EVERYTHING)
        os.link(f"/proc/self/fd/{unnamed}", _IGNORE, dst_dir_fd=folder)
    finally:
        os.close(unnamed)


def remove_hidden(
    name: str | Path, *, parent: int | None = None, ours: Container[str] = ()
) -> None:
    """Remove a folder that :func:`hide_from_git` hid, unless somebody else uses it.

    Args:
        name: Of the folder.
        parent: The open folder that it is in; None takes ``name`` as a path.
        ours: Files in it that wait no longer; those of killed pulls go too.
    """
    with contextlib.suppress(OSError):
        folder = os.open(name, FOLDER, dir_fd=parent)
        try:
            for file in _names(folder):
                if file in ours or (
                    file.startswith(TEMPORARY) and is_stale(file, folder=folder)
                ):
                    os.unlink(file, dir_fd=folder)
            if _names(folder) == [_IGNORE]:
                os.unlink(_IGNORE, dir_fd=folder)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=parent)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def sweep(home: Path) -> None:
    """Remove what killed pulls left in ``home``, if it is there."""
    with contextlib.suppress(OSError):
        os.close(os.open(home, FOLDER))  # no link is followed
        for left in filter(is_stale, home.glob(f"{TEMPORARY}*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(home: Path) -> Iterator[Path]:
    """Lend an empty folder.

    Args:
        home: Where it is made; hidden.

    Raises:
        LocalDiskError: It cannot be made.
        UnsafePathError: A link or a file is in the place of ``home``.
    """
    make_hidden_folder(home)
    folder = home / temporary_name()
    with disk_errors(home):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, text: str, *, flushed: bool = False) -> None:
    """Write a file in one step, for readers at the same time; nothing else is left.

    Args:
        path: Of the file; what is there is replaced.
        text: Its content.
        flushed: Whether the content is to survive a power cut.

    Raises:
        OSError: The file system refused; what was there still is.
    """
    new = path.with_name(temporary_name())
    try:
        new.write_text(text, "utf-8")
        if flushed:
            fsync_files([new])
        new.replace(path)
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


def temporary_name() -> str:
    """Make a name that nobody else has, and that tells whose it is."""
    return f"{TEMPORARY}{secrets.token_hex(8)}-{owner_id()}"


def is_stale(path: str | Path, *, folder: int | None = None) -> bool:
    """Whether a file or folder with such a name is nobody's any more.

    Args:
        path: A path, or a name in ``folder``.
        folder: An open folder.
    """
    _, _, owner = Path(path).name.removeprefix(TEMPORARY).partition("-")
    dead = is_dead(owner)
    if dead is not None:
        return dead
    try:
        changed = os.lstat(path, dir_fd=folder).st_mtime
    except OSError:
        return False
    return time.time() - changed > STALE_AFTER_S
