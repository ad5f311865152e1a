"""What survives a power cut: copies, flushes, and how many of them at a time."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dvc_studio_models.background import parallel_map

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PIECE_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20
_BLOCK_BYTES = 4096
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # ENOTSUP is EOPNOTSUPP


def copy(source: Path, target: Path) -> None:
    """Copy a file's content; of a large one the disk writes what is there meanwhile.

    Raises:
        OSError: The file system refuses, or there is something at ``target``.
    """
    with (
        source.open("rb", buffering=0) as old,
        target.open("xb", buffering=0) as new,
    ):
        size = os.fstat(old.fileno()).st_size
        if size < PIECE_BYTES:
            copy_piece(old.fileno(), new.fileno(), 0, size)
            return
        with ThreadPoolExecutor(1) as disk:
            flushes = []
            for start in range(0, size, PIECE_BYTES):
                stop = min(size, start + PIECE_BYTES)
                copy_piece(old.fileno(), new.fileno(), start, stop)
                flushes.append(disk.submit(fsync_open, new.fileno()))
        for each in flushes:
            each.result()


def copy_piece(old: int, new: int, start: int, stop: int) -> None:
    """Copy bytes between two open files, within the kernel where it can.

    Raises:
        OSError: The file system refuses, or the bytes are not there.
    """
    while start < stop:
        count = 0  # as some file systems answer that cannot do it
        with contextlib.suppress(OSError, AttributeError):  # others, and other systems
            count = os.copy_file_range(old, new, stop - start, start, start)
        if not count:
            data = os.pread(old, min(_BUFFER_BYTES, stop - start), start)
            count = os.pwrite(new, data, start)
        if not count:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        start += count


def copy_uncached(source: Path, target: Path, start: int, stop: int) -> None:
    """Copy bytes that nobody reads soon, past the system's memory where it lets us.

    Args:
        source: At least ``stop`` bytes long.
        target: Exists; written at the same offset, and not flushed.
        start: A multiple of 4096, as is what a call before has copied up to.
        stop: Where to end.

    Raises:
        OSError: The file system refuses, or the bytes are not there.
    """
    with source.open("rb", buffering=0) as old:
        start = _copy_directly(old.fileno(), target, start, stop)
        if start < stop:
            with target.open("r+b", buffering=0) as new:
                copy_piece(old.fileno(), new.fileno(), start, stop)


def _copy_directly(old: int, target: Path, start: int, stop: int) -> int:
    """Copy whole blocks from memory to the disk; tell how far that went."""
    try:
        new = os.open(target, os.O_WRONLY | os.O_DIRECT)
    except (OSError, AttributeError):  # neither this file system nor this system can
        return start
    try:
        with mmap.mmap(-1, _BUFFER_BYTES) as buffer, memoryview(buffer) as view:
            while start + _BLOCK_BYTES <= stop:
                count = os.preadv(old, [view[: stop - start]], start)
                count = os.pwrite(new, view[: count - count % _BLOCK_BYTES], start)
                if not count:
                    break
                start += count
    except OSError:  # larger blocks than ours; a full disk will say so again
        pass
    finally:
        os.close(new)
    return start


def make_executable(file: Path | str, folder: int | None = None) -> None:
    """Let the owner run a file, or what a link in its place leads to, as DVC does.

    Args:
        file: A path, or a name in ``folder``.
        folder: An open folder.

    Raises:
        OSError: The file system refuses.
    """
    mode = os.stat(file, dir_fd=folder).st_mode
    if not mode & stat.S_IEXEC:
        os.chmod(file, stat.S_IMODE(mode) | stat.S_IEXEC, dir_fd=folder)


def fsync_files(files: Iterable[Path]) -> None:
    """Let the content of files survive a power cut.

    Raises:
        OSError: The disk refused, or was full all along.
    """
    parallel_map(_fsync_file, files)


def _fsync_file(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        fsync_open(opened)
    finally:
        os.close(opened)


def fsync_open(descriptor: int) -> None:
    """Let what is in an open file or folder survive a power cut, where it can be asked.

    Some file systems of clusters cannot flush at all, or no folders. DVC flushes
    nothing, so that no more is asked of them than by DVC.

    Raises:
        OSError: The disk refused, or was full all along.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
