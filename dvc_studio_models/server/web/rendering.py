"""Renders the pages: the templates, what they call, and the headers of each page."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from starlette.templating import Jinja2Templates

from dvc_studio_models.model import format_bytes, format_date
from dvc_studio_models.server.web.stages import tone_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from dvc_studio_models.server.web.assets import Assets

FOLDER = Path(__file__).parent / "templates"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of each page: no script, style or frame of another site."""

_COMMIT = re.compile("[0-9a-f]{40,64}")
_UNITS = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
    (1, "second"),
)
_NOW_S = 10


class Renderer:
    """Makes pages from templates that are read at the start."""

    def __init__(self, assets: Assets) -> None:
        """Read the templates."""
        texts = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
        env = jinja2.Environment(
            loader=jinja2.DictLoader(texts),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        env.filters.update(
            ago=ago, bytes=format_bytes, date=day, iso=format_date, short=shorten
        )
        env.globals.update(asset=assets.href, tone=tone_of)
        for name in texts:
            env.get_template(name)
        self._templates = Jinja2Templates(env=env)

    def render(
        self, request: Request, template: str, *, status: int = 200, **values: Any
    ) -> Response:
        """Return a page.

        Args:
            request: The request.
            template: The name of its template.
            status: Of the reply.
            values: What the template shows.
        """
        context = {"root": root_of(request), **values}
        return self._templates.TemplateResponse(
            request, template, context, status, HEADERS
        )


def root_of(request: Request) -> str:
    """Return the first page's URL relative to the requested one.

    So links are right behind any proxy, whichever prefix it adds or removes.
    """
    path = request.scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1")
    prefix = request.path_params.get("prefix", "")
    below = path.count("/") - (prefix.count("/") + 1 if prefix else 0)
    return "../" * max(below - 1, 0) or "./"


def shorten(version: str) -> str:
    """Shorten a commit; return a version as it is."""
    return version[:7] if _COMMIT.fullmatch(version) else version


def ago(moment: float, now: float | None = None) -> str:
    """Return how long ago a moment was.

    Args:
        moment: In seconds since 1970.
        now: The same; by default, the clock's time.
    """
    seconds = int((time.time() if now is None else now) - moment)
    for unit_s, name in _UNITS:
        if seconds >= _NOW_S and (count := seconds // unit_s):
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def day(moment: int) -> str:
    """Return the day of a moment, in UTC, as ``2026-01-31``."""
    return format_date(moment).partition("T")[0]


def clock() -> int:
    """Return the time, in seconds since 1970."""
    return int(datetime.now(timezone.utc).timestamp())
