"""The style sheet, the script and the icon of the pages, read once, at the start."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER = Path(__file__).parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str
    version: str
    """Changes with the content."""


class Assets:
    """Answers with the files that the pages need."""

    def __init__(self) -> None:
        """Read them."""
        self._by_name = {path.name: _read(path) for path in FOLDER.iterdir()}

    def href(self, name: str) -> str:
        """Return the link to a file, relative to the first page."""
        return f"static/{name}?v={self._by_name[name].version}"

    def get(self, name: str, request: Request) -> Response | None:
        """Answer with a file, None if there is none of this name."""
        asset = self._by_name.get(name)
        if asset is None:
            return None
        is_current = request.query_params.get("v") == asset.version
        etag = f'"{asset.version}"'
        headers = {
            "Cache-Control": f"public, max-age={_YEAR_S}, immutable"
            if is_current
            else "no-cache",
            "ETag": etag,
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, _TYPES[path.suffix], version)
