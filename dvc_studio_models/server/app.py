"""The ASGI application: all routes, and how errors become replies.

Answers as Studio's own API does. An error is a JSON object with one sentence under
``detail``; on the pages for people, it is a page.

Nothing here touches a file system or Git on the event loop: a mount that hangs would
stop every repo.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from dvc_studio_models.server.errors.requests import RefusedError, TokenRefusedError
from dvc_studio_models.server.heads import CheckHeads
from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.monitoring.access_log import AccessLog, note
from dvc_studio_models.server.routes.document import DocumentRoutes
from dvc_studio_models.server.routes.health import HealthRoutes
from dvc_studio_models.server.routes.mirror_headers import MirrorHeaders
from dvc_studio_models.server.routes.models import ModelRoutes
from dvc_studio_models.server.routes.objects import ObjectRoutes
from dvc_studio_models.server.routes.webhooks import WebhookRoutes
from dvc_studio_models.server.web.pages import Pages

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route
    from starlette.types import ASGIApp

    from dvc_studio_models.server.site.site import Site

PREFIXES = ("", "/{prefix:path}")


def create_app(site: Site) -> ASGIApp:
    """Build the ASGI application of a site."""
    # Below a prefix, the path of a page may be like one of the API.
    pages = Pages(site)
    routes = [*list_routes(site), *list_pages(pages)]
    paths: dict[object, str] = {
        route.endpoint: route.path for route in reversed(routes)
    }
    app = Starlette(
        routes=routes,
        exception_handlers={
            RefusedError: _refused,
            HTTPException: functools.partial(_http_error, pages),
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    checked = CheckHeads(MirrorHeaders(app))
    return AccessLog(checked, log_format=site.config.log_format, routes=paths)


def list_routes(site: Site) -> list[Route]:
    """List the routes of the API, also below any prefix that a proxy adds."""
    groups = (
        ModelRoutes(site),
        ObjectRoutes(site),
        HealthRoutes(site),
        WebhookRoutes(site),
        DocumentRoutes(),
    )
    return [
        route for prefix in PREFIXES for each in groups for route in each.routes(prefix)
    ]


def list_pages(pages: Pages) -> list[Route]:
    """List the routes of the pages, also below any prefix that a proxy adds."""
    return [route for prefix in PREFIXES for route in pages.routes(prefix)]


async def _refused(request: Request, exc: Any) -> Response:
    if exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # for the operator
        note(request, detail=exc.for_log)
    if isinstance(exc, TokenRefusedError):
        metrics.refused_tokens.labels("invalid" if exc.given else "missing").inc()
    return JSONResponse({"detail": str(exc)}, exc.status, exc.headers)


async def _http_error(pages: Pages, request: Request, exc: Any) -> Response:
    if exc.status_code == HTTPStatus.NOT_FOUND and request.method == "GET":
        page = pages.show_missing(request)
        if page is not None:
            return page
    return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)


async def _failed(_request: Request, _exc: Exception) -> Response:
    return JSONResponse({"detail": "internal error; the server's log has details"}, 500)
