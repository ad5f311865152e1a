"""Whether the ``config.local`` of a clone is the operator's own file.

DVC ignores it in Git, so it usually is. But a commit may contain one all the same, or a
symlink in its place, and then whoever can push has written it.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dvc.config import Config, ConfigError

if TYPE_CHECKING:
    from dvc_studio_models.registry.git.reader import GitReader

MAX_BYTES = 1 << 20
"""The largest ``config.local`` that is read."""


def find_problem(reader: GitReader, project: str) -> str | None:
    """Return why a project's ``config.local`` must not be used; None if it may.

    Args:
        reader: A clone with a working tree.
        project: Folder of the DVC project, empty for the root.

    Raises:
        ConfigError: It cannot be said now, or the file cannot be read.
        UnreadableRepoError: Git cannot read the index.
    """
    assert reader.root  # noqa: S101 - a bare repo has no such file
    lock = git_dir(reader.root) / "index.lock"
    _check_lock(lock)  # while Git writes files, the index does not have them yet
    path = f"{project}/.dvc/{Config.CONFIG_LOCAL}".lstrip("/")
    if problem := _find_in_files(reader.root, path):
        return problem
    parents = {path, *(str(parent) for parent in Path(path).parents)}
    names = {name.casefold() for name in parents}  # the file system may fold them too
    if any(name.casefold() in names for name in reader.tracked([path])):
        return "it is in Git"
    _check_lock(lock)
    return None


def _check_lock(lock: Path) -> None:
    if lock.exists():
        msg = "Git is changing the clone: there is '.git/index.lock'"
        raise ConfigError(msg)


def git_dir(root: Path) -> Path:
    """Return Git's folder of a working tree, also of one that ``git worktree`` made."""
    link = root / ".git"
    if not link.is_file():
        return link
    named = link.read_text("utf-8", "surrogateescape").partition("gitdir:")[2].strip()
    return root / named


def _find_in_files(root: Path, path: str) -> str | None:
    """Look for what a commit could have put in the place of the file."""
    place = root
    for name in path.split("/"):
        if place != root and (place / ".git").exists():
            return "it is in another Git repo"
        place /= name
        status = place.lstat()
        if stat.S_ISLNK(status.st_mode):
            return f"'{place.relative_to(root)}' is a symlink"
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        msg = f"'{path}' is not a regular file, or too large"
        raise ConfigError(msg)
    return None
