"""How a server handles a request, as a frozen value, and common error responses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDLESS_BYTES = 1 << 60  # Content-Length of an endless body


@dataclass(frozen=True)
class Redirect:
    """A redirect of a request."""

    status: int = 302
    location: str | None = None
    """The ``Location`` header; None: the same path on this server."""
    hops: int = 1
    """Number of redirects before the response, if ``location`` is None."""
    host: str = "127.0.0.1"
    """A name of this server, such as ``localhost``, if ``location`` is None."""


@dataclass(frozen=True)
class Behaviour:
    """How a server handles a request; by default correctly.

    The first two groups are about objects: ``StudioServer`` uses only the other groups.
    """

    # Ranges and identity.
    ranges: bool = True
    """False: respond to a Range with 200 and the whole object."""
    accept_ranges: bool = True
    """Whether ``Accept-Ranges: bytes`` is sent."""
    refuse_ranges: bool = False
    """Respond with 416 to every Range."""
    range_limit: int | None = None
    """Maximum bytes of one 206; its Content-Range is correct."""
    start_shift: int = 0
    """Added to the start and end in Content-Range; the bytes stay correct."""
    total_shift: int = 0
    """Added to the total size in Content-Range."""
    empty: Literal["nginx", "s3", "azure"] = "nginx"
    """Response to a Range of an empty object: 200 from nginx; 416 without Content-Range
    from s3; 206 with ``0--1/0`` from azure."""
    etag: str | None = "strong"
    """``strong`` (MD5), ``weak``, ``changing`` per request, or any header value."""
    if_match: bool = True
    """Whether If-Match can cause 412. If-Range is ignored, as by most storage."""
    content_md5: bool = False
    """Send Content-MD5 of the whole object, as Azure does."""

    # Signed links.
    signature_required: bool = False
    """Respond with 403 unless path and query are a valid link, byte for byte."""
    refuse_head: bool = True
    """Respond with 403 to HEAD, as S3 does for a signed link."""

    # The body.
    wrong_bytes: bool = False
    """The correct size, but a wrong first byte."""
    resize: int = 0
    """Bytes added at the end or (negative) removed; Content-Length matches."""
    endless: bool = False
    """Zeros follow the body until the client closes the connection."""
    gzip: bool = False
    """Send ``Content-Encoding: gzip`` although the client did not ask for it."""
    framing: Literal["length", "chunked", "close"] = "length"
    """How the body ends; ``close``: with the end of the connection."""
    cut_after: int | None = None
    """Number of bytes of the body after which the connection is closed."""
    reset: bool = False
    """Close with RST instead of FIN."""
    close_before_answer: bool = False
    """Read the request, then close the connection."""
    keep_alive: bool = True
    """False: one request per connection."""

    # The response.
    status: int | None = None
    """Respond with this status and ``reply`` to every request."""
    reply: bytes = b""
    """Body of the response with ``status``."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Headers to set in the response; None removes a header."""
    redirect: Redirect | None = None

    # Time, in seconds.
    delay_s: float = 0
    """Pause before the first byte of the response."""
    bytes_per_s: int | None = None
    """Rate limit of each connection."""
    stall_after: int | None = None
    """Number of bytes of the body after which the server pauses for ``stall_s``."""
    stall_s: float = 3600
    no_answer: bool = False
    """Read the request and never respond."""
    header_drip_s: float = 0
    """Pause after each byte of the status line and headers."""


OK = Behaviour()


def json_reply(value: object, status: int = 200) -> Behaviour:
    """Respond with ``value`` as JSON."""
    return Behaviour(
        status=status,
        reply=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )


def busy(
    status: int = 503, *, retry_after: float | datetime | None = None
) -> Behaviour:
    """Refuse temporarily; Retry-After is in seconds, or a date if given in UTC."""
    if isinstance(retry_after, datetime):
        return Behaviour(status=status, headers={"Retry-After": http_date(retry_after)})
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Behaviour(status=status, headers=headers)


def http_date(when: datetime) -> str:
    """Format ``when``, in UTC, for HTTP headers."""
    return format_datetime(when, usegmt=True)


def s3_error(status: int, code: str, message: str = "") -> Behaviour:
    """Refuse as S3 does, with ``code`` in an XML document."""
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
