"""The DVC config of a served repo's projects, as it is now.

The current config is used, and not that of the version's commit, as ``dvc artifacts
get`` does: storage that was moved has the old versions too. It is the working tree's
config with ``config.local``; of a bare repo, or where the working tree is sparse, that
of HEAD, or of the default branch where HEAD names a branch that is gone. All of them
override the user's and the machine's. Without any branch, the config of the version's
commit is used.

Whoever can push to the repo writes its ``.dvc/config``. So only the options of it that
say where the data is are used, see :mod:`dvc_studio_models.registry.committed.config`;
all others are taken from the server's side: ``config.local`` where it is not in Git,
and the user's and the machine's config.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.config import Config, ConfigError
from voluptuous import Invalid

from dvc_studio_models.errors import strip_quoted
from dvc_studio_models.registry.committed.config import MAX_BYTES, read_config
from dvc_studio_models.registry.git.tree import CommitTree
from dvc_studio_models.server.errors.remotes import (
    ConfigUnreadableError,
)
from dvc_studio_models.server.repos.refs import BRANCHES, RefsStamp, file_stamp
from dvc_studio_models.server.stores.credentials import files_of
from dvc_studio_models.server.stores.local_config import find_problem, git_dir
from dvc_studio_models.server.stores.places import SERVICES
from dvc_studio_models.server.waiting.single_flight import (
    SingleFlightCache,
    StampedRead,
)

if TYPE_CHECKING:
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.server.repos.repos import ServedRepo

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

    local: frozenset[str] = frozenset()
    """Names of the remotes whose URLs are in ``config.local``."""

    committed: frozenset[str] = frozenset()
    """Names of the remotes whose URLs are in the repo's own config."""

    services: frozenset[str] = frozenset()
    """Endpoints of S3 and accounts of Azure that the repo's own config names."""


class Configs:
    """The configs of one repo, read again when they change."""

    def __init__(self, repo: ServedRepo) -> None:
        """Store the repo; configs are read when needed."""
        reader = repo.reader
        self._repo = repo.key
        self._reader = reader
        self._default = repo.config.remote
        self._credentials = repo.config.credentials
        refs = RefsStamp(reader.common_dir, root=reader.root, folders=[BRANCHES])
        self._branch = StampedRead(lambda: _config_commit(reader), stamp=refs.read)
        self._cache: SingleFlightCache[ProjectConfig] = SingleFlightCache(MAX_CACHED)
        self._files = _config_files(reader, "")
        self._secret_files: tuple[Path, ...] = ()
        """Files with credentials, of all configs that were read."""

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
        files = (*_config_files(self._reader, project), *self._secret_files)
        if new := [file for file in files if file not in self._files]:
            self._files = (*self._files, *new)  # others may be looking at the old one
        at, version = None, None
        try:
            is_in_work_tree = _is_in_work_tree(self._reader, project)
        except OSError as exc:
            raise unreadable(exc, self._repo) from None
        if not is_in_work_tree:
            at = self._branch.get()
            if at is None:
                at = version = commit
        key = (project, at, *map(file_stamp, files))
        return self._cache.get(key, lambda: self._read(project, at, version))

    def find_at(self, project: str, commit: str) -> ProjectConfig:
        """Return a project's config at a commit, without ``config.local``.

        Raises:
            ConfigUnreadableError, UnreadableRepoError: See :meth:`find`.
        """
        return self._load(project, commit, None, use_local=False)

    def branch(self) -> str | None:
        """Return the commit whose configs are used; None where there is no branch.

        Raises:
            GitSilentError, UnreadableRepoError: See :meth:`find`.
        """
        return self._branch.get()

    def _read(
        self, project: str, commit: str | None, version: str | None
    ) -> ProjectConfig:
        config = self._load(project, commit, version)
        files = files_of(config.settings, self._credentials)
        self._secret_files = tuple(dict.fromkeys((*self._secret_files, *files)))
        return config

    def _load(
        self,
        project: str,
        commit: str | None,
        version: str | None,
        *,
        use_local: bool = True,
    ) -> ProjectConfig:
        try:
            committed = self._read_committed(project, commit)
            folder = self._local_folder(project) if use_local else None
            own = Config.load_file(folder / Config.CONFIG_LOCAL) if folder else {}
            used = _without(committed, own)
            settings = Config(
                local_dvc_dir=folder and os.fspath(folder),
                config=used,
                remote=self._default,
            )
        except CONFIG_ERRORS as exc:
            raise unreadable(exc, self._repo) from None
        remotes = used["remote"].values()
        return ProjectConfig(
            settings,
            version,
            local=_with_url(own),
            committed=_with_url(committed),
            services=frozenset(
                options[option]
                for options in remotes
                for option in SERVICES.values()
                if option in options
            ),
        )

    def _read_committed(self, project: str, commit: str | None) -> dict[str, Any]:
        """Read what is used of a project's ``.dvc/config``."""
        where = (self._reader.root or self._reader.common_dir) / project / ".dvc"
        root = self._reader.root
        if commit is not None:
            data = self._read_commit(project, commit)
        else:
            data = _read_file(root, project) if root else None
        config = read_config(data or b"")
        for name, options in config.dropped.items():
            logger.warning(
                "repo '%s': the '.dvc/config' of its commits must not set '%s' of the "
                "DVC remote '%s': ignored; set it on the server",
                self._repo,
                "', '".join(options),
                name,
            )
        return _resolved(config.to_dvc(), where)

    def _read_commit(self, project: str, commit: str) -> bytes | None:
        where = self._reader.root or self._reader.common_dir
        key = (*filter(None, project.split("/")), ".dvc", Config.CONFIG)
        with self._reader.objects() as objects:
            place = os.fspath(where)
            tree = CommitTree(objects, commit, where=place, bounded=True)
            entry = tree.entry(key)
            return tree.read(entry) if entry and entry.is_file else None

    def _local_folder(self, project: str) -> Path | None:
        """Return the folder of ``config.local``, None where there is none to use."""
        folder = _work_folder(self._reader, project)
        if folder is None or not os.path.lexists(folder / Config.CONFIG_LOCAL):
            return None
        if problem := find_problem(self._reader, project):
            logger.warning(
                "repo '%s': its '.dvc/config.local' is ignored: %s", self._repo, problem
            )
            return None
        return folder


def unreadable(exc: Exception, repo: str) -> ConfigUnreadableError:
    """Log why a config cannot be read; the error for clients quotes no part of it."""
    reason = strip_quoted(str(exc))
    logger.error("repo '%s': cannot read its DVC config: %s", repo, reason)
    return ConfigUnreadableError()


def _config_commit(reader: GitReader) -> str | None:
    """Choose the commit whose config is used; None where there is no branch.

    Where the default branch was renamed, a mirror's HEAD names a branch that is gone.
    """
    if head := reader.head():
        return head
    branches = dict(reader.refs("refs/heads"))
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
    own = [Path(Config.get_dir(level)) for level in Config.SYSTEM_LEVELS]
    files = [level / Config.CONFIG for level in own]
    if folder and reader.root:
        files += (folder / Config.CONFIG, folder / Config.CONFIG_LOCAL)
        if os.path.lexists(folder / Config.CONFIG_LOCAL):  # it may come into Git
            files.append(git_dir(reader.root) / "index")
    return tuple(files)


def _read_file(root: Path, project: str) -> bytes | None:
    """Read a project's config in the working tree, None where there is none.

    Raises:
        ConfigError: It is behind a symlink, which may be committed, or is no file.
    """
    path = root
    try:
        for name in (*filter(None, project.split("/")), ".dvc", Config.CONFIG):
            path /= name
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                msg = f"'{path.relative_to(root)}' is a symlink"
                raise ConfigError(msg)
        if not stat.S_ISREG(status.st_mode):
            msg = f"'{path.name}' is not a regular file"
            raise ConfigError(msg)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None


def _with_url(config: dict[str, Any]) -> frozenset[str]:
    """Return the names of the remotes that have a URL."""
    remotes = config.get("remote", {})
    return frozenset(name for name, options in remotes.items() if "url" in options)


def _without(config: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a committed config without the options that a ``config.local`` sets."""
    core = own.get("core", {})
    remotes = own.get("remote", {})
    return {
        "core": {key: config["core"][key] for key in config["core"].keys() - core},
        "remote": {
            name: {
                key: value
                for key, value in options.items()
                if key not in remotes.get(name, {})
            }
            for name, options in config["remote"].items()
        },
    }


def _resolved(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a config whose relative paths are resolved as in a clone.

    Args:
        config: A committed one.
        folder: Where its file would be in a clone.
    """
    for options in config["remote"].values():
        if (url := options.get("url")) and "://" not in url:
            options["url"] = os.path.normpath(folder / os.path.expanduser(url))
    return config
