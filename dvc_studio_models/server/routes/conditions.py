"""Conditional requests: answers that the client has already (RFC 9110, section 13)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from dvc_studio_models.server.errors.models import ObjectChangedError

if TYPE_CHECKING:
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
    return Response(found.body, headers=headers, media_type="application/json")


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
