"""Conditional requests and ranges (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from dvc_studio_models.server.errors.models import (
    ObjectChangedError,
    RangeMissingError,
)
from dvc_studio_models.server.routes.large import LargeResponse
from dvc_studio_models.server.routes.ranges import parse_ranges

if TYPE_CHECKING:
    import os

    from starlette.requests import Request

    from dvc_studio_models.server.catalog.listing import Answer

_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def answer(request: Request, found: Answer) -> Response:
    """Answer with JSON that only this client may keep, and must ask for again."""
    headers = {
        "Cache-Control": "private, no-cache",
        "ETag": found.etag,
        "Vary": "Authorization, Cookie",
    }
    if is_known(request, found.etag):
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    return LargeResponse(found.body, headers=headers, media_type="application/json")


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this version already, by ``If-None-Match``."""
    given = ", ".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or etag in _ENTITY_TAG.findall(given)


def check_if_match(request: Request, etag: str, name: str) -> None:
    """Check the ``If-Match`` header of a request for an object, if it has one.

    Raises:
        ObjectChangedError: It names other ETags.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return
    if etag not in (tag.strip() for tag in wanted.split(",")):
        raise ObjectChangedError(name)


def choose_range(request: Request, etag: str, status: os.stat_result) -> None:
    """Replace ``Range`` in a request by ranges that the object has, or remove it.

    Starlette answers 400 where RFC 9110 says to ignore the header.

    Raises:
        RangeMissingError: The object has none of them.
    """
    given = request.headers.getlist("range")
    only_if = request.headers.get("if-range")
    headers = MutableHeaders(scope=request.scope)
    del headers["range"], headers["if-range"]
    changed = formatdate(status.st_mtime, usegmt=True)
    if len(given) != 1 or request.method != "GET" or not status.st_size:
        return
    if only_if is not None and only_if.strip() not in {etag, changed}:
        return
    ranges = parse_ranges(given[0], status.st_size)
    if ranges is None:
        return
    if not ranges:
        raise RangeMissingError(status.st_size)
    headers["range"] = "bytes=" + ",".join(f"{a}-{b}" for a, b in ranges)
