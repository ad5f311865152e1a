"""Paths and signed links like those of object storage, with planted secrets."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Literal

PLANTED_TOKEN = "PLANTED_STUDIO_TOKEN"
PLANTED_SECRETS = (
    PLANTED_TOKEN,
    "PLANTED_SECRET_SIGNATURE",
    "PLANTED_SECRET_SESSION",
    "PLANTED_SECRET_KEY",
)
"""These must never appear in output, logs, file names or process arguments."""

_serial = count(1)


def object_path(content: bytes, *, dvc2: bool = False, prefix: str = "") -> str:
    """Return the path of ``content`` on a DVC remote.

    Args:
        content: The file's bytes.
        dvc2: Use the layout of DVC 2, without ``files/md5``.
        prefix: Bucket and folder of the remote, with a leading slash.
    """
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return f"{prefix}{'' if dvc2 else '/files/md5'}/{md5[:2]}/{md5[2:]}"


def signed(
    url: str,
    *,
    expires_s: float = 3600,
    now: datetime | None = None,
    style: Literal["s3", "azure"] = "s3",
) -> str:
    """Add a query with a signature to ``url``. No two results are equal.

    The quoting is unusual on purpose (``%7E``, and ``%2f`` in lower case). Clients that
    quote a URL again change it, so a link only works if it is sent byte for byte.

    Args:
        url: URL without a query.
        expires_s: Lifetime of the link, rounded to seconds.
        now: Time of the signature; default: the current time.
        style: The storage whose parameters the query uses.
    """
    now = now or datetime.now(timezone.utc)
    query = _azure_query if style == "azure" else _s3_query
    return f"{url}?{query(now, round(expires_s))}&n={next(_serial)}"


def _s3_query(now: datetime, expires_s: int) -> str:
    return (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential=PLANTED_SECRET_KEY%2F{now:%Y%m%d}%2Fus-east-1%2Fs3"
        f"%2faws4_request&X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires={expires_s}"
        "&X-Amz-SignedHeaders=host"
        "&X-Amz-Security-Token=PLANTED_SECRET_SESSION%2F%2B%40%3D%3D%7E"
        "&X-Amz-Signature=PLANTED_SECRET_SIGNATURE"
    )


def _azure_query(now: datetime, expires_s: int) -> str:
    end = now + timedelta(seconds=expires_s)
    return (
        f"sv=2023-11-03&st={_azure_time(now)}&se={_azure_time(end)}&sr=b&sp=r"
        "&sig=PLANTED_SECRET_SIGNATURE%2B%2f%40%7E%3D"
    )


def _azure_time(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H%%3A%M%%3A%SZ}"
