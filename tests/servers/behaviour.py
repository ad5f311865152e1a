"""How a server treats a request: one frozen value, and ready-made refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDLESS_BYTES = 1 << 60  # announced for an endless body


@dataclass(frozen=True)
class Redirect:
    """Where a request is sent instead."""

    status: int = 302
    location: str | None = None
    """Sent as it is; None: the same path on this server, which then answers."""
    hops: int = 1
    """Redirects before the answer, when ``location`` is None."""
    host: str = "127.0.0.1"
    """Maybe another name of this server (``localhost``), when ``location`` is None."""


@dataclass(frozen=True)
class Behaviour:
    """What a server does with a request; the default is an honest server.

    ``StudioServer`` obeys the groups from "body" on; the first two are about objects.
    """

    # Ranges and identity.
    ranges: bool = True
    """False: the whole object with 200, whatever was asked."""
    accept_ranges: bool = True
    """Whether ``Accept-Ranges: bytes`` is sent."""
    refuse_ranges: bool = False
    """416 to every Range."""
    range_limit: int | None = None
    """Most bytes of one 206, which says truly what it holds."""
    start_shift: int = 0
    """Added to what Content-Range names as start and end; the bytes stay right."""
    total_shift: int = 0
    """Added to what Content-Range names as total."""
    empty: Literal["nginx", "s3", "azure"] = "nginx"
    """A Range of an empty object: 200; 416 without Content-Range; 206 ``0--1/0``."""
    etag: str | None = "strong"
    """``strong`` (MD5), ``weak``, ``changing`` at every request, or the very header."""
    if_match: bool = True
    """Whether If-Match is honoured with 412; If-Range is not, as in most stores."""
    content_md5: bool = False
    """Send Content-MD5 of the whole object, as Azure does."""

    # Signed links.
    signature_required: bool = False
    """403 unless the path and query are, byte for byte, a link that still lives."""
    refuse_head: bool = True
    """403 to HEAD, as a signed S3 link answers."""

    # The body.
    wrong_bytes: bool = False
    """The right size, but the first byte is not the right one."""
    resize: int = 0
    """Bytes added at the end or (negative) left out; Content-Length tells the truth."""
    endless: bool = False
    """Zeros follow the body until the client hangs up."""
    gzip: bool = False
    """Content-Encoding: gzip, unasked."""
    framing: Literal["length", "chunked", "close"] = "length"
    """How the client learns the end; ``close``: only by the end of the connection."""
    cut_after: int | None = None
    """Bytes of the body after which the connection ends."""
    reset: bool = False
    """A connection that is cut ends with RST, not FIN."""
    close_before_answer: bool = False
    """Read the request, then end the connection."""
    keep_alive: bool = True
    """False: one request a connection."""

    # The answer itself.
    status: int | None = None
    """Answer this and ``reply`` instead of what was asked for."""
    reply: bytes = b""
    """Body that goes with ``status``."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Set in the answer; None removes."""
    redirect: Redirect | None = None

    # Time, in seconds.
    delay_s: float = 0
    """Silence before the first byte of the answer."""
    bytes_per_s: int | None = None
    """Limit of each connection."""
    stall_after: int | None = None
    """Bytes of the body after which nothing comes for ``stall_s``."""
    stall_s: float = 3600
    no_answer: bool = False
    """Read the request and stay silent."""
    header_drip_s: float = 0
    """Pause after each byte of the status line and headers."""


OK = Behaviour()


def json_reply(value: object, status: int = 200) -> Behaviour:
    """Answer ``value`` as JSON."""
    return Behaviour(
        status=status,
        reply=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )


def busy(
    status: int = 503, *, retry_after: float | datetime | None = None
) -> Behaviour:
    """Refuse for now; Retry-After in seconds or, for a datetime in UTC, as date."""
    if isinstance(retry_after, datetime):
        return Behaviour(status=status, headers={"Retry-After": http_date(retry_after)})
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Behaviour(status=status, headers=headers)


def http_date(when: datetime) -> str:
    """Write ``when``, in UTC, as HTTP headers do."""
    return format_datetime(when, usegmt=True)


def s3_error(status: int, code: str, message: str = "") -> Behaviour:
    """Refuse as S3 does, with ``code`` in a small XML document."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>"
        "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
    return _xml(status, xml.encode())


def azure_error(status: int, code: str, message: str = "") -> Behaviour:
    """Refuse as Azure does: the XML starts with a byte order mark."""
    xml = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
    return _xml(status, xml.encode("utf-8-sig"), {"x-ms-error-code": code})


def _xml(
    status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> Behaviour:
    kind = {"Content-Type": "application/xml"}
    return Behaviour(status=status, reply=body, headers={**kind, **(headers or {})})


ACCESS_DENIED = s3_error(403, "AccessDenied", "Access Denied")
REQUEST_EXPIRED = s3_error(403, "AccessDenied", "Request has expired")
TOKEN_EXPIRED = s3_error(400, "ExpiredToken", "The provided token has expired.")
NO_SUCH_KEY = s3_error(404, "NoSuchKey", "The specified key does not exist.")
BAD_SIGNATURE = s3_error(
    403,
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided.",
)
TWO_AUTHS = s3_error(
    400, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm"
)
PRECONDITION_FAILED = s3_error(
    412,
    "PreconditionFailed",
    "At least one of the pre-conditions you specified did not hold",
)
INVALID_RANGE = s3_error(416, "InvalidRange", "The requested range is not satisfiable")
AZURE_REFUSED = azure_error(
    403,
    "AuthenticationFailed",
    "Server failed to authenticate the request. Make sure the value of "
    "Authorization header is formed correctly including the signature.",
)
