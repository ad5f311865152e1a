"""Failures of HTTP: which to retry, after how long, and how to describe them.

Promises that no text from here contains a URL's query or a character that controls a
terminal.
"""

from __future__ import annotations

import os
import random
import re
import socket
import ssl
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONNECT_TIMEOUT_S = 10
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LONGEST_RETRY_AFTER_S = 120.0
_CUT = "the connection was cut"
_CUT_IN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_TUNNEL = re.compile(r"Tunnel connection failed: (.*)", re.DOTALL)  # http.client's


def backoff_s(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Return how long to wait before the next try, in seconds.

    Args:
        attempt: 1 after the first failure; the pause doubles with each, with jitter.
        headers: Of the response; its ``Retry-After`` takes precedence, up to two
            minutes.
    """
    retry_after = _retry_after_s(headers or {})
    if retry_after is not None:
        return min(retry_after, _LONGEST_RETRY_AFTER_S)
    longest: float = min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S)
    jitter: float = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
    return longest * jitter


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Parse ``Retry-After``: seconds, or a date by the server's clock (RFC 9110)."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def sanitize(text: str) -> str:
    """Return a server's text as one line without characters that control a terminal."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line)


def status_text(status: int) -> str:
    """Return a status with its name in HTTP: ``503 Service Unavailable``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def describe_bad_bundle() -> str:
    """Name the variable that leads to the CA bundle, which is none."""
    is_curls = (
        not os.environ.get("REQUESTS_CA_BUNDLE") and "CURL_CA_BUNDLE" in os.environ
    )
    name = "CURL_CA_BUNDLE" if is_curls else "REQUESTS_CA_BUNDLE"
    return f"{name} is not a CA bundle"


def is_permanent(error: requests.RequestException) -> bool:
    """Return whether another try would fail too: TLS, or an unusable address."""
    if any(isinstance(cause, _CUT_IN_TLS) for cause in _causes(error)):
        return False
    permanent = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
    )
    return isinstance(error, permanent)


def is_unresolved(error: requests.RequestException) -> bool:
    """Return whether the host name could not be resolved."""
    return any(isinstance(cause, socket.gaierror) for cause in _causes(error))


def describe_error(error: requests.RequestException) -> str:
    """Describe an error in our words: its own text contains the URL."""
    words = _describe_cause(error) or _describe_kind(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy failed ({words}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return words


def _describe_cause(error: requests.RequestException) -> str | None:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _describe_tls_error(cause)
        if isinstance(cause, socket.gaierror):
            return "host name not found"
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return cause.strerror.lower()
        if isinstance(cause, OSError) and (tunnel := _TUNNEL.fullmatch(str(cause))):
            return sanitize(tunnel[1])
    return None


def _describe_tls_error(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate refused: {error.verify_message}"
    if isinstance(error, _CUT_IN_TLS):
        return _CUT
    return f"TLS failed: {error.reason or 'handshake failure'}"


def _describe_kind(error: requests.RequestException) -> str:
    kinds = (
        (requests.exceptions.ProxyError, "no answer"),
        (requests.exceptions.ConnectTimeout, f"no connection in {CONNECT_TIMEOUT_S} s"),
        (requests.exceptions.Timeout, "no data for too long"),
        (requests.exceptions.SSLError, describe_bad_bundle()),
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
    """Yield an error and its causes, also those that urllib3 stores as arguments."""
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
