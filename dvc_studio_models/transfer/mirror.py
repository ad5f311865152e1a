"""What the disk is told to do about a part while the rest of it arrives.

Owns the flushing of parts, and their copies: where files cannot be linked out of a
cache, a content lies on the disk twice. The part itself is for the workspace, since
whoever pulls a model reads it next; its copy is for the cache, and takes no memory.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dvc_studio_models.files.durable import PIECE_BYTES, copy_uncached, fsync_files

if TYPE_CHECKING:
    from dvc_studio_models.store.part import Part
    from dvc_studio_models.store.parts import PartStore

FLUSH_BYTES = 256 << 20  # oftener, and it takes the processor from those who fetch
_STEP_BYTES = 8 << 20  # whoever leaves the part waits for no more of its copy


class PartMirror:
    """Follows one part, from any thread."""

    def __init__(self, part: Part, store: PartStore) -> None:
        """Do nothing yet."""
        self._part = part
        self._store = store
        self._copy: Part | None = None
        self._copied = 0
        self._flushed = 0
        self._left = False
        self._lock = threading.Lock()

    def advance(self) -> None:
        """Do what is worth doing by now.

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
        """Copy what is left of a part that is complete.

        Returns:
            The copy; None where the part is small or was left, or none was wanted.

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
        """Remove the copy: whoever finishes the part makes one anew."""
        self._left = True
        with self._lock:
            self._drop()

    def _copy_until(self, end: int) -> None:
        while self._store.second_copy and self._copied < end and not self._left:
            if self._copy is None:
                self._copy = self._store.create(None)
                self._copy.open().close()
            stop = min(end, self._copied + _STEP_BYTES)
            try:
                copy_uncached(self._part.path, self._copy.path, self._copied, stop)
            except FileNotFoundError:
                if not self._part.path.exists():
                    raise
                self._drop()  # somebody removed it: bytes of it would be missing
            else:
                self._copied = stop

    def _drop(self) -> None:
        if self._copy is not None:
            self._copy.discard()
        self._copy, self._copied = None, 0
