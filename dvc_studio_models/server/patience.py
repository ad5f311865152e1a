"""How long, and how many, a repo's clients wait: for its DVC remotes, and for Git."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from dvc_studio_models.server.catalog.errors import (
    BusyError,
    GitBusyError,
    GitSilentError,
    RefusedError,
    StorageSilentError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Given = TypeVar("Given")
Found = TypeVar("Found")

ANSWER_S = 25.0
"""Then the client is told who is silent, before it gives up by itself."""

MOST = 64
"""Requests for one repo that may wait for its DVC remotes at once. One that was given
up counts for as long as its remote is still being asked; who needs nothing from a
remote never counts."""

MOST_IN_ALL = 512
"""Requests for one repo that may be at work at once: as many as there are connections.
While the tags are counted, all who ask wait for one and the same count."""


@dataclass
class _Errand:
    """One request at work, and for whom it waits now."""

    remotes: threading.BoundedSemaphore
    asks_remotes: bool = field(default=False)


_here = threading.local()


@contextlib.contextmanager
def asking_remotes() -> Iterator[None]:
    """Note that what follows waits for DVC remotes.

    Raises:
        BusyError: Too many requests for this repo do already.
    """
    errand: _Errand | None = getattr(_here, "errand", None)
    if errand is None or errand.asks_remotes:  # nobody waits, or it is noted
        yield
        return
    if not errand.remotes.acquire(blocking=False):
        raise BusyError
    errand.asks_remotes = True
    try:
        yield
    finally:
        errand.asks_remotes = False
        errand.remotes.release()


class Patience:
    """Runs what may be slow in threads that do not outlive the server."""

    def __init__(
        self,
        *,
        seconds: float = ANSWER_S,
        most: int = MOST,
        most_in_all: int = MOST_IN_ALL,
    ) -> None:
        """Wait for nothing yet.

        Args:
            seconds: The longest that a client waits.
            most: How many may wait for DVC remotes at once.
            most_in_all: How many may be at work at once.
        """
        self._seconds = seconds
        self._remotes = threading.BoundedSemaphore(most)
        self._slots = threading.BoundedSemaphore(most_in_all)

    async def wait(self, find: Callable[[Given], Found], given: Given) -> Found:
        """Run ``find(given)`` in a thread, which goes on when nobody waits any more.

        Raises:
            BusyError: Too many wait for DVC remotes already.
            GitBusyError: Too many are at work already.
            StorageSilentError: It took too long, at a DVC remote.
            GitSilentError: It took too long, before one was asked.
        """
        if not self._slots.acquire(blocking=False):
            raise GitBusyError
        errand = _Errand(self._remotes)
        found: Future[Found] = Future()
        found.set_running_or_notify_cancel()
        thread = threading.Thread(
            # Python would not end before all threads that are no daemons have.
            target=self._run,
            args=(errand, found, find, given),
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:  # there are too many already
            self._slots.release()
            raise GitBusyError from None
        waiting = asyncio.wrap_future(found)
        try:
            await asyncio.wait([waiting], timeout=self._seconds)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
        raise self._silent(errand)

    def _silent(self, errand: _Errand) -> RefusedError:
        if errand.asks_remotes:
            return StorageSilentError(self._seconds)
        return GitSilentError(self._seconds)

    def _run(
        self,
        errand: _Errand,
        found: Future[Found],
        find: Callable[[Given], Found],
        given: Given,
    ) -> None:
        _here.errand = errand
        try:
            result = find(given)
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            self._slots.release()
            found.set_exception(exc)
        else:
            self._slots.release()
            found.set_result(result)
