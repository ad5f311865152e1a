"""The cache that a command works on, and all that is known to use it.

That are the clone and the DVC projects around the user's folder, the worktrees of that
clone, each folder that was pulled to through the cache, and what the user names.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UsageError
from dvc_studio_models.operations.cache.roots import UserRoot, worktrees_of
from dvc_studio_models.store.upkeep.folder import CacheFolder
from dvc_studio_models.store.upkeep.workspace import cache_folder_of
from dvc_studio_models.store.usage import UsageRecord, read_usage
from dvc_studio_models.store.user.location import find_user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass
class CacheContext:
    """A cache, and what was opened for one command."""

    cache: CacheFolder
    here: UserRoot | None = None
    """Around the user's folder; None without Git and DVC."""

    others: list[UserRoot] = field(default_factory=list)
    """Further roots that use the cache, or may."""

    records: list[UsageRecord] = field(default_factory=list)
    """Of the use of the cache."""

    problems: list[str] = field(default_factory=list)
    """What uses the cache, or may, and cannot be read."""

    is_shared: bool = False
    """Whether projects may use it that are not known."""

    @property
    def roots(self) -> list[UserRoot]:
        """All of them."""
        return [*([self.here] if self.here else []), *self.others]

    @property
    def has_lock(self) -> bool:
        """Whether the cache belongs to a project, whose lock each pull holds."""
        users = (each for root in self.roots for each in root.workspaces)
        return any(each.has_own_cache for each in users)

    @contextlib.contextmanager
    def lock(self, *, waits: bool) -> Iterator[None]:
        """Hold DVC's lock of all projects that use the cache.

        Raises:
            LockHeldError: Another process holds one of them.
            LockUnsupportedError, LocalDiskError: It cannot be taken.
        """
        found = {each.root: each for root in self.roots for each in root.workspaces}
        with contextlib.ExitStack() as stack:
            for root in sorted(found):
                stack.enter_context(found[root].lock(waits=waits))
            yield

    def close(self) -> None:
        """Close all projects."""
        for root in self.roots:
            root.close()


def open_cache(
    folder: Path,
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    projects: Sequence[str] | None = None,
) -> CacheContext:
    """Open the cache of the DVC project around a folder, or else the user's cache.

    Args:
        folder: The user's.
        cache_dir: Another cache; it may be that of a project.
        projects: Others that use it; None if the user has named none, not even by an
            empty list.

    Raises:
        UsageError: There is no such cache, or one of the projects is none.
        StudioConfigError, SiteCacheError, LocalDiskError: The project of the folder or
            the cache cannot be read.
    """
    if cache_dir is not None and not Path(os.path.expanduser(cache_dir)).is_dir():
        msg = f"there is no folder '{cache_dir}'"
        raise UsageError(msg)
    with contextlib.ExitStack() as stack:
        context = _open_here(folder, cache_dir)
        stack.callback(context.close)
        for path in projects or ():
            _add(context, _open_named(context, path))
        _open_others(context)
        users = (workspace for root in context.roots for workspace in root.workspaces)
        context.is_shared |= any(
            not workspace.has_own_cache and not _is_of_clone(context, workspace.root)
            for workspace in users
        )
        if projects is not None:
            context.is_shared = False
        stack.pop_all()
    return context


def _open_named(context: CacheContext, path: str) -> UserRoot:
    """Open a project that the user names.

    Raises:
        UsageError: It is none, it is that of the user's folder, or uses another cache.
    """
    folder = Path(path).absolute()
    if not folder.is_dir():
        msg = f"there is no folder '{path}'"
        raise UsageError(msg)
    root = UserRoot.find(folder, context.cache.path, label=path)
    if root is None:
        msg = f"'{path}' is neither in a DVC project nor in a Git repo"
        raise UsageError(msg)
    if context.here and root.root == context.here.root:
        root.close()
        msg = f"'{path}' is in the current project: name others"
        raise UsageError(msg)
    if root.elsewhere and not root.workspaces:
        msg = f"'{path}' does not use the cache '{context.cache.path}'"
        raise UsageError(msg)
    return root


def _open_here(folder: Path, cache_dir: str | os.PathLike[str] | None) -> CacheContext:
    project = UserRoot.project_around(folder)
    if cache_dir is None and project:
        cache = cache_folder_of(project)
        here = UserRoot.find(folder, cache)
        return CacheContext(CacheFolder(cache), here)
    found = find_user_cache(cache_dir)
    configured = find_user_cache(environ={})
    context = CacheContext(CacheFolder(found.folder))
    context.is_shared = found.is_shared or (
        configured.is_shared and configured.folder == found.folder
    )
    context.here = UserRoot.find(folder, found.folder)
    return context


def _is_of_clone(context: CacheContext, project: Path) -> bool:
    """Whether the cache is in the ``.dvc`` folder of a project of the same clone."""
    owner = Path(os.path.realpath(context.cache.path)).parent
    for root in context.roots:
        inside = owner.name == ".dvc" and owner.is_relative_to(root.root)
        if inside and project.is_relative_to(root.root):
            return True
    return False


def _open_others(context: CacheContext) -> None:
    """Open all other roots that use the cache, as far as they are known."""
    context.records, unreadable = read_usage(context.cache.path)
    context.problems += [
        f"the record of a pull, '{path}': it is damaged" for path in unreadable
    ]
    owner = Path(os.path.realpath(context.cache.path)).parent
    folders = [owner.parent] if owner.name == ".dvc" else []
    folders += [Path(record.root) for record in context.records if record.root]
    for folder in dict.fromkeys(folders):
        _try_to_add(context, folder)
    for root in list(context.roots):
        for folder in worktrees_of(root):
            _try_to_add(context, folder)


def _try_to_add(context: CacheContext, folder: Path) -> None:
    try:
        if _exists(folder) and not any(root.holds(folder) for root in context.roots):
            label = os.fspath(folder)
            root = UserRoot.find(folder, context.cache.path, label=label)
            _add(context, root or UserRoot(folder, None, [], label=label))
    except Exception as error:  # noqa: BLE001 - whatever is wrong there
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        context.problems.append(f"'{folder}': {reason}")


def _exists(folder: Path) -> bool:
    try:
        return os.path.isdir(folder) or bool(os.stat(folder))  # noqa: PTH112, PTH116
    except (FileNotFoundError, NotADirectoryError):
        return False


def _add(context: CacheContext, root: UserRoot) -> None:
    if any(each.root == root.root for each in context.roots):
        root.close()
    else:
        context.others.append(root)
