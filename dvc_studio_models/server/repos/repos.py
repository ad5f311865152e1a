"""Finds the served repo of a request. Only repos named at the start are ever opened.

A request's ``repo`` may be any URL of that repo. Two URLs are of one repo if host,
owner and name are the same, see :func:`dvc_studio_models.registry.urls.identity`.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    NotGitRepoError,
    StudioModelsError,
    UsageError,
)
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.urls import LOCAL, identity
from dvc_studio_models.server.errors.requests import (
    RepoNotOpenError,
    RepoNotServedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.server.config.values import RepoConfig

logger = logging.getLogger(f"dvc.{__name__}")

OPEN_S = 5.0
"""The longest, in seconds, that the start waits for Git, which may read from a cold
network file system."""

AGAIN_S = 10.0
"""The pause, in seconds, before a repo that Git cannot read is tried again."""


@dataclass(frozen=True)
class Identity:
    """Host and path, which all URLs of one repo have in common."""

    host: str
    """Lower case; ``LOCAL`` for a path, empty for ``owner/name`` alone."""

    path: str
    """Without the outer slashes and ``.git``."""

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.host else self.path

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


@dataclass(frozen=True)
class ServedRepo:
    """One clone or bare repo on this machine."""

    key: str
    """Its name in links: unique, and the same in every process with the same repos."""

    reader: GitReader = field(compare=False)
    """May be used by several threads at once."""

    label: str
    """Its name in replies to clients: never a path of this machine."""

    config: RepoConfig = field(compare=False)


class Catalog:
    """The served repos, by all their URLs.

    The start does not wait for a repo that Git cannot open in time; it is served as
    soon as Git has opened it.
    """

    def __init__(self, repos: Sequence[RepoConfig], *, open_s: float = OPEN_S) -> None:
        """Open the repos.

        Args:
            repos: Where they are, and their names.
            open_s: The longest, in seconds, to wait for Git, for all repos together.

        Raises:
            NotGitRepoError: A path is no Git repo.
            UnreadableRepoError: There is one that Git refuses.
            UsageError: No repo is given.
        """
        if not repos:
            msg = "no repo to serve"
            raise UsageError(msg)
        self._by_key: dict[str, ServedRepo] = {}
        self._ranked: list[tuple[int, Identity, ServedRepo]] = []
        self._by_identity: dict[Identity, ServedRepo] = {}
        self._silent: dict[int, _Opening] = {}
        self._lock = threading.Lock()
        openings = [_Opening(config) for config in repos]
        deadline = time.monotonic() + open_s
        for number, opening in enumerate(openings):
            found = opening.wait(max(0.0, deadline - time.monotonic()))
            if found:
                self._add(found)
            else:
                self._silent[number] = opening
                logger.warning("Git does not respond for the repo '%s'", opening.path)
                self._add_later(number, opening)

    def __iter__(self) -> Iterator[ServedRepo]:
        return iter(tuple(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key) + len(self._silent)

    def silent(self) -> list[str]:
        """Return the names of the repos that Git has not opened yet."""
        return [opening.label for opening in tuple(self._silent.values())]

    def _add(self, opened: _Opened) -> None:
        with self._lock:
            found = sorted(opened.identities, key=lambda one: one[0])
            named = [who for _, who in found if who.host != LOCAL] or [found[0][1]]
            key = opened.config.name or self._new_key(named[0])
            label = key if named[0].host == LOCAL else str(named[0])
            repo = ServedRepo(key, opened.reader, label, opened.config)
            self._by_key[key] = repo
            self._ranked += ((rank, who, repo) for rank, who in found)
            self._ranked.sort(key=lambda entry: entry[0])
            by_identity: dict[Identity, ServedRepo] = {}
            for _, who, each in self._ranked:
                by_identity.setdefault(who, each)
            self._by_identity = by_identity  # others may be looking at the old one

    def _add_later(self, number: int, opening: _Opening) -> None:
        """Add a repo as soon as Git has opened it."""

        def work() -> None:
            tried = opening
            while True:
                try:
                    if found := tried.wait(None):
                        break
                except StudioModelsError as error:
                    logger.error("%s", str(error).partition("\n")[0])  # noqa: TRY400
                    time.sleep(AGAIN_S)
                    tried = _Opening(opening.config)
            self._add(found)
            del self._silent[number]
            logger.warning("Git has responded for the repo '%s'", opening.path)

        threading.Thread(target=work, daemon=True).start()

    def find(self, url: str, may_see: Callable[[str], bool]) -> ServedRepo:
        """Find the repo with this URL among those of which the caller may know.

        Args:
            url: Any URL of the repo, or one of its names.
            may_see: Whether the caller may know of the repo with this name.

        Raises:
            RepoNotServedError: No repo has it, or more than one.
            RepoNotOpenError: It is, or may be, one that Git has not opened yet.
        """
        silent = tuple(self._silent.values())  # first: one may be added meanwhile
        wanted = Identity.of(url)
        repo = self._by_identity.get(wanted)
        if silent and (repo is None or any(wanted in each.names for each in silent)):
            raise RepoNotOpenError(each.label for each in silent)
        if repo and may_see(repo.key):
            return repo
        alike = {
            repo.key: repo
            for identity, repo in self._by_identity.items()
            if identity.is_like(wanted) and may_see(repo.key)
        }
        if len(alike) != 1:
            seen = [repo.label for repo in self if may_see(repo.key)]
            raise RepoNotServedError(url, seen)
        return alike.popitem()[1]

    def _new_key(self, identity: Identity) -> str:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", posixpath.basename(identity.path))
        key = stem = stem.strip("-") or "repo"
        number = 1
        while key in self._by_key:
            number += 1
            key = f"{stem}-{number}"
        return key


@dataclass(frozen=True)
class _Opened:
    """A repo and its names; the most reliable name has the lowest rank."""

    config: RepoConfig
    reader: GitReader
    identities: list[tuple[int, Identity]]


class _Opening:
    """One repo that is being opened, in a thread of its own."""

    def __init__(self, config: RepoConfig) -> None:
        self.config = config
        self.path = config.path
        place = os.path.normpath(Path(self.path).absolute())
        given = [each for each in (config.name, *config.aliases) if each]
        self.label = given[0] if given else Path(place).name
        """Its name in replies to clients: never a path of this machine."""
        self.names = {Identity.of(each) for each in (*given, place)}
        """Its names before Git has read its remotes."""
        self._opened: Future[_Opened] = Future()
        threading.Thread(target=self._work, daemon=True).start()

    def wait(self, seconds: float | None) -> _Opened | None:
        """Return the repo; None if that takes longer."""
        if seconds is not None and not wait([self._opened], seconds).done:
            return None
        return self._opened.result()

    def _work(self) -> None:
        try:
            # This may hang, as all that follows.
            self.names.add(Identity.of(os.fspath(Path(self.path).resolve())))
            reader = _open(self.path)
            found = list(_identities(reader, self.config))
            self._opened.set_result(_Opened(self.config, reader, found))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._opened.set_exception(error)


def _open(path: str) -> GitReader:
    if not Path(path).is_dir():
        raise NotGitRepoError(path, "not a folder")
    # A mirror may belong to another user; the operator has named it.
    try:
        return open_reader(Path(path).resolve(), trusted=True)
    except NotGitRepoError:
        raise NotGitRepoError(path, "not a Git repository") from None


def _identities(
    reader: GitReader, config: RepoConfig
) -> Iterator[tuple[int, Identity]]:
    """List the names of the repo; the most reliable one has the lowest rank.

    A fork may have its parent as second remote, so that name comes last.
    """
    for name in (config.name, *config.aliases):
        if name:
            yield 0, Identity.of(name)
    # Its path as it was given, too: a clone through a symlink has it as its URL.
    place = os.fspath(reader.root or reader.common_dir)
    for each in (place, os.path.normpath(Path(config.path).absolute())):
        yield 1, Identity.of(each)
    for remote, url in _remotes(reader):
        yield (2 if remote == "origin" else 3), Identity.of(url)


def _remotes(reader: GitReader) -> Iterable[tuple[str, str]]:
    """List names and URLs of the remotes, as configured and as Git rewrites them."""
    for key, url in reader.config():
        name, _, setting = key.removeprefix("remote.").rpartition(".")
        if key.startswith("remote.") and setting == "url":
            yield name, url
            if rewritten := reader.remote_url(name):
                yield name, rewritten
