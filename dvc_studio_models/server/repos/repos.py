"""Finds the served repo of a request. Only configured repos are ever opened.

A request's ``repo`` may be any URL of that repo. Two URLs are of one repo if host,
owner and name are the same, see :func:`dvc_studio_models.registry.urls.identity`.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UsageError
from dvc_studio_models.log import IN_ALL_WORKERS
from dvc_studio_models.registry.urls import LOCAL
from dvc_studio_models.server.errors.requests import (
    RepoNotOpenError,
    RepoNotServedError,
)
from dvc_studio_models.server.repos.identity import Identity
from dvc_studio_models.server.repos.opening import HOME_RANKS, Opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.server.config.values import RepoConfig

logger = logging.getLogger(f"dvc.{__name__}")

OPEN_S = 5.0
"""The longest, in seconds, that the start waits for Git, which may read from a cold
network file system."""

AGAIN_S = 2.0
"""The pause, in seconds, before a repo that could not be opened is tried again."""


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

    homes: tuple[Identity, ...] = field(default=(), compare=False)
    """Where it is hosted, the most reliable first: by the config, and by ``origin``."""


class Catalog:
    """The served repos, by all their URLs.

    A repo that cannot be opened is left out. It is tried again and again, and served
    as soon as Git has opened it.
    """

    on_late: Callable[[], None] = staticmethod(lambda: None)
    """Called when a repo is served that could not be opened before."""

    def __init__(
        self,
        repos: Sequence[RepoConfig],
        *,
        open_s: float = OPEN_S,
        must_open: bool = False,
        previous: Catalog | None = None,
    ) -> None:
        """Open the repos.

        Args:
            repos: Where they are, and their names.
            open_s: The longest, in seconds, to wait for Git, for all repos together.
            must_open: Raise if no repo at all can be opened.
            previous: What it has opened is not opened again.

        Raises:
            NotGitRepoError: None can be opened, and a path is no Git repo.
            UnreadableRepoError: None can be opened, and Git refuses one.
            UsageError: No repo is given.
        """
        if not repos:
            msg = "no repo to serve"
            raise UsageError(msg)
        self._by_key: dict[str, ServedRepo] = {}
        self._ranked: list[tuple[int, Identity, ServedRepo]] = []
        self._by_identity: dict[Identity, list[ServedRepo]] = {}
        self._by_path: dict[str, list[Identity]] = {}
        self._waiting: tuple[Opening, ...] = ()
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._known: dict[Opening, ServedRepo] = previous._served() if previous else {}
        self._served_by: dict[Opening, ServedRepo] = {}
        old = list(previous.openings) if previous else []
        self.openings: tuple[Opening, ...] = tuple(
            _take(old, repo) or Opening(repo) for repo in repos
        )
        self._is_ready = False
        self._open(open_s)
        if must_open and (error := self._error()):
            raise error
        if left_out := self._left_out():
            for opening in left_out:
                logger.warning(
                    "%s; it is not served until that works",
                    opening.message,
                    extra=_found_by(opening),
                )
            threading.Thread(target=self._try_again, daemon=True).start()

    def _open(self, open_s: float) -> None:
        for opening in self.openings:
            opening.start(self._add_late, again=True)
        deadline = time.monotonic() + open_s
        for opening in self.openings:
            opening.wait(max(0.0, deadline - time.monotonic()))
        with self._lock:  # in the order of the config, which decides on names
            for opening in self.openings:
                self._add(opening)
            self._known = {}
            self._rebuild()
            self._is_ready = True

    def __iter__(self) -> Iterator[ServedRepo]:
        return iter(tuple(self._by_key.values()))

    def __len__(self) -> int:
        return len(self.openings)

    def _error(self) -> Exception | None:
        """Why no repo is served and none will be soon; None if there is one."""
        errors = [opening.error for opening in self.openings]
        return None if self._by_key or None in errors else errors[0]

    def left_out(self) -> dict[str, str]:
        """Return the name of each repo that is not served -> why, without a path."""
        return {opening.name: opening.reason for opening in self._left_out()}

    def retry(self, name: str) -> None:
        """Try at once to open the repo of this name, if it is left out."""
        for opening in self._left_out():
            if opening.name == name:
                opening.start(self._add_late)

    def get(self, key: str) -> ServedRepo | None:
        """Return the served repo of this name, None if there is none."""
        return self._by_key.get(key)

    def close(self) -> None:
        """Open no further repos."""
        self._closed.set()

    def find(self, url: str, may_see: Callable[[str], bool]) -> ServedRepo:
        """Find the repo with this URL among those of which the caller may know.

        Args:
            url: Any URL of the repo, or one of its names.
            may_see: Whether the caller may know of the repo with this name.

        Raises:
            RepoNotServedError: No repo has it, or more than one.
            RepoNotOpenError: It is, or may be, one that could not be opened yet.
        """
        # First: one may be added meanwhile.
        left_out = [each for each in self._waiting if may_see(each.name)]
        wanted = Identity.of(url)
        repo = self._first(wanted, may_see)
        if repo is None and may_see(url):
            named = self._by_key.get(url)
            repo = named if named and named.label == url else None
        named_so = [each for each in left_out if wanted in each.names]
        if not named_so and repo is None:
            named_so = [each for each in left_out if _may_have(each, wanted)]
        if named_so:
            raise RepoNotOpenError(each.label for each in named_so)
        if repo:
            return repo
        alike = {repo.key: repo for repo in self._alike(wanted, may_see)}
        if len(alike) != 1:
            seen = [repo.label for repo in self if may_see(repo.key)]
            raise RepoNotServedError(url, seen)
        return alike.popitem()[1]

    def _first(
        self, identity: Identity | None, may_see: Callable[[str], bool]
    ) -> ServedRepo | None:
        """Return the repo with the best claim to an identity that he may see."""
        repos = self._by_identity.get(identity, ()) if identity else ()
        return next((repo for repo in repos if may_see(repo.key)), None)

    def _alike(
        self, wanted: Identity, may_see: Callable[[str], bool]
    ) -> Iterator[ServedRepo]:
        """Find the repos that ``owner/name`` may mean, whatever their hosts."""
        near = self._by_path.get(wanted.rough_path, ())
        for identity in (*(n for n in near if n.is_like(wanted)), wanted.with_host):
            if repo := self._first(identity, may_see):
                yield repo

    def _left_out(self) -> list[Opening]:
        return [each for each in self.openings if each not in self._served_by]

    def _served(self) -> dict[Opening, ServedRepo]:
        with self._lock:
            return dict(self._served_by)

    def _add(self, opening: Opening) -> None:
        with self._lock:
            if not opening.opened or opening in self._served_by:
                return
            found = sorted(opening.opened.identities, key=lambda one: one[0])
            named = [who for _, who in found if who.host != LOCAL] or [found[0][1]]
            key = opening.config.name or self._new_key(named[0].stem)
            label = key if named[0].host == LOCAL else str(named[0])
            if any(each.label == label for each in self._by_key.values()):
                label = key  # another repo answers to that one
            homes = tuple(who for rank, who in found if rank in HOME_RANKS and who.host)
            reader = opening.opened.reader
            repo = ServedRepo(key, reader, label, opening.config, homes)
            known = self._known.get(opening)
            if known == repo and known.homes == homes:
                repo = known
            self._served_by[opening] = self._by_key[key] = repo
            self._ranked += ((rank, who, repo) for rank, who in found)
            if self._is_ready:
                self._rebuild()

    def _rebuild(self) -> None:
        """Make the tables that requests use; others may be looking at the old ones."""
        by_identity: dict[Identity, list[ServedRepo]] = {}
        by_path: dict[str, list[Identity]] = {}
        for _, who, each in sorted(self._ranked, key=lambda entry: entry[0]):
            if who not in by_identity:
                by_path.setdefault(who.rough_path, []).append(who)
            by_identity.setdefault(who, []).append(each)
        self._by_identity, self._by_path = by_identity, by_path
        self._waiting = tuple(self._left_out())

    def _add_late(self, opening: Opening) -> None:
        """Serve a repo that could be opened only after the start."""
        with self._lock:
            is_new = self._is_ready and opening not in self._served_by
            if is_new and opening.opened:
                self._add(opening)
                logger.info(
                    "the repo '%s' is served now", opening.name, extra=IN_ALL_WORKERS
                )
                self.on_late()

    def _try_again(self) -> None:
        """Open what could not be opened, until all repos are served."""
        said = {opening: opening.message for opening in self._left_out()}
        while said and not self._closed.wait(AGAIN_S):
            for opening, before in tuple(said.items()):
                # An attempt that an earlier config started may have opened it.
                self._add_late(opening)
                if opening in self._served_by:
                    del said[opening]
                elif opening.message != before:
                    logger.error("%s", opening.message, extra=_found_by(opening))
                    said[opening] = opening.message
                opening.start(self._add_late)

    def _new_key(self, stem: str) -> str:
        key, number = stem, 1
        taken = {opening.config.name for opening in self.openings}
        while key in self._by_key or key in taken:
            number += 1
            key = f"{stem}-{number}"
        return key


def _take(openings: list[Opening], config: RepoConfig) -> Opening | None:
    """Take the opening of a repo from those of an earlier config, if it has one."""
    for number, each in enumerate(openings):
        if each.config == config:
            return openings.pop(number)
    return None


def _found_by(opening: Opening) -> dict[str, bool] | None:
    """Return who finds out why a repo is not open: each worker, unless Git hangs."""
    return None if opening.is_silent else IN_ALL_WORKERS


def _may_have(opening: Opening, wanted: Identity) -> bool:
    """Whether a repo that is not open may have this URL.

    While Git is silent, or its config names no URL, its remotes are not known.
    """
    is_like = any(each.is_like(wanted) for each in opening.names)
    return is_like or opening.is_silent or not opening.has_url
