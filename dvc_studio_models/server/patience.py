"""How long, and for how many requests, a repo's clients wait for its DVC remotes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from dvc_studio_models.server.refusals import BusyError, StorageSilentError

if TYPE_CHECKING:
    from collections.abc import Callable

Given = TypeVar("Given")
Found = TypeVar("Found")

ANSWER_S = 25.0
"""Then the client is told that the remote is silent, before it gives up by itself."""

MOST = 64
"""Requests for one repo that may wait at once. One that was given up counts for as long
as its remote is still being asked; who needs nothing from a remote never waits."""


class Patience:
    """Runs what may be slow in threads that do not outlive the server."""

    def __init__(self, *, seconds: float = ANSWER_S, most: int = MOST) -> None:
        """Wait for nothing yet.

        Args:
            seconds: The longest that a client waits.
            most: How many may wait at once.
        """
        self._seconds = seconds
        self._slots = threading.BoundedSemaphore(most)

    async def wait(self, find: Callable[[Given], Found], given: Given) -> Found:
        """Run ``find(given)`` in a thread, which goes on when nobody waits any more.

        Raises:
            BusyError: Too many wait already.
            StorageSilentError: It took too long.
        """
        if not self._slots.acquire(blocking=False):
            raise BusyError
        found: Future[Found] = Future()
        found.set_running_or_notify_cancel()
        thread = threading.Thread(
            # Python would not end before all threads that are no daemons have.
            target=self._run,
            args=(found, find, given),
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:  # there are too many already
            self._slots.release()
            raise BusyError from None
        waiting = asyncio.wrap_future(found)
        try:
            await asyncio.wait([waiting], timeout=self._seconds)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
        raise StorageSilentError(self._seconds)

    def _run(
        self, found: Future[Found], find: Callable[[Given], Found], given: Given
    ) -> None:
        try:
            result = find(given)
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            self._slots.release()
            found.set_exception(exc)
        else:
            self._slots.release()
            found.set_result(result)
