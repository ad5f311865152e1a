"""Requests whose bodies are read as they arrive, from any number of threads.

A stream has a connection of its own, which is kept for the next request. It is driven
by the thread that reads from it: what nobody reads is not received.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dvc_studio_models.http.curl.exchange import find_way
from dvc_studio_models.http.curl.multi import Multi
from dvc_studio_models.http.response import CHUNK_BYTES, CHUNK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.http.curl.exchange import Exchange, Head, Job
    from dvc_studio_models.http.curl.routes import Route
    from dvc_studio_models.http.limit import RateLimit

_HOSTS = 2  # storage, and where it redirects to
_LONG_S = 60.0  # any wait is shorter


class Streams:
    """The streams of one storage."""

    def __init__(
        self,
        find_route: Callable[[str], Route],
        *,
        connections: int,
        idle_s: float,
        limit: RateLimit | None = None,
    ) -> None:
        self.find_route = find_route
        self.idle_s = idle_s
        self.limit = limit
        self.stopped = False
        self._most = connections
        self._spare: list[Stream] = []
        self._lock = threading.Lock()

    def take(self) -> Stream:
        """Return a stream for this thread, which closes it."""
        with self._lock:
            if self._spare:
                return self._spare.pop()
        return Stream(self)

    def give_back(self, stream: Stream) -> None:
        """Keep a stream and its connection for another request."""
        with self._lock:
            if len(self._spare) < self._most:
                self._spare.append(stream)
                return
        stream.end()

    def stop(self) -> None:
        """End all requests; those that are read by other threads fail soon."""
        self.stopped = True

    def close(self) -> None:
        """Close the streams that are not in use, now and later."""
        with self._lock:
            spare, self._spare, self._most = self._spare, [], 0
        for stream in spare:
            stream.end()


class Stream:
    """One request at a time."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._multi = Multi(
            connections=_HOSTS, idle_s=streams.idle_s, limit=streams.limit
        )
        self._exchange: Exchange | None = None
        self._failure: Exception | None = None

    def send(self, job: Job) -> Head:
        """Send a request, follow its redirects, and return the head of the response.

        Raises:
            Retry: No response came.
            DownloadError: None would come at another try either.
        """
        following: Job | None = job
        while following:
            job = following
            self._drop()
            route, target = find_way(job, self._streams.find_route)
            self._exchange = self._multi.start(job, route, target, limit=0)
            head = self._receive_head(self._exchange)
            following = job.redirected(head)
        return head

    def read(self) -> bytes:
        """Return the next bytes of the body; none at its end.

        Raises:
            Retry: The connection failed; all bytes before were returned.
        """
        data = self.read_some(CHUNK_BYTES)
        if not data and self._failure:
            raise self._failure
        return data

    def read_some(self, size: int) -> bytes:
        """Return about ``size`` bytes of the body, or what came for a while."""
        exchange = self._exchange
        if exchange is None:
            return b""
        due = time.monotonic() + CHUNK_S
        while exchange.received < size and self._is_running:
            if exchange.received and time.monotonic() >= due:
                break
            left_s = due - time.monotonic()
            self._drive(exchange, left_s if exchange.received else _LONG_S)
        return exchange.take(size)

    def close(self) -> None:
        """End the request; its connection is kept if the body was read to its end."""
        self._drop()
        self._streams.give_back(self)

    def end(self) -> None:
        """Close the connection."""
        self._multi.close()

    @property
    def _is_running(self) -> bool:
        return bool(self._multi.running)

    def _receive_head(self, exchange: Exchange) -> Head:
        while (head := exchange.read_head()) is None:
            if not self._is_running:
                raise self._failure or exchange.cut()
            self._drive(exchange, _LONG_S)
        return head

    def _drive(self, exchange: Exchange, limit_s: float) -> None:
        """Receive what there is, or wait for it."""
        before = exchange.progress
        if done := self._multi.perform():
            self._failure = done[0][1]
        elif self._streams.stopped:
            self._failure = exchange.cut()
            self._multi.stop(exchange)
        elif exchange.progress == before:
            self._multi.select(limit_s)

    def _drop(self) -> None:
        if self._exchange:
            self._multi.stop(self._exchange)
            self._multi.reuse(self._exchange)
        self._exchange = self._failure = None
