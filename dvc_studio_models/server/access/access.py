"""Checks the tokens of requests, of whatever kind they are."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dvc_studio_models.server.access.principal import EVERYBODY
from dvc_studio_models.server.access.tokens import Tokens
from dvc_studio_models.server.errors.requests import TokenRefusedError
from dvc_studio_models.server.monitoring.access_log import note

if TYPE_CHECKING:
    from starlette.requests import Request

    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.config.values import ServeConfig

SCHEMES = ("token", "bearer")
"""Of the header ``Authorization``: Studio's own, and that of RFC 6750."""


class Access:
    """Says whose a token is."""

    def __init__(self, config: ServeConfig) -> None:
        """Accept the tokens of the config; all requests if it requires none."""
        self._tokens = None if config.tokens is None else Tokens(config.tokens)

    async def authenticate(self, request: Request) -> Principal:
        """Return who sends a request, and note it for the log.

        Raises:
            TokenRefusedError: The request has no token, or one that is not accepted.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() in SCHEMES else ""
        principal = await self.authenticate_token(given)
        if principal.name:
            note(request, user=principal.name)
        return principal

    async def authenticate_token(self, token: str) -> Principal:
        """Return the owner of a token.

        Args:
            token: As it was sent; empty for none.

        Raises:
            TokenRefusedError: There is no token, or it is not accepted.
        """
        if self._tokens is None:
            return EVERYBODY
        if not token:
            raise TokenRefusedError(given=False)
        sha256 = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = self._tokens.find(sha256)
        if found is None:
            raise TokenRefusedError(given=True)
        return found
