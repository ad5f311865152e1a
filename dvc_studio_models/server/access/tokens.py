"""Checks tokens, and says which repos their owners may see."""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dvc_studio_models.server.errors.requests import TokenRefusedError
from dvc_studio_models.server.monitoring.access_log import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from dvc_studio_models.server.config.values import TokenConfig


@dataclass(frozen=True)
class Principal:
    """Who sends a request."""

    name: str
    """For the access log; may be empty."""

    repos: tuple[str, ...] = ("*",)
    """Globs of the names of the repos that he may see."""

    def may_see(self, repo: str) -> bool:
        """Whether he may know that a repo of this name is served."""
        return any(fnmatch.fnmatchcase(repo, glob) for glob in self.repos)


EVERYBODY = Principal("")


class Tokens:
    """The accepted tokens."""

    def __init__(self, tokens: Sequence[TokenConfig] | None) -> None:
        """Accept these tokens; None requires no token."""
        self._tokens = (
            None if tokens is None else {each.sha256: each for each in tokens}
        )

    def check(self, request: Request) -> Principal:
        """Check the token of a request, and note its owner for the log.

        Raises:
            TokenRefusedError: The request has no token, or one that is not accepted.
        """
        if self._tokens is None:
            return EVERYBODY
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        given = given.strip()
        if scheme.lower() != "token" or not given:
            raise TokenRefusedError(given=False)
        # A hash is compared, so the time reveals nothing of a token.
        found = self._tokens.get(hashlib.sha256(given.encode()).hexdigest())
        if found is None or _has_ended(found):
            raise TokenRefusedError(given=True)
        note(request, user=found.name)
        return Principal(found.name, found.repos)


def _has_ended(token: TokenConfig) -> bool:
    return token.until is not None and datetime.now(timezone.utc).date() > token.until
