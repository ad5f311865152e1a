"""DVC's own lock of a project: taking it, and telling why it cannot be had.

DVC takes whatever its lock file's file system says for "held by another process". Some
file systems of clusters have no such locks at all: who waits for one waits for ever.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    LockHeldError,
    LockUnsupportedError,
    disk_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def hold_lock(repo: Any, *, waits: bool) -> Iterator[None]:
    """Hold the lock of a DVC project for as long as the context lasts.

    Args:
        repo: DVC's own object.
        waits: Whether it waits without end.

    Raises:
        LockHeldError: Another process has it.
        LockUnsupportedError: The file system has no such locks.
        LocalDiskError: The lock file cannot be written.
    """
    from dvc.lock import Lock, LockError

    path = Path(repo.tmp_dir, "lock")
    with disk_errors(path):
        if waits and isinstance(repo.lock, Lock):
            _refuse_unsupported(path)
        try:
            repo.lock.lock()
        except LockError:
            if isinstance(repo.lock, Lock):
                _refuse_unsupported(path)
            raise LockHeldError from None
    try:
        yield
    finally:
        repo.lock.unlock()


def _refuse_unsupported(path: Path) -> None:
    """Ask the file system for a lock that hinders nobody for long.

    Raises:
        LockUnsupportedError: It has none.
        OSError: The file cannot be opened.
    """
    import fcntl

    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # held by another process
        pass
    except OSError as error:
        if not os.fstat(opened).st_size:
            # Nobody's; DVC's other kind of lock would take it for held for a while.
            path.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise LockUnsupportedError(path, reason) from None
    finally:
        os.close(opened)
