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

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.batch import StorageBatch
from dvc_studio_models.http.failures import backoff_s
from dvc_studio_models.http.pool import ConnectionPools
from dvc_studio_models.http.response import (
    ERROR_BYTES,
    StorageResponse,
    check_status,
    translate_errors,
)
from dvc_studio_models.http.urls import (
    RedirectRejected,
    TooManyRedirects,
    follow_redirects,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

    from dvc_studio_models.http.response import RangeRequest
    from dvc_studio_models.http.signed_urls import SignedUrls


@dataclass(frozen=True)
class Tuning:
    """Sizes and limits of requests; tests use smaller ones."""

    range_bytes: int = 16 << 20
    """Of one request; smaller costs round trips, larger leaves threads idle."""

    first_bytes: int = 4 << 20
    """Of the first request for a file, whose size is not known yet."""

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
        self, signed_urls: SignedUrls, *, connections: int, idle_s: float
    ) -> None:
        self.signed_urls = signed_urls
        self._idle_s = idle_s
        self._pools = ConnectionPools(connections=connections, idle_s=idle_s)

    def ask(self, request: RangeRequest) -> StorageResponse:
        """Send a request; the caller closes the response.

        Raises:
            Retry: Another try may succeed.
            LinkRejected: The signed URL has to be renewed.
            RestartNeeded: The response does not match what was received before.
            DownloadError: Another try would fail too.
            StudioModelsError: Studio sent no new links.
        """
        headers = {}
        if request.stop is not None:
            headers["Range"] = f"bytes={request.start}-{request.stop - 1}"
            if request.etag:
                headers["If-Match"] = request.etag
        url, generation = self.signed_urls.get(request.path)
        response, url = self._get(request.path, url, headers)
        try:
            self.signed_urls.observe_date(response.headers.get("Date"))
            with translate_errors(request.path, url):
                check_status(
                    response,
                    request,
                    generation,
                    lambda: response.read(ERROR_BYTES, decode_content=True),
                )
            return StorageResponse(response, request, url)
        except BaseException:
            response.close()
            raise

    def batch(self) -> StorageBatch:
        """Return requests for small bodies, for one thread, which closes them."""
        return StorageBatch(self.signed_urls, idle_s=self._idle_s)

    def stop(self) -> None:
        """End all requests, also those of other threads."""
        self._pools.cut_all()

    def close(self) -> None:
        """Close the idle connections."""
        self._pools.close()

    def _get(
        self, path: str, url: str, headers: Mapping[str, str]
    ) -> tuple[BaseHTTPResponse, str]:
        def send(url: str) -> tuple[BaseHTTPResponse, str | None]:
            with translate_errors(path, url):
                response = self._pools.get(url, headers)
            return response, response.get_redirect_location() or None

        try:
            return follow_redirects(url, send)
        except RedirectRejected as error:
            why = "storage redirects to an invalid URL"
            if error.target is not None:
                why = f"storage redirects to '{error.target}', which is refused"
        except TooManyRedirects as error:
            why = str(error)
        raise DownloadError(path, why)
