"""Where the DVC remotes of one repo may be.

The operator's config says it, and then a commit cannot name a service. By default, it
is where the default remotes are when the server reads the repo for the first time, or
all remotes where none is the default: a later commit cannot move them, nor name another
place or service. If there is none then, the first ones that a commit names count,
unless they are in places of other repos. The same holds for those of the tags, in a
repo without a branch. URLs that are set on the server, in ``config.local`` or by
``--remote``, are the operator's own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import StudioModelsError, UnreadableRepoError
from dvc_studio_models.registry.git.reader import TAG
from dvc_studio_models.server.errors.remotes import (
    ConfigUnreadableError,
    RemoteOutsideError,
)
from dvc_studio_models.server.errors.requests import (
    GitSilentError,
    RefusedError,
    StorageSilentError,
)
from dvc_studio_models.server.stores.first_seen import Which
from dvc_studio_models.server.stores.places import SERVICES, Place
from dvc_studio_models.server.waiting.single_flight import SingleFlightCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dvc.config import Config

    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.stores.configs import Configs, ProjectConfig
    from dvc_studio_models.server.stores.first_seen import FirstSeen, Record

    Describe = Callable[[Config, str], tuple[Any, dict[str, Any], str]]
    """Config, name of a remote -> DVC's class, settings, path in its file system."""

logger = logging.getLogger(f"dvc.{__name__}")

_ALSO_AFTER_RESTART = (
    ". A default remote that has moved is also accepted after a restart"
)


@dataclass(frozen=True)
class _Start:
    """The repo as it was when it was read for the first time."""

    branch: str | None
    """The commit whose configs are used; None where there is no branch."""

    root: frozenset[Place]
    """Of the default remote in the working tree's config."""

    commits: frozenset[str] = field(default_factory=frozenset, repr=False)
    """Those of all tags, where there is no branch."""

    @classmethod
    def of_record(cls, record: Record) -> _Start:
        commits = frozenset(record["commits"])
        return cls(record["branch"], _places_of(record), commits)

    def to_record(self) -> Record:
        commits = sorted(self.commits)
        return {"branch": self.branch, "commits": commits, **_record_of(self.root)}


class Roots:
    """Where the remotes of one repo may be."""

    def __init__(
        self, repo: ServedRepo, configs: Configs, describe: Describe, seen: FirstSeen
    ) -> None:
        """Store the repo; its configs are read when needed.

        Args:
            repo: The repo.
            configs: Its configs.
            describe: Reads a remote of a config; raises RefusedError.
            seen: What the server saw first of the repo.
        """
        self._repo = repo
        self._configs = configs
        self._describe = describe
        self._given = repo.config.roots
        self._seen = seen
        self._which = Which.of(repo.config)
        self._start: SingleFlightCache[_Start] = SingleFlightCache(1)

    def places(self) -> frozenset[Place]:
        """Return the given roots, or else where the default remotes are at the start.

        Raises:
            ConfigUnreadableError, GitSilentError, UnreadableRepoError: See
                :meth:`Configs.find`.
        """
        if self._given is not None:
            return frozenset(map(Place.of_url, self._given))
        start = self._get_start()
        later = None if start.root else self._find_later(start, "")
        return later.root if later else start.root

    def check(
        self, config: ProjectConfig, project: str, name: str, place: Place
    ) -> None:
        """Check that a remote may be where it is.

        Args:
            config: Of the project.
            project: Its folder, empty for the root.
            name: The remote.
            place: Where it is.

        Raises:
            RemoteOutsideError: The operator has not allowed that.
            ConfigUnreadableError, GitSilentError, UnreadableRepoError: See
                :meth:`Configs.find`.
        """
        self._get_start()  # before the repo changes
        roots = {*self._of_operator(config), *self._allowed(config, project)}
        is_inside = place.is_in(roots)
        if is_inside and self._has_service(config, project, place):
            return
        key = "roots"
        if is_inside:
            key = f"credentials.{SERVICES[place.protocol]}"
        allowed = ", ".join(sorted(map(str, roots))) or "none"
        what = " with a service that only a commit names" if is_inside else ""
        text = (
            f"its DVC remote '{name}' is at {place}, which is not in its roots "
            f"({allowed}){what}; if it may be there, add that to its '{key}' in "
            f"serve.yaml{_ALSO_AFTER_RESTART if self._given is None else ''}"
        )
        if self._seen.is_new(self._which, text):  # once: each request may repeat it
            logger.warning("repo '%s': %s", self._repo.key, text)
        raise RemoteOutsideError(self._repo.label, name, key)

    def _has_service(self, config: ProjectConfig, project: str, place: Place) -> bool:
        """Whether a service is the operator's; without roots, also one of the start.

        Requests to it are signed with the server's credentials.
        """
        service = place.service
        own = self._repo.config.credentials
        if service not in config.services or service in own.values():
            return True
        if self._given is not None:
            return False
        return service in {each.service for each in self._of_start(config, project)}

    def _of_operator(self, config: ProjectConfig) -> Iterator[Place]:
        """List where the remotes are whose URLs are set on the server."""
        names = set(config.local)
        chosen = self._repo.config.remote
        if chosen and chosen not in config.committed:
            names.add(chosen)
        for name in names:
            if place := self._place(config, name):
                yield place

    def _allowed(self, config: ProjectConfig, project: str) -> Iterator[Place]:
        if self._given is not None:
            yield from map(Place.of_url, self._given)
        else:
            yield from self._of_start(config, project)

    def _of_start(self, config: ProjectConfig, project: str) -> Iterator[Place]:
        start = self._get_start()
        if start.branch is None and config.version in start.commits:
            yield from self._free(self._default_places(config))
        own = self._own_places(start, project)
        yield from start.root | own
        if not start.root | own and (later := self._find_later(start, project)):
            yield from later.root
            yield from _without_services(self._free(self._own_places(later, project)))

    def _get_start(self) -> _Start:
        """Return the repo as it was when this server read it for the first time.

        Raises:
            GitSilentError, StorageSilentError: It has not been read yet.
            LocalDiskError: See :meth:`FirstSeen.get`.
        """
        return self._start.get("start", self._read_start)

    def _read_start(self) -> _Start:
        record = self._seen.get(self._which, "start", lambda: self._look().to_record())
        start = _Start.of_record(record or {})
        self._own_places(start, "")  # before symlinks change
        return start

    def _look(self) -> _Start:
        """Read the repo; one that cannot be read has no places yet."""
        try:
            branch = self._configs.branch()
            if branch is None:
                return _Start(None, frozenset(), frozenset(self._tagged()))
            return _Start(branch, self._default_places(self._configs.find("", branch)))
        except (GitSilentError, StorageSilentError):
            raise
        except StudioModelsError:  # requests get the reason
            return _Start(None, frozenset())

    def _find_later(self, start: _Start, project: str) -> _Start | None:
        """Return how the repo was when it first had places, if not at the start.

        None as long as it has none, or some of another repo. A service that only a
        commit names does not count.
        """
        if start.root or start.commits or (start.branch and project):
            return None

        def look() -> Record | None:
            now = self._look()
            own = now.branch and self._read_places(project, now.branch)
            places = now.root | (_places_of(own) if own else frozenset())
            if not places or self._free(places) != places:
                return None
            return replace(now, root=_without_services(now.root)).to_record()

        record = self._seen.get(self._which, "later", look)
        return _Start.of_record(record) if record else None

    def _free(self, places: frozenset[Place]) -> frozenset[Place]:
        """Return the places that no other repo has a part of, at any service."""
        if not places:
            return places
        taken = [*self._seen.places_of_others(self._which)]
        return frozenset(p for p in places if not any(map(p.overlaps, taken)))

    def _own_places(self, start: _Start, project: str) -> frozenset[Place]:
        """Return the places of a project's default remote at the start."""
        branch = start.branch
        if branch is None:
            return frozenset()
        kind = f"project at {branch}: {project}"

        def look() -> Record | None:
            if project:
                self._seen.on_place()
            return self._read_places(project, branch)

        record = self._seen.get(self._which, kind, look)
        return _places_of(record) if record else frozenset()

    def _read_places(self, project: str, commit: str) -> Record | None:
        try:
            config = self._configs.find_at(project, commit)
        except (ConfigUnreadableError, UnreadableRepoError):  # nothing of it is allowed
            return None
        return _record_of(self._default_places(config))

    def _tagged(self) -> Iterator[str]:
        reader = self._repo.reader
        oids = [oid for _, oid in reader.tags()]
        for oid, found in zip(oids, reader.read_all(oids), strict=True):
            head = found.data.partition(b"\n")[0] if found else b""
            is_tag = found is not None and found.kind == TAG
            yield head.removeprefix(b"object ").decode() if is_tag else oid

    def _default_places(self, config: ProjectConfig) -> frozenset[Place]:
        default = config.settings["core"].get("remote")
        names = [default] if default else list(config.settings["remote"])
        places = (self._place(config, name) for name in names)
        return frozenset(place for place in places if place)

    def _place(self, config: ProjectConfig, name: str) -> Place | None:
        try:
            fs_class, settings, path = self._describe(config.settings, name)
        except RefusedError:  # a request for it gets the reason
            return None
        return Place.of_remote(fs_class.protocol, path, settings)


def _places_of(record: Record) -> frozenset[Place]:
    return frozenset(map(Place.of_json, record["places"]))


def _record_of(places: Iterable[Place]) -> Record:
    return {"places": [place.to_json() for place in places]}


def _without_services(places: Iterable[Place]) -> frozenset[Place]:
    return frozenset(replace(place, service=None) for place in places)
