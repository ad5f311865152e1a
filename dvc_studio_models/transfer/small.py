"""Small files: many requests at a time, on one thread.

A body that arrives whole is hashed in memory and written once, as a complete part. It
needs no claim and no record. Any other response is left to the file's
:class:`~dvc_studio_models.transfer.download.Download`: an error is handled by its
rules, and a body that is only the beginning of a larger file becomes its first range.
The bytes of a body that is cut are requested again.

The number of requests grows while this thread waits for the network, and only then:
where the processor is the limit, more connections would be slower.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.http.response import (
    LinkRejected,
    RangeRequest,
    RestartNeeded,
    Retry,
)
from dvc_studio_models.transfer.retries import ContentMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dvc_studio_models.http.batch import Body, StorageBatch
    from dvc_studio_models.transfer.download import Download
    from dvc_studio_models.transfer.file import TransferContext

FIRST_CONNECTIONS = 4
MOST_CONNECTIONS = 64
_TICK_S = 0.1
_MEASURE_S = 0.02  # at least, before the number of requests may change
_WAITING = 0.5  # share of the time; below it, the processor is the limit
_FASTER = 1.2  # than with half as many requests; otherwise the bandwidth is the limit


class Concurrency:
    """How many requests are made at a time. No I/O.

    Doubles while most of the time is spent waiting for the network, and while that
    makes the transfer faster. Otherwise the processor is the limit, or the bandwidth.
    """

    def __init__(self, most: int, *, now_s: float) -> None:
        self.limit = min(FIRST_CONNECTIONS, most)
        """The number of requests."""
        self._most = most
        self._finished = 0
        self._since_s = now_s
        self._waited_s = 0.0
        self._rate = 0.0

    def finished(self, count: int, *, now_s: float, waited_s: float) -> None:
        """Note responses; measured over as many as there may be requests.

        Args:
            count: How many have come since the last call.
            now_s: The time, in seconds.
            waited_s: How long nothing could be done but wait until now, in seconds.
        """
        self._finished += count
        seconds = now_s - self._since_s
        if self._finished < self.limit or seconds < _MEASURE_S:
            return
        rate, share = self._finished / seconds, (waited_s - self._waited_s) / seconds
        self._finished, self._since_s, self._waited_s = 0, now_s, waited_s
        if share > _WAITING and rate > _FASTER * self._rate:
            self.limit, self._rate = min(2 * self.limit, self._most), rate


class SmallFiles:
    """Fetches the beginnings of files, which are the whole files if they are small."""

    def __init__(
        self,
        downloads: Iterable[Download],
        context: TransferContext,
        hand_over: Callable[[Download, Exception | None], None],
        *,
        connections: int = MOST_CONNECTIONS,
    ) -> None:
        """Request nothing yet.

        Args:
            downloads: In the order in which they are requested.
            context: Shared by all downloads.
            hand_over: Called for a file that is not finished here: with the signal of
                its first request, or with None if its first range has arrived.
            connections: The most at a time.
        """
        self.received = 0
        """The bytes of bodies that are not complete."""
        self._waiting = deque(downloads)
        self._context = context
        self._hand_over = hand_over
        self._active: dict[str, Download] = {}
        self._next_look = time.monotonic() + _TICK_S
        self._concurrency = Concurrency(connections, now_s=time.perf_counter())

    def run(self) -> None:
        """Fetch all files, or as many as can be until the transfer ends.

        Raises:
            StudioModelsError: A file cannot be fetched by any request.
        """
        workers = self._context.workers
        with disk_errors(self._context.store.folder):
            opened = self._context.storage.batch()
        with contextlib.closing(opened) as batch:
            while (self._waiting or self._active) and not workers.ended:
                self._request(batch)
                replies = batch.wait(_TICK_S)
                self.received = batch.received
                self._note_sizes(batch)
                for request, reply in replies:
                    self._take(self._active.pop(request.path), reply)
                self._concurrency.finished(
                    len(replies), now_s=time.perf_counter(), waited_s=batch.waited_s
                )

    def _request(self, batch: StorageBatch) -> None:
        """Start as many requests as are allowed."""
        size = self._context.tuning.small_bytes
        while self._waiting and len(self._active) < self._concurrency.limit:
            download = self._waiting.popleft()
            path = download.file.path
            self._active[path] = download
            batch.add(RangeRequest(path, 0, size))

    def _note_sizes(self, batch: StorageBatch) -> None:
        """Note from time to time the sizes of files that take long to arrive."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _TICK_S
        for request, size in batch.announced():
            self._active[request.path].note_size(size)

    def _take(self, download: Download, reply: Body | Exception) -> None:
        with disk_errors(self._context.store.folder):
            try:
                if isinstance(reply, Exception):
                    raise reply
                if reply.content_range.size in {None, len(reply.data)}:
                    download.finish(reply)
                else:
                    download.start(reply)
                    self._hand_over(download, None)
            except LinkRejected as rejected:
                download.renew_link(rejected)
                self._waiting.appendleft(download)
            except (Retry, RestartNeeded, ContentMismatch) as signal:
                self._hand_over(download, signal)
