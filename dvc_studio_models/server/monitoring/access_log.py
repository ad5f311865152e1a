"""Logs requests without queries, tokens and signatures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import JSONResponse

from dvc_studio_models.server.errors.requests import StoppingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("dvc.dvc_studio_models.server")

_PLAIN = re.compile(r"[^\s\"=\\]+", re.ASCII)


def note(request: Request, **facts: object) -> None:
    """Add facts to the request's line in the log."""
    request.scope.setdefault("facts", {}).update(facts)


class AccessLog:
    """The outermost layer: logs a line for each request, and raises no exception."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        facts = scope["facts"] = {}
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
            line = {
                "time": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
                "client": (scope["client"] or [""])[0],
                "method": scope["method"],
                "path": quote(scope["path"]),
                "status": status,
                "ms": f"{(time.perf_counter() - begun) * 1000:.1f}",
                **facts,
            }
            with contextlib.suppress(OSError):  # stdout is closed
                logger.info("%s", _logfmt(line))


def _logfmt(facts: Mapping[str, object]) -> str:
    """Write ``key=value`` pairs without empty values, quoted where necessary."""
    pairs = ((name, str(value)) for name, value in facts.items())
    return " ".join(f"{name}={_quoted(value)}" for name, value in pairs if value)


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
