"""The operator's choices. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """The operator's choices."""

    tokens: Mapping[str, str] | None = field(repr=False)
    """Token -> its owner's name for the access log; None to require no token."""

    expires_s: int = 3600
    """Life of a link, in seconds."""

    remote: str | None = None
    """DVC remote to serve from; None for each project's default."""

    verify_objects: bool = False
    """Return links only to objects that are on the remote."""

    behind_proxy: bool = False
    """Whether only a TLS proxy can connect to this server."""
