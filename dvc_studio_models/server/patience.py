"""How long, and for how many requests, the server waits for others: DVC remotes."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, TypeVar

import anyio

from dvc_studio_models.server.refusals import BusyError, StorageSilentError

if TYPE_CHECKING:
    from collections.abc import Callable

Given = TypeVar("Given")
Found = TypeVar("Found")

ANSWER_S = 25.0
"""Then the client is told that the remote is silent, before it gives up by itself."""

MOST = 64
"""Requests that may wait at once; those that need nothing from a remote never wait."""


class Patience:
    """Runs what may be slow in threads; whoever waits keeps nobody else waiting."""

    def __init__(self, *, seconds: float = ANSWER_S, most: int = MOST) -> None:
        """Wait for nothing yet.

        Args:
            seconds: The longest that a client waits.
            most: How many may wait at once.
        """
        self._seconds = seconds
        self._slots = threading.BoundedSemaphore(most)
        self._most = most
        self._limiter: anyio.CapacityLimiter | None = None  # needs a running loop

    async def wait(self, find: Callable[[Given], Found], given: Given) -> Found:
        """Run ``find(given)`` in a thread, which goes on when nobody waits any more.

        Raises:
            BusyError: Too many wait already.
            StorageSilentError: It took too long.
        """
        if not self._slots.acquire(blocking=False):
            raise BusyError
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._most)
        run = functools.partial(self._run, find, given)
        try:
            with anyio.fail_after(self._seconds):
                return await anyio.to_thread.run_sync(
                    run, abandon_on_cancel=True, limiter=self._limiter
                )
        except TimeoutError:
            raise StorageSilentError(self._seconds) from None

    def _run(self, find: Callable[[Given], Found], given: Given) -> Found:
        try:
            return find(given)
        finally:
            self._slots.release()
