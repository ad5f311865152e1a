"""URLs: which may be requested, where a redirect may lead, and how a URL is printed.

Promises that nothing follows a redirect that was not checked here, and that a printed
URL contains no query, user name or password.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from dvc_studio_models.http.failures import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_REDIRECTS = 5
_PATH = re.compile(r"[/?#]")  # where the path starts, or what follows without one
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


class _Closable(Protocol):
    def close(self) -> None: ...


R = TypeVar("R", bound=_Closable)


class RedirectRejected(Exception):  # noqa: N818 - a signal, never shown
    """A redirect may not be followed."""

    def __init__(self, target: str | None) -> None:
        super().__init__(target)
        self.target = target
        """The redacted URL; None if it cannot be parsed."""


class TooManyRedirects(Exception):  # noqa: N818
    """There were too many redirects."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_REDIRECTS} redirects")


def follow_redirects(
    url: str, send: Callable[[str], tuple[R, str | None]], *, same_origin: bool = False
) -> tuple[R, str]:
    """Send a request and follow its redirects.

    Args:
        url: Where to begin.
        send: Sends a request to a URL; returns the response, and its ``Location`` if it
            is a redirect.
        same_origin: Whether a redirect may only lead to the origin of ``url``, because
            a token is sent along. Otherwise it may lead to any host but those that hand
            out a cloud machine's credentials, and never from https to http.

    Returns:
        The response and its URL.

    Raises:
        RedirectRejected: A redirect leads where it may not.
        TooManyRedirects: There are more than ``MAX_REDIRECTS``.
    """
    for _ in range(MAX_REDIRECTS + 1):
        response, location = send(url)
        if location is None:
            return response, url
        response.close()
        url = redirect_target(url, location, same_origin=same_origin)
    raise TooManyRedirects


def redirect_target(url: str, location: str, *, same_origin: bool = False) -> str:
    """Return where the ``Location`` of a response leads, if it may lead there.

    Raises:
        RedirectRejected: It may not; the rules are those of :func:`follow_redirects`.
    """
    try:
        target = urljoin(url, location)
        allowed = (
            origin_of(target) == origin_of(url)
            if same_origin
            else _may_lead(url, target) and find_url_problem(target) is None
        )
    except ValueError:
        raise RedirectRejected(None) from None
    if not allowed:
        raise RedirectRejected(redact_url(target))
    return target


def _may_lead(url: str, target: str) -> bool:
    return urlsplit(url).scheme == "http" or urlsplit(target).scheme == "https"


def origin_of(url: str) -> tuple[str, str | None, int]:
    """Return the scheme, host and port of a URL.

    Raises:
        ValueError: It cannot be parsed.
    """
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, parts.hostname, parts.port or default


def find_url_problem(url: object) -> str | None:
    """Say why a URL cannot be requested, without quoting it; None if it can."""
    if not isinstance(url, str):
        return "its URL is not a string"
    # Programs differ in what a backslash means, and so in which host they see.
    is_plain = url.isascii() and url.isprintable()
    if not is_plain or " " in url or "\\" in url:
        return "its URL contains characters that URLs cannot have"
    scheme, colon, rest = url.partition("://")
    return _find_origin_problem(scheme + colon + _PATH.split(rest, maxsplit=1)[0])


@functools.lru_cache(maxsize=16)  # thousands of files have few origins
def _find_origin_problem(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
        port_ok = parts.port != 0
    except ValueError:
        return "its URL cannot be parsed"
    host = parts.hostname or ""
    # Programs differ in whether they decode an escape in a host.
    host_ok = host and (":" in host or "%" not in host)
    if parts.scheme not in {"http", "https"} or not host_ok or not port_ok:
        return "its URL is not of the form http(s)://host[:port]/..."
    if is_metadata_host(host):
        return "its URL points to a link-local address"
    return None


def redact_url(url: str) -> str:
    """Reduce a URL to the scheme, host and path, which may be printed."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an unreadable URL"
    return sanitize(f"{parts.scheme}://{host}{parts.path}")


def is_metadata_host(host: str) -> bool:
    """Return whether ``host`` is link-local, or a cloud's metadata service.

    Such a service hands out the machine's credentials, and stores no files. Only the
    name is checked, in every form that the system's resolver takes for an IPv4 address:
    ``nas.local`` may well be link-local.
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
    """Yield the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour:
            yield address.sixtofour
        if any(address in network for network in _LEADING_TO_IPV4):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
