"""Whether a webhook was sent by a Git host that knows the secret. No I/O.

GitHub, Gitea, Forgejo and Bitbucket sign the body; GitLab sends the secret itself.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGNATURES = {  # header -> what is before the digest
    "x-hub-signature-256": "sha256=",
    "x-hub-signature": "sha256=",  # Bitbucket; GitHub's own is of SHA-1
    "x-gitea-signature": "",
}
_TOKEN = "x-gitlab-token"  # noqa: S105 - a header's name

HEADERS = (*_SIGNATURES, _TOKEN)
"""The headers that can prove that a webhook knows the secret."""

_NO_SECRET = secrets.token_hex()
"""What nobody knows."""


class WebhookCheck:
    """The check of one webhook, whose body comes in pieces."""

    def __init__(self, secret: str | None) -> None:
        """Begin; None or an empty secret refuses every webhook, in the same time."""
        self._secret = (secret or _NO_SECRET).encode()
        self._digest = hmac.new(self._secret, digestmod="sha256")

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._digest.update(piece)

    def is_valid(self, headers: Mapping[str, str]) -> bool:
        """Return whether the whole body, or the header of GitLab, has the secret.

        Args:
            headers: In lower case; their bytes as Latin-1.
        """
        digest = self._digest.hexdigest()
        pairs = [
            (name, f"{before}{digest}".encode()) for name, before in _SIGNATURES.items()
        ]
        matches = [
            hmac.compare_digest(headers.get(name, "").encode("latin-1"), expected)
            for name, expected in (*pairs, (_TOKEN, self._secret))
        ]
        return any(matches)
