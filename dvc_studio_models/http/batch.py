"""Many requests for small bodies, driven by one thread with libcurl.

    batch = storage.batch()
    batch.add(RangeRequest(path, 0, 1 << 20))   starts a request; as many as wanted
    for request, result in batch.wait(0.1):     those that have ended
        ...                                     result: Body, or an exception
    batch.active                                how many have not been returned yet
    batch.waited_s                              seconds idle: the network was the limit
    batch.close()                               ends all requests

``add`` never fails: the exceptions of ``Storage.ask`` are returned by ``wait``, and
``TooLarge`` for a body that is larger than the requested range. Connections stay open
between requests. Promises that a body never grows beyond the request, and that neither
the connection, nor the head, nor the body is waited for without end.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.http.curl.exchange import Job, find_way
from dvc_studio_models.http.curl.multi import Multi
from dvc_studio_models.http.response import (
    BAD_REQUEST,
    OK,
    PARTIAL,
    ContentRange,
    LinkRejected,
    RestartNeeded,
    Retry,
    TooLarge,
    check_status,
    read_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc_studio_models.http.curl.exchange import Exchange, Head
    from dvc_studio_models.http.curl.routes import Route
    from dvc_studio_models.http.limit import RateLimit
    from dvc_studio_models.http.response import RangeRequest
    from dvc_studio_models.http.signed_urls import SignedUrls

    Result = tuple[RangeRequest, "Body | Exception"]

_CONNECTIONS = 64  # that stay open
_MAX_BODY = 1 << 20  # of a request without an end
_FAILURES = (Retry, LinkRejected, RestartNeeded, StudioModelsError)


@dataclass(frozen=True)
class Body:
    """A whole response, checked to be the requested bytes of the same object."""

    whole: bool
    """Whether it is the whole file."""

    etag: str | None
    content_range: ContentRange
    content_md5: str | None
    data: bytes


class StorageBatch:
    """Requests in flight; see the module."""

    def __init__(
        self,
        signed_urls: SignedUrls,
        find_route: Callable[[str], Route],
        *,
        idle_s: float,
        limit: RateLimit | None = None,
    ) -> None:
        """Open no connection yet; for ``idle_s`` and ``limit`` see :class:`Multi`."""
        self._signed_urls = signed_urls
        self._find_route = find_route
        self._multi = Multi(connections=_CONNECTIONS, idle_s=idle_s, limit=limit)
        self._done: list[Result] = []

    @property
    def active(self) -> int:
        """How many requests have not been returned yet."""
        return len(self._multi.running) + len(self._done)

    @property
    def waited_s(self) -> float:
        """How long nothing could be done but wait for the network, in seconds."""
        return self._multi.waited_s

    @property
    def received(self) -> int:
        """How many bytes have arrived of the bodies that are not complete."""
        running = self._multi.running.values()
        return sum(exchange.received for exchange in running if exchange.is_wanted)

    def announced(self) -> Iterator[tuple[RangeRequest, int]]:
        """Yield running requests, and the size in bytes that their head announces."""
        for exchange in self._multi.running.values():
            request, head = exchange.job.request, exchange.read_head()
            if head and head.status in {OK, PARTIAL}:
                with contextlib.suppress(RestartNeeded):  # reported at the end
                    size = read_head(head, request).content_range.size
                    if size is not None:
                        yield request, size

    def add(self, request: RangeRequest) -> None:
        """Start a request."""
        try:
            url, generation = self._signed_urls.get(request.path)
            self._start(Job(request, generation, url))
        except _FAILURES as error:
            self._done.append((request, error))

    def wait(self, timeout_s: float) -> list[Result]:
        """Drive the requests until some have ended, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            for exchange, failure in self._multi.perform():
                self._end(exchange, failure)
            left_s = deadline - time.monotonic()
            if self._done or not self._multi.running or left_s <= 0:
                done, self._done = self._done, []
                return done
            self._multi.select(left_s)

    def close(self) -> None:
        """End all requests and close the connections."""
        self._done.clear()
        self._multi.close()

    def _start(self, job: Job) -> None:
        route, target = find_way(job, self._find_route)
        self._multi.start(job, route, target, limit=_limit_of(job.request))

    def _end(self, exchange: Exchange, failure: Exception | None) -> None:
        """Take the result of an exchange that has ended."""
        job = exchange.job
        try:
            head = exchange.read_head()
            if head is None:
                raise failure or exchange.cut()
            if following := job.redirected(head):
                self._start(following)
            else:
                body = self._read(exchange, head, failure)
                self._done.append((job.request, body))
        except _FAILURES as error:
            self._done.append((job.request, error))
        finally:
            self._multi.reuse(exchange)

    def _read(self, exchange: Exchange, head: Head, failure: Exception | None) -> Body:
        job, data = exchange.job, exchange.take()
        request = job.request
        self._signed_urls.observe_date(head.headers.get("Date"))
        if head.status == BAD_REQUEST and isinstance(failure, TooLarge) and not data:
            # Whether the link has expired is said in a body that was not received.
            raise LinkRejected(head.status, job.generation)
        check_status(head, request, job.generation, lambda: data)
        said = read_head(head, request)
        if failure:
            raise failure
        if _is_short(request, said.content_range, len(data)):
            raise exchange.cut()
        data = said.decode(data, limit=_limit_of(request))
        return Body(said.whole, said.etag, said.content_range, said.content_md5, data)


def _limit_of(request: RangeRequest) -> int:
    """Return the size of the largest body that is taken, in bytes."""
    return _MAX_BODY if request.stop is None else request.stop - request.start


def _is_short(request: RangeRequest, said: ContentRange, size: int) -> bool:
    """Return whether a body is shorter than announced; longer ones are refused."""
    if size > _limit_of(request):
        raise TooLarge
    if said.stop is None:
        return False
    if size > said.stop - said.start:
        why = "storage sent more than announced"
        raise RestartNeeded(why)
    return size < said.stop - said.start
