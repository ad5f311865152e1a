"""Copies, and flushes (fsync) after which content survives a power cut.

On macOS, ``fsync`` only hands data to the drive, which may keep it in its cache for
long; ``F_FULLFSYNC`` empties that cache (``man 2 fsync``). So many files are written
out one by one, and the drive's cache is emptied once, as ``core.fsyncMethod=batch``
does in Git.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from dvc_studio_models.background import parallel_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

PIECE_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20
_BLOCK_BYTES = 4096
_FEW_FILES = 8  # to flush these does not wait for what others have written
_REPORTS_ERRORS = [5, 8]  # the first Linux whose syncfs does
_FLUSHED_AT_ONCE = (  # file systems whose syncfs waits for the disk and reports errors
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # XFS
    0x9123683E,  # btrfs
    0xF2F52010,  # F2FS
    0x01021994,  # tmpfs
)
_STATFS_BYTES = 256  # more than the struct has anywhere
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_CANNOT_EMPTY = {errno.ENOTTY, *_CANNOT_FLUSH}
"""Errors of ``F_FULLFSYNC`` where a file system has no such call: macFUSE (EINVAL,
macfuse issue 79), SMB (ENOTSUP, Go issue 64215), other drives (ENOTTY, libuv 1579)."""


def copy(source: Path | str, target: Path | str, size: int | None = None) -> None:
    """Copy a file's content. The disk starts to write a large one during the copy.

    Args:
        source: A file.
        target: The new file.
        size: The number of bytes to copy, if it is known; otherwise it is looked up.

    Raises:
        OSError: The file system refuses, ``target`` exists, or ``source`` is too short.
    """
    old = os.open(source, os.O_RDONLY)
    try:
        new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            size = os.fstat(old).st_size if size is None else size
            if size < PIECE_BYTES:
                copy_piece(old, new, 0, size)
            else:
                _copy_pieces(old, new, size)
        finally:
            os.close(new)
    finally:
        os.close(old)


def _copy_pieces(old: int, new: int, size: int) -> None:
    """Copy a large file, and flush each piece while the next one is copied."""
    with ThreadPoolExecutor(1) as disk:
        flushes = []
        for start in range(0, size, PIECE_BYTES):
            stop = min(size, start + PIECE_BYTES)
            copy_piece(old, new, start, stop)
            flushes.append(disk.submit(write_out, new))
    for each in flushes:
        each.result()


def copy_piece(old: int, new: int, start: int, stop: int) -> None:
    """Copy bytes between two open files, inside the kernel if possible.

    Raises:
        OSError: The file system refuses, or the source is too short.
    """
    while start < stop:
        count = _copy_in_kernel(old, new, start, stop)
        if not count:
            data = os.pread(old, min(_BUFFER_BYTES, stop - start), start)
            count = os.pwrite(new, data, start)
        if not count:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        start += count


def _copy_in_kernel(old: int, new: int, start: int, stop: int) -> int:
    """Return how many bytes the kernel has copied; 0 if it cannot.

    Only Linux has this call, and Python only if it was built with glibc 2.27 or newer.
    """
    if sys.platform == "linux" and hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):
            return os.copy_file_range(old, new, stop - start, start, start)
    return 0  # some file systems return this, and not an error


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
    if sys.platform == "linux" and hasattr(os, "O_DIRECT"):
        try:
            new = os.open(target, os.O_WRONLY | os.O_DIRECT)
        except OSError:  # the file system cannot
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


def fsync_files(files: Iterable[Path | str]) -> None:
    """Flush the content of files, and the names in their folders if there are many.

    Many files are flushed with one system call for each file system, if that reports
    errors; otherwise each is written out, several at a time, and the last one flushed.

    Args:
        files: Regular files: a link may lead to another file system.

    Raises:
        OSError: The disk refuses, or has become full.
    """
    left = list(files)
    if len(left) > _FEW_FILES:
        groups = [each for each in _by_device(left) if not _flush_around(each)]
        others = [file for group in groups for file in group[:-1]]
        parallel_map(partial(_flush_file, flush=write_out), others)
        left = [group[-1] for group in groups]
    parallel_map(partial(_flush_file, flush=fsync_open), left)


def _by_device(files: Iterable[Path | str]) -> Iterable[list[Path | str]]:
    """Group files by the device of their folder."""
    folders: dict[str, list[Path | str]] = {}
    for file in files:
        folder = os.path.join(".", os.path.dirname(file))  # noqa: PTH118, PTH120
        folders.setdefault(folder, []).append(file)
    groups: dict[int, list[Path | str]] = {}
    for folder, inside in folders.items():
        groups.setdefault(os.stat(folder).st_dev, []).extend(inside)  # noqa: PTH116
    return groups.values()


def _flush_around(files: list[Path | str]) -> bool:
    opened = os.open(files[0], os.O_RDONLY)
    try:
        return flush_file_system(opened)
    finally:
        os.close(opened)


def flush_file_system(descriptor: int) -> bool:
    """Flush everything on the file system of an open file or folder.

    Returns:
        Whether it is on the disk. False where errors would not be reported, and after
        an error, which may be one of somebody else's files: then flush each file.
    """
    if sys.platform == "linux" and _kernel_release() >= _REPORTS_ERRORS:
        import ctypes

        libc = ctypes.CDLL(None)
        if not hasattr(libc, "syncfs"):
            return False
        answer = ctypes.create_string_buffer(_STATFS_BYTES)
        libc.fstatfs(descriptor, answer)
        kind = int.from_bytes(answer.raw[:4], sys.byteorder)  # the first member
        return kind in _FLUSHED_AT_ONCE and libc.syncfs(descriptor) == 0
    return False


def _kernel_release() -> list[int]:
    return [*map(int, re.findall(r"\d+", os.uname().release))]


def _flush_file(path: Path | str, flush: Callable[[int], None]) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        flush(opened)
    finally:
        os.close(opened)


def fsync_open(descriptor: int) -> None:
    """Flush an open file or folder, and what was written out on its drive.

    Do nothing if the file system cannot do it.

    Raises:
        OSError: The disk refuses, or has become full.
    """
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _CANNOT_EMPTY:
                raise
        else:
            return
    write_out(descriptor)


def write_out(descriptor: int) -> None:
    """Write an open file or folder to its drive, which may keep it in its cache.

    On Linux, this flushes it, too. Some cluster file systems cannot flush at all, or
    cannot flush folders.

    Raises:
        OSError: The disk refuses, or has become full.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
