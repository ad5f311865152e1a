"""A Git host, as GitHub and GitLab are: users, their tokens and permissions."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING

from servers.behaviour import json_reply
from servers.server import Reply, Server, refusal

if TYPE_CHECKING:
    from servers.wire import Exchange

GITHUB_TOKEN = "github_pat_PLANTED0123456789abcdef"
GITLAB_TOKEN = "glpat-PLANTED0123456789ab.cd.ef"


class GitHostServer(Server):
    """Knows users by their tokens; does what the real ones do with others."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, str | None] = {}
        """Token -> name; None: this token may not ask for the name."""
        self.private: dict[str, set[str]] = {}
        """Path of a repo -> the tokens that may clone it."""
        self.public: set[str] = set()
        """Paths of the repos that everybody may clone."""

    @property
    def url(self) -> str:
        """The base URL of the web pages, and of repos."""
        return self.origin()

    def cloned(self, token: str | None = None) -> list[str]:
        """Return the paths of repos about which Git's question was asked, in order."""
        return sorted(
            each.path.removesuffix("/info/refs").removesuffix(".git").strip("/")
            for each in self.requests
            if each.path.endswith("/info/refs") and _token_of(each) == token
        )

    def answer(self, exchange: Exchange) -> Reply:
        """Respond as such a host does."""
        token = _token_of(exchange)
        if exchange.path in {"/api/v3/user", "/api/v4/user"}:
            return self._user(exchange.path, token)
        if not exchange.path.endswith(".git/info/refs"):
            return Reply(404)
        return self._refs(exchange, token)

    def _user(self, path: str, token: str | None) -> Reply:
        if token not in self.users:
            return refusal(json_reply({"message": "Bad credentials"}, 401))
        name = self.users[token]
        if name is None:
            return refusal(json_reply({"error": "insufficient_scope"}, 403))
        field = "login" if path == "/api/v3/user" else "username"
        return refusal(json_reply({field: name}, 200))

    def _refs(self, exchange: Exchange, token: str | None) -> Reply:
        path = exchange.path.removesuffix(".git/info/refs").strip("/")
        assert exchange.params == {"service": "git-upload-pack"}
        if token is not None and token not in self.users:
            return Reply(401, headers={"WWW-Authenticate": "Basic"})
        if path in self.public or token in self.private.get(path, set()):
            kind = "application/x-git-upload-pack-advertisement"
            return Reply(200, b"000eversion 2\n0000", {"Content-Type": kind})
        if token is None:
            return Reply(401, headers={"WWW-Authenticate": "Basic"})
        return Reply(404)


def _token_of(exchange: Exchange) -> str | None:
    scheme, _, value = exchange.headers.get("authorization", "").partition(" ")
    if scheme == "Basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(value).decode().partition(":")[2]
    return value if scheme == "Bearer" else None
