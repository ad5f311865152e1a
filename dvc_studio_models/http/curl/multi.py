"""Requests in flight at the same time, in one thread at a time.

Promises that handles and connections are used again, that neither the connection, nor
the head, nor the body of a response is waited for without end, and that each wait lasts
a tenth of a second at most.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from dvc_studio_models.errors import LibcurlError
from dvc_studio_models.http.curl.exchange import Exchange
from dvc_studio_models.http.failures import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pycurl

    from dvc_studio_models.http.curl.exchange import Job
    from dvc_studio_models.http.curl.routes import Route
    from dvc_studio_models.http.limit import RateLimit

_AT_ONCE = 64  # results that are read from libcurl
_TICK_S = 0.1
_FEW_FILES = 900  # pycurl's select() does not see descriptors from 1024 on
_BLIND_TICK_S = 0.005


class Multi:
    """Exchanges that run, and those that wait for the next request."""

    def __init__(
        self, *, connections: int, idle_s: float, limit: RateLimit | None = None
    ) -> None:
        """Open no connection yet.

        Args:
            connections: How many stay open.
            idle_s: The longest time without a byte of the body, and the longest time
                until the head of a response is complete, in seconds.
            limit: Shared with the other connections.

        Raises:
            LibcurlError: libcurl cannot be loaded.
        """
        try:
            import pycurl
        except ImportError as error:
            raise LibcurlError(sanitize(str(error))) from None

        self.running: dict[pycurl.Curl, Exchange] = {}
        self.waited_s = 0.0
        """How long nothing could be done but wait, in seconds."""
        self._idle_s = idle_s
        self._limit = limit
        self._spare: dict[Route, list[Exchange]] = {}
        self._next_check = 0.0
        self._is_stuck = False
        try:
            self._multi = pycurl.CurlMulti()
        except pycurl.error:  # it opens a pipe
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        with open(os.devnull) as last:  # noqa: PTH123
            self._tick_s = _TICK_S if last.fileno() < _FEW_FILES else _BLIND_TICK_S

    def start(self, job: Job, route: Route, target: str, *, limit: int) -> Exchange:
        """Start a request; ``limit`` is that of its body in bytes, 0 for none."""
        spare = self._spare.get(route)
        exchange = spare.pop() if spare else self._make_exchange(route)
        exchange.begin(job, target, limit=limit)
        self._multi.add_handle(exchange.handle)
        self.running[exchange.handle] = exchange
        return exchange

    def _make_exchange(self, route: Route) -> Exchange:
        import pycurl

        exchange = Exchange(route)
        if self._limit:
            exchange.handle.setopt(pycurl.BUFFERSIZE, self._limit.buffer_bytes)
        return exchange

    def stop(self, exchange: Exchange) -> None:
        """Stop a request; what it has received stays until :meth:`reuse`."""
        if self.running.pop(exchange.handle, None):
            self._is_stuck |= exchange.is_resolving
            self._multi.remove_handle(exchange.handle)

    def reuse(self, exchange: Exchange) -> None:
        """Use an exchange that was stopped for another request."""
        exchange.reset()
        self._spare.setdefault(exchange.route, []).append(exchange)

    def perform(self) -> list[tuple[Exchange, Exception | None]]:
        """Send and receive what can be, and return the exchanges that have ended.

        Returns:
            Each with its failure, stopped. None while the limit of the rate is reached.
        """
        if self._limit and self._limit.pause_s:
            return []
        self._multi.perform()
        if self._limit:
            self._limit.spend(sum(each.count_new() for each in self.running.values()))
        done = list(self._read_results())
        for exchange, _ in done:
            self.stop(exchange)
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + min(_TICK_S, self._idle_s / 5)
            done += self._stop_silent(now)
        return done

    def _stop_silent(self, now: float) -> list[tuple[Exchange, Exception | None]]:
        silent: list[tuple[Exchange, Exception | None]] = [
            (exchange, problem)
            for exchange in self.running.values()
            if (problem := exchange.find_problem(now, self._idle_s))
        ]
        for exchange, _ in silent:
            self.stop(exchange)
        return silent

    def _read_results(self) -> Iterator[tuple[Exchange, Exception | None]]:
        more = True
        while more:
            more, ended, failed = self._multi.info_read(_AT_ONCE)
            for handle in ended:
                yield self.running[handle], None
            for handle, code, _ in failed:  # the text may contain the URL
                exchange = self.running[handle]
                yield exchange, exchange.failure(code)

    def select(self, limit_s: float) -> None:
        """Wait until there is something to do, for a short time."""
        if self._limit and (pause_s := self._limit.pause_s):
            self._pause(min(pause_s, limit_s, self._tick_s))
            return
        own_s = self._multi.timeout() / 1000
        limits = [limit_s, self._tick_s, *([own_s] if own_s >= 0 else [])]
        limit_s, began = max(0.0, min(limits)), time.monotonic()
        ready = self._multi.select(limit_s)
        if ready == 0 and time.monotonic() < began + limit_s:
            time.sleep(min(limit_s, _BLIND_TICK_S))  # there is no connection yet
        self.waited_s += time.monotonic() - began

    def _pause(self, seconds: float) -> None:
        """Receive nothing for a time, which is no silence of the server."""
        began = time.monotonic()
        time.sleep(seconds)
        for exchange in self.running.values():
            exchange.postpone(time.monotonic() - began)

    def close(self) -> None:
        """End all requests and close the connections.

        libcurl would wait here for a resolver that does not answer, and so would the
        end of the process. Then its handle is left as it is.
        """
        for exchange in list(self.running.values()):
            self.stop(exchange)
            exchange.handle.close()
        for spare in self._spare.values():
            for exchange in spare:
                exchange.handle.close()
        self._spare.clear()
        if self._is_stuck:
            _keep_for_ever(self._multi)
        else:
            self._multi.close()


def _keep_for_ever(multi: pycurl.CurlMulti) -> None:
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(multi))
