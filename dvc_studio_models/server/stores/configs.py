"""The DVC config of a served repo's projects, as it is now.

The current config is used, and not that of the version's commit, as ``dvc artifacts
get`` does: storage that was moved has the old versions too. It is the working tree's
config with ``config.local``; of a bare repo, or where the working tree is sparse, that
of HEAD, or of the default branch where HEAD names a branch that is gone. All of them
override the user's and the machine's. Without any branch, the config of the version's
commit is used.
"""

from __future__ import annotations

import logging
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.config import Config, ConfigError
from voluptuous import Invalid

from dvc_studio_models.errors import strip_quoted
from dvc_studio_models.registry.git.tree import CommitTree, open_commit
from dvc_studio_models.server.errors.remotes import (
    ConfigUnreadableError,
)
from dvc_studio_models.server.repos.refs import file_stamp
from dvc_studio_models.server.waiting.single_flight import (
    SharedRead,
    SingleFlightCache,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from dvc_studio_models.registry.git.reader import GitReader

logger = logging.getLogger(f"dvc.{__name__}")

CONFIG_ERRORS = (ConfigError, Invalid, OSError)
"""The exceptions of DVC if it cannot read a config."""

DEFAULT_BRANCHES = ("main", "master", "trunk")
"""Tried in this order where HEAD names no commit."""

MAX_CACHED = (
    200  # configs; only a repo without branches has more than one for each project
)


@dataclass(frozen=True, eq=False)
class ProjectConfig:
    """The config of one DVC project, as it was at one moment."""

    settings: Config
    version: str | None
    """The version's commit, where there is no branch; else None."""


class Configs:
    """The configs of one repo, read again when they change."""

    def __init__(self, reader: GitReader, *, default: str | None) -> None:
        """Store the reader and the default; configs are read when needed.

        Args:
            reader: The repo.
            default: Name of the default remote; None uses the one in each config.
        """
        self._reader = reader
        self._default = default
        self._branch = SharedRead(lambda: _config_commit(reader))
        self._cache: SingleFlightCache[ProjectConfig] = SingleFlightCache(MAX_CACHED)
        self._files = _config_files(reader, "")

    def stamp(self) -> tuple[object, ...]:
        """Return a value that changes when a config that was read changes.

        Configs in Git change with the refs, which are not part of it.
        """
        return tuple(map(file_stamp, self._files))

    def find(self, project: str, commit: str | None) -> ProjectConfig:
        """Return a project's config, read again only where it has changed.

        Args:
            project: Its folder, empty for the root.
            commit: Of the version, whose config is used where there is no branch.

        Raises:
            ConfigUnreadableError: DVC cannot read it.
            GitSilentError: Another thread has been reading it for too long.
            UnreadableRepoError: Git cannot read the repo.
        """
        files = _config_files(self._reader, project)
        if new := [file for file in files if file not in self._files]:
            self._files = (*self._files, *new)  # others may be looking at the old one
        at, version = None, None
        if not _is_in_work_tree(self._reader, project):
            at = self._branch.get()
            if at is None:
                at = version = commit
        key = (project, at, *map(file_stamp, files))
        return self._cache.get(
            key, lambda: ProjectConfig(self._read(project, at), version)
        )

    def _read(self, project: str, commit: str | None) -> Config:
        folder = _work_folder(self._reader, project)
        try:
            if commit is None:
                return Config(folder and os.fspath(folder), remote=self._default)
            return self._read_commit(project, commit, folder)
        except CONFIG_ERRORS as exc:
            raise unreadable(exc) from None

    def _read_commit(self, project: str, commit: str, folder: Path | None) -> Config:
        where = self._reader.root or self._reader.common_dir
        with self._reader.objects() as objects:
            fs = open_commit(CommitTree(objects, commit, where=os.fspath(where)))
            dvc_dir = posixpath.join("/", project, ".dvc")
            try:
                raw = Config.load_file(posixpath.join(dvc_dir, "config"), fs=fs)
            except FileNotFoundError:
                raw = {}
            own = _own_urls(folder / Config.CONFIG_LOCAL) if folder else ()
            return Config(
                dvc_dir,
                local_dvc_dir=folder and os.fspath(folder),
                fs=fs,
                config=_resolved(raw, where / project / ".dvc", own),
                remote=self._default,
            )


def unreadable(exc: Exception) -> ConfigUnreadableError:
    """Log why a config cannot be read; the error for clients quotes no part of it."""
    logger.error("cannot read the DVC config: %s", strip_quoted(str(exc)))
    return ConfigUnreadableError()


def _config_commit(reader: GitReader) -> str | None:
    """Choose the commit whose config is used; None where there is no branch.

    Where the default branch was renamed, a mirror's HEAD names a branch that is gone.
    """
    if head := reader.head():
        return head
    branches = dict(reader.branches())
    named = (branches[name] for name in DEFAULT_BRANCHES if name in branches)
    only = next(iter(branches.values())) if len(branches) == 1 else None
    return next(named, only)


def _work_folder(reader: GitReader, project: str) -> Path | None:
    """Return the ``.dvc`` folder in the working tree, None in a bare repo."""
    return reader.root and reader.root / project / ".dvc"


def _is_in_work_tree(reader: GitReader, project: str) -> bool:
    """Whether the working tree has the config; a sparse one may lack it."""
    folder = _work_folder(reader, project)
    return folder is not None and (folder / Config.CONFIG).exists()


def _config_files(reader: GitReader, project: str) -> tuple[Path, ...]:
    """List the config files outside of Git's objects, whether they exist or not."""
    folder = _work_folder(reader, project)
    names = (Config.CONFIG, Config.CONFIG_LOCAL) if folder else ()
    return (
        *(Path(Config.get_dir(level), Config.CONFIG) for level in Config.SYSTEM_LEVELS),
        *(Path(folder or "", name) for name in names),
    )


def _own_urls(local: Path) -> set[str]:
    """Return the names of the remotes whose URL is in a ``config.local``."""
    try:
        remotes = Config.load_file(os.fspath(local)).get("remote", {})
    except FileNotFoundError:
        return set()
    return {name for name, settings in remotes.items() if "url" in settings}


def _resolved(
    raw: dict[str, Any], folder: Path, other: Collection[str]
) -> dict[str, Any]:
    """Return the URLs that are relative paths, resolved as in a clone.

    In a commit, DVC resolves them from Git's root.

    Args:
        raw: A config in Git.
        folder: Where its file would be in a clone.
        other: Remotes whose URL is taken from elsewhere.
    """
    urls = {name: each.get("url", "") for name, each in raw.get("remote", {}).items()}
    return {
        "remote": {
            name: {"url": os.path.normpath(folder / url)}
            for name, url in urls.items()
            if name not in other and url and _is_relative(url)
        }
    }


def _is_relative(url: str) -> bool:
    return "://" not in url and not Path(url).expanduser().is_absolute()
