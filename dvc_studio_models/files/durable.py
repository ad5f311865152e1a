"""Copies, and flushes (fsync) after which content survives a power cut."""

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
    """Copy a file's content. The disk starts to write a large one during the copy.

    Raises:
        OSError: The file system refuses, or ``target`` exists.
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
    """Copy bytes between two open files, inside the kernel if possible.

    Raises:
        OSError: The file system refuses, or the source is too short.
    """
    while start < stop:
        count = 0  # some file systems return this, and not an error
        with contextlib.suppress(OSError, AttributeError):
            count = os.copy_file_range(old, new, stop - start, start, start)
        if not count:
            data = os.pread(old, min(_BUFFER_BYTES, stop - start), start)
            count = os.pwrite(new, data, start)
        if not count:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        start += count


def copy_uncached(source: Path, target: Path, start: int, stop: int) -> None:
    """Copy bytes that nobody reads soon, without the page cache if possible.

    Args:
        source: At least ``stop`` bytes long.
        target: An existing file; written at the same offset, and not flushed.
        start: Offset of the first byte, a multiple of 4096.
        stop: Offset after the last byte.

    Raises:
        OSError: The file system refuses, or the source is too short.
    """
    with source.open("rb", buffering=0) as old:
        start = _copy_directly(old.fileno(), target, start, stop)
        if start < stop:
            with target.open("r+b", buffering=0) as new:
                copy_piece(old.fileno(), new.fileno(), start, stop)


def _copy_directly(old: int, target: Path, start: int, stop: int) -> int:
    """Copy whole blocks with direct I/O. Return the offset that was reached."""
    try:
        new = os.open(target, os.O_WRONLY | os.O_DIRECT)
    except (OSError, AttributeError):  # the file system or the operating system cannot
        return start
    try:
        with mmap.mmap(-1, _BUFFER_BYTES) as buffer, memoryview(buffer) as view:
            while start + _BLOCK_BYTES <= stop:
                count = os.preadv(old, [view[: stop - start]], start)
                count = os.pwrite(new, view[: count - count % _BLOCK_BYTES], start)
                if not count:
                    break
                start += count
    except OSError:  # it needs larger blocks; a full disk raises again
        pass
    finally:
        os.close(new)
    return start


def make_executable(file: Path | str, folder: int | None = None) -> None:
    """Let the owner execute a file, or the target of a link, as DVC does.

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
    """Flush the content of files, several at a time.

    Raises:
        OSError: The disk refuses, or has become full.
    """
    parallel_map(_fsync_file, files)


def _fsync_file(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        fsync_open(opened)
    finally:
        os.close(opened)


def fsync_open(descriptor: int) -> None:
    """Flush an open file or folder. Do nothing if the file system cannot do it.

    Some cluster file systems cannot flush at all, or cannot flush folders.

    Raises:
        OSError: The disk refuses, or has become full.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
