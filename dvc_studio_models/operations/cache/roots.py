"""A clone, a DVC project or a folder that uses a cache."""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotGitRepoError, disk_errors
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry, cache_path
from dvc_studio_models.store.dvc.project import (
    project_above,
    project_around,
)
from dvc_studio_models.store.upkeep.workspace import DvcWorkspace, cache_folder_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DVC = ".dvc"


class UserRoot:
    """A clone with its DVC projects that use a cache; or one such project; or a folder.

    A clone counts as a whole: branches and stages may need content of any project.
    """

    def __init__(
        self,
        root: Path,
        clone: Clone | None,
        workspaces: list[DvcWorkspace],
        *,
        elsewhere: Iterable[str] = (),
        label: str = "",
    ) -> None:
        """Store what was opened.

        Args:
            root: Of the clone, of the project, or the folder.
            clone: None outside of Git.
            workspaces: The DVC projects that use the cache.
            elsewhere: The folders of those that use another one, relative to the root.
            label: What reasons to keep an object begin with.
        """
        self.root = Path(os.path.realpath(root))
        self.clone = clone
        self.workspaces = workspaces
        self.elsewhere = frozenset(elsewhere)
        self.label = label

    @classmethod
    def find(cls, folder: Path, cache: Path, *, label: str = "") -> UserRoot | None:
        """Open what is around a folder; None if that is neither Git's nor DVC's.

        Args:
            folder: It exists.
            cache: The folder of the cache.
            label: See the constructor.

        Raises:
            StudioModelsError: It cannot be read.
        """
        clone = _clone_around(folder)
        project = cls.project_around(folder)
        if clone is None and project is None:
            return None
        projects = [project] if project else []
        if clone:
            found = clone.reader.find_files(f"{_DVC}/config")
            projects += [(clone.root / path).parents[1] for path in found]
        root = clone.root if clone else project
        assert root  # noqa: S101 - one of them is there
        with contextlib.ExitStack() as stack:
            workspaces, elsewhere = [], []
            for each in map(Path, dict.fromkeys(map(os.path.realpath, projects))):
                if _same(cache_folder_of(each), cache):
                    workspaces.append(DvcWorkspace(each))
                    stack.callback(workspaces[-1].close)
                else:
                    elsewhere.append(_relative(each, root))
            stack.pop_all()
        return cls(root, clone, workspaces, elsewhere=elsewhere, label=label)

    @staticmethod
    def project_around(folder: Path) -> Path | None:
        """Return the root of the DVC project around a folder; None without one."""
        clone = _clone_around(folder)
        real = Path(os.path.realpath(folder))
        if clone is None:
            return project_above(real)
        return project_around(real, Path(os.path.realpath(clone.root)))

    @cached_property
    def registry(self) -> GitRegistry | None:
        """The models of its clone; None outside of Git."""
        if self.clone is None:
            return None
        reader = self.clone.reader
        return GitRegistry(reader, cache=cache_path(reader))

    @property
    def inner(self) -> set[str]:
        """The folders of the DVC projects that use the cache, relative to the root."""
        return {_relative(each.root, self.root) for each in self.workspaces}

    @property
    def git_dir(self) -> Path | None:
        """Where refs and objects are, also those of other worktrees."""
        if self.clone is None:
            return None
        return Path(os.path.realpath(self.clone.reader.common_dir))

    def is_own_repo(self, url: str) -> bool:
        """Whether a URL is that of its clone; a clone without a remote has its path."""
        clone = self.clone
        return clone is not None and (
            clone.has_remote(url) or url == os.fspath(clone.root)
        )

    def holds(self, folder: Path) -> bool:
        """Whether a folder is in this root, and in no other clone or project."""
        real = Path(os.path.realpath(folder))
        if not real.is_relative_to(self.root):
            return False
        clone = _clone_around(folder)
        if self.clone:
            return clone is not None and _same(clone.root, self.root)
        return clone is None and UserRoot.project_around(folder) in {self.root, None}

    def find_files(self, suffixes: tuple[str, ...]) -> Iterator[str]:
        """Yield the files whose names end so, below the root; relative to it.

        Also what Git ignores, and what is in submodules. Folders that this user cannot
        read are left out.
        """
        for at, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in {".git", _DVC}]
            for name in names:
                if name.endswith(suffixes):
                    yield Path(at, name).relative_to(self.root).as_posix()

    def close(self) -> None:
        """Close DVC's databases, and save what was read of commits."""
        if "registry" in vars(self) and self.registry:
            self.registry.close()
        for workspace in self.workspaces:
            workspace.close()


def worktrees_of(root: UserRoot) -> list[Path]:
    """List the working trees of a clone, which need not exist any more.

    Raises:
        LocalDiskError: Git's list of them cannot be read.
    """
    if root.git_dir is None:
        return []
    found = [root.git_dir.parent] if root.git_dir.name == ".git" else []
    for entry in _worktree_entries(root.git_dir):
        with contextlib.suppress(FileNotFoundError):
            found.append(Path((entry / "gitdir").read_text().strip()).parent)
    return found


def detached_heads(root: UserRoot) -> dict[str, str]:
    """Return the commits that worktrees have checked out: name to what HEAD says.

    Raises:
        LocalDiskError: They cannot be read.
    """
    if root.git_dir is None:
        return {}
    found = {}
    for entry in _worktree_entries(root.git_dir):
        with contextlib.suppress(FileNotFoundError):
            found[entry.name] = (entry / "HEAD").read_text().strip()
    main = root.git_dir / "HEAD"
    if main.is_file():
        found["main worktree"] = main.read_text().strip()
    return {name: text for name, text in found.items() if not text.startswith("ref:")}


def is_shallow(root: UserRoot) -> bool:
    """Whether a clone lacks commits of its history."""
    return root.git_dir is not None and (root.git_dir / "shallow").exists()


def _worktree_entries(git_dir: Path) -> list[Path]:
    folder = git_dir / "worktrees"
    with disk_errors(folder, action="read"):
        try:
            return sorted(folder.iterdir())
        except FileNotFoundError:
            return []


def _relative(folder: Path, root: Path) -> str:
    inner = os.path.relpath(os.path.realpath(folder), os.path.realpath(root))
    return "" if inner == "." else inner.replace(os.sep, "/")


def _same(one: Path, other: Path) -> bool:
    """Return whether two paths are one folder, which may have several real paths.

    By two mounts, or, where case does not count, by its names.
    """
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def _clone_around(folder: Path) -> Clone | None:
    try:
        return Clone.find(folder)
    except NotGitRepoError:
        return None
