"""Logs and counts requests; without queries, tokens and signatures."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import JSONResponse

from dvc_studio_models.server.errors.requests import StoppingError
from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.monitoring.logs import LOGFMT, format_of, log_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("dvc.dvc_studio_models.server")

_ACCESS = {"is_access": True}


def note(request: Request, **facts: object) -> None:
    """Add facts to the request's line in the log."""
    request.scope.setdefault("facts", {}).update(facts)


class AccessLog:
    """The outermost layer: logs a line for each request, and raises no exception."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        log_format: str = LOGFMT,
        routes: Mapping[object, str] | None = None,
    ) -> None:
        """Store the application, and how its requests are logged and counted.

        Args:
            app: The application.
            log_format: ``logfmt`` or ``json``.
            routes: The path of each endpoint, by which metrics name it.
        """
        self._app = app
        self._format = format_of(log_format)
        self._routes = routes or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = sent = 0

        async def noting(message: Message) -> None:
            nonlocal status, sent
            status = message.get("status", status)
            await send(message)
            sent += len(message.get("body", b""))

        scope["facts"] = {}
        metrics.in_progress.inc()
        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:  # the server is stopping
            if not status:
                stopping = StoppingError()
                response = JSONResponse({"detail": str(stopping)}, stopping.status)
                await response(scope, receive, noting)
        except Exception:  # Starlette has sent status 500 if it still could
            logger.exception("failed to answer '%s'", quote(scope["path"]))
        finally:
            seconds = time.perf_counter() - begun
            metrics.in_progress.dec()
            self._count(scope, status, seconds, sent)
            self._log(scope, status, seconds)

    def _count(self, scope: Scope, status: int, seconds: float, sent: int) -> None:
        route = self._routes.get(scope.get("endpoint"), metrics.OTHER)
        metrics.count_request(
            route, scope["method"], status, seconds=seconds, sent=sent
        )

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        line = {
            "time": log_time(),
            "client": (scope["client"] or [""])[0],
            "method": scope["method"],
            "path": quote(scope["path"]),
            "status": status,
            "ms": round(seconds * 1000, 1),
            **scope["facts"],
        }
        logger.info("%s", self._format(line), extra=_ACCESS)
