"""Refuses heads that are ambiguous or too long, and reads whole URLs as their paths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.responses import JSONResponse

from dvc_studio_models.server.errors.requests import BadRequestError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HEAD_BYTES = 1 << 16
"""The longest head of a request. A body is never needed, and never read."""

_BETWEEN = 3  # bytes: the colon and the end of the line

_WHOLE_URL = re.compile(rb"(?i)https?://(?P<host>[^/]+)(?P<path>/.*)?")
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]{0,5})?"
)


class CheckHeads:
    """Answers 400, and closes the connection, where a head must not reach a route.

    It may be too long. With ``Content-Length`` and ``Transfer-Encoding``, a proxy may
    see one request where this server sees two (RFC 9112, section 6.1). ``Host`` becomes
    a part of links.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        problem = None
        if scope["type"] == "http":
            _use_path(scope)
            problem = _find_problem(scope)
        if problem is None:
            await self._app(scope, receive, send)
            return
        error = BadRequestError(problem)
        response = JSONResponse(
            {"detail": str(error)}, error.status, {"Connection": "close"}
        )
        await response(scope, receive, send)


def _use_path(scope: Scope) -> None:
    """Make a request one for a path where its target is a whole URL.

    Its host counts then, and not the header's (RFC 9112, section 3.2.2).
    """
    found = _WHOLE_URL.fullmatch(scope["raw_path"])
    if found:
        path = found["path"] or b"/"
        scope.update(path=unquote(path.decode("ascii")), raw_path=path)
        others = [each for each in scope["headers"] if each[0] != b"host"]
        scope["headers"] = [(b"host", found["host"]), *others]


def _find_problem(scope: Scope) -> str | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    target = len(scope["raw_path"]) + len(scope["query_string"])
    sizes = (len(name) + len(value) + _BETWEEN for name, value in headers)
    if target + sum(sizes) > HEAD_BYTES:
        return f"the head is larger than {HEAD_BYTES >> 10} KiB"
    names = {name for name, _ in headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        return "'Content-Length' and 'Transfer-Encoding' exclude each other"
    host = next((value for name, value in headers if name == b"host"), b"")
    if host and not _HOST.fullmatch(host):
        return "the header 'Host' is not valid"
    return None
