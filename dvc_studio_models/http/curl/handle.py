"""Handles of libcurl, set up as storage requires, and their failures in our words.

libcurl reads no variable and no file of the user by itself. Promises that the request
target is sent byte for byte, that libcurl follows no redirect and speaks nothing but
HTTP/1.1 with http and https, and that no text from here contains a URL's query.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dvc_studio_models.http.curl.routes import BAD_ADDRESS
from dvc_studio_models.http.failures import (
    CONNECT_TIMEOUT_S,
    describe_bad_bundle,
    sanitize,
    status_text,
)

if TYPE_CHECKING:
    import pycurl

    from dvc_studio_models.http.curl.routes import Route

_BUFFER_BYTES = 64 << 10  # at a time: larger ones cost memory and win nothing
_CUT = "the connection was cut"
_QUICK_EXIT = 322  # options that pycurl does not name
_SUPPRESS_CONNECT_HEADERS = 265
_REFUSED = re.compile(r"(?:verify result|certificate problem): (.*?)(?: \(\d+\))?$")
_E_PROXY = 97  # an error that pycurl does not name
_TUNNEL_OPEN = 200
_TLS_REASON = re.compile(r"error:[0-9A-F]+:[^:]*:[^:]*:(.*)")
_TLS_ALERT = re.compile(r"error:[0-9A-F]+:[^:]*:[^:]*:([^,]*\balert\b[^,]*)")
_SOCKET_FAILURE = re.compile(r"(?:Recv|Send) failure: ")
_TLS_EOF = re.compile(
    r"unexpected eof|error:0{8}|SSL_ERROR_(SYSCALL|ZERO_RETURN)|errno", re.I
)


def make_handle(route: Route) -> pycurl.Curl:
    """Return a handle for requests to one origin; only the target is left to be set."""
    import pycurl

    handle = pycurl.Curl()
    for option, value in (
        (pycurl.URL, f"{route.origin}/"),
        (pycurl.PATH_AS_IS, 1),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.FOLLOWLOCATION, 0),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.HTTP_CONTENT_DECODING, 0),
        (pycurl.NETRC, pycurl.NETRC_IGNORED),
        (pycurl.USERAGENT, "dvc-studio-models"),
        (pycurl.HTTPHEADER, list(headers_of(route))),
        (_SUPPRESS_CONNECT_HEADERS, 1),
        (pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S),
        (pycurl.NOSIGNAL, 1),
        (pycurl.TCP_NODELAY, 1),
        (pycurl.BUFFERSIZE, _BUFFER_BYTES),
        (_QUICK_EXIT, 1),
        *_proxy_options(route),
        *_tls_options(route),
    ):
        handle.setopt(option, value)
    return handle


def headers_of(route: Route) -> tuple[str, ...]:
    """Return the headers of each request to one origin."""
    return ("Accept-Encoding: identity", *route.headers)


def _proxy_options(route: Route) -> list[tuple[int, object]]:
    """Set a proxy or none: libcurl reads the environment for what is not set."""
    import pycurl

    options: list[tuple[int, object]] = [
        (pycurl.PROXY, route.proxy),
        (pycurl.NOPROXY, "" if route.proxy else "*"),
    ]
    if route.proxy_user:
        name, password = route.proxy_user
        options += [(pycurl.PROXYUSERNAME, name), (pycurl.PROXYPASSWORD, password)]
    return options


def _tls_options(route: Route) -> list[tuple[int, object]]:
    import pycurl

    if route.bundle is None:
        return []
    options: list[tuple[int, object]] = [
        (pycurl.SSL_VERIFYPEER, 1),
        (pycurl.SSL_VERIFYHOST, 2),
        (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
    ]
    if os.path.isdir(route.bundle):  # noqa: PTH112 - a str for libcurl
        names, other = ("CAPATH", "PROXY_CAPATH"), ("CAINFO", "PROXY_CAINFO")
    else:
        names, other = ("CAINFO", "PROXY_CAINFO"), ("CAPATH", "PROXY_CAPATH")
    options += [(getattr(pycurl, name), None) for name in other]
    # pycurl encodes a str as ASCII.
    bundle = os.fsencode(route.bundle)
    return options + [(getattr(pycurl, name), bundle) for name in names]


def describe_failure(handle: pycurl.Curl, code: int, route: Route) -> tuple[str, bool]:
    """Describe the failure of a request.

    Returns:
        Our words, as libcurl's may contain the URL; and whether another try would fail
        too.
    """
    if _is_unconnected(handle) and (problem := _find_local_problem()):
        return problem, False
    if not route.proxy or not _is_of_proxy(handle, code, route):
        return _describe(handle, code, route, route.origin)
    words, is_permanent = _describe(handle, code, route, route.proxy)
    words = "no answer" if words == _CUT else words
    hint = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return f"the proxy failed ({words}); {hint}", is_permanent


def _is_unconnected(handle: pycurl.Curl) -> bool:
    import pycurl

    return bool(handle.getinfo(pycurl.CONNECT_TIME) == 0)


def _find_local_problem() -> str | None:
    """Return why no socket can be opened: libcurl does not say it."""
    try:
        socket.socket().close()
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return None


def _is_of_proxy(handle: pycurl.Curl, code: int, route: Route) -> bool:
    """Return whether a failure is the proxy's: storage was not reached."""
    import pycurl

    if code == pycurl.E_SSL_CACERT_BADFILE:
        return False
    if _is_unconnected(handle) or code == _E_PROXY:
        return True
    if route.prefix:
        tls = {pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CONNECT_ERROR}
        return code == pycurl.E_GOT_NOTHING or code in tls
    is_open = handle.getinfo(pycurl.HTTP_CONNECTCODE) == _TUNNEL_OPEN
    return route.proxy.startswith("http") and not is_open


def _describe(
    handle: pycurl.Curl, code: int, route: Route, peer: str
) -> tuple[str, bool]:
    """Describe the failure of ``peer``, the origin of storage or of the proxy."""
    import pycurl

    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        return f"TLS certificate refused: {_refusal(handle, peer)}", True
    if code == pycurl.E_SSL_CONNECT_ERROR or _is_late_refusal(handle, code):
        return _describe_handshake(handle)
    if code == pycurl.E_SSL_CACERT_BADFILE:
        return describe_bad_bundle(), True
    if code == pycurl.E_URL_MALFORMAT:
        return BAD_ADDRESS, True
    refused = handle.getinfo(pycurl.HTTP_CONNECTCODE)
    if route.proxy and refused not in {0, _TUNNEL_OPEN}:
        return status_text(refused), False
    return _describe_connection(handle, code), False


def _is_late_refusal(handle: pycurl.Curl, code: int) -> bool:
    """Return whether the handshake was refused after our part of it, as in TLS 1.3."""
    import pycurl

    if code != pycurl.E_RECV_ERROR or handle.getinfo(pycurl.HEADER_SIZE):
        return False
    return bool(_TLS_ALERT.search(handle.errstr()))


def _describe_handshake(handle: pycurl.Curl) -> tuple[str, bool]:
    text = handle.errstr()
    alert = _TLS_ALERT.search(text)
    if not alert and (_TLS_EOF.search(text) or _SOCKET_FAILURE.match(text)):
        return _CUT, False
    reason = alert or _TLS_REASON.search(text)
    what = reason[1].lower() if reason else "handshake failure"
    return f"TLS failed: {sanitize(what)}", True


def _describe_connection(handle: pycurl.Curl, code: int) -> str:
    import pycurl

    if code in {pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY}:
        return "host name not found"
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return f"no connection in {CONNECT_TIMEOUT_S} s"
    if code in {pycurl.E_FTP_WEIRD_SERVER_REPLY, pycurl.E_UNSUPPORTED_PROTOCOL}:
        return "its response is not valid HTTP"
    # After a connection, the number may still be that of another address of the host.
    is_of_this = _is_unconnected(handle) or _SOCKET_FAILURE.match(handle.errstr())
    number = handle.getinfo(pycurl.OS_ERRNO)
    if is_of_this and number:
        return os.strerror(number).lower()
    return _CUT


def _refusal(handle: pycurl.Curl, peer: str) -> str:
    """Describe what is wrong with a certificate, in the words of Python's ssl."""
    problem = _REFUSED.search(handle.errstr())
    if problem:
        return sanitize(problem[1])
    host = urlsplit(peer).hostname or ""
    is_address = ":" in host or host.replace(".", "").isdecimal()
    what = "IP address" if is_address else "Hostname"
    return f"{what} mismatch, certificate is not valid for '{host}'."
