"""Reads the forms that the pages send, and refuses those of other sites."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect

from dvc_studio_models.server.errors.requests import BadRequestError, RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request

FORM_BYTES = 8192
"""The longest form; a token is the longest thing in it."""

FORM_S = 10.0
"""How long, in seconds, a form may take to arrive."""

FORM_FIELDS = 10


class OtherSiteError(RefusedError):
    """The form is from a page of another site."""

    status = HTTPStatus.FORBIDDEN.value

    def __init__(self) -> None:
        super().__init__("the form was sent from another site")


class FormTooLongError(RefusedError):
    """The form has more bytes than any of ours."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE.value

    def __init__(self) -> None:
        super().__init__(f"a form has at most {FORM_BYTES} bytes")


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of one that is given twice, the last.

    Raises:
        OtherSiteError: It is from a page of another site.
        FormTooLongError: It is longer than any of ours.
        BadRequestError: It cannot be read, or did not arrive in time.
    """
    _check_site(request)
    try:
        body = await asyncio.wait_for(_read_body(request), FORM_S)
    except asyncio.TimeoutError:
        msg = f"the form has not arrived within {FORM_S:.0f} s"
        raise BadRequestError(msg) from None
    except ClientDisconnect:
        msg = "the form has not arrived: the connection was closed"
        raise BadRequestError(msg) from None
    try:
        fields = parse_qs(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FORM_FIELDS,
        )
    except ValueError:
        msg = "the form cannot be read"
        raise BadRequestError(msg) from None
    return {name: values[-1] for name, values in fields.items()}


def _check_site(request: Request) -> None:
    """Check that one of our own pages has sent a form, if a browser has."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_ours = site in {"same-origin", "none"}
    else:  # an old browser, or plain http
        origin = request.headers.get("origin")
        host = request.headers.get("host", "")
        try:
            is_ours = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # such as "http://["
            is_ours = False
    if not is_ours:
        raise OtherSiteError


async def _read_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            raise FormTooLongError
    return body
