"""Reads DVC's files in the commits of one repo, one thread at a time.

A large file takes seconds and hundreds of megabytes to parse, and each model of a
commit needs it.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from dvc_studio_models.registry.records import RecordReader
from dvc_studio_models.server.errors.requests import GitSilentError
from dvc_studio_models.server.waiting.deadlines import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.registry.git.reader import GitReader


class Records:
    """What the commits of one repo record."""

    def __init__(self, reader: GitReader, *, wait_s: float = ANSWER_S) -> None:
        """Store the repo; commits are read when needed.

        Args:
            reader: The repo.
            wait_s: The longest, in seconds, to wait for another thread.
        """
        self._reader = reader
        self._wait_s = wait_s
        self._reading = threading.Lock()

    @contextlib.contextmanager
    def open(self) -> Iterator[RecordReader]:
        """Return a reader for this thread, when no other one reads.

        Raises:
            GitSilentError: Another thread has been reading for too long.
        """
        if not self._reading.acquire(timeout=self._wait_s):
            raise GitSilentError(self._wait_s)
        try:
            with contextlib.closing(
                RecordReader(self._reader, contents=False, isolated=True)
            ) as records:
                yield records
        finally:
            self._reading.release()
