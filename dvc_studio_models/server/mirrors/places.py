"""Where a mirror is in the folder of mirrors. No I/O."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from dvc_studio_models.errors import UsageError
from dvc_studio_models.registry.urls import is_local, strip_secrets

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from dvc_studio_models.server.config.values import RepoConfig, ServeConfig

_HASH_CHARS = 8


@dataclass(frozen=True)
class MirrorPlace:
    """The files of one mirror.

    Their names depend on its URL too: if the config gives a name to another repo, the
    mirror of the old one is not served under it.
    """

    data: Path
    stem: str

    @classmethod
    def of(cls, data: Path, name: str, url: str) -> MirrorPlace:
        """Return the place of the mirror of a URL; its password does not matter."""
        digest = hashlib.sha256(strip_secrets(url).encode()).hexdigest()
        return cls(data, f"{quote(name, safe='')}-{digest[:_HASH_CHARS]}")

    @property
    def repo(self) -> Path:
        """The bare repo; there once it is complete."""
        return self.data / f"{self.stem}.git"

    @property
    def clone_prefix(self) -> str:
        """How the name of the bare repo begins while it is being cloned.

        Each clone has a name of its own: Git outlives a server that is killed, and
        empties its folder when it fails.
        """
        return f".{self.stem}.clone-"

    def is_clone(self, name: str) -> bool:
        """Whether a file's name is that of an unfinished clone."""
        return re.fullmatch(rf"{re.escape(self.clone_prefix)}\w+", name) is not None

    @property
    def old(self) -> Path:
        """The bare repo that a new clone replaces, until that has its name."""
        return self.data / f".{self.stem}.old"

    @property
    def state(self) -> Path:
        """The file of its state."""
        return self.data / f"{self.stem}.json"

    @property
    def lock(self) -> Path:
        """The file that whoever writes to the mirror has locked."""
        return self.data / f"{self.stem}.lock"


def with_paths(config: ServeConfig) -> ServeConfig:
    """Return the config in which each mirror has a name, and its path.

    Raises:
        UsageError: There are mirrors, but no folder for them.
    """
    taken = {repo.name for repo in config.repos}
    repos = []
    for repo in config.repos:
        if repo.url is None:
            repos.append(repo)
            continue
        if config.data is None:
            msg = "repos with a 'url' need 'data', the folder of their mirrors"
            raise UsageError(msg)
        named = _named(repo, taken)
        taken.add(named.name)
        url = repo.url
        if is_local(url) and "://" not in url:
            url = os.path.abspath(url)  # noqa: PTH100 - Git runs elsewhere
        place = MirrorPlace.of(config.data.absolute(), named.name, url)
        repos.append(replace(named, url=url, path=os.fspath(place.repo)))
    return replace(config, repos=tuple(repos))


def _named(repo: RepoConfig, taken: Collection[str]) -> RepoConfig:
    """Return the repo with a name; by default its URL's last part."""
    if repo.name:
        return repo
    end = posixpath.basename(strip_secrets(repo.url or "").rstrip("/"))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", end.removesuffix(".git")).strip("-")
    name = stem = stem or "repo"
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return replace(repo, name=name)
