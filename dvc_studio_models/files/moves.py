"""Moves and copies of one file or folder between open folders; no link is followed."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import secrets
import stat
import sys
from typing import TYPE_CHECKING

from dvc_studio_models.errors import TargetChangedError
from dvc_studio_models.files.durable import fsync_open
from dvc_studio_models.files.folders import open_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_COPY_BYTES = 1 << 20


def is_on_another_mount(home: str, folder: int) -> bool:
    """Return whether no file of ``home`` can be renamed into an open folder."""
    if os.stat(home).st_dev != os.fstat(folder).st_dev:  # noqa: PTH116
        return True
    nothing = secrets.token_hex(8)
    try:  # two mounts may be of one file system, with one device number
        os.rename(f"{home}/{nothing}", nothing, dst_dir_fd=folder)
    except OSError as error:
        return error.errno == errno.EXDEV
    return False


def link(name: str, folder: int | None, new: str, at: int | None) -> None:
    """Make a hard link of a file, or of a symlink.

    Raises:
        OSError: The file system refuses.
    """
    os.link(name, new, src_dir_fd=folder, dst_dir_fd=at, follow_symlinks=False)


def move_to_target(
    new: str, at: int | None, path: str, folder: int, *, free: bool
) -> None:
    """Link or rename a file to a target.

    Args:
        new: The file: a path, or a name in ``at``.
        at: An open folder.
        path: The path of the target.
        folder: The open folder of the target.
        free: Whether nothing may exist there; otherwise it is replaced.

    Raises:
        TargetChangedError: It is not free.
        OSError: The file system refuses.
    """
    name = posixpath.basename(path)
    if free:
        try:
            link(new, at, name, folder)
        except FileExistsError:
            raise TargetChangedError([path]) from None
        except OSError:  # the name is free, but no hard link can be made
            pass
        else:
            os.unlink(new, dir_fd=at)
            return
    os.replace(new, name, src_dir_fd=at, dst_dir_fd=folder)


def copy_with_mode(
    name: str,
    folder: int | None,
    new: str,
    at: int | None,
    check_signals: Callable[[], None],
) -> None:
    """Copy a file or a link with its mode and time, and flush it.

    Raises:
        OSError: The file system refuses, or ``new`` exists.
    """
    if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
        os.symlink(os.readlink(name, dir_fd=folder), new, dir_fd=at)
        return
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    with os.fdopen(source, "rb") as old:
        made = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=at)
        with os.fdopen(made, "wb") as copy:
            while block := old.read(_COPY_BYTES):
                check_signals()
                copy.write(block)
            copy.flush()
            found = os.fstat(source)
            os.fchmod(made, stat.S_IMODE(found.st_mode))
            os.utime(made, ns=(found.st_atime_ns, found.st_mtime_ns))
            fsync_open(made)


def has_same_access(new: str, name: str, parent: int) -> bool:
    """Return whether two folders have the same mode, group and extended attributes.

    An ACL is one of these on Linux. Elsewhere Python reads none (on macOS an ACL is no
    extended attribute), so the answer is False: a new folder may have got another ACL
    from its parent.

    Args:
        new: The path of one.
        name: The other one, in the open folder ``parent``.
        parent: An open folder.

    Raises:
        OSError: One cannot be read.
    """
    if sys.platform == "linux" and hasattr(os, "listxattr"):
        one = open_folder(new, known_as=new)
        try:
            other = open_folder(name, parent=parent, known_as=name)
            try:
                return _access(one) == _access(other)
            finally:
                os.close(other)
        finally:
            os.close(one)
    return False


def _access(folder: int) -> tuple[int, int, dict[str, bytes]]:
    found = os.fstat(folder)
    attributes: dict[str, bytes] = {}
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # the file system has none
            names = os.listxattr(folder)
            attributes = {name: os.getxattr(folder, name) for name in names}
    return found.st_mode, found.st_gid, attributes
