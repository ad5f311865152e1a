"""The cookie of somebody who has signed in: his token, encrypted. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken

from dvc_studio_models.server.links.signing_key import signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = "dvc_studio_models_session"
"""How the names of cookies start."""

SESSION_S = 12 * 3600
"""Life of a session, in seconds."""

MAX_COOKIE = 3800
"""The longest value, in characters; browsers keep no cookie of more than 4096."""

_NAME_CHARS = 12
_LABEL = b"page cookie"


def cookie_of(server_url: str) -> str:
    """Return the name of a server's cookie.

    A browser shares cookies among the ports of a host, and sends one to all paths below
    its own. With a name for each server, one leaves the sessions of another.
    """
    return f"{COOKIE}_{hashlib.sha256(server_url.encode()).hexdigest()[:_NAME_CHARS]}"


class Sessions:
    """Turns tokens into values of the cookie, and back."""

    def __init__(self, secret: bytes, *, now: Callable[[], float] = time.time) -> None:
        """Store the key.

        Args:
            secret: The same in all processes that share their cookies.
            now: Returns the time, in seconds since 1970.
        """
        key = hmac.new(secret, _LABEL, hashlib.sha256).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self._now = now

    @classmethod
    def from_environment(cls) -> Sessions:
        """Take the signing key of links; a random one, if none is set."""
        return cls(signing_key())

    def seal(self, token: str) -> str | None:
        """Return the cookie of a token, None if a browser would not keep it."""
        at = int(self._now())
        value = self._fernet.encrypt_at_time(token.encode(), at).decode()
        return value if len(value) <= MAX_COOKIE else None

    def open(self, value: str) -> str | None:
        """Return the token of a cookie, None if it is not ours, or has expired."""
        at = int(self._now())
        try:
            raw = self._fernet.decrypt_at_time(value.encode(), SESSION_S, at)
        except (InvalidToken, ValueError):
            return None
        return raw.decode()
