"""Flushes and second copies of parts, made while the rest of a part arrives.

Where files cannot be linked out of a cache, a content is on the disk twice. The part is
then for the workspace, since the model is probably read next; its copy is for the cache
and written past the page cache.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dvc_studio_models.files.durable import PIECE_BYTES, copy_uncached, fsync_files

if TYPE_CHECKING:
    from dvc_studio_models.store.parts.folder import PartStore
    from dvc_studio_models.store.parts.part import Part

FLUSH_BYTES = 256 << 20  # more often takes processor time from the downloads
_STEP_BYTES = 8 << 20  # whoever stops waits for no more than that


class PartMirror:
    """Flushes and copies one part, from any thread."""

    def __init__(self, part: Part, store: PartStore) -> None:
        """Store the part; :meth:`advance` flushes and copies it."""
        self._part = part
        self._store = store
        self._copy: Part | None = None
        self._copied = 0
        self._flushed = 0
        self._stopped = False
        self._lock = threading.Lock()

    def advance(self) -> None:
        """Flush and copy what has arrived, if it is enough to be worth it.

        Raises:
            OSError: The file system refuses, or the part is gone.
        """
        with self._lock:
            self._copy_until(self._part.contiguous_bytes // PIECE_BYTES * PIECE_BYTES)
            received = self._part.received
            if received - self._flushed >= FLUSH_BYTES:
                self._flushed = received
                fsync_files([self._part.path])

    def finish(self) -> Part | None:
        """Copy the rest of a complete part.

        Returns:
            The copy; None if the part is small or stopped, or no copy is needed.

        Raises:
            OSError: The file system refuses.
        """
        with self._lock:
            end = self._part.contiguous_bytes
            if end < PIECE_BYTES:
                return None
            self._copy_until(end)
            return self._copy if self._copied == end else None

    def stop(self) -> None:
        """Remove the copy: the pull that finishes the part makes a new one."""
        self._stopped = True
        with self._lock:
            self._drop()

    def _copy_until(self, end: int) -> None:
        while self._store.second_copy and self._copied < end and not self._stopped:
            if self._copy is None:
                self._copy = self._store.create(None)
                self._copy.open().close()
            stop = min(end, self._copied + _STEP_BYTES)
            try:
                copy_uncached(self._part.path, self._copy.path, self._copied, stop)
            except FileNotFoundError:
                if not self._part.path.exists():
                    raise
                self._drop()  # the copy was removed: start it again
            else:
                self._copied = stop

    def _drop(self) -> None:
        if self._copy is not None:
            self._copy.discard()
        self._copy, self._copied = None, 0
