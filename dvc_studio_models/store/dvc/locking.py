"""DVC's own lock of a project.

DVC reports every error of the file system as "held by another process". Some cluster
file systems have no such locks at all, so that waiting for one would never end.
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
    """Hold the lock of a DVC project until the context ends.

    Args:
        repo: DVC's own object.
        waits: Whether to wait without a limit.

    Raises:
        LockHeldError: Another process holds it.
        LockUnsupportedError: The file system has no locks.
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
    """Check that the file system has locks, by taking a shared one for a moment.

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
            # DVC's other kind of lock would take an empty file for a held lock.
            path.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise LockUnsupportedError(path, reason) from None
    finally:
        os.close(opened)
