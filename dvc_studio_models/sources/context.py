"""The clone, registry and stores of a command, each opened once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    LocalDiskError,
    NotGitRepoError,
    StudioOfflineError,
    UsageError,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry, cache_path
from dvc_studio_models.store.dvc.project import (
    project_above,
    project_around,
)
from dvc_studio_models.store.dvc.store import DvcStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dvc_studio_models.http.studio.request import StudioConnection
    from dvc_studio_models.model import PullOptions
    from dvc_studio_models.sources.settings import Settings
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.user.location import UserCache

logger = get_logger(__name__)


class PullContext:
    """The user's folder, the settings there, and what was opened for one command."""

    def __init__(
        self,
        folder: Path,
        clone: Clone | None,
        settings: Settings,
        options: PullOptions,
    ) -> None:
        self.folder = folder
        self.clone = clone
        """The clone that the folder is in."""
        self.settings = settings
        self._options = options
        self._registry: GitRegistry | None = None
        self._studio: StudioConnection | None = None
        self._told: set[str] = set()
        self._stores: dict[Path, Store] = {}
        self._clones: dict[Path, Clone | None] = {}

    def tell_once(self, note: str) -> None:
        """Log a note, unless it was logged before."""
        if note not in self._told:
            self._told.add(note)
            logger.info("%s", note)

    def open_registry(self) -> GitRegistry:
        """Open the registry of the clone, the first time."""
        assert self.clone  # noqa: S101 - there is no registry without one
        if self._registry is None:
            named = self._options.git_remote or self.settings.git_remote
            self._registry = GitRegistry(
                self.clone.reader,
                cache=cache_path(self.clone.reader),
                remote=self.clone.other_remote(named),
            )
        return self._registry

    def connect(self) -> StudioConnection:
        """Return the connection to Studio, which all requests of a command share.

        So there is one warning about a repo, and one token of a CI job.

        Raises:
            StudioOfflineError: The settings forbid to contact Studio.
            TokenMissingError: The settings have no token.
        """
        if self.settings.offline:
            raise StudioOfflineError
        if self._studio is None:
            from dvc_studio_models.http.studio.request import StudioConnection

            token = self.settings.require_token()
            self._studio = StudioConnection(
                self.settings.url, token, job=self.settings.job
            )
        return self._studio

    def open_store(self, root: Path, paths: Sequence[str]) -> Store:
        """Open the store for paths: each project's once, else that of the user.

        Args:
            root: What the paths are relative to. Above the root of a clone, no project
                counts; above any other folder, one does.
            paths: Of files or folders of one model, which need not exist.

        Raises:
            UsageError: Another cache is chosen than that of the project.
            StudioConfigError: DVC cannot read the project's config.
            LocalDiskError: The file system refused.
        """
        project = project_around(root / common_folder(paths), root)
        if project is None and not (self.clone and root == self.clone.root):
            project = project_above(root)
        key = project or root
        if key not in self._stores:
            self._stores[key] = (
                self._open_project_store(project)
                if project
                else self._open_other_store(root)
            )
        return self._stores[key]

    def _open_project_store(self, project: Path) -> Store:
        options = self._options
        if options.cache_dir:
            msg = (
                f"'{project}' is a DVC project, which has its own cache: leave out "
                "'--cache-dir', or change that with 'dvc cache dir'"
            )
            raise UsageError(msg)
        return DvcStore(
            project,
            use_cache=options.cache,
            wait_for_lock=options.wait_for_lock,
            config=self.settings.dvc_config,
            read_only=options.dry_run,
        )

    def _open_other_store(self, root: Path) -> Store:
        from dvc_studio_models.store.plain import PlainStore

        if not self._options.cache:
            return PlainStore(root)
        from dvc_studio_models.store.user.store import open_user_store, warn_of_cache

        try:
            cache = self.find_user_cache().folder
        except LocalDiskError as error:
            warn_of_cache(error)
            return PlainStore(root)
        return open_user_store(root, cache, read_only=self._options.dry_run)

    def find_user_cache(self) -> UserCache:
        """Return the cache for files outside of DVC projects.

        Raises:
            StudioConfigError: DVC cannot read its config.
            LocalDiskError: The config cannot be read, or the user has no home folder.
        """
        from dvc_studio_models.store.user.location import find_user_cache

        chosen = self._options.cache_dir
        if chosen:
            chosen = self.folder / os.path.expanduser(chosen)
        return find_user_cache(chosen, config=self.settings.dvc_config)

    def clone_around(self, folder: Path) -> Clone | None:
        """Return the clone that a folder is in, which ``--out`` may set anywhere."""
        if self.clone and folder == self.clone.root:
            return self.clone
        if folder not in self._clones:
            try:
                self._clones[folder] = Clone.find(folder)
            except NotGitRepoError:
                self._clones[folder] = None
        return self._clones[folder]

    def close(self) -> None:
        """Save what was read of commits, but for a dry run; close what was opened."""
        if self._studio:
            self._studio.close()
        if self._registry:
            self._registry.close(save=not self._options.dry_run)
        for store in self._stores.values():
            store.close()


def common_folder(paths: Iterable[str]) -> str:
    """Return the deepest folder that all files lie in, empty for the root."""
    parents = [path.rpartition("/")[0] for path in paths]
    return os.path.commonpath(parents) if all(parents) else ""
