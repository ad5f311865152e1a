"""The user's clone: its root, its remotes, and the files that Git tracks.

Promises that no password or token of a remote's URL leaves this module. Tags and
commits are read by ``git_registry``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.errors import GitRemoteError, NotGitRepoError, disk_errors
from dvc_studio_models.files.folders import as_listed
from dvc_studio_models.files.paths import compose, fold
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.urls import (
    is_local,
    is_same_repo,
    is_url,
    strip_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from dvc_studio_models.model import ModelRef
    from dvc_studio_models.registry.git.reader import GitReader


class Clone:
    """A Git working tree."""

    def __init__(self, reader: GitReader, root: Path) -> None:
        self.reader = reader
        self.root = root

    @classmethod
    def find(cls, folder: Path) -> Clone:
        """Open the working tree that ``folder`` is in.

        Raises:
            NotGitRepoError: There is none, or the repository is bare.
            UnreadableRepoError: There is one that Git refuses.
        """
        reader = open_reader(folder)
        if reader.root is None:
            raise NotGitRepoError(
                os.fspath(folder), "a bare Git repository, without a working tree"
            )
        return cls(reader, reader.root)

    def tracked(self, paths: Iterable[str]) -> dict[str, str]:
        """Return those of ``paths`` that Git's index has, or has a parent of.

        Args:
            paths: Relative to the root. A parent in the index is a file or a submodule.

        Returns:
            The names in the index, by path.

        Raises:
            UnreadableRepoError: Git cannot read its index.
        """
        paths = list(paths)
        key_of = self.key_of
        index = self._tracked(paths)
        return {
            path: index[prefix]
            for path in paths
            for prefix in _with_parents(key_of(path))
            if prefix in index
        }

    def _tracked(self, paths: list[str]) -> dict[str, str]:
        """Return what the index has in the top folders of paths, by the keys."""
        key_of = self.key_of
        found = self.reader.tracked(paths if key_of is str else None)
        return {key_of(name): name for name in found}

    def spell(self, paths: Iterable[str]) -> list[str]:
        """Return paths as Git spells those of files that exist.

        Git lists the names that the folders list, composed where it is set to do so.

        Args:
            paths: Relative to the root.

        Raises:
            LocalDiskError: A folder cannot be read.
        """
        if self.key_of is str:
            return list(paths)
        with disk_errors(self.root, action="read"):
            listed = as_listed(self.root, paths)
        is_composed = self._is_set("core.precomposeunicode")
        return [compose(path) for path in listed] if is_composed else listed

    @cached_property
    def key_of(self) -> Callable[[str], str]:
        """Maps names to what is equal if they are one file here.

        Git has found out which are when the clone was made, as on macOS.
        """
        if self._is_set("core.ignorecase"):
            return fold
        return compose if self._is_set("core.precomposeunicode") else str

    def _is_set(self, name: str) -> bool:
        return self._config.get(name, "").lower() in {"true", "yes", "on", "1"}

    def untracked(self, paths: Iterable[str]) -> set[str]:
        """List the files at or below paths that Git neither tracks nor ignores.

        Where names are found in any case, they may be listed in another one.

        Args:
            paths: Relative to the root.

        Raises:
            UnreadableRepoError: Git cannot list them.
        """
        in_any_case = self.key_of is fold
        return self.reader.untracked(paths, in_any_case=in_any_case)

    def tracks_below(self, folder: str) -> bool:
        """Whether Git's index has a file in a folder, relative to the root.

        Raises:
            UnreadableRepoError: Git cannot read its index.
        """
        inside = f"{self.key_of(folder)}/"
        return any(path.startswith(inside) for path in self._tracked([folder]))

    def has_remote(self, url: str) -> bool:
        """Whether a remote of this clone is that repo, by any of its URLs."""
        urls = map(self._url_of, self._remotes)
        return any(is_same_repo(each, url) for each in urls if each)

    def is_remote(self, name: str) -> bool:
        """Whether a text is the name of a remote, and not a URL."""
        return name in self._remotes

    def qualify(self, ref: ModelRef, folder: Path) -> ModelRef:
        """Qualify a bare name of a model that ``folder``'s ``dvc.yaml`` annotates."""
        inner = os.path.relpath(folder.resolve(), self.root.resolve())
        if inner == "." or ref.name not in _annotated(folder / "dvc.yaml"):
            return ref
        return replace(ref, name=f"{inner.replace(os.sep, '/')}:{ref.name}")

    def remote_url(self, *, remote: str | None, preferred: str | None) -> str:
        """Return the URL of the remote that identifies this repo, without secrets.

        Args:
            remote: A remote's name; it must exist.
            preferred: A remote's name or a URL, from ``exp.git_remote``.

        Raises:
            GitRemoteError: There is no such remote, or several and none to prefer.
        """
        name = remote
        if name is None:
            name = preferred or self._upstream or _choose(self._remotes)
        if name in self._remotes:
            url = self._url_of(name)
            # Where a remote has no URL, Git uses its name.
            if not url or f"remote.{name}.url" not in self._config:
                raise GitRemoteError.without_url(name)
            return strip_secrets(self._absolute(url))
        if remote is not None or not is_url(name):
            raise GitRemoteError.unknown(strip_secrets(name), self._remotes)
        return strip_secrets(self._absolute(name))

    def other_remote(self, name: str | None) -> str | None:
        """Return the name of a remote, unless ``git fetch`` uses it by default."""
        default = self._upstream or "origin"
        if len(self._remotes) == 1:
            default = self._remotes[0]
        return name if name in self._remotes and name != default else None

    @cached_property
    def _settings(self) -> list[tuple[str, str]]:
        return self.reader.config()

    @cached_property
    def _config(self) -> Mapping[str, str]:
        """Each setting's last value."""
        return dict(self._settings)

    def _url_of(self, name: str) -> str | None:
        """Return the URL of a remote; Git is asked only if it may not be the setting's.

        That is if there are several URLs, or if settings of ``url.*`` rewrite them.
        """
        urls = [value for key, value in self._settings if key == f"remote.{name}.url"]
        is_rewritten = any(key.startswith("url.") for key in self._config)
        if len(urls) != 1 or not urls[0] or is_rewritten:
            return self.reader.remote_url(name)
        return urls[0].partition("\n")[0] or None

    @cached_property
    def _remotes(self) -> list[str]:
        """The names of the remotes, in Git's order."""
        names = (
            key.removeprefix("remote.").rpartition(".")[0]
            for key in self._config
            if key.startswith("remote.") and key.count(".") > 1
        )
        return sorted(dict.fromkeys(names))

    @cached_property
    def _upstream(self) -> str | None:
        """The remote of the current branch: a name or a URL."""
        branches = [
            value
            for key, value in self._config.items()
            if key.startswith("branch.") and key.endswith(".remote")
        ]
        if set(branches) <= {".", *self._remotes} and len(self._remotes) < 2:  # noqa: PLR2004
            return next(iter(self._remotes), None)  # whatever the current branch is
        branch = self.reader.current_branch()
        remote = self._config.get(f"branch.{branch}.remote") if branch else None
        return None if remote == "." else remote

    def _absolute(self, url: str) -> str:
        """Make a URL that is a relative path absolute; it starts at the Git root."""
        if is_local(url) and "://" not in url:
            return os.path.normpath(self.root / url)
        return url


def _choose(remotes: list[str]) -> str:
    """Choose the remote of a branch without upstream."""
    if len(remotes) == 1:
        return remotes[0]
    if "origin" in remotes:
        return "origin"
    raise GitRemoteError.undecided(remotes)


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _annotated(dvc_yaml: Path) -> Mapping[str, object]:
    """Read ``artifacts:``; empty if DVC cannot read the file."""
    from dvc.utils.serialize import ParseError, load_yaml

    try:
        artifacts: object = (load_yaml(dvc_yaml) or {}).get("artifacts")
    except (OSError, ParseError, AttributeError):
        return {}
    return artifacts if isinstance(artifacts, dict) else {}
