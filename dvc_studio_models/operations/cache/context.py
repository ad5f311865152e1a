"""The cache that a command works on, and the projects that use it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotGitRepoError, UsageError
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.store.dvc.project import (
    project_above,
    project_around,
    tag_cache_path,
)
from dvc_studio_models.store.upkeep.folder import CacheFolder
from dvc_studio_models.store.upkeep.workspace import DvcWorkspace
from dvc_studio_models.store.user.location import find_user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.store.user.location import UserCache


class UserProject:
    """A DVC project that uses a cache, or a clone without DVC."""

    def __init__(self, folder: Path, *, label: str = "") -> None:
        """Open the project around a folder.

        Args:
            folder: In the project.
            label: What reasons to keep an object begin with.

        Raises:
            UsageError: There is neither a project nor a clone.
            StudioConfigError, SiteCacheError, LocalDiskError: DVC cannot open it.
        """
        self.label = label
        self.clone = _clone_around(folder)
        root = _find_root(folder, self.clone)
        if root is None and self.clone is None:
            msg = f"'{folder}' is neither in a DVC project nor in a Git repo"
            raise UsageError(msg)
        self.workspace = DvcWorkspace(root) if root else None
        """Of the DVC project; None without DVC."""

    @property
    def root(self) -> Path:
        """Of the DVC project, or of the clone."""
        if self.workspace:
            return self.workspace.root
        assert self.clone  # noqa: S101 - see __init__
        return Path(os.path.realpath(self.clone.root))

    @cached_property
    def registry(self) -> GitRegistry | None:
        """The models of its clone; None outside of Git."""
        if self.clone is None:
            return None
        cache = tag_cache_path(self.root, self.root)
        return GitRegistry(self.clone.reader, cache=cache)

    def is_own_repo(self, url: str) -> bool:
        """Whether a URL is that of its clone; a clone without a remote has its path."""
        clone = self.clone
        return clone is not None and (
            clone.has_remote(url) or url == os.fspath(clone.root)
        )

    @property
    def inner(self) -> str:
        """Its folder, relative to the Git root."""
        assert self.clone  # noqa: S101 - only with Git
        root = os.path.realpath(self.clone.root)
        inner = os.path.relpath(self.root, root).replace(os.sep, "/")
        return "" if inner == "." else inner

    def close(self) -> None:
        """Close DVC's databases, and save what was read of commits."""
        if "registry" in vars(self) and self.registry:
            self.registry.close()
        if self.workspace:
            self.workspace.close()


@dataclass
class CacheContext:
    """A cache, and what was opened for one command."""

    cache: CacheFolder
    project: UserProject | None = None
    """The project or clone around the user's folder. It may use another cache."""

    others: list[UserProject] = field(default_factory=list)
    """Further projects that use it, as the user named them."""

    is_shared: bool = False
    """Whether projects may use it that the user has not named."""

    @property
    def projects(self) -> list[UserProject]:
        """All of them."""
        return [*([self.project] if self.project else []), *self.others]

    @contextlib.contextmanager
    def lock(self, *, waits: bool) -> Iterator[None]:
        """Hold DVC's lock of all projects.

        Raises:
            LockHeldError: Another process holds one of them.
            LockUnsupportedError, LocalDiskError: It cannot be taken.
        """
        roots = {project.root: project for project in self.projects}
        with contextlib.ExitStack() as stack:
            for root in sorted(roots):
                if workspace := roots[root].workspace:
                    stack.enter_context(workspace.lock(waits=waits))
            yield

    def close(self) -> None:
        """Close all projects."""
        for project in self.projects:
            project.close()


def open_cache(
    folder: Path,
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    projects: list[str] | None = None,
) -> CacheContext:
    """Open the cache of the DVC project around a folder, or else the user's cache.

    Args:
        folder: The user's.
        cache_dir: Another cache; it may be that of a project.
        projects: Others that use it; None if the user has named none, not even by an
            empty list.

    Raises:
        UsageError: One of the projects is none.
        StudioConfigError, SiteCacheError, LocalDiskError: DVC cannot open a project.
    """
    with contextlib.ExitStack() as stack:
        context = _open(folder, cache_dir)
        stack.callback(context.close)
        for path in projects or []:
            context.others.append(UserProject(Path(path).absolute(), label=path))
        if projects is not None:
            context.is_shared = False
        stack.pop_all()
    return context


def _open(folder: Path, cache_dir: str | os.PathLike[str] | None) -> CacheContext:
    clone = _clone_around(folder)
    root = _find_root(folder, clone)
    project = UserProject(folder) if root or clone else None
    workspace = project.workspace if project else None
    if cache_dir is None and workspace:
        cache = CacheFolder(workspace.cache_folder)
        return CacheContext(cache, project, is_shared=not workspace.has_own_cache)
    found = find_user_cache(cache_dir)
    context = CacheContext(CacheFolder(found.folder), project)
    context.is_shared = _is_shared(found, workspace)
    owner = found.folder.parent
    if owner.name == ".dvc" and not (project and project.root == owner.parent):
        context.others.append(UserProject(owner.parent, label=owner.parent.name))
    return context


def _is_shared(chosen: UserCache, workspace: DvcWorkspace | None) -> bool:
    """Whether projects may use a cache that are not known."""
    if chosen.is_shared:
        return True
    configured = find_user_cache(environ={})
    if configured.is_shared and configured.folder == chosen.folder:
        return True
    if workspace is None or workspace.has_own_cache:
        return False
    return Path(os.path.realpath(workspace.cache_folder)) == chosen.folder


def _find_root(folder: Path, clone: Clone | None) -> Path | None:
    """Return the root of the DVC project around a folder; None without one."""
    folder = Path(os.path.realpath(folder))
    if clone is None:
        return project_above(folder)
    return project_around(folder, Path(os.path.realpath(clone.root)))


def _clone_around(folder: Path) -> Clone | None:
    try:
        return Clone.find(folder)
    except NotGitRepoError:
        return None
