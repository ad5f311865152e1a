"""What both HTTP rooms share: sessions, the retry table, and words for failures.

Owns how we speak HTTP, not what is said: no request is made here. Promises sessions
that send no credentials but those given (``~/.netrc`` stays out, proxies and CA bundles
of the environment stay in) and reasons that never hold a URL's query.
"""

from __future__ import annotations

import random
import socket
import ssl
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import PoolManager

CONNECT_TIMEOUT_S = 10
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_REDIRECTS = 5
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LONGEST_RETRY_AFTER_S = 120.0


def make_session(*, token: str | None = None, connections: int = 1) -> requests.Session:
    """Make the session of one role.

    Args:
        token: Sent as ``Authorization: token ...`` with every request; None sends none.
            Either way ``auth`` is set, which keeps ``~/.netrc`` out: S3 answers 400 to
            two kinds of credentials.
        connections: How many are kept open to one host.
    """
    session = requests.Session()

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        user, password = get_auth_from_url(request.url or "")
        if token:
            request.headers["Authorization"] = f"token {token}"
        elif user:
            HTTPBasicAuth(user, password)(request)
        return request

    session.auth = authorize
    session.max_redirects = MAX_REDIRECTS
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _VerbatimAdapter(pool_connections=connections, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


_TARGET = "\0target"


class _VerbatimAdapter(HTTPAdapter):
    """Sends URLs byte for byte: urllib3 would write ``%2f`` as ``%2F``.

    A signature may be over the very bytes. The target travels in a header of ours,
    which the connection takes out again.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_verbatim_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _use_verbatim_pools(manager)
        return manager

    def add_headers(self, request: requests.PreparedRequest, **kwargs: Any) -> None:
        super().add_headers(request, **kwargs)
        request.headers[_TARGET] = self.request_url(
            request, kwargs.get("proxies") or {}
        )


class _VerbatimConnection(HTTPConnection):
    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        **kwargs: Any,
    ) -> None:
        headers = dict(headers or {})
        url = headers.pop(_TARGET, url)
        super().request(method, url, body, headers, **kwargs)


class _VerbatimTLSConnection(_VerbatimConnection, HTTPSConnection):
    pass


class _VerbatimPool(HTTPConnectionPool):
    ConnectionCls = _VerbatimConnection


class _VerbatimTLSPool(HTTPSConnectionPool):
    ConnectionCls = _VerbatimTLSConnection


def _use_verbatim_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _VerbatimPool, "https": _VerbatimTLSPool}


def pause_s(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Tell how long to wait before the next try, in seconds.

    Args:
        attempt: 1 after the first failure; the pause doubles with each, with jitter.
        headers: Of the refusal; its ``Retry-After`` wins, up to two minutes.
    """
    asked = _retry_after_s(headers or {})
    if asked is not None:
        return min(asked, _LONGEST_RETRY_AFTER_S)
    longest: float = min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S)
    jitter: float = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
    return longest * jitter


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``, seconds or a date by the server's clock (RFC 9110)."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, IndexError):
        return None


def shown(url: str) -> str:
    """Reduce a URL to what may be printed: scheme, host and path."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an unreadable URL"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def status_text(status: int) -> str:
    """Name a status as HTTP does: ``503 Service Unavailable``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def is_final(error: requests.RequestException) -> bool:
    """Whether trying again cannot help: TLS, or an unusable redirect."""
    final = (
        requests.exceptions.SSLError,
        requests.exceptions.TooManyRedirects,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
    )
    return isinstance(error, final)


def reason(error: requests.RequestException) -> str:
    """Say what happened, in our words: the error's own text holds the URL."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS certificate refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or 'handshake failure'}"
        if isinstance(cause, socket.gaierror):
            return "host name not found"
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return cause.strerror.lower()
    return _kind(error)


def _kind(error: requests.RequestException) -> str:
    kinds = (
        (requests.exceptions.ProxyError, "the proxy refused"),
        (requests.exceptions.ConnectTimeout, f"no connection in {CONNECT_TIMEOUT_S} s"),
        (requests.exceptions.Timeout, "no byte for too long"),
        (requests.exceptions.TooManyRedirects, f"more than {MAX_REDIRECTS} redirects"),
        (requests.exceptions.InvalidURL, "redirected to an unusable URL"),
        (
            requests.exceptions.InvalidSchema,
            "redirected to another scheme than http(s)",
        ),
    )
    for kind, words in kinds:
        if isinstance(error, kind):
            return words
    return "the connection was cut"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk an error's causes, also those that urllib3 keeps as arguments."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__context__, current.__cause__]
        waiting += [getattr(current, "reason", None), *current.args]
