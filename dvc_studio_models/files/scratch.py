"""Temporary files and folders, which Git does not show.

Their names say which process owns them, so that the next pull can remove those that a
killed pull left behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.files.durable import fsync_files
from dvc_studio_models.files.folders import FOLDER, folders_between, open_folder
from dvc_studio_models.files.owner import is_dead, owner_id

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

STALE_AFTER_S = 24 * 3600.0  # if this host cannot tell whether the owner runs
TEMPORARY = "placing-"
"""How the names of temporary files and folders begin."""

_IGNORE = ".gitignore"
_IGNORE_EVERYTHING = b"*\n"


def make_folder(folder: Path) -> None:
    """Make a folder if it does not exist, and check that it is one.

    Raises:
        LocalDiskError: It cannot be made.
        UnsafePathError: There is a link or a file at its path.
    """
    os.close(_open_made(folder))


def make_hidden_folder(folder: Path) -> None:
    """Make a folder that Git does not show, if it does not exist.

    Raises:
        LocalDiskError: It cannot be made.
        UnsafePathError: There is a link or a file at its path.
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
    """Write a ``.gitignore`` into an open folder that ignores all in it and itself."""
    try:
        if _link_ignore(folder):
            return
    except FileExistsError:
        return
    except OSError:  # the file system has no files without a name
        pass
    # A pull at the same time may rely on the file that exists.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with os.fdopen(os.open(_IGNORE, flags, 0o666, dir_fd=folder), "r+b") as file:
        if file.read(len(_IGNORE_EVERYTHING) + 1) != _IGNORE_EVERYTHING:
            file.seek(0)
            file.write(_IGNORE_EVERYTHING)
            file.truncate()


def _link_ignore(folder: int) -> bool:
    """Name the file after it is written, or Git would show it for a moment.

    Returns:
        Whether that is possible; only Linux has files without a name.
    """
    if sys.platform == "linux" and hasattr(os, "O_TMPFILE"):
        unnamed = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o666, dir_fd=folder)
        try:
            os.write(unnamed, _IGNORE_EVERYTHING)
            os.link(f"/proc/self/fd/{unnamed}", _IGNORE, dst_dir_fd=folder)
        finally:
            os.close(unnamed)
        return True
    return False


def remove_hidden(
    name: str | Path, *, parent: int | None = None, ours: Container[str] = ()
) -> None:
    """Remove a folder that :func:`hide_from_git` hid, unless another pull uses it.

    Args:
        name: Its name in ``parent``, or its path if that is None.
        parent: The open folder that contains it.
        ours: Files in it to remove; those of killed pulls are removed, too.
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
    """Remove temporary files that killed pulls left in ``home``, if that exists."""
    with contextlib.suppress(OSError):
        os.close(os.open(home, FOLDER))  # no link is followed
        for left in filter(is_stale, home.glob(f"{TEMPORARY}*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(home: Path) -> Iterator[Path]:
    """Make an empty folder, and remove it when the context ends.

    Args:
        home: The folder to make it in; made, and hidden from Git.

    Raises:
        LocalDiskError: It cannot be made.
        UnsafePathError: There is a link or a file at ``home``.
    """
    make_hidden_folder(home)
    folder = home / temporary_name()
    with disk_errors(home):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lay_out(
    targets: Iterable[str], scratch: Path, new_folders: Container[str]
) -> tuple[dict[str, str], dict[str, Path]]:
    """Make the staged folders, and choose where the file of each target is made.

    Args:
        targets: Their paths below the root.
        scratch: An empty folder.
        new_folders: Folders that are staged as a whole.

    Returns:
        Target to the path of its file, and new folder to its staged folder.

    Raises:
        OSError: The file system refuses.
    """
    made: dict[str, str] = {}
    folders: dict[str, Path] = {}
    homes = {"": ""}
    for number, path in enumerate(targets):
        parent, _, name = path.rpartition("/")
        if parent not in homes:
            for each in reversed([parent, *folders_between("", parent)]):
                outer, _, inner = each.rpartition("/")
                if each in new_folders:
                    folders.setdefault(each, scratch / f"folder-{len(folders)}")
                    homes[each] = os.fspath(folders[each])
                else:
                    homes[each] = homes[outer] and f"{homes[outer]}/{inner}"
                if homes[each]:
                    Path(homes[each]).mkdir(exist_ok=True)
        made[path] = (
            f"{homes[parent]}/{name}" if homes[parent] else f"{scratch}/new-{number}"
        )
    return made, folders


def write_atomically(path: Path, text: str, *, flushed: bool = False) -> None:
    """Write a file in one step: others read the old content or the new.

    Args:
        path: The file; replaced if it exists.
        text: Its new content.
        flushed: Whether the content must survive a power cut.

    Raises:
        OSError: The file system refuses; the file is as it was.
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
    """Return a name that is not in use, and says which process owns it."""
    return f"{TEMPORARY}{secrets.token_hex(8)}-{owner_id()}"


def is_stale(path: str | Path, *, folder: int | None = None) -> bool:
    """Check whether the owner of a temporary file or folder has ended.

    Args:
        path: Its path, or its name in ``folder``.
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
