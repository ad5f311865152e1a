"""Connections to storage: made as requests makes them, at a fraction of its cost.

How a host is reached (proxies, CA bundle) is read from requests once for each host;
then its pool of connections is used directly. A session takes longer for one request
than a small file takes to arrive, and reads the CA bundle again for each connection,
which takes 35 ms. Promises that the request target is sent byte for byte, with no
credentials but those in the URL, and that all failures are errors of ``requests``.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import requests
import urllib3
from urllib3 import exceptions
from urllib3.util.ssl_ import create_urllib3_context

from dvc_studio_models.http.failures import CONNECT_TIMEOUT_S
from dvc_studio_models.http.session import TARGET, make_session

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
    """Sends GET requests, from any number of threads."""

    def __init__(self, *, connections: int, idle_s: float) -> None:
        """Store the limits; connections are opened by :meth:`get`.

        Args:
            connections: The number that stays open to one host.
            idle_s: The longest time without a byte of the body, and the longest time
                until the head of a response is complete, in seconds.
        """
        self._session = make_session(connections=connections)
        self._timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=idle_s)
        self._sockets = _OpenSockets()
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Send a request and return the response; redirects are not followed.

        Raises:
            requests.RequestException: No response came.
        """
        with as_requests_errors():
            scheme, netloc, *_ = urlsplit(url)
            host = self._host(f"{scheme}://{netloc}")
            path = url[len(scheme) + 3 + len(netloc) :].partition("#")[0]
            target = f"{host.prefix}{path if path.startswith('/') else f'/{path}'}"
            return host.pool.urlopen(
                "GET",
                target.partition("?")[0],  # what urllib3 logs and puts into errors
                headers={**_HEADERS, **host.headers, **headers, TARGET: target},
                timeout=self._timeout,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )

    def cut_all(self) -> None:
        """End all requests, also those of other threads."""
        self._sockets.cut_all()

    def close(self) -> None:
        """Close the idle connections; those in use are closed by their users."""
        for host in self._hosts.values():
            host.pool.close()
        self._session.close()

    def _host(self, origin: str) -> _Host:
        with self._lock:
            if origin not in self._hosts:
                self._hosts[origin] = _find_route(self._session, origin, self._sockets)
            return self._hosts[origin]


@dataclass(frozen=True)
class _Host:
    """How requests are sent to a host."""

    pool: HTTPConnectionPool
    prefix: str
    """The prefix of the target: empty, or the origin for a proxy."""
    headers: Mapping[str, str]


def _find_route(session: requests.Session, origin: str, sockets: _OpenSockets) -> _Host:
    """Let requests decide how a host is reached."""
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
    # A URL of the same origin with another user name shares the pool.
    if not issubclass(pool.ConnectionCls, _TrackedConnection):
        bases = (_TrackedConnection, pool.ConnectionCls)
        pool.ConnectionCls = type("TrackedConnection", bases, {"sockets": sockets})
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


class _OpenSockets:
    """The sockets that are open."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()

    def add(self, sock: object) -> None:
        with self._lock:
            self._open.add(sock)

    def cut_all(self) -> None:
        with self._lock:
            for sock in self._open:
                _cut(sock)


def _cut(sock: Any) -> None:
    """End a read, also that of another thread."""
    plain = getattr(sock, "socket", sock)  # urllib3's TLS within TLS
    with contextlib.suppress(OSError):
        # SSLSocket.shutdown would let ciphertext through as if it were content.
        socket.socket.shutdown(plain, socket.SHUT_RDWR)


class _TrackedConnection(_Connection):
    """Mixed into urllib3's connections, whether plain, TLS or SOCKS."""

    sockets: _OpenSockets

    def connect(self) -> None:
        super().connect()
        self.sockets.add(self.sock)


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
def as_requests_errors() -> Iterator[None]:
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
    except OSError as error:  # the CA bundle does not exist
        raise requests.exceptions.SSLError from error
