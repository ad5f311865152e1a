"""One request to storage: a range of a file in, its bytes out, or the next step.

Owns what is said to storage, and the reading of what it says back. Promises that the
bytes handed on are those that were asked for, of the object that was asked for before.
What to do about a refusal is ``transfer``'s to decide; here it is only told apart:

    206 as asked        the bytes
    200                 the bytes of the whole file: the server knows no ranges
    412, other 206      StartOver: the object changed, or the answer is wrong
    416                 StartOver, whole: the object is empty, or shorter than thought
    408 425 429 5xx     Retry; so does a connection that fails (requests' own errors)
    401 403 expired     Refused: the link has to be renewed
    any other status    DownloadError
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.transport import (
    CONNECT_TIMEOUT_S,
    MAX_REDIRECTS,
    RETRY_STATUSES,
    make_session,
    shown,
    status_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelFile

logger = logging.getLogger(f"dvc.{__name__}")

CHUNK_BYTES = 1 << 18  # what a reset connection can lose, and one step of progress
IDLE_TIMEOUT_S = 30.0
_BODY_BYTES = 4096  # of an error, enough to find its code
_EXPIRED = re.compile(
    rb"<Code>(?:ExpiredToken|AuthenticationFailed|RequestExpired)<|[Ee]xpired"
)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Retry(Exception):  # noqa: N818 - a signal between two rooms, never shown
    """This try failed; another may succeed."""

    def __init__(self, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.headers = headers


class Refused(Exception):  # noqa: N818
    """Storage refused the link."""

    def __init__(self, status: int, generation: int) -> None:
        super().__init__(status_text(status))
        self.generation = generation


class StartOver(Exception):  # noqa: N818
    """What has arrived does not fit what is coming."""

    def __init__(self, why: str, *, whole: bool = False) -> None:
        super().__init__(why)
        self.whole = whole
        """Whether no range must be asked for any more."""


@dataclass(frozen=True)
class Wanted:
    """What to ask for: bytes of a file, and what is known of the file by now."""

    path: str
    start: int
    stop: int | None
    """Exclusive, in bytes; None asks for the whole file in one answer."""

    size: int | None = None
    etag: str | None = None


class Answer:
    """Bytes on their way, checked to be those that were asked for."""

    def __init__(self, response: requests.Response, wanted: Wanted) -> None:
        self._response = response
        headers = response.headers
        self.etag = _strong_etag(headers)
        self.content_md5 = headers.get("Content-MD5")
        self.whole = response.status_code == requests.codes.ok
        self.begin = 0 if self.whole else wanted.start
        self.size = _content_length(headers) if self.whole else _total(headers)
        """Of the file, in bytes; None where only the end of the body tells."""
        self.end = self.size
        if not self.whole and wanted.stop is not None and self.size is not None:
            self.end = min(wanted.stop, self.size)

    def chunks(self) -> Iterator[bytes]:
        """Read the body.

        Raises:
            requests.RequestException: The connection failed.
        """
        yield from self._response.iter_content(CHUNK_BYTES)

    def interrupt(self) -> None:
        """End the reading from another thread."""
        with contextlib.suppress(OSError, ValueError):  # it ended by itself
            self._response.raw.shutdown()

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()


class Links:
    """The signed URLs of a pull, renewed once for all files that wait."""

    def __init__(
        self, files: Sequence[ModelFile], renew: Callable[[], Mapping[str, str]]
    ) -> None:
        self._urls = {file.path: file.url for file in files}
        self._renew = renew
        self._lock = threading.Lock()
        self._generation = 0

    def get(self, path: str) -> tuple[str, int]:
        """Return a file's URL and which generation of links it is of."""
        with self._lock:
            return self._urls[path], self._generation

    def renew(self, generation: int) -> None:
        """Ask Studio for new links, unless somebody did since ``generation``."""
        with self._lock:
            if generation == self._generation:
                logger.debug("asking Studio for new links")
                self._urls.update(self._renew())
                self._generation += 1


class Storage:
    """Sends requests over one session, from any number of threads."""

    def __init__(self, links: Links, *, connections: int) -> None:
        self.links = links
        self._session = make_session(connections=connections)

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def ask(self, wanted: Wanted) -> Answer:
        """Ask for bytes; whoever gets the answer closes it.

        Raises:
            Retry, Refused, StartOver: See the module.
            DownloadError: Trying again cannot help.
            requests.RequestException: The connection failed.
        """
        headers = {"Accept-Encoding": "identity"}
        if wanted.stop is not None:
            headers["Range"] = f"bytes={wanted.start}-{wanted.stop - 1}"
            if wanted.etag:
                headers["If-Match"] = wanted.etag
        url, generation = self.links.get(wanted.path)
        response = self._get(wanted.path, url, headers)
        try:
            _check_status(response, wanted, generation)
            _check_extent(response, wanted)
        except BaseException:
            response.close()
            raise
        return Answer(response, wanted)

    def _get(self, path: str, url: str, headers: dict[str, str]) -> requests.Response:
        """Send one GET; follow redirects by hand, looking at each first."""
        for _ in range(MAX_REDIRECTS + 1):
            request = self._session.prepare_request(
                requests.Request("GET", url, headers=headers)
            )
            request.url = url  # byte for byte: requests would quote it anew
            settings = self._session.merge_environment_settings(
                url, {}, stream=True, verify=None, cert=None
            )
            response = self._session.send(
                request,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT_S, IDLE_TIMEOUT_S),
                **settings,
            )
            if not response.is_redirect:
                return response
            response.close()
            url = _redirected(path, url, response.headers["Location"])
        raise DownloadError(path, f"more than {MAX_REDIRECTS} redirects")


def _check_status(response: requests.Response, wanted: Wanted, generation: int) -> None:
    """Turn every status but 200 and 206 into the next step."""
    status = response.status_code
    codes = requests.codes
    if status in {codes.ok, codes.partial_content}:
        return
    if status in RETRY_STATUSES:
        why = f"storage answered {status_text(status)}"
        raise Retry(why, response.headers)
    if status == codes.precondition_failed:
        why = "the object changed in storage"
        raise StartOver(why)
    if status == codes.requested_range_not_satisfiable and wanted.stop is not None:
        why = "storage has no such range"
        raise StartOver(why, whole=True)
    body = response.raw.read(_BODY_BYTES, decode_content=True) or b""
    expired = status == codes.bad_request and _EXPIRED.search(body)
    if status in {codes.unauthorized, codes.forbidden} or expired:
        raise Refused(status, generation)
    if status == codes.not_found:
        why = "it is not in storage; was it pushed with 'dvc push'?"
        raise DownloadError(wanted.path, why)
    raise DownloadError(wanted.path, f"storage answered {status_text(status)}")


def _check_extent(response: requests.Response, wanted: Wanted) -> None:
    """Make sure that an answer holds the bytes that were asked for."""
    headers = response.headers
    if response.status_code == requests.codes.ok:
        if wanted.stop is not None and (wanted.start or wanted.size is not None):
            why = "storage does not know ranges"
            raise StartOver(why, whole=True)
        return
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if not match or wanted.stop is None or _is_encoded(headers):
        why = "storage's answer fits no range"
        raise StartOver(why, whole=True)
    start, last, size = map(int, match.groups())
    if start != wanted.start or last + 1 != min(wanted.stop, size):
        why = "storage sent another range than the one asked for"
        raise StartOver(why)
    etag = _strong_etag(headers)
    if size != (wanted.size or size) or (wanted.etag and etag and etag != wanted.etag):
        why = "the object changed in storage"
        raise StartOver(why)


def _redirected(path: str, url: str, location: str) -> str:
    """Check where storage redirects to: http(s) only, never from https to http."""
    target = urljoin(url, location)
    try:
        old, new = urlsplit(url), urlsplit(target)
        safe = new.scheme == "https" or (new.scheme == "http" == old.scheme)
        safe = safe and bool(new.hostname) and new.port != 0
    except ValueError:
        safe = False
    if not safe:
        raise DownloadError(path, f"storage redirects to '{shown(target)}', refused")
    return target


def _strong_etag(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag", "")
    return etag if re.fullmatch(r'"[\x21\x23-\x7e]+"', etag) else None


def _content_length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("Content-Length", "")
    return int(value) if value.isdecimal() and not _is_encoded(headers) else None


def _total(headers: Mapping[str, str]) -> int:
    return int(headers["Content-Range"].rpartition("/")[2])


def _is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Encoding", "identity") != "identity"
