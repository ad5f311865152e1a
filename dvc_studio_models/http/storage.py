"""One request to storage: a range of a file in, its bytes or a signal out.

How to go on after a signal is decided by ``transfer``.

    206 as requested, 200       the bytes, or the first of them
    412, another 206            RestartNeeded: the object changed, or a wrong response
    416, 200 to a later range   RestartNeeded: storage has no ranges, or no such one
    408 425 429 5xx             Retry; so does a connection that fails
    401 403 expired             LinkRejected: the signed URL has to be renewed
    any other status            DownloadError
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.http.batch import StorageBatch
from dvc_studio_models.http.curl.exchange import Job
from dvc_studio_models.http.curl.routes import find_route
from dvc_studio_models.http.failures import backoff_s
from dvc_studio_models.http.response import (
    ERROR_BYTES,
    StorageResponse,
    check_status,
)
from dvc_studio_models.http.stream import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dvc_studio_models.http.limit import RateLimit
    from dvc_studio_models.http.response import RangeRequest
    from dvc_studio_models.http.signed_urls import SignedUrls


@dataclass(frozen=True)
class Tuning:
    """Sizes and limits of requests; tests use smaller ones."""

    range_bytes: int = 16 << 20
    """Of one request; smaller costs round trips, larger leaves threads idle."""

    first_bytes: int = 4 << 20
    """Of the first request for a file, whose size is not known yet."""

    small_bytes: int = 1 << 20
    """Up to this size a file is fetched by one request, into memory; 0: none is."""

    ramp: int = 16
    """Over how many ranges their size grows to the full one."""

    idle_s: float = 30.0
    """The longest time without a byte, in seconds."""

    tries: int = 6
    """For each range, in a row without a byte received of the file."""

    backoff_s: Callable[[int, Mapping[str, str] | None], float] = backoff_s
    """The pause in seconds after the n-th try, from the headers of its response."""


class Storage:
    """Requests bytes, from any number of threads."""

    def __init__(
        self,
        signed_urls: SignedUrls,
        *,
        connections: int,
        idle_s: float,
        limit: RateLimit | None = None,
    ) -> None:
        """Open no connection yet.

        Args:
            signed_urls: Where each file is.
            connections: How many of :meth:`ask` stay open.
            idle_s: The longest time without a byte of the body, and the longest time
                until the head of a response is complete, in seconds.
            limit: Of the rate of all requests together.
        """
        self.signed_urls = signed_urls
        self._find_route = functools.cache(find_route)
        self._idle_s = idle_s
        self._limit = limit
        self._streams = Streams(
            self._find_route, connections=connections, idle_s=idle_s, limit=limit
        )

    def ask(self, request: RangeRequest) -> StorageResponse:
        """Send a request; the caller closes the response.

        Raises:
            Retry: Another try may succeed.
            LinkRejected: The signed URL has to be renewed.
            RestartNeeded: The response does not match what was received before.
            DownloadError: Another try would fail too.
            StudioModelsError: Studio sent no new links.
        """
        url, generation = self.signed_urls.get(request.path)
        stream = self._streams.take()
        try:
            head = stream.send(Job(request, generation, url))
            self.signed_urls.observe_date(head.headers.get("Date"))
            check_status(
                head, request, generation, lambda: stream.read_some(ERROR_BYTES)
            )
            return StorageResponse(head, request, stream)
        except BaseException:
            stream.close()
            raise

    def batch(self) -> StorageBatch:
        """Return requests for small bodies, for one thread, which closes them."""
        return StorageBatch(
            self.signed_urls, self._find_route, idle_s=self._idle_s, limit=self._limit
        )

    def stop(self) -> None:
        """End all requests of :meth:`ask`, also those of other threads."""
        self._streams.stop()

    def close(self) -> None:
        """Close the idle connections; those in use are closed by their users."""
        self._streams.close()
