"""What both HTTP rooms share: sessions, the retry table, and words for failures.

Owns how we speak HTTP, not what is said: no request is made here. Promises sessions
that send no credentials but those given (``~/.netrc`` stays out, proxies and CA bundles
of the environment stay in), that fail with nothing but ``requests``' own errors, and
that keep a URL's query from logs and reasons, those of urllib3 included.
"""

from __future__ import annotations

import functools
import ipaddress
import random
import re
import socket
import ssl
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import PoolManager

CONNECT_TIMEOUT_S = 10
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_REDIRECTS = 5
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LONGEST_RETRY_AFTER_S = 120.0
_CUT = "the connection was cut"
_CUT_IN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_TUNNEL = re.compile(r"Tunnel connection failed: (.*)", re.DOTALL)  # http.client's
_METADATA_ADDRESSES = {
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
}
"""Of Alibaba, Azure, Oracle and AWS; the others use link-local ones."""
_LEADING_TO_IPV4 = tuple(
    map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96"))
)
"""The last 32 bits are an IPv4 address: compatible, mapped, translated (RFC 6052)."""


def make_session(*, token: str | None = None, connections: int = 1) -> requests.Session:
    """Make the session of one role.

    Args:
        token: Sent as ``Authorization: token ...`` with every request; None sends none.
            Either way ``auth`` is set, which keeps ``~/.netrc`` out: S3 answers 400 to
            two kinds of credentials.
        connections: How many are kept open to one host.
    """
    session = _Session()

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"token {token}"
        return request

    session.auth = authorize
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _VerbatimAdapter(pool_connections=connections, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Session(requests.Session):
    """Leaves redirects to who sends: requests would read their bodies, however long."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        return None


TARGET = "\0target"
"""Names the header that carries a target, byte for byte, to the connection."""


class _VerbatimAdapter(HTTPAdapter):
    """Sends URLs byte for byte: urllib3 would write ``%2f`` as ``%2F``.

    A signature may be over the very bytes. The target travels in a header of ours,
    which the connection takes out again; urllib3, which logs what it is told and puts
    it into its errors, is told no query.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_verbatim_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _use_verbatim_pools(manager)
        return manager

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return str(super().request_url(request, proxies)).partition("?")[0]

    def add_headers(self, request: requests.PreparedRequest, **kwargs: Any) -> None:
        super().add_headers(request, **kwargs)
        proxies = kwargs.get("proxies") or {}
        request.headers[TARGET] = super().request_url(request, proxies)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        try:
            return super().send(request, *args, **kwargs)
        except requests.RequestException:
            raise
        except HTTPError:  # a host name that cannot be one
            raise requests.exceptions.InvalidURL from None
        except OSError:  # a CA bundle that is not there
            raise requests.exceptions.SSLError from None


class _Verbatim:
    """Mixed into urllib3's connections, be they plain, TLS or SOCKS."""

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any
    ) -> None:
        headers = dict(headers or {})
        url = headers.pop(TARGET, url)
        super().request(method, url, body, headers, **kw)  # type: ignore[misc]


@functools.cache
def _verbatim_pool(pool: Any) -> Any:
    if issubclass(pool.ConnectionCls, _Verbatim):
        return pool
    connection = type("_Connection", (_Verbatim, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _use_verbatim_pools(manager: PoolManager) -> None:
    """Derive from the manager's own pools: those of a SOCKS proxy are others."""
    pools = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {
        scheme: _verbatim_pool(pool) for scheme, pool in pools
    }


def backoff_s(attempt: int, headers: Mapping[str, str] | None = None) -> float:
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
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def redact_url(url: str) -> str:
    """Reduce a URL to what may be printed: scheme, host and path."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an unreadable URL"
    return sanitize(f"{parts.scheme}://{host}{parts.path}")


def sanitize(text: str) -> str:
    """Make one line of what a server says, without characters that steer a terminal."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line)


def is_metadata_host(host: str) -> bool:
    """Whether ``host`` is link-local, or hands out a cloud machine's credentials.

    No file lies there. Only the name is looked at, in every form that the system's
    resolver takes for an IPv4 address: ``nas.local`` may well be link-local.
    """
    host = host.rstrip(".").lower().partition("%")[0]  # an IPv6 address's zone
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return host in {"metadata", "metadata.google.internal"}
    both = (address, *_embedded(address))
    return any(a.is_link_local or str(a) in _METADATA_ADDRESSES for a in both)


def _embedded(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> Iterator[ipaddress.IPv4Address]:
    """Find the IPv4 address that an IPv6 address leads to, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour:
            yield address.sixtofour
        if any(address in network for network in _LEADING_TO_IPV4):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def status_text(status: int) -> str:
    """Name a status as HTTP does: ``503 Service Unavailable``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def is_permanent(error: requests.RequestException) -> bool:
    """Whether trying again cannot help: TLS, or an address that cannot be used."""
    if any(isinstance(cause, _CUT_IN_TLS) for cause in _causes(error)):
        return False
    final = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
    )
    return isinstance(error, final)


def is_unresolved(error: requests.RequestException) -> bool:
    """Whether the host's name could not be turned into an address."""
    return any(isinstance(cause, socket.gaierror) for cause in _causes(error))


def describe_error(error: requests.RequestException) -> str:
    """Say what happened, in our words: the error's own text holds the URL."""
    words = _cause(error) or _kind(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy failed ({words}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return words


def _cause(error: requests.RequestException) -> str | None:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(cause)
        if isinstance(cause, socket.gaierror):
            return "host name not found"
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return cause.strerror.lower()
        if isinstance(cause, OSError) and (tunnel := _TUNNEL.fullmatch(str(cause))):
            return sanitize(tunnel[1])
    return None


def _tls_failure(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate refused: {error.verify_message}"
    if isinstance(error, _CUT_IN_TLS):
        return _CUT
    return f"TLS failed: {error.reason or 'handshake failure'}"


def _kind(error: requests.RequestException) -> str:
    kinds = (
        (requests.exceptions.ProxyError, "no answer"),
        (requests.exceptions.ConnectTimeout, f"no connection in {CONNECT_TIMEOUT_S} s"),
        (requests.exceptions.Timeout, "no data for too long"),
        (requests.exceptions.SSLError, "REQUESTS_CA_BUNDLE is not a CA bundle"),
        (
            requests.exceptions.InvalidURL,
            "its address or the proxy's cannot be used",
        ),
        (
            requests.exceptions.InvalidSchema,
            "a SOCKS proxy needs 'pip install requests[socks]'",
        ),
    )
    for kind, words in kinds:
        if isinstance(error, kind):
            return words
    return _CUT


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
