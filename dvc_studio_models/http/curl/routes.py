"""How an origin is reached: its proxy and its CA bundle.

Promises the decisions of requests, from ``HTTPS_PROXY``, ``NO_PROXY``,
``REQUESTS_CA_BUNDLE`` and the like, with no credentials but those in the URLs.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from dvc_studio_models.http.failures import describe_bad_bundle
from dvc_studio_models.http.urls import is_metadata_host

if TYPE_CHECKING:
    from urllib.parse import SplitResult

BAD_ADDRESS = "its address or the proxy's cannot be used"
_PROXY_SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9._-]+", re.I)
_IPV6 = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*(?:%[a-z0-9._-]+)?", re.I)


class RouteError(Exception):
    """A host cannot be reached as the environment says; another try would fail too."""


@dataclass(frozen=True)
class Route:
    """How an origin is reached."""

    origin: str
    """Scheme, host and port, without user and password."""

    headers: tuple[str, ...] = ()
    """The Authorization that the URL's user and password make."""

    bundle: str | None = None
    """The file or folder of CA certificates; None for http."""

    proxy: str = ""
    """Scheme, host and port; empty for none."""

    proxy_user: tuple[bytes, bytes] | None = None
    """Name and password."""

    prefix: str = ""
    """What the target begins with: the origin, if an HTTP proxy is asked for it."""


def split_url(url: str) -> tuple[str, str]:
    """Split a URL into its origin, with user and password, and the request target."""
    scheme, _, rest = url.partition("://")
    end = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    target = rest[end:].partition("#")[0]
    return f"{scheme}://{rest[:end]}", target if target[:1] == "/" else f"/{target}"


def find_route(origin: str) -> Route:
    """Let requests decide how an origin is reached.

    Raises:
        RouteError: The host, its proxy or the CA bundle cannot be used.
    """
    import requests
    from requests.utils import select_proxy

    parts, bare = _split_origin(origin)
    if is_metadata_host(urlsplit(bare).hostname or ""):
        raise RouteError(BAD_ADDRESS)
    with requests.Session() as session:
        settings = session.merge_environment_settings(
            f"{bare}/", {}, stream=True, verify=None, cert=None
        )
    bundle = None
    proxy, user, is_socks = "", None, False
    if chosen := select_proxy(f"{bare}/", settings["proxies"]):
        proxy, user = _split_proxy(chosen if "://" in chosen else f"http://{chosen}")
        is_socks = proxy.startswith("socks")
    if parts.scheme == "https" or proxy.startswith("https:"):
        bundle = _find_bundle(settings["verify"])
    prefix = bare if proxy and parts.scheme == "http" and not is_socks else ""
    return Route(bare, _credentials(parts), bundle, proxy, user, prefix)


def _split_origin(url: str) -> tuple[SplitResult, str]:
    """Return the parts of an origin, and it written anew from them.

    libcurl is told the latter: it may read another host in what the parser accepts.
    """
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        raise RouteError(BAD_ADDRESS) from None
    host = _ascii_host(parts.hostname or "")
    host = f"[{host}]" if ":" in host else host
    return parts, f"{parts.scheme}://{host}{port}"


def _ascii_host(host: str) -> str:
    """Return a host as DNS knows it; libcurl would decode escapes in it."""
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        raise RouteError(BAD_ADDRESS) from None
    if not (_NAME.fullmatch(host) or _IPV6.fullmatch(host)):
        raise RouteError(BAD_ADDRESS)
    return host


def _split_proxy(url: str) -> tuple[str, tuple[bytes, bytes] | None]:
    parts, proxy = _split_origin(url)
    if parts.scheme not in _PROXY_SCHEMES:
        raise RouteError(BAD_ADDRESS)
    if not parts.port:
        proxy = f"{proxy.removesuffix(':0')}:{_PORTS.get(parts.scheme, 1080)}"
    if parts.username is None:
        return proxy, None
    return proxy, (_as_bytes(parts.username), _as_bytes(parts.password or ""))


def _as_bytes(quoted: str) -> bytes:
    """Encode a name or password as requests does, or as the URL does."""
    try:
        raw = unquote(quoted).encode("latin-1")
    except UnicodeEncodeError:
        raw = unquote_to_bytes(quoted.encode(errors="surrogateescape"))
    if b"\0" in raw:
        raise RouteError(BAD_ADDRESS)
    return raw


def _find_bundle(verify: object) -> str:
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    if not os.path.exists(bundle):  # noqa: PTH110 - a str for libcurl
        raise RouteError(describe_bad_bundle())
    return bundle


def _credentials(parts: SplitResult) -> tuple[str, ...]:
    if parts.username is None:
        return ()
    names = (parts.username, parts.password or "")
    raw = b":".join(map(unquote_to_bytes, names))
    return (f"Authorization: Basic {base64.b64encode(raw).decode()}",)
