"""The route of the OpenAPI document, which describes all other routes of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from dvc_studio_models.server.catalog.listing import Answer
from dvc_studio_models.server.routes.conditions import answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

DOCUMENT = "/api/openapi.json"


def read_document() -> dict[str, Any]:
    """Read the document, whose server is where it was downloaded from."""
    content = Path(__file__).with_name("openapi.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(content)
    return document


class DocumentRoutes:
    """Answers what the API is."""

    def __init__(self) -> None:
        self._answer = Answer.of(read_document())

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix."""
        return [Route(f"{prefix}{DOCUMENT}", self.get_document, methods=["GET"])]

    async def get_document(self, request: Request) -> Response:
        """Answer with the document; it needs no token, and names no repo."""
        return answer(request, self._answer)
