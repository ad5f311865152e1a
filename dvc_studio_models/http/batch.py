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

import functools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import DownloadError, StudioModelsError
from dvc_studio_models.http.curl.exchange import (
    Exchange,
    Head,
    Job,
    limit_of,
    make_failure,
)
from dvc_studio_models.http.curl.routes import RouteError, find_route, split_url
from dvc_studio_models.http.response import (
    ERROR_BYTES,
    ContentRange,
    LinkRejected,
    NotEncoded,
    RestartNeeded,
    Retry,
    TooLarge,
    check_status,
    read_head,
)
from dvc_studio_models.http.urls import (
    RedirectRejected,
    redirect_target,
)

if TYPE_CHECKING:
    import pycurl

    from dvc_studio_models.http.curl.routes import Route
    from dvc_studio_models.http.response import RangeRequest
    from dvc_studio_models.http.signed_urls import SignedUrls

    Result = tuple[RangeRequest, "Body | Exception"]

_CONNECTIONS = 64  # that stay open
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CUT = "the connection was cut"
_TICK_S = 0.1
_FEW_FILES = 900  # pycurl's select() does not see descriptors from 1024 on
_BLIND_TICK_S = 0.005


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

    def __init__(self, signed_urls: SignedUrls, *, idle_s: float) -> None:
        """Open no connection yet.

        Args:
            signed_urls: Where each file is.
            idle_s: The longest time without a byte of the body, and the longest time
                until the head of a response is complete, in seconds.
        """
        import pycurl

        self.waited_s = 0.0
        self._signed_urls = signed_urls
        self._idle_s = idle_s
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, _CONNECTIONS)
        self._find_route = functools.cache(find_route)
        self._running: dict[pycurl.Curl, Exchange] = {}
        self._spare: dict[Route, list[Exchange]] = {}
        self._done: list[Result] = []
        self._next_check = 0.0
        with open(os.devnull) as last:  # noqa: PTH123
            self._tick_s = _TICK_S if last.fileno() < _FEW_FILES else _BLIND_TICK_S

    @property
    def active(self) -> int:
        """How many requests have not been returned yet."""
        return len(self._running) + len(self._done)

    def add(self, request: RangeRequest) -> None:
        """Start a request."""
        try:
            url, generation = self._signed_urls.get(request.path)
            self._start(Job(request, generation), url)
        except _FAILURES as error:
            self._done.append((request, error))

    def wait(self, timeout_s: float) -> list[Result]:
        """Drive the requests until some have ended, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._perform()
            now = time.monotonic()
            if now >= self._next_check:
                self._check_all(now)
            if self._done or not self._running or now >= deadline:
                done, self._done = self._done, []
                return done
            self._select(deadline - now)

    def close(self) -> None:
        """End all requests and close the connections."""
        for exchange in self._running.values():
            self._multi.remove_handle(exchange.handle)
            exchange.handle.close()
        for spare in self._spare.values():
            for exchange in spare:
                exchange.handle.close()
        self._running.clear()
        self._spare.clear()
        self._done.clear()
        self._multi.close()

    def _start(self, job: Job, url: str) -> None:
        origin, target = split_url(url)
        try:
            route = self._find_route(origin)
        except RouteError as error:
            raise make_failure(
                origin, job.request.path, str(error), is_final=True
            ) from None
        spare = self._spare.get(route)
        exchange = spare.pop() if spare else Exchange(route)
        exchange.begin(job, url, target)
        self._multi.add_handle(exchange.handle)
        self._running[exchange.handle] = exchange

    def _perform(self) -> None:
        self._multi.perform()
        more = True
        while more:
            more, ended, failed = self._multi.info_read(_CONNECTIONS)
            for handle in ended:
                self._end(self._running[handle], None)
            for handle, code, _ in failed:  # the text may contain the URL
                exchange = self._running[handle]
                self._end(exchange, exchange.failure(code))

    def _select(self, left_s: float) -> None:
        """Wait until libcurl has something to do."""
        own_s = self._multi.timeout() / 1000
        limits = [left_s, self._tick_s, *([own_s] if own_s >= 0 else [])]
        limit_s, began = max(0.0, min(limits)), time.monotonic()
        ready = self._multi.select(limit_s)
        if ready == 0 and time.monotonic() < began + limit_s:
            time.sleep(min(limit_s, _BLIND_TICK_S))  # no connection yet
        self.waited_s += time.monotonic() - began

    def _check_all(self, now: float) -> None:
        """End the requests that have stopped, or that receive too much."""
        self._next_check = now + min(_TICK_S, self._idle_s / 5)
        for exchange in list(self._running.values()):
            if problem := exchange.find_problem(now, self._idle_s):
                self._end(exchange, problem)

    def _end(self, exchange: Exchange, failure: Exception | None) -> None:
        """Take the result of an exchange that is over, or that is ended now."""
        job = exchange.job
        del self._running[exchange.handle]
        self._multi.remove_handle(exchange.handle)
        try:
            head = exchange.read_head()
            if head is None:
                raise failure or Retry(_CUT)
            if location := _location(head):
                self._start(job.redirected(), _follow(job, exchange.url, location))
            else:
                body = self._read(job, head, exchange.read_body(), failure)
                self._done.append((job.request, body))
        except _FAILURES as error:
            self._done.append((job.request, error))
        finally:
            exchange.reset()
            self._spare.setdefault(exchange.route, []).append(exchange)

    def _read(
        self, job: Job, head: Head, data: bytes, failure: Exception | None
    ) -> Body:
        request = job.request
        self._signed_urls.observe_date(head.headers.get("Date"))
        check_status(head, request, job.generation, lambda: data[:ERROR_BYTES])
        said = read_head(head, request)
        if said.is_encoded and request.decode:
            why = "storage's response is encoded"
            raise NotEncoded(why)
        if failure:
            raise failure
        _check_size(request, said.content_range, len(data))
        return Body(said.whole, said.etag, said.content_range, said.content_md5, data)


_FAILURES = (Retry, LinkRejected, RestartNeeded, StudioModelsError)


def _location(head: Head) -> str | None:
    return head.headers.get("Location") if head.status in _REDIRECTS else None


def _check_size(request: RangeRequest, said: ContentRange, size: int) -> None:
    if size > limit_of(request):
        raise TooLarge
    if said.stop is None:
        return
    if size < said.stop - said.start:
        raise Retry(_CUT)
    if size > said.stop - said.start:
        why = "storage sent more than announced"
        raise RestartNeeded(why)


def _follow(job: Job, url: str, location: str) -> str:
    try:
        return redirect_target(url, location)
    except RedirectRejected as error:
        why = "storage redirects to an invalid URL"
        if error.target is not None:
            why = f"storage redirects to '{error.target}', which is refused"
    raise DownloadError(job.request.path, why)
