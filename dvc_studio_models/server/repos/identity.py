"""What all URLs of one repo have in common."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from dvc_studio_models.registry.urls import LOCAL, identity


@dataclass(frozen=True)
class Identity:
    """Host and path, which all URLs of one repo have in common."""

    host: str
    """Lower case; ``LOCAL`` for a path, empty for ``owner/name`` alone."""

    path: str
    """Without the outer slashes and ``.git``."""

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.host else self.path

    @property
    def stem(self) -> str:
        """A name for links, made of the end of the path."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", posixpath.basename(self.path))
        return stem.strip("-") or "repo"

    def is_like(self, other: Identity) -> bool:
        """Whether both may be one repo: ``owner/name`` fits any host.

        ``host/owner/name`` has no host either: it may be a group in a group.
        """
        if LOCAL in {self.host, other.host} or "" not in {self.host, other.host}:
            return False
        host, _, path = other.path.partition("/")
        whole = f"{host.lower()}/{path}"
        return other.path == self.path or (not other.host and whole == str(self))

    @classmethod
    def of(cls, url: str) -> Identity:
        """Read a URL, an scp-like address, a path or ``owner/name``."""
        return cls(*identity(url))
