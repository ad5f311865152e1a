"""Sessions of ``requests``, and one request, whose reply is read to its end.

Promises sessions that send no credentials but those passed (``~/.netrc`` is ignored,
proxies and CA bundles of the environment are used), that send URLs byte for byte and
keep their query out of logs and errors, those of urllib3 included, and that fail with
errors of ``requests`` only.
"""

from __future__ import annotations

import functools
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from dvc_studio_models.background import ByteCounter, run_in_background
from dvc_studio_models.http.failures import CONNECT_TIMEOUT_S
from dvc_studio_models.http.studio.reply import Reply
from dvc_studio_models.http.urls import follow_redirects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import PoolManager


def make_session(
    authorization: Callable[[], str | None] = lambda: None,
) -> requests.Session:
    """Make a session for one role.

    Args:
        authorization: Returns the value of the header ``Authorization`` of a request;
            None sets none. In both cases ``auth`` is set, so that ``~/.netrc`` is not
            used.
    """
    session = _Session()

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if value := authorization():
            request.headers["Authorization"] = value
        return request

    session.auth = authorize
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _VerbatimAdapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Session(requests.Session):
    """Leaves redirects to the caller: requests would read their bodies to the end."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        return None


_CHUNK_BYTES = 1 << 16

_TARGET = "\0target"
"""Name of the header that carries the exact request target to the connection."""


class _VerbatimAdapter(HTTPAdapter):
    """Sends URLs byte for byte, and keeps their query from urllib3.

    The target travels in a header of ours, which the connection removes. urllib3, which
    writes the URL that it knows to its log and into its errors, knows no query.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _use_our_pools(manager)
        return manager

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return str(super().request_url(request, proxies)).partition("?")[0]

    def add_headers(self, request: requests.PreparedRequest, **kwargs: Any) -> None:
        super().add_headers(request, **kwargs)
        proxies = kwargs.get("proxies") or {}
        request.headers[_TARGET] = super().request_url(request, proxies)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        try:
            return super().send(request, *args, **kwargs)
        except requests.RequestException:
            raise
        except HTTPError:  # an invalid host name
            raise requests.exceptions.InvalidURL from None
        except OSError:  # the CA bundle does not exist
            raise requests.exceptions.SSLError from None


class _Connection:
    """Mixed into urllib3's connections, whether plain, TLS or SOCKS."""

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any
    ) -> None:
        headers = dict(headers or {})
        url = headers.pop(_TARGET, url)
        super().request(method, url, body, headers, **kw)  # type: ignore[misc]


@functools.cache
def _derive_pool(pool: Any) -> Any:
    if issubclass(pool.ConnectionCls, _Connection):
        return pool
    connection = type("_Connection", (_Connection, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _use_our_pools(manager: PoolManager) -> None:
    """Derive from the manager's own pools: those of a SOCKS proxy are different."""
    pools = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {
        scheme: _derive_pool(pool) for scheme, pool in pools
    }


class ReplyTooLarge(Exception):  # noqa: N818 - a signal, never shown
    """A reply is larger than the caller takes."""


def fetch(
    session: requests.Session,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    read_timeout_s: float,
    reply_timeout_s: float,
    max_bytes: int,
) -> Reply:
    """Send one request on another thread, and follow redirects within the origin.

    A resolver does not react to Ctrl-C, and a socket's timeout starts again with each
    byte.

    Args:
        session: Sends it.
        url: Sent byte for byte.
        headers: Sent too, to the same origin only.
        read_timeout_s: The longest time between two bytes, in seconds.
        reply_timeout_s: The longest time for the whole reply, in seconds.
        max_bytes: The largest body that is read.

    Raises:
        requests.RequestException: There was no reply.
        TimeoutError: It took too long.
        ReplyTooLarge: It is larger than ``max_bytes``.
        RedirectRejected: A redirect leads to another origin.
        TooManyRedirects: There are too many.
        ThreadLimitError: The system refuses to start a thread.
    """

    def send(address: str) -> tuple[requests.Response, str | None]:
        timeout = (CONNECT_TIMEOUT_S, read_timeout_s)
        response = session.get(address, headers=headers, timeout=timeout, stream=True)
        is_redirect = response.is_redirect
        return response, response.headers["Location"] if is_redirect else None

    def work() -> None:
        response, _ = follow_redirects(url, send, same_origin=True)
        with response:
            body = _read_body(response, max_bytes)
            replies.append(Reply(response.status_code, response.headers, body))

    replies: list[Reply] = []
    run_in_background(work, ByteCounter(), lambda _: None, silent_s=reply_timeout_s)
    return replies[0]


def _read_body(response: requests.Response, max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise ReplyTooLarge
    return bytes(body)
