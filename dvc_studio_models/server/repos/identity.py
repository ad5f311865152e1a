"""What all URLs of one repo have in common."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from dvc_studio_models.registry.urls import LOCAL, identity, may_be_same


@dataclass(frozen=True)
class Identity:
    """Host and path, which all URLs of one repo have in common."""

    host: str
    """Lower case; ``LOCAL`` for a path, empty for ``owner/name`` alone."""

    path: str
    """Without the outer slashes and ``.git``."""

    stem: str = field(default="repo", compare=False)
    """A name for links, made of the end of the path as it was spelled."""

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.host else self.path

    @property
    def rough_path(self) -> str:
        """What the paths of all identities that may be of one repo have in common."""
        return self.path.lower().removeprefix("scm/")

    @property
    def with_host(self) -> Identity | None:
        """What ``host/owner/name`` is, which may also be a group in a group."""
        return None if self.host else Identity.of(f"https://{self.path}")

    def is_like(self, other: Identity) -> bool:
        """Whether both may be one repo: ``owner/name`` fits any host."""
        if LOCAL in {self.host, other.host} or "" not in {self.host, other.host}:
            return False
        pair = (self.host, self.path), (other.host, other.path)
        return may_be_same(*pair) or other.with_host == self

    @classmethod
    @functools.lru_cache(maxsize=1024)  # clients ask for the same few
    def of(cls, url: str) -> Identity:
        """Read a URL, an scp-like address, a path or ``owner/name``."""
        end = re.split("[/:]", unquote(url).rstrip("/"))[-1].removesuffix(".git")
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", end).strip("-")
        return cls(*identity(url), stem or "repo")
