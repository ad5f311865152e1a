"""Where the DVC remotes of one repo may be.

The operator's config says it, and then a commit cannot name a service. By default, it
is where the default remotes are when the server reads the repo for the first time, or
all remotes where none is the default: a later commit cannot move them, nor name another
place or service. URLs that are set on the server, in ``config.local`` or by
``--remote``, are the operator's own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dvc_studio_models.registry.git.reader import TAG
from dvc_studio_models.server.errors.remotes import (
    ConfigUnreadableError,
    RemoteOutsideError,
)
from dvc_studio_models.server.errors.requests import RefusedError
from dvc_studio_models.server.stores.places import SERVICES, Place
from dvc_studio_models.server.waiting.single_flight import SingleFlightCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc.config import Config

    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.stores.configs import Configs, ProjectConfig

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


class Roots:
    """Where the remotes of one repo may be."""

    def __init__(self, repo: ServedRepo, configs: Configs, describe: Describe) -> None:
        """Store the repo; its configs are read when needed.

        Args:
            repo: The repo.
            configs: Its configs.
            describe: Reads a remote of a config; raises RefusedError.
        """
        self._repo = repo
        self._configs = configs
        self._describe = describe
        self._given = repo.config.roots
        self._start: SingleFlightCache[_Start] = SingleFlightCache(1)
        self._own: dict[str, frozenset[Place]] = {}
        """Project -> place of its default remote at the start."""
        self._reported: set[Place] = set()

    def places(self) -> frozenset[Place]:
        """Return the given roots, or else where the default remotes are at the start.

        Raises:
            ConfigUnreadableError, GitSilentError, UnreadableRepoError: See
                :meth:`Configs.find`.
        """
        if self._given is not None:
            return frozenset(map(Place.of_url, self._given))
        return self._start.get("start", self._read_start).root

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
        self._start.get("start", self._read_start)  # before the repo changes
        roots = {*self._of_operator(config), *self._allowed(config, project)}
        is_inside = place.is_in(roots)
        if is_inside and self._has_service(config, project, place):
            return
        key = "roots"
        if is_inside:
            key = f"credentials.{SERVICES[place.protocol]}"
        if place not in self._reported:  # once: each request may repeat it
            self._reported.add(place)
            allowed = ", ".join(sorted(map(str, roots))) or "none"
            logger.warning(
                "repo '%s': its DVC remote '%s' is at %s, which is not in its roots "
                "(%s)%s; if it may be there, add that to its '%s' in serve.yaml%s",
                self._repo.key,
                name,
                place,
                allowed,
                " with a service that only a commit names" if is_inside else "",
                key,
                _ALSO_AFTER_RESTART if self._given is None else "",
            )
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
        start = self._start.get("start", self._read_start)
        yield from start.root
        yield from self._own_places(start, config, project)

    def _own_places(
        self, start: _Start, config: ProjectConfig, project: str
    ) -> frozenset[Place]:
        if start.branch is None:
            is_known = config.version in start.commits
            return self._default_places(config) if is_known else frozenset()
        if project not in self._own:
            self._own[project] = self._read_places(project, start.branch)
        return self._own[project]

    def _read_start(self) -> _Start:
        branch = self._configs.branch()
        if branch is None:
            return _Start(None, frozenset(), frozenset(self._tagged()))
        return _Start(branch, self._default_places(self._configs.find("", branch)))

    def _read_places(self, project: str, commit: str) -> frozenset[Place]:
        try:
            return self._default_places(self._configs.find_at(project, commit))
        except ConfigUnreadableError:  # then nothing of it is allowed
            return frozenset()

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
