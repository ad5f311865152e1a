"""One request through a handle of libcurl, and what it has received.

All callbacks of libcurl are functions written in C: an exception that is raised in a
callback, such as that of Ctrl-C, would be lost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.curl.handle import (
    describe_failure,
    headers_of,
    make_handle,
)
from dvc_studio_models.http.response import OK, PARTIAL, Retry, TooLarge
from dvc_studio_models.http.urls import MAX_REDIRECTS, TooManyRedirects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.http.curl.routes import Route
    from dvc_studio_models.http.response import RangeRequest

MAX_BODY = 1 << 20  # of a request without an end
_HEAD_BYTES = 1 << 16
_CUT = "the connection was cut"
_STATUS = re.compile(rb"HTTP/\S+ ([0-9]{3})")
_HEADER = re.compile(r"(?m)^([^:\s]+):[ \t]*(.*?)[ \t]*\r?$")
_BLANK = {b"\r\n", b"\n"}


@dataclass(frozen=True)
class Job:
    """A request, and what is needed to read its response."""

    request: RangeRequest
    generation: int
    redirects: int = 0

    def redirected(self) -> Job:
        """Return the job of the next request.

        Raises:
            DownloadError: There were too many redirects.
        """
        if self.redirects == MAX_REDIRECTS:
            raise DownloadError(self.request.path, str(TooManyRedirects()))
        return replace(self, redirects=self.redirects + 1)


class Head:
    """The head of a response; names of headers are case-insensitive."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.headers = _Headers(text)


class _Headers(Mapping[str, str]):
    def __init__(self, text: str) -> None:
        self._values: dict[str, str] = {}
        for name, value in _HEADER.findall(text):
            key = name.lower()
            before = self._values.get(key)
            self._values[key] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Exchange:
    """A handle of libcurl, and what it has received for its request."""

    job: Job
    url: str

    def __init__(self, route: Route) -> None:
        import pycurl

        self.route = route
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._range: str | None = None
        self._etag: str | None = None
        self._most = 0
        self.handle = make_handle(route)
        self.handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self.handle.setopt(pycurl.WRITEFUNCTION, self._pieces.append)

    def begin(self, job: Job, url: str, target: str) -> None:
        """Set what differs from the request before."""
        import pycurl

        self.job, self.url = job, url
        self._seen, self._began = 0, time.monotonic()
        request, handle = job.request, self.handle
        handle.setopt(pycurl.REQUEST_TARGET, f"{self.route.prefix}{target}")
        asked, etag = None, None
        if request.stop is not None:
            asked, etag = f"{request.start}-{request.stop - 1}", request.etag
        if asked != self._range:
            handle.setopt(pycurl.RANGE, asked)
            self._range = asked
        if etag != self._etag:
            condition = [f"If-Match: {etag}"] if etag else []
            handle.setopt(pycurl.HTTPHEADER, [*headers_of(self.route), *condition])
            self._etag = etag
        most = max(limit_of(request), _HEAD_BYTES)  # the bodies of errors too
        if most != self._most:
            handle.setopt(pycurl.MAXFILESIZE_LARGE, most)
            self._most = most

    def reset(self) -> None:
        """Forget what was received."""
        self._lines.clear()
        self._pieces.clear()

    def read_head(self) -> Head | None:
        """Return the last head, if it is complete; others are informational."""
        first = 0
        for at, line in enumerate(self._lines):
            if line in _BLANK:
                status = _STATUS.match(self._lines[first])
                if status and int(status[1]) >= OK:
                    text = b"".join(self._lines[first + 1 : at]).decode("latin-1")
                    return Head(int(status[1]), text)
                first = at + 1
        return None

    def read_body(self) -> bytes:
        """Return what was received of the body."""
        return b"".join(self._pieces)

    def find_problem(self, now: float, idle_s: float) -> Exception | None:
        """Return why the request has to be ended; None if it may go on."""
        if sum(map(len, self._lines)) > _HEAD_BYTES:
            return Retry(_CUT)
        if sum(map(len, self._pieces)) > self._most:
            return TooLarge()
        head = self.read_head()
        if head and head.status in {OK, PARTIAL} and self._seen != len(self._pieces):
            self._seen, self._began = len(self._pieces), now
        if now - self._began > idle_s + self._connecting_s(now):
            return self._failure("no data for too long")
        return None

    def _connecting_s(self, now: float) -> float:
        """How long it took to connect; libcurl limits it by itself."""
        import pycurl

        if self._seen:
            return 0.0
        took_s: float = self.handle.getinfo(pycurl.PRETRANSFER_TIME)
        return took_s or now - self._began

    def failure(self, code: int) -> Exception:
        """Return the exception for an error of libcurl."""
        import pycurl

        if code == pycurl.E_FILESIZE_EXCEEDED:
            return TooLarge()
        words, is_final = describe_failure(self.handle, code, self.route)
        return self._failure(words, is_final=is_final)

    def _failure(self, words: str, *, is_final: bool = False) -> Exception:
        path = self.job.request.path
        return make_failure(self.route.origin, path, words, is_final=is_final)


def make_failure(origin: str, path: str, words: str, *, is_final: bool) -> Exception:
    """Return the exception for a request that failed on its way."""
    host = origin.partition("://")[2].rpartition("@")[2]
    why = f"storage at '{host}': {words}"
    return DownloadError(path, why) if is_final else Retry(why)


def limit_of(request: RangeRequest) -> int:
    """Return the largest body that is taken, in bytes."""
    return MAX_BODY if request.stop is None else request.stop - request.start
