"""One request to storage: a range of a file in, its bytes out, or the next step.

Owns what is said to storage, and where it may redirect to. What to do about a refusal
is ``download``'s to decide; here, and in ``answer``, it is only told apart:

    206 as asked, 200   the bytes, or the first of them
    412, other 206      RestartNeeded: the object changed, or the answer is wrong
    416, 200 to a later range   RestartNeeded: storage has no ranges, or no such one
    408 425 429 5xx     Retry; so does a connection that fails
    401 403 expired     LinkRejected: the link has to be renewed
    any other status    DownloadError
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.pool import ConnectionPools
from dvc_studio_models.http.response import (
    LinkRejected,
    RangeRequest,
    RestartNeeded,
    Retry,
    StorageResponse,
    translate_errors,
)
from dvc_studio_models.http.session import (
    MAX_REDIRECTS,
    RETRY_STATUSES,
    backoff_s,
    is_metadata_host,
    redact_url,
    status_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

    from dvc_studio_models.background import Workers
    from dvc_studio_models.http.signed_urls import SignedUrls

_GRACE_S = 1.0  # for threads that are in a system call when all ends
_ERROR_BYTES = 4096  # of an error's body, enough to find its code
_EXPIRED = re.compile(
    rb"<Code>(?:ExpiredToken|AuthenticationFailed|RequestExpired)<|[Ee]xpired"
)


@dataclass(frozen=True)
class Tuning:
    """How storage is asked; tests take smaller bites, and are less patient."""

    range_bytes: int = 16 << 20
    """What one request asks for: less costs round trips, more leaves threads idle."""

    first_bytes: int = 4 << 20
    """The same of the first request to a file, whose size nobody knows yet."""

    ramp: int = 16
    """Over how many ranges their size grows to the full one, see ``ranges.divide``."""

    idle_s: float = 30.0
    """The longest silence, in seconds."""

    tries: int = 6
    """For each range, in a row without a byte of the file."""

    backoff_s: Callable[[int, Mapping[str, str] | None], float] = backoff_s
    """How long to wait after the n-th of them, with the refusal's headers."""


class Storage:
    """Asks for bytes, from any number of threads."""

    def __init__(
        self, signed_urls: SignedUrls, *, connections: int, idle_s: float
    ) -> None:
        self.signed_urls = signed_urls
        self._pools = ConnectionPools(connections=connections, idle_s=idle_s)

    def ask(self, request: RangeRequest) -> StorageResponse:
        """Ask for bytes; whoever gets the answer closes it.

        Raises:
            Retry, LinkRejected, RestartNeeded: See ``answer``.
            DownloadError: Trying again cannot help.
            StudioModelsError: What requesting new links from Studio raises.
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
                _check_status(response, request, generation)
            return StorageResponse(response, request, url)
        except BaseException:
            response.close()
            raise

    def cut_silent(self) -> None:
        """End the wait for answers that are overdue; to be called now and then."""
        self._pools.cut_silent()

    def end(self, workers: Workers) -> None:
        """End all requests, the threads that send them, and the connections."""
        workers.end()
        self._pools.cut_all()
        workers.join(_GRACE_S)
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._pools.close()

    def _get(
        self, path: str, url: str, headers: Mapping[str, str]
    ) -> tuple[BaseHTTPResponse, str]:
        """Send one GET; follow redirects by hand, looking at each first."""
        for _ in range(MAX_REDIRECTS + 1):
            with translate_errors(path, url):
                response = self._pools.get(url, headers)
            location = response.get_redirect_location()
            if not location:
                return response, url
            response.close()
            url = _redirected(path, url, location)
        raise DownloadError(path, f"more than {MAX_REDIRECTS} redirects")


def _check_status(
    response: BaseHTTPResponse, request: RangeRequest, generation: int
) -> None:
    """Turn every status but 200 and 206 into the next step."""
    status, codes = response.status, requests.codes
    if status in {codes.ok, codes.partial_content}:
        return
    if status in RETRY_STATUSES:
        why = f"storage answered {status_text(status)}"
        raise Retry(why, response.headers)
    if status == codes.precondition_failed:
        why = "the object changed in storage"
        raise RestartNeeded(why)
    if status == codes.requested_range_not_satisfiable and request.stop is not None:
        why = "storage has no such range"
        raise RestartNeeded(why)
    body = response.read(_ERROR_BYTES, decode_content=True)
    expired = status == codes.bad_request and _EXPIRED.search(body)
    if status in {codes.unauthorized, codes.forbidden} or expired:
        raise LinkRejected(status, generation)
    if status == codes.not_found:
        why = "it is not in storage; was it pushed with 'dvc push'?"
        raise DownloadError(request.path, why)
    raise DownloadError(request.path, f"storage answered {status_text(status)}")


def _redirected(path: str, url: str, location: str) -> str:
    """Check where storage redirects to: http(s) only, never from https to http."""
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        kept = new.scheme == "https" or new.scheme == "http" == old.scheme
        usable = new.hostname and new.port != 0 and target.isascii()
    except ValueError:
        raise DownloadError(path, "storage redirects to an invalid URL") from None
    if not (kept and usable) or is_metadata_host(new.hostname or ""):
        raise DownloadError(
            path, f"storage redirects to '{redact_url(target)}', which is refused"
        )
    return target
