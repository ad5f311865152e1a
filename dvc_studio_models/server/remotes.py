"""The DVC remotes of a served repo, as its DVC config says now.

Now, and not at the version's commit, as for ``dvc artifacts get``: storage that moved
has taken the old versions along. Of a clone that is the working tree's config with
``config.local``, of a bare repo that of its HEAD, or of a branch that is there; both
over the user's and this machine's.
"""

from __future__ import annotations

import logging
import os
import posixpath
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dvc.config import Config, ConfigError, RemoteNotFoundError
from dvc_objects.fs.errors import RemoteMissingDepsError
from voluptuous import Invalid

from dvc_studio_models.errors import without_quotes
from dvc_studio_models.model import MD5
from dvc_studio_models.registry.git.tree import CommitTree, open_commit
from dvc_studio_models.server.refusals import (
    ConfigUnreadableError,
    RemoteFolderMissingError,
    RemoteMissingError,
    RemotePackageError,
    RemoteSecretError,
    RemoteTypeError,
    RemoteVersionsError,
)
from dvc_studio_models.server.watch import file_stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dvc.data_cloud import Remote
    from dvc_data.hashfile.db import HashFileDB

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.server.catalog import ServedRepo

logger = logging.getLogger(f"dvc.{__name__}")

CONFIG_ERRORS = (ConfigError, Invalid, OSError)
"""What DVC raises where it cannot read a config."""

LOCAL = "local"
"""DVC's name for a folder of this machine."""

DEFAULT_BRANCHES = ("main", "master", "trunk")
"""Tried in this order where HEAD names no commit."""

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
    """As DVC calls it: ``local``, ``s3``, ..."""

    remote: Remote = field(repr=False)
    """DVC's own object: the file system, and the path in it. Holds credentials."""

    @property
    def is_versioned(self) -> bool:
        """Whether files lie there by their own paths, in all their versions."""
        return bool(self.remote.fs.version_aware)

    def objects(self, algorithm: str) -> HashFileDB:
        """Give DVC's access to the objects that are named by this hash."""
        remote = self.remote
        return remote.odb if algorithm == MD5 else remote.legacy_odb


@dataclass(frozen=True)
class _Project:
    """The config of one DVC project, as of ``stamp``."""

    stamp: object
    config: Config
    files: tuple[Path, ...]
    """Those that hold it outside of Git's objects, whether they exist or not."""

    stores: dict[str, Store] = field(default_factory=dict)


class Remotes:
    """The stores of one repo, read anew when the config changes."""

    def __init__(
        self, repo: ServedRepo, *, default: str | None, protocols: Collection[str]
    ) -> None:
        """Read nothing yet.

        Args:
            repo: The served repo.
            default: Name of the remote to use; None for each project's default.
            protocols: Kinds of remotes that can be signed.
        """
        self._repo = repo
        self._default = default
        self._protocols = protocols
        self._projects: dict[str, _Project] = {}
        self._lock = threading.Lock()

    def stamp(self) -> tuple[object, ...]:
        """Give what is another one when a config that was read has changed.

        Bare repos' own configs lie in Git, whose refs are not looked at here.
        """
        read = tuple(self._projects.values())
        return tuple(file_stamp(file) for project in read for file in project.files)

    def known(self, project: str, name: str) -> Store | None:
        """Give a store without looking whether the config changed."""
        found = self._projects.get(project)
        return found.stores.get(name) if found else None

    def find(
        self, project: str, name: str | None, *, commit: str | None = None
    ) -> Store:
        """Find a store.

        Args:
            project: Folder of the DVC project, empty for the root.
            name: None for the default.
            commit: Whose config counts in a bare repo without any branch.

        Raises:
            ConfigUnreadableError: DVC cannot read its config.
            RemoteMissingError: There is no such remote.
            RemoteTypeError: It is of a kind that cannot be signed.
            RemoteFolderMissingError: It is a folder that is not there.
        """
        with self._lock:
            store = self._find(project, name, commit)
        if store.protocol == LOCAL and not Path(store.remote.path).is_dir():
            raise RemoteFolderMissingError(store.name, store.remote.path)
        return store

    def _find(self, project: str, name: str | None, commit: str | None) -> Store:
        reader = self._repo.reader
        files = _config_files(reader, project)
        at = None if _work_tree(reader, project) else _config_commit(reader) or commit
        stamp = (at, *map(file_stamp, files))
        known = self._projects.get(project)
        if known is None or known.stamp != stamp:
            known = _Project(stamp, self._read(project, at), files)
            # Another thread may be looking at the old one.
            self._projects = {**self._projects, project: known}
        name = name or known.config["core"].get("remote")
        if not name:
            reason = (
                "it has no default one; run 'dvc remote default NAME' in it, "
                "or serve it with '--remote NAME'"
            )
            raise RemoteMissingError(self._repo.key, reason)
        if name not in known.stores:
            known.stores[name] = self._open(known.config, project, name)
        return known.stores[name]

    def _read(self, project: str, commit: str | None) -> Config:
        try:
            return _read_config(self._repo.reader, project, self._default, commit)
        except CONFIG_ERRORS as exc:
            raise unreadable(exc) from None

    def _open(self, config: Config, project: str, name: str) -> Store:
        from dvc.data_cloud import Remote
        from dvc.fs import get_cloud_fs

        try:
            fs_class, settings, path = get_cloud_fs(config, name=name)
        except RemoteNotFoundError as exc:
            raise RemoteMissingError(self._repo.key, str(exc)) from None
        except ConfigError as exc:
            raise unreadable(exc) from None
        except ImportError:  # a kind whose package, e.g. dvc-s3, is not installed
            scheme = urlsplit(config["remote"][name.lower()]["url"]).scheme
            self._check_protocol(name, scheme)
            raise RemotePackageError(name, scheme) from None
        protocol = fs_class.protocol
        self._check_protocol(name, protocol)
        if protocol in {"http", "https"} and _asks_for_password(path, settings):
            raise RemoteSecretError(name, protocol)
        if settings.get("worktree"):  # which is cloud-versioned, as DVC has it
            settings.setdefault("version_aware", True)
        if settings.get("version_aware") and protocol not in VERSIONED:
            raise RemoteVersionsError(name, protocol, VERSIONED)
        try:
            fs = fs_class(**settings)
        except RemoteMissingDepsError:
            raise RemotePackageError(name, protocol) from None
        return Store(
            self._repo.key, project, name, protocol, Remote(name, path, fs, **settings)
        )

    def _check_protocol(self, name: str, protocol: str) -> None:
        if protocol not in self._protocols:
            raise RemoteTypeError(name, protocol, self._protocols)


def unreadable(exc: Exception) -> ConfigUnreadableError:
    """Log why a config cannot be read: clients are not told, as it may be a secret."""
    logger.error("cannot read the DVC config: %s", without_quotes(str(exc)))
    return ConfigUnreadableError()


def _asks_for_password(url: str, settings: Mapping[str, Any]) -> bool:
    """Say whether an http remote does, in a header or in its URL."""
    return bool(settings.get("auth")) or "@" in urlsplit(url).netloc


def _work_tree(reader: GitReader, project: str) -> Path | None:
    """Return the ``.dvc`` folder, where there is a working tree with one."""
    folder = reader.root and reader.root / project / ".dvc"
    return folder if folder and folder.is_dir() else None


def _config_commit(reader: GitReader) -> str | None:
    """Choose the commit whose config counts: HEAD's, or a branch's.

    Where the default branch was renamed, a mirror's HEAD names a branch that is gone.
    """
    if head := reader.head():
        return head
    branches = dict(reader.branches())
    named = (
        branches[name] for name in (*DEFAULT_BRANCHES, *branches) if name in branches
    )
    return next(named, None)


def _config_files(reader: GitReader, project: str) -> tuple[Path, ...]:
    folder = _work_tree(reader, project)
    names = (Config.CONFIG, Config.CONFIG_LOCAL) if folder else ()
    return (
        *(Path(Config.get_dir(level), Config.CONFIG) for level in Config.SYSTEM_LEVELS),
        *(Path(folder or "", name) for name in names),
    )


def _read_config(
    reader: GitReader, project: str, default: str | None, commit: str | None
) -> Config:
    folder = _work_tree(reader, project)
    if folder is not None:
        return Config(str(folder), remote=default)
    if commit is None:
        return Config(remote=default)
    where = reader.root or reader.common_dir
    with reader.objects() as objects:
        fs = open_commit(CommitTree(objects, commit, where=os.fspath(where)))
        dvc_dir = posixpath.join("/", project, ".dvc")
        try:
            raw = Config.load_file(posixpath.join(dvc_dir, "config"), fs=fs)
        except FileNotFoundError:
            raw = {}
        moved = _rebased(raw, where / project / ".dvc")
        return Config(dvc_dir, fs=fs, config=moved, remote=default)


def _rebased(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let relative paths start where a clone's would; DVC starts them at Git's root."""
    urls = {name: each.get("url", "") for name, each in raw.get("remote", {}).items()}
    return {
        "remote": {
            name: {"url": os.path.normpath(folder / url)}
            for name, url in urls.items()
            if url and "://" not in url and not Path(url).expanduser().is_absolute()
        }
    }
