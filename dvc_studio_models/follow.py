"""What the disk is told to do about a part while the rest of it arrives.

Owns the flushing of parts, and their copies: where files cannot be linked out of a
cache, a content lies on the disk twice. The part itself is for the workspace, since
whoever pulls a model reads it next; its copy is for the cache, and takes no memory.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dvc_studio_models.disk import PIECE_BYTES, copy_aside, flush

if TYPE_CHECKING:
    from dvc_studio_models.part import Part
    from dvc_studio_models.parts import PartStore

FLUSH_BYTES = 256 << 20  # oftener, and it takes the processor from those who fetch


class Follower:
    """Follows one part, from any thread."""

    def __init__(self, part: Part, store: PartStore) -> None:
        """Do nothing yet."""
        self._part = part
        self._store = store
        self._copy: Part | None = None
        self._copied = 0
        self._flushed = 0
        self._lock = threading.Lock()

    def advance(self) -> None:
        """Do what is worth doing by now.

        Raises:
            OSError: The file system refuses, or the part is gone.
        """
        with self._lock:
            self._copy_until(self._part.prefix // PIECE_BYTES * PIECE_BYTES)
            received = self._part.received
            if received - self._flushed >= FLUSH_BYTES:
                self._flushed = received
                flush([self._part.path])

    def finish(self) -> Part | None:
        """Copy what is left of a part that is complete.

        Returns:
            The copy; None where the part is small, or none was wanted.

        Raises:
            OSError: The file system refuses.
        """
        with self._lock:
            if self._part.prefix < PIECE_BYTES:
                return None
            self._copy_until(self._part.prefix)
            return self._copy

    def leave(self) -> None:
        """Remove the copy: whoever finishes the part makes one anew."""
        with self._lock:
            if self._copy is not None:
                self._copy.discard()

    def _copy_until(self, end: int) -> None:
        if not self._store.copied or end <= self._copied:
            return
        if self._copy is None:
            self._copy = self._store.fresh(None)
        self._copy.open().close()
        copy_aside(self._part.path, self._copy.path, self._copied, end)
        self._copied = end
