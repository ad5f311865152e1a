"""The route by which a Git host says that something was pushed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dvc_studio_models.server.errors.requests import (
    BodyRefusedError,
    WebhookRefusedError,
)
from dvc_studio_models.server.mirrors.webhooks import WebhookCheck
from dvc_studio_models.server.monitoring.access_log import note

if TYPE_CHECKING:
    from starlette.requests import Request

    from dvc_studio_models.server.site.site import Site

WEBHOOK = "/webhook/{name:path}"

MAX_BODY_BYTES = 25 << 20
"""What GitHub sends at most. Bodies are hashed and not kept."""

BODY_S = 30.0
"""The longest, in seconds, that a body may take."""


class WebhookRoutes:
    """Answers the webhooks of a site's mirrors."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix."""
        return [Route(f"{prefix}{WEBHOOK}", self.fetch_soon, methods=["POST"])]

    async def fetch_soon(self, request: Request) -> Response:
        """Answer at once; the mirror is fetched by a thread.

        A name that is not served, a repo without a secret and a wrong signature get the
        same reply.
        """
        name = request.path_params["name"]
        check = WebhookCheck(self._site.mirrors.webhook_secret(name))
        try:
            await asyncio.wait_for(_read_body(request, check), BODY_S)
        except asyncio.TimeoutError:
            raise BodyRefusedError(408, f"took longer than {BODY_S:.0f} s") from None
        except ClientDisconnect:
            raise BodyRefusedError(400, "is incomplete") from None
        if not check.is_valid(request.headers):
            raise WebhookRefusedError
        note(request, repo=name)
        self._site.mirrors.fetch_soon(name)
        return JSONResponse({"status": "accepted"}, 202)


async def _read_body(request: Request, check: WebhookCheck) -> None:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise BodyRefusedError(413, f"is larger than {MAX_BODY_BYTES >> 20} MiB")
        check.update(piece)
