"""The slow calls for one repo, in threads of their own: their number and time.

Without :class:`SlowCalls`, a repo or a remote that hangs could take every connection
and any number of threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dvc_studio_models.server.errors.requests import GitBusyError
from dvc_studio_models.server.waiting.deadlines import (
    ANSWER_S,
    SlowCall,
    current_call,
    timeout_error,
)
from dvc_studio_models.server.waiting.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

MAX_CONNECTIONS = 512
"""Connections at once; any other gets 503. One that fetches an object has two open
files, so together they need more than the 1024 that Linux mostly allows at first."""

MAX_PER_REPO = MAX_CONNECTIONS * 3 // 4
"""Requests for one repo at once, and objects of one repo sent at once. A repo that
hangs leaves connections for the others."""

MAX_WAITING_FOR_REMOTES = 64
"""Requests for one repo that may wait for its DVC remotes at once. One that timed
out counts until the remote has answered."""


class SlowCalls:
    """Runs the calls for one repo that may be slow, each in a thread of its own.

    There are never more threads for it than the limit, whatever hangs.
    """

    def __init__(
        self,
        *,
        seconds: float = ANSWER_S,
        most: int = MAX_PER_REPO,
        most_waiting: int = MAX_WAITING_FOR_REMOTES,
        threads: Threads | None = None,
    ) -> None:
        """Set the limits; threads are started by :meth:`run`.

        Args:
            seconds: The longest time that a client waits.
            most: Calls at once, and objects sent at once.
            most_waiting: Calls at once that wait for DVC remotes.
            threads: Those of all repos; by default, its own.
        """
        self._seconds = seconds
        self._threads = threads or Threads()
        self._slots = threading.BoundedSemaphore(most)
        self._remote_slots = threading.BoundedSemaphore(most_waiting)
        self.downloads = threading.BoundedSemaphore(most)
        """One for each object that is being sent."""

    async def run(
        self, function: Callable[[], Result], *, reads_remote: bool = False
    ) -> Result:
        """Run ``function`` in a thread, which continues after the client got a timeout.

        Args:
            function: What it raises is raised here.
            reads_remote: Whether it only reads from a DVC remote.

        Raises:
            BusyError: Too many calls wait for DVC remotes already.
            GitBusyError: There are too many calls already.
            StorageSilentError: It took too long, waiting for a DVC remote.
            GitSilentError: It took too long, before it waited for one.
        """
        if not self._slots.acquire(blocking=False):
            raise GitBusyError
        call = SlowCall(self._remote_slots, waits_for_remote=reads_remote)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        try:
            self._threads.start(partial(self._do, call, result, function))
        except RuntimeError:  # the system allows no more threads
            self._slots.release()
            raise GitBusyError from None
        timer = loop.call_later(self._seconds, self._give_up, call, result)
        try:
            return await result
        finally:
            timer.cancel()

    def _give_up(self, call: SlowCall, result: asyncio.Future[Any]) -> None:
        _settle(result, result.set_exception, timeout_error(self._seconds, call))

    def _do(
        self,
        call: SlowCall,
        result: asyncio.Future[Result],
        function: Callable[[], Result],
    ) -> Callable[[], None]:
        """Run a call; return a function that frees its place and tells its result."""
        current_call.set(call)
        try:
            return partial(self._end, result, result.set_result, function())
        except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
            return partial(self._end, result, result.set_exception, exc)

    def _end(
        self, result: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any
    ) -> None:
        self._slots.release()  # first, for whoever waits for the result
        with contextlib.suppress(RuntimeError):  # the server has ended
            result.get_loop().call_soon_threadsafe(_settle, result, settle, outcome)


def _settle(
    result: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any
) -> None:
    """Set a result or an exception, unless nobody waits any more."""
    if not result.done():
        settle(outcome)
