"""Notes which repo a request is about: for the log, and for the headers of mirrors.

Every reply about a mirrored repo has headers that say how old the mirror is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.server.monitoring.access_log import note

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dvc_studio_models.server.mirrors.state import MirrorStatus
    from dvc_studio_models.server.site.site import Site

AGE = b"x-mirror-age"
"""Seconds since the last good fetch."""

STALE = b"x-mirror-stale"
"""``true`` if new tags may be missing; not sent otherwise."""

_KEY = "mirror"


def note_repo(request: Request, site: Site, key: str) -> MirrorStatus | None:
    """Note which repo a request is about; return how fresh it is if it is a mirror.

    Errors have the headers too: a version may be missing because the mirror is stale.
    """
    note(request, repo=key)
    status = site.mirrors.status(key)
    if status:
        request.scope[_KEY] = status
    return status


class MirrorHeaders:
    """The layer that adds the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start" and _KEY in scope:
                message["headers"] = [*message["headers"], *_headers(scope[_KEY])]
            await send(message)

        await self._app(scope, receive, adding)


def _headers(status: MirrorStatus) -> list[tuple[bytes, bytes]]:
    age_s = status.age_s
    age = [] if age_s is None else [(AGE, f"{age_s:.0f}".encode())]
    return [*age, *([(STALE, b"true")] if status.is_stale else [])]
