"""How an origin is reached: its proxy and its CA bundle.

Promises the decisions of requests, from ``HTTPS_PROXY``, ``NO_PROXY``,
``REQUESTS_CA_BUNDLE`` and the like, with no credentials but those in the URLs.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes, urlsplit

BAD_ADDRESS = "its address or the proxy's cannot be used"
BAD_BUNDLE = "REQUESTS_CA_BUNDLE is not a CA bundle"
_PROXY_SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}
_PORTS = {"http": 80, "https": 443}


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

    proxy_user: tuple[str, str] | None = None
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

    parts = urlsplit(origin)
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    _check_host(parts.hostname)
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
    return Route(bare, _credentials(origin), bundle, proxy, user, prefix)


def _check_host(host: str | None) -> None:
    try:
        (host or "").encode("idna")
    except UnicodeError:
        raise RouteError(BAD_ADDRESS) from None


def _split_proxy(url: str) -> tuple[str, tuple[str, str] | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RouteError(BAD_ADDRESS) from None
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname:
        raise RouteError(BAD_ADDRESS)
    _check_host(parts.hostname)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = None
    if parts.username is not None:
        user = unquote(parts.username), unquote(parts.password or "")
    return f"{parts.scheme}://{host}:{port or _PORTS.get(parts.scheme, 1080)}", user


def _find_bundle(verify: object) -> str:
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    if not os.path.exists(bundle):  # noqa: PTH110 - a str for libcurl
        raise RouteError(BAD_BUNDLE)
    return bundle


def _credentials(origin: str) -> tuple[str, ...]:
    parts = urlsplit(origin)
    if parts.username is None:
        return ()
    names = (parts.username, parts.password or "")
    raw = b":".join(map(unquote_to_bytes, names))
    return (f"Authorization: Basic {base64.b64encode(raw).decode()}",)
