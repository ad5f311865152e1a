"""One request through a handle of libcurl, and what it has received.

All callbacks of libcurl are functions written in C: an exception that is raised in a
callback, such as that of Ctrl-C, would be lost.
"""

from __future__ import annotations

import re
import sys
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
from dvc_studio_models.http.curl.routes import RouteError, split_url
from dvc_studio_models.http.response import ERROR_BYTES, OK, PARTIAL, Retry, TooLarge
from dvc_studio_models.http.urls import (
    MAX_REDIRECTS,
    RedirectRejected,
    TooManyRedirects,
    redirect_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc_studio_models.http.curl.routes import Route
    from dvc_studio_models.http.response import RangeRequest

_HEAD_BYTES = 1 << 16
CUT = "the connection was cut"
_ERROR_S = 1.0  # from the head of an error until its body is given up
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STATUS = re.compile(rb"HTTP/\S+ ([0-9]{3})")
_HEADER = re.compile(r"(?m)^([^:\s]+):[ \t]*(.*?)[ \t]*\r?$")
_BLANK = {b"\r\n", b"\n"}


@dataclass(frozen=True)
class Job:
    """A request, and what is needed to read its response."""

    request: RangeRequest
    generation: int
    """Of the signed URL."""

    url: str
    redirects: int = 0

    def redirected(self, head: Head) -> Job | None:
        """Return the job that a redirect leads to; None if the head is no redirect.

        Raises:
            DownloadError: It leads where it may not, or there were too many.
        """
        location = head.headers.get("Location")
        if head.status not in _REDIRECTS or not location:
            return None
        if self.redirects == MAX_REDIRECTS:
            raise DownloadError(self.request.path, str(TooManyRedirects()))
        try:
            url = redirect_target(self.url, location)
        except RedirectRejected as error:
            why = "storage redirects to an invalid URL"
            if error.target is not None:
                why = f"storage redirects to '{error.target}', which is refused"
        else:
            return replace(self, url=url, redirects=self.redirects + 1)
        raise DownloadError(self.request.path, why)


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

    def __init__(self, route: Route) -> None:
        import pycurl

        self.route = route
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._range: str | None = None
        self._etag: str | None = None
        self._limit = 0
        self.handle = make_handle(route)
        self.handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self.handle.setopt(pycurl.WRITEFUNCTION, self._pieces.append)

    def begin(self, job: Job, target: str, *, limit: int) -> None:
        """Set what differs from the request before."""
        import pycurl

        self.job = job
        self._taken = self._seen = 0
        self._passed_on = self._counted = 0
        self._error_since = 0.0
        self._is_unresolved = False
        self._since = time.monotonic()
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
        limit = max(limit, _HEAD_BYTES) if limit else 0  # the bodies of errors too
        if limit != self._limit:
            handle.setopt(pycurl.MAXFILESIZE_LARGE, limit)
            self._limit = limit

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

    @property
    def is_resolving(self) -> bool:
        """Whether a thread of libcurl may still look up the host."""
        import pycurl

        if self._lines or self._is_unresolved:
            return False
        return bool(self.handle.getinfo(pycurl.NAMELOOKUP_TIME) == 0)

    @property
    def progress(self) -> int:
        """A number that grows with each byte."""
        return len(self._lines) + self._taken + len(self._pieces)

    @property
    def received(self) -> int:
        """How many bytes of the body can be taken."""
        return sum(map(len, self._pieces))

    def take(self, size: int = sys.maxsize) -> bytes:
        """Return the next bytes of the body: about ``size``, or all there are."""
        count, total = 0, 0
        for piece in self._pieces:
            if total >= size:
                break
            count, total = count + 1, total + len(piece)
        data = b"".join(self._pieces[:count])
        del self._pieces[:count]
        self._taken += count
        self._passed_on += total
        return data

    def count_new(self) -> int:
        """Return how many bytes of the body have come since the last call."""
        before, self._counted = self._counted, self._passed_on + self.received
        return self._counted - before

    def postpone(self, seconds: float) -> None:
        """Allow as much more time, in which nothing could be received."""
        self._since += seconds
        if self._error_since:
            self._error_since += seconds

    @property
    def is_wanted(self) -> bool:
        """Whether the body is content, as far as the status says."""
        import pycurl

        return self.handle.getinfo(pycurl.RESPONSE_CODE) in {OK, PARTIAL}

    def _is_error_read(self, now: float) -> bool:
        """Return whether enough was received of an error, or all of a redirect."""
        if not self._lines or self.is_wanted:
            return False
        head = self.read_head()
        if head is None:
            return False
        self._error_since = self._error_since or now
        is_late = now - self._error_since > _ERROR_S
        return head.status in _REDIRECTS or is_late or self.received >= ERROR_BYTES

    def cut(self) -> Exception:
        """Return the exception for a connection that was cut."""
        return self._failure(CUT)

    def find_problem(self, now: float, idle_s: float) -> Exception | None:
        """Return why the request has to be ended; None if it may go on."""
        if sum(map(len, self._lines)) > _HEAD_BYTES or self._is_error_read(now):
            return self.cut()
        if self._limit and self.received > self._limit:
            return TooLarge()
        count = self._taken + len(self._pieces)
        if self._seen != count and self.is_wanted:
            self._seen, self._since = count, now
        if now - self._since > idle_s + self._connecting_s(now):
            return self._failure("no data for too long")
        return None

    def _connecting_s(self, now: float) -> float:
        """How long it took to connect, which libcurl limits."""
        import pycurl

        if self._seen:
            return 0.0
        took_s: float = self.handle.getinfo(pycurl.PRETRANSFER_TIME)
        return took_s or now - self._since

    def failure(self, code: int) -> Exception:
        """Return the exception for an error of libcurl."""
        import pycurl

        if code == pycurl.E_FILESIZE_EXCEEDED:
            return TooLarge()
        self._is_unresolved = code in {
            pycurl.E_COULDNT_RESOLVE_HOST,
            pycurl.E_COULDNT_RESOLVE_PROXY,
        }
        words, is_final = describe_failure(self.handle, code, self.route)
        return self._failure(words, is_final=is_final)

    def _failure(self, words: str, *, is_final: bool = False) -> Exception:
        path = self.job.request.path
        return _failure(self.route.origin, path, words, is_final=is_final)


def find_way(job: Job, find_route: Callable[[str], Route]) -> tuple[Route, str]:
    """Return the route of a job, and its request target.

    Raises:
        DownloadError: Its host, the proxy or the CA bundle cannot be used.
    """
    origin, target = split_url(job.url)
    try:
        return find_route(origin), target
    except RouteError as error:
        words = str(error)
    raise _failure(origin, job.request.path, words, is_final=True)


def _failure(origin: str, path: str, words: str, *, is_final: bool) -> Exception:
    host = origin.partition("://")[2].rpartition("@")[2]
    why = f"storage at '{host}': {words}"
    return DownloadError(path, why) if is_final else Retry(why)
