"""Connections to storage: as requests would make them, for a fraction of its cost.

Owns the sockets. How a host is reached (proxies, CA bundle) is asked of requests once
for each host, and then its pool of connections is used directly: all that a session
does for one request takes longer than a small file travels, and reading the CA bundle
again for each connection takes 35 ms. Promises that targets go out byte for byte, with
no credentials but those in the URL; that a server which is silent too long is cut off;
and that all failures are ``requests``' own errors.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
import weakref
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import requests
import urllib3
from urllib3 import exceptions
from urllib3.util.ssl_ import create_urllib3_context

from dvc_studio_models.http.session import CONNECT_TIMEOUT_S, TARGET, make_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool
    from urllib3.connection import HTTPConnection as _Connection
else:
    _Connection = object

_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "dvc-studio-models",
}


class ConnectionPools:
    """Sends GETs, from any number of threads."""

    def __init__(self, *, connections: int, idle_s: float) -> None:
        """Open nothing yet.

        Args:
            connections: How many are kept open to one host.
            idle_s: The longest silence, in seconds: between two bytes of a body, or
                until the head of an answer is whole, however its bytes drip.
        """
        self._session = make_session(connections=connections)
        self._timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=idle_s)
        self._deadlines = _ResponseDeadlines(idle_s)
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Send a request; redirects are the caller's to follow.

        Raises:
            requests.RequestException: No answer came.
        """
        with translated():
            scheme, netloc, *_ = urlsplit(url)
            host = self._host(f"{scheme}://{netloc}")
            path = url[len(scheme) + 3 + len(netloc) :].partition("#")[0]
            target = f"{host.prefix}{path if path.startswith('/') else f'/{path}'}"
            return host.pool.urlopen(
                "GET",
                target.partition("?")[0],  # what urllib3 logs, and puts into errors
                headers={**_HEADERS, **host.headers, **headers, TARGET: target},
                timeout=self._timeout,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )

    def cut_silent(self) -> None:
        """End the wait for answers that are overdue."""
        self._deadlines.cut_overdue()

    def cut_all(self) -> None:
        """End all requests, also from another thread than theirs."""
        self._deadlines.cut_all()

    def close(self) -> None:
        """Close the connections; those in use are closed by who uses them."""
        for host in self._hosts.values():
            host.pool.close()
        self._session.close()

    def _host(self, origin: str) -> _Host:
        with self._lock:
            if origin not in self._hosts:
                self._hosts[origin] = _reach(self._session, origin, self._deadlines)
            return self._hosts[origin]


@dataclass(frozen=True)
class _Host:
    """How to send to a host."""

    pool: HTTPConnectionPool
    prefix: str
    """What goes before a target: nothing, or the origin for a proxy."""
    headers: Mapping[str, str]


def _reach(
    session: requests.Session, origin: str, deadlines: _ResponseDeadlines
) -> _Host:
    """Ask requests how to reach a host."""
    scheme, netloc, *_ = urlsplit(origin)
    url = f"{scheme}://{netloc.rpartition('@')[2]}/"
    settings: Mapping[str, Any] = session.merge_environment_settings(
        url, {}, stream=True, verify=None, cert=None
    )
    verify, cert, proxies = (settings[key] for key in ("verify", "cert", "proxies"))
    request = requests.Request("GET", url).prepare()
    adapter: Any = session.get_adapter(url)
    pool = adapter.get_connection_with_tls_context(request, verify, proxies, cert)
    adapter.cert_verify(pool, url, verify, cert)
    if isinstance(pool, urllib3.HTTPSConnectionPool):
        _read_bundle(pool)
    # Another user's URL of the same origin may have brought the pool here.
    if not issubclass(pool.ConnectionCls, _DeadlineConnection):
        bases = (_DeadlineConnection, pool.ConnectionCls)
        pool.ConnectionCls = type("DeadlineConnection", bases, {"deadlines": deadlines})
    prefix = adapter.request_url(request, proxies).removesuffix("/")
    return _Host(pool, prefix, _credentials(origin))


def _read_bundle(pool: urllib3.HTTPSConnectionPool) -> None:
    """Read the CA bundle once; urllib3 would do it for each connection."""
    context = create_urllib3_context()
    if pool.ca_certs or pool.ca_cert_dir:
        context.load_verify_locations(pool.ca_certs, pool.ca_cert_dir)
        pool.ca_certs = pool.ca_cert_dir = None
        pool.conn_kw["ssl_context"] = context


def _credentials(origin: str) -> Mapping[str, str]:
    parts = urlsplit(origin)
    if parts.username is None:
        return {}
    names = (parts.username, parts.password or "")
    raw = b":".join(map(unquote_to_bytes, names))
    return {"Authorization": f"Basic {base64.b64encode(raw).decode()}"}


class _ResponseDeadlines:
    """The sockets that are open, and by when some must have brought an answer."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._due: dict[Any, float] = {}
        self._lock = threading.Lock()

    def add(self, sock: object) -> None:
        with self._lock:
            self._open.add(sock)

    @contextlib.contextmanager
    def waiting(self, sock: object) -> Iterator[None]:
        """Cut ``sock`` off where the block takes too long.

        A socket's own timeout starts anew at each byte: one byte a second would keep
        us for ever.
        """
        deadline = time.monotonic() + self._longest_s
        with self._lock:
            self._due[sock] = deadline
        try:
            yield
        except (OSError, HTTPException):
            if time.monotonic() < deadline:
                raise
            raise TimeoutError from None
        finally:
            with self._lock:
                del self._due[sock]

    def cut_overdue(self) -> None:
        with self._lock:
            now = time.monotonic()
            for sock, deadline in self._due.items():
                if deadline < now:
                    _cut(sock)

    def cut_all(self) -> None:
        with self._lock:
            for sock in self._open:
                _cut(sock)


def _cut(sock: Any) -> None:
    """Let a read of another thread find the end."""
    plain = getattr(sock, "socket", sock)  # urllib3's TLS within TLS
    with contextlib.suppress(OSError):
        # SSLSocket.shutdown would let ciphertext through as if it were content.
        socket.socket.shutdown(plain, socket.SHUT_RDWR)


class _DeadlineConnection(_Connection):
    """Mixed into urllib3's kinds of connection, be they plain, TLS or SOCKS."""

    deadlines: _ResponseDeadlines

    def connect(self) -> None:
        super().connect()
        self.deadlines.add(self.sock)

    def getresponse(self) -> Any:
        with self.deadlines.waiting(self.sock):
            return super().getresponse()


_KINDS = (
    (exceptions.ProxyError, requests.exceptions.ProxyError),
    (exceptions.SSLError, requests.exceptions.SSLError),
    (exceptions.ConnectTimeoutError, requests.exceptions.ConnectTimeout),
    (exceptions.ReadTimeoutError, requests.exceptions.ReadTimeout),
    (exceptions.DecodeError, requests.exceptions.ContentDecodingError),
    (exceptions.LocationValueError, requests.exceptions.InvalidURL),
    (exceptions.HTTPError, requests.exceptions.ConnectionError),
)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn urllib3's errors into those of requests, as its adapter does.

    Raises:
        requests.RequestException: What failed, with urllib3's error as its cause.
    """
    try:
        yield
    except exceptions.HTTPError as error:
        kind = next(ours for theirs, ours in _KINDS if isinstance(error, theirs))
        raise kind(error) from error
    except requests.RequestException:
        raise
    except OSError as error:  # a CA bundle that is not there
        raise requests.exceptions.SSLError from error
