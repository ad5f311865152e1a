"""The cache that a command works on, and the projects that use it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotDvcProjectError, NotGitRepoError
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.store.dvc.project import project_around, tag_cache_path
from dvc_studio_models.store.upkeep.folder import CacheFolder
from dvc_studio_models.store.upkeep.workspace import DvcWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator


class UserProject:
    """A DVC project that uses a cache, with the clone that it is in."""

    def __init__(self, folder: Path, *, label: str = "") -> None:
        """Open the project around a folder.

        Args:
            folder: In the project.
            label: What reasons to keep an object begin with.

        Raises:
            NotDvcProjectError: There is no project.
            StudioConfigError, SiteCacheError, LocalDiskError: DVC cannot open it.
        """
        self.label = label
        self.clone = _clone_around(folder)
        root = find_project(folder, self.clone)
        if root is None:
            raise NotDvcProjectError(os.fspath(folder))
        self.workspace = DvcWorkspace(root)

    @property
    def root(self) -> Path:
        """Of the DVC project."""
        return self.workspace.root

    @cached_property
    def registry(self) -> GitRegistry | None:
        """The models of its clone; None outside of Git."""
        if self.clone is None:
            return None
        cache = tag_cache_path(self.root, self.root)
        return GitRegistry(self.clone.reader, cache=cache)

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
        self.workspace.close()


@dataclass
class CacheContext:
    """A cache, and what was opened for one command."""

    cache: CacheFolder
    project: UserProject | None = None
    """The project of the user's folder, if it uses this cache."""

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
                stack.enter_context(roots[root].workspace.lock(waits=waits))
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
        cache_dir: Another cache; it may be the project's.
        projects: Others that use it; None if the user has named none, not even by an
            empty list.

    Raises:
        NotDvcProjectError: There is no project, and no other cache is known.
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
    project = None
    if find_project(folder, _clone_around(folder)):
        project = UserProject(folder)
    if cache_dir is None:
        if project is None:
            raise NotDvcProjectError(os.fspath(folder))
        shared = not project.workspace.has_own_cache
        cache = CacheFolder(project.workspace.cache_folder)
        return CacheContext(cache, project, is_shared=shared)
    cache = CacheFolder(Path(cache_dir).absolute())
    if project and _is_same(project.workspace.cache_folder, cache.path):
        shared = not project.workspace.has_own_cache
        return CacheContext(cache, project, is_shared=shared)
    if project:
        project.close()
    return CacheContext(cache, is_shared=False)


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def find_project(folder: Path, clone: Clone | None) -> Path | None:
    """Return the root of the DVC project around a folder; None without one."""
    folder = Path(os.path.realpath(folder))
    top = Path(os.path.realpath(clone.root)) if clone else Path(folder.anchor)
    return project_around(folder, top)


def _clone_around(folder: Path) -> Clone | None:
    try:
        return Clone.find(folder)
    except NotGitRepoError:
        return None
