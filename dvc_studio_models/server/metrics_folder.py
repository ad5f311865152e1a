"""The temporary folder of metrics that workers share.

Each is locked while a process that uses it lives: the main process and its workers hold
one lock, and the system gives it back however they end. So a start can remove what a
process that was killed has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "dvc-studio-models-metrics-"

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextlib.contextmanager
def metrics_folder() -> Iterator[str]:
    """Make a folder, and remove those of processes that have ended.

    Processes that are forked in the block keep the folder; the process that has made it
    removes it.
    """
    remove_abandoned(Path(tempfile.gettempdir()))
    main = os.getpid()
    folder, lock = _make()
    try:
        yield folder
    finally:
        if os.getpid() == main:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of this user in ``parent`` that no process uses."""
    with contextlib.suppress(OSError):
        for path in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):  # another user's, a link, or in use
                _remove_unused(path)


def _remove_unused(path: Path) -> None:
    """Remove a folder.

    Raises:
        OSError: It is no folder, or a process uses it.
    """
    descriptor = os.open(path, _OPEN)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _make() -> tuple[str, int]:
    """Return a new folder, and the descriptor that holds its lock."""
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX)
        with contextlib.suppress(FileNotFoundError):  # another start has removed it
            descriptor = os.open(folder, _OPEN)
            # Where there are no locks, no start can take one to remove the folder.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while it is removed
            if os.fstat(descriptor).st_nlink and Path(folder).is_dir():
                return folder, descriptor
            os.close(descriptor)
