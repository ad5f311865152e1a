"""Where DVC remotes are, and where those of a repo may be.

Whoever can push to a repo can name any folder or bucket in its config, also those of
another team, which the server could read for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOCAL = "local"
"""DVC's name for a folder of this machine."""

SERVICES = {"s3": "endpointurl", "azure": "account_name"}
"""Kind of remote -> its option that names the service."""


@dataclass(frozen=True)
class Place:
    """A folder, or a bucket and a folder in it."""

    protocol: str
    """DVC's name for its kind."""

    parts: tuple[str, ...]
    """Bucket or host, and the names of folders; of a folder, without symlinks."""

    service: str | None = None
    """The endpoint of S3, the account of Azure; None for the one that is usual."""

    @classmethod
    def of_remote(cls, protocol: str, path: str, settings: Mapping[str, Any]) -> Place:
        """Return the place of a remote, with its service.

        Args:
            protocol: DVC's name for its kind.
            path: In DVC's file system, see :meth:`of`.
            settings: Its options.
        """
        option = SERVICES.get(protocol)
        service = option and settings.get(option)
        return replace(cls.of(protocol, path), service=service)

    @classmethod
    def of(cls, protocol: str, path: str) -> Place:
        """Return the place of a remote.

        Args:
            protocol: DVC's name for its kind.
            path: In DVC's file system: ``bucket/folder``, the URL of an http server, or
                a folder.
        """
        if protocol == LOCAL:
            return cls(LOCAL, Path(os.path.realpath(path)).parts)
        if protocol in {"http", "https"}:
            host, *rest = path.partition("://")[2].split("/")
            return cls(protocol, (host.lower(), *_without_last(rest)))
        return cls(protocol, tuple(_without_last(path.split("/"))))

    @classmethod
    def of_url(cls, url: str) -> Place:
        """Return the place of a root, as the operator names it."""
        protocol, separator, path = url.partition("://")
        if not separator:
            return cls.of(LOCAL, os.path.expanduser(url))
        is_http = protocol in {"http", "https"}
        return cls.of(protocol.lower(), url if is_http else path)

    @classmethod
    def of_json(cls, value: tuple[str, list[str], str | None]) -> Place:
        """Return the place that :meth:`to_json` has returned."""
        protocol, parts, service = value
        return cls(protocol, tuple(parts), service)

    def to_json(self) -> tuple[str, list[str], str | None]:
        """Return what JSON can hold."""
        return self.protocol, list(self.parts), self.service

    def is_in(self, roots: Iterable[Place]) -> bool:
        """Whether it is one of the roots, or a folder in one."""
        if any(unquote(part) in {"..", "."} or "?" in part for part in self.parts):
            return False
        return any(
            root.protocol == self.protocol
            and self.parts[: len(root.parts)] == root.parts
            for root in roots
        )

    def overlaps(self, other: Place) -> bool:
        """Whether one is the other or inside of it; a service may have two names."""
        return self.is_in([other]) or other.is_in([self])

    def __str__(self) -> str:
        path = "/".join(self.parts).replace("//", "/", 1)
        at = f" at {self.service}" if self.service else ""
        return path if self.protocol == LOCAL else f"{self.protocol}://{path}{at}"


def _without_last(parts: list[str]) -> list[str]:
    """Return the parts of a path without slashes at its end."""
    while parts and not parts[-1]:
        parts = parts[:-1]
    return parts
