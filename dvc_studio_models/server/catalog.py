"""Which served repo a request means. Repos are opened once, at the start, never later.

A request's ``repo`` may be spelled as any Git URL. Two spellings are the same repo if
host, owner and name are, see :func:`dvc_studio_models.registry.urls.identity`.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotGitRepoError, UsageError
from dvc_studio_models.registry.git.reader import open_reader
from dvc_studio_models.registry.urls import LOCAL, identity
from dvc_studio_models.server.refusals import RepoNotServedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dvc_studio_models.registry.git.reader import GitReader


@dataclass(frozen=True)
class Identity:
    """What two spellings of one repo have in common."""

    host: str
    """Lower case; ``LOCAL`` for a path, empty for ``owner/name`` alone."""

    path: str
    """Without the outer slashes and ``.git``."""

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.host else self.path

    def is_like(self, other: Identity) -> bool:
        """Say whether both may be one repo: a name without a host fits any host.

        ``host/owner/name`` has none either, as it may be a group within a group.
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


@dataclass(frozen=True)
class ServedRepo:
    """One clone or bare repo on this machine."""

    key: str
    """Its name in links: unique, and the same in every process with the same repos."""

    reader: GitReader = field(compare=False)
    """May be used by several threads at once."""

    label: str
    """What to call it before a client: never a path of this machine."""

    @property
    def path(self) -> Path:
        """Absolute: the working tree's root, or the bare repo."""
        return self.reader.root or self.reader.common_dir


class Catalog:
    """The served repos, by everything that a request may call them."""

    def __init__(self, repos: Sequence[str]) -> None:
        """Open the repos.

        Args:
            repos: ``PATH`` or ``NAME=PATH``, where NAME is ``owner/name`` or a URL.

        Raises:
            NotGitRepoError: A path is no Git repo.
            UnreadableRepoError: There is one that Git refuses.
            UsageError: There is none at all.
        """
        if not repos:
            msg = "no repo to serve"
            raise UsageError(msg)
        self._by_key: dict[str, ServedRepo] = {}
        ranked: list[tuple[int, Identity, ServedRepo]] = []
        for argument in repos:
            name, path = _split(argument)
            reader = _open(path)
            found = sorted(_identities(reader, name, path), key=lambda one: one[0])
            named = [who for _, who in found if who.host != LOCAL] or [found[0][1]]
            key = self._new_key(named[0])
            label = key if named[0].host == LOCAL else str(named[0])
            repo = ServedRepo(key, reader, label)
            self._by_key[key] = repo
            ranked += ((rank, who, repo) for rank, who in found)
        ranked.sort(key=lambda entry: entry[0])
        self._by_identity: dict[Identity, ServedRepo] = {}
        for _, who, repo in ranked:
            self._by_identity.setdefault(who, repo)

    def __iter__(self) -> Iterator[ServedRepo]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, url: str) -> ServedRepo:
        """Find the repo that a request calls ``url``.

        Raises:
            RepoNotServedError: None, or more than one, is called so.
        """
        wanted = Identity.of(url)
        if repo := self._by_identity.get(wanted):
            return repo
        alike = {
            repo.key: repo
            for identity, repo in self._by_identity.items()
            if identity.is_like(wanted)
        }
        if len(alike) != 1:
            raise RepoNotServedError(url, [repo.label for repo in self])
        return alike.popitem()[1]

    def _new_key(self, identity: Identity) -> str:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", posixpath.basename(identity.path))
        key = stem = stem.strip("-") or "repo"
        number = 1
        while key in self._by_key:
            number += 1
            key = f"{stem}-{number}"
        return key


def _split(argument: str) -> tuple[str, str]:
    name, equals, path = argument.partition("=")
    return (name, path) if equals and not Path(argument).exists() else ("", argument)


def _open(path: str) -> GitReader:
    if not Path(path).is_dir():
        raise NotGitRepoError(path, "not a folder")
    # A mirror may be another user's; the operator has named it.
    try:
        return open_reader(Path(path).resolve(), trusted=True)
    except NotGitRepoError:
        raise NotGitRepoError(path, "not a Git repository") from None


def _identities(
    reader: GitReader, name: str, path: str
) -> Iterator[tuple[int, Identity]]:
    """List what the repo is called, the surest names with the lowest rank.

    A fork may have its parent as second remote, so that is what is believed last.
    """
    if name:
        yield 0, Identity.of(name)
    # As it was given, too: who clones through a symlink calls it by that.
    place = os.fspath(reader.root or reader.common_dir)
    for each in (place, os.path.normpath(Path(path).absolute())):
        yield 1, Identity.of(each)
    for remote, url in _remotes(reader):
        yield (2 if remote == "origin" else 3), Identity.of(url)


def _remotes(reader: GitReader) -> Iterable[tuple[str, str]]:
    """List the remotes' names and URLs, as configured and as Git rewrites them."""
    for key, url in reader.config():
        name, _, setting = key.removeprefix("remote.").rpartition(".")
        if key.startswith("remote.") and setting == "url":
            yield name, url
            if rewritten := reader.remote_url(name):
                yield name, rewritten
