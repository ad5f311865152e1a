"""The tokens that the operator has configured, by their hashes."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from dvc_studio_models.server.access.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from dvc_studio_models.server.config.values import TokenConfig


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)


class Tokens:
    """The accepted tokens."""

    def __init__(
        self,
        tokens: Sequence[TokenConfig],
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Accept these tokens.

        Args:
            tokens: Their hashes, owners and scopes.
            now: Returns the time, in UTC.
        """
        self._now = now
        self._principals = {
            each.sha256: Principal(each.name, each.repos, _end_of(each.until))
            for each in tokens
        }

    def find(self, sha256: str) -> Principal | None:
        """Return the owner of a token that has not ended, None if there is none.

        A hash is compared, so the time reveals nothing of a token.
        """
        found = self._principals.get(sha256)
        if found and found.ends and self._now() >= found.ends:
            return None
        return found


def _end_of(until: date | None) -> datetime | None:
    """Return the first moment after a day, which itself still counts."""
    if until is None:
        return None
    return datetime.combine(until, time(), timezone.utc) + timedelta(days=1)
