"""Paths and signed links as object stores have them, with planted secrets."""

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
"""None of these may ever be seen in output, logs, file names or process arguments."""

_serial = count(1)


def object_path(content: bytes, *, dvc2: bool = False, prefix: str = "") -> str:
    """Give the path under which a DVC remote keeps ``content``.

    Args:
        content: The file's bytes.
        dvc2: The layout of DVC 2, without ``files/md5``.
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
    """Add a query to ``url`` as a store's signature has it; no two are equal.

    The quoting is odd on purpose (``%7E`` and ``%2f`` in lower case are changed by
    clients that quote anew), so a link is only good when sent byte for byte.

    Args:
        url: Without a query.
        expires_s: Life of the link, rounded to seconds.
        now: When it is signed; the present if not given.
        style: Whose names the query uses.
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
