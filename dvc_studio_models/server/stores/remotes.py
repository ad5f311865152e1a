"""The DVC remotes of a served repo, as its current DVC config has them."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from dvc.config import Config, ConfigError, RemoteNotFoundError
from dvc_objects.fs.errors import RemoteMissingDepsError
from voluptuous import Invalid

from dvc_studio_models.model import MD5
from dvc_studio_models.server.errors.remotes import (
    ChosenRemoteMissingError,
    RemoteFolderMissingError,
    RemoteMissingError,
    RemotePackageError,
    RemoteSecretError,
    RemoteTypeError,
    RemoteUnreadableError,
    RemoteVersionsError,
)
from dvc_studio_models.server.stores.configs import Configs, ProjectConfig, unreadable
from dvc_studio_models.server.stores.credentials import OWN, isolated, merge
from dvc_studio_models.server.stores.places import LOCAL, Place
from dvc_studio_models.server.stores.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from dvc.data_cloud import Remote
    from dvc_data.hashfile.db import HashFileDB

    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.stores.first_seen import FirstSeen

VERSIONED = ("s3",)
"""Kinds of cloud-versioned remotes for which links can be signed."""


@dataclass(frozen=True)
class Store:
    """A DVC remote, as one of the repo's DVC projects names it."""

    repo: str
    """Key of the served repo."""

    project: str
    """Folder of the DVC project, relative to the Git root; empty for the root."""

    name: str
    protocol: str
    """DVC's name for its kind: ``local``, ``s3``, ..."""

    place: Place
    remote: Remote = field(repr=False)
    """DVC's own object: the file system, and the path in it. Holds credentials."""

    version: str | None = None
    """The commit whose config is used, where there is no branch; else None."""

    folder: str | None = None
    """Of a local one: where its path led, through all symlinks, when it was opened."""

    option: str = "--remote NAME"
    """How the operator chooses another one, for messages."""

    @property
    def is_versioned(self) -> bool:
        """Whether files are stored under their own paths, in all their versions."""
        return bool(self.remote.fs.version_aware)

    def objects(self, algorithm: str) -> HashFileDB:
        """Return DVC's database of the objects that are named by this hash."""
        remote = self.remote
        return remote.odb if algorithm == MD5 else remote.legacy_odb


class Remotes:
    """The stores of one repo, opened again when the config changes."""

    def __init__(
        self, repo: ServedRepo, *, protocols: Collection[str], seen: FirstSeen
    ) -> None:
        """Store the repo; remotes are opened when needed.

        Args:
            repo: The served repo.
            protocols: Kinds of remotes that can be signed.
            seen: What the server saw first of it.
        """
        self._repo = repo
        self._default = repo.config.remote
        self._protocols = protocols
        self._configs = Configs(repo)
        self._roots = Roots(repo, self._configs, self._describe, seen)
        self._stores: WeakKeyDictionary[ProjectConfig, dict[str, Store]] = (
            WeakKeyDictionary()
        )
        self._newest: dict[tuple[str, str, str | None], Store] = {}
        self._lock = threading.Lock()

    def stamp(self) -> tuple[object, ...]:
        """Return a value that changes when a config that was read changes.

        Configs in Git, as those of bare repos, are not part of it.
        """
        return self._configs.stamp()

    def places(self) -> frozenset[Place]:
        """Return where the remotes of the repo's root may be.

        Raises:
            ConfigUnreadableError, GitSilentError, UnreadableRepoError: See
                :meth:`find`.
        """
        return self._roots.places()

    def known(self, project: str, name: str, version: str | None) -> Store | None:
        """Return a store that was found before, even if the config has changed."""
        return self._newest.get((project, name, version))

    def find(
        self, project: str, name: str | None, *, commit: str | None = None
    ) -> Store:
        """Find a store.

        Args:
            project: Folder of the DVC project, empty for the root.
            name: None for the default.
            commit: Of the version, see :class:`Configs`.

        Raises:
            ConfigUnreadableError: DVC cannot read its config.
            RemoteMissingError: There is no such remote.
            RemoteTypeError: It is of a kind that cannot be signed.
            RemoteFolderMissingError: It is a folder that is not there.
            RemoteUnreadableError: It is a folder that the server may not enter.
            RemoteOutsideError: It is where remotes of this repo must not be.
            GitSilentError: Another thread has been reading the config for too long.
            UnreadableRepoError: Git cannot read the repo.
        """
        config = self._configs.find(project, commit)
        name = name or config.settings["core"].get("remote")
        if not name:
            reason = (
                "it has no default one; run 'dvc remote default NAME' in it, "
                f"or serve it with '{self._repo.config.remote_option}'"
            )
            raise RemoteMissingError(self._repo.key, reason)
        store = self._find_open(config, project, name)
        with self._lock:
            self._newest[project, name, config.version] = store
        check_folder(store)
        return store

    def _find_open(self, config: ProjectConfig, project: str, name: str) -> Store:
        """Return the store of a remote, opened again if its path leads elsewhere."""
        with self._lock:  # nothing in it waits for anybody
            opened = self._stores.setdefault(config, {})
            store = opened.get(name)
        if store is None or is_elsewhere(store):
            new = self._open(config, project, name)
            with self._lock:
                if opened.get(name) is store:
                    opened[name] = new
                return opened[name]
        return store

    def _open(self, config: ProjectConfig, project: str, name: str) -> Store:
        from dvc.data_cloud import Remote

        fs_class, settings, path = self._describe(config.settings, name)
        protocol = fs_class.protocol
        self._check_protocol(name, protocol)
        try:
            settings = merge(settings, self._repo.config.credentials, protocol)
        except Invalid as exc:
            raise unreadable(exc, self._repo.key) from None
        place = Place.of_remote(protocol, path, settings)
        self._roots.check(config, project, name, place)
        if protocol in {"http", "https"} and _needs_password(path, settings):
            raise RemoteSecretError(name, protocol)
        if settings.get("worktree"):  # to DVC, that is cloud-versioned too
            settings.setdefault("version_aware", True)
        if settings.get("version_aware") and protocol not in VERSIONED:
            raise RemoteVersionsError(name, protocol, VERSIONED)
        try:
            fs = isolated(fs_class)(**settings)
        except RemoteMissingDepsError:
            raise RemotePackageError(name, protocol) from None
        settings.pop(OWN, None)
        remote = Remote(name, path, fs, **settings)
        folder = os.path.realpath(path) if protocol == LOCAL else None
        where = (self._repo.key, project, name, protocol, place)
        option = self._repo.config.remote_option
        return Store(*where, remote, config.version, folder, option)

    def _describe(self, config: Config, name: str) -> tuple[Any, dict[str, Any], str]:
        """Read a remote's kind, settings and path."""
        from dvc.fs import get_cloud_fs

        try:
            return get_cloud_fs(config, name=name)  # type: ignore[no-any-return]
        except RemoteNotFoundError as exc:
            if name == self._default:  # of the server's own options
                raise ChosenRemoteMissingError(self._repo.label, name) from None
            raise RemoteMissingError(self._repo.key, str(exc)) from None
        except ConfigError as exc:
            raise unreadable(exc, self._repo.key) from None
        except ImportError:  # a kind whose package, e.g. dvc-s3, is not installed
            scheme = urlsplit(config["remote"][name.lower()]["url"]).scheme
            self._check_protocol(name, scheme)
            raise RemotePackageError(name, scheme) from None

    def _check_protocol(self, name: str, protocol: str) -> None:
        if protocol not in self._protocols:
            raise RemoteTypeError(name, protocol, self._protocols)


def is_elsewhere(store: Store) -> bool:
    """Whether a symlink in the path of a local folder has changed."""
    return store.folder is not None and (
        os.path.realpath(store.remote.path) != store.folder
    )


def check_folder(store: Store) -> None:
    """Check that a store which is a folder can be read from.

    Raises:
        RemoteFolderMissingError: This machine does not have it.
        RemoteUnreadableError: The server may not enter it, or its disk fails.
    """
    if store.protocol != LOCAL:
        return
    try:
        os.stat(f"{store.remote.path}/.")  # noqa: PTH116 - pathlib removes the dot
    except OSError as exc:
        if is_missing(exc):
            raise missing_folder(store) from None
        raise RemoteUnreadableError(store.name, exc) from None


def is_missing(error: OSError) -> bool:
    """Whether the error says that there is no such file, and not that it is unknown."""
    return isinstance(error, (FileNotFoundError, NotADirectoryError))


def missing_folder(store: Store) -> RemoteFolderMissingError:
    """Return the error of a store whose folder this machine does not have."""
    return RemoteFolderMissingError(store.name, store.remote.path, store.option)


def _needs_password(url: str, settings: Mapping[str, Any]) -> bool:
    """Whether an http remote has one, in a header or in its URL."""
    return bool(settings.get("auth")) or "@" in urlsplit(url).netloc


def raise_if_unreachable(store: Store, algorithm: str, oids: Iterable[str]) -> None:
    """Raise the error of a store that seems to lack objects.

    fsspec reports a missing file even if the http server is down or refuses the
    request, or the file's folder cannot be entered.

    Args:
        store: The store.
        algorithm: The name of the hash that names the objects.
        oids: Those that it seems to lack. Of an http server, one is asked for.

    Raises:
        OSError: It is not known whether it has one.
    """
    odb = store.objects(algorithm)
    if store.protocol in {"http", "https"}:
        for oid in itertools.islice(oids, 1):
            store.remote.fs.fs.exists(odb.oid_to_path(oid), strict=True)
    elif store.protocol == LOCAL:
        for oid in oids:
            try:
                os.stat(odb.oid_to_path(oid))  # noqa: PTH116 - DVC has strings
            except OSError as exc:
                if not is_missing(exc):
                    raise
