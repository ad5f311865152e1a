"""The endpoint of Studio's API that pulls use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from servers.behaviour import OK, Behaviour, json_reply
from servers.links import PLANTED_TOKEN
from servers.server import Reply, Server, refusal

if TYPE_CHECKING:
    from servers.wire import Exchange

ENDPOINT = "/api/model-registry/get-download-uris"
REPO_REFUSED = (
    "Permission denied or repo not found, "
    "check that origin is a self-hosted gitlab repo"
)

Links = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Repo path -> signed URL, or a callable that returns it for each request."""
Models = Mapping[tuple[str, str | None], Links]
"""(name, version or stage; None for the latest) -> files."""
Responder = Callable[[dict[str, str]], tuple[int, Mapping[str, str], bytes]]
"""Query -> status, headers, body."""


class StudioServer(Server):
    """Serves ``models``, or the results of a callable for each query."""

    def __init__(
        self,
        models: Models | Responder | None = None,
        *,
        token: str = PLANTED_TOKEN,
        prefix: str = "",
        behaviour: Behaviour = OK,
        clock_offset_s: float = 0,
    ) -> None:
        super().__init__(behaviour=behaviour, clock_offset_s=clock_offset_s)
        self.token = token
        self.prefix = prefix
        self.challenge: str | None = None
        """``WWW-Authenticate`` of a 401."""
        self.accept_bearer: Callable[[str], bool] = lambda _: False
        """Whether a token of another kind is accepted, too."""
        self.repos: set[str] | None = None
        """The registered repos; None: all repos."""
        self._responder = models if callable(models) else None
        self._models: dict[tuple[str, str | None], Links] = (
            {} if models is None or callable(models) else dict(models)
        )

    @property
    def url(self) -> str:
        """The value of ``studio.url``."""
        return f"{self.origin()}{self.prefix}"

    @property
    def endpoint(self) -> str:
        """The path of the endpoint, for scripts and behaviours."""
        return f"{self.prefix}{ENDPOINT}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a client."""
        return {"DVC_STUDIO_URL": self.url, "DVC_STUDIO_TOKEN": self.token}

    def serve(
        self,
        name: str,
        files: Links,
        *,
        version: str | None = None,
        stage: str | None = None,
    ) -> None:
        """Serve ``files`` for ``name`` at each given selector, or as the latest."""
        for selector in {version, stage} - {None} or {None}:
            self._models[name, selector] = files

    def answer(self, exchange: Exchange) -> Reply:
        """Respond as Studio does."""
        refused = self._refused(exchange)
        if refused is not None:
            return refusal(refused)
        if self._responder is not None:
            status, headers, body = self._responder(exchange.params)
            return Reply(status, body, dict(headers))
        return refusal(self._resolve(exchange.params))

    def _refused(self, exchange: Exchange) -> Behaviour | None:
        if exchange.path != self.endpoint:
            return _detail(404, "Not found.")
        if exchange.method != "GET":
            return _detail(405, f'Method "{exchange.method}" not allowed.')
        authorization = exchange.headers.get("authorization")
        if authorization is None:
            return self._unauthorized("Authentication credentials were not provided.")
        if authorization.startswith("Bearer ") and self.accept_bearer(
            authorization[7:]
        ):
            return None
        if authorization != f"token {self.token}":
            return self._unauthorized("Invalid token.")
        return None

    def _unauthorized(self, message: str) -> Behaviour:
        refused = _detail(401, message)
        challenge = {"WWW-Authenticate": self.challenge} if self.challenge else {}
        return replace(refused, headers={**refused.headers, **challenge})

    def _resolve(self, query: Mapping[str, str]) -> Behaviour:
        missing = [name for name in ("repo", "name") if not query.get(name)]
        if missing:
            return json_reply(
                {name: ["This field is required."] for name in missing}, 400
            )
        if {"version", "stage"} <= query.keys():
            message = "version and stage are mutually exclusive"
            return json_reply({"non_field_errors": [message]}, 400)
        if self.repos is not None and query["repo"] not in self.repos:
            return _detail(400, REPO_REFUSED)
        selector = query.get("version") or query.get("stage")
        links = self._models.get((query["name"], selector))
        if links is None:
            return _detail(404, "Model not found.")
        return json_reply(links() if callable(links) else dict(links))


def _detail(status: int, message: str) -> Behaviour:
    return json_reply({"detail": message}, status)
