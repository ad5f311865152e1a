"""The clone: its root, the URL that Studio knows it by, the files that Git tracks.

Owns the reading of Git's working tree settings, through scmrepo. Promises that no
password or token of a remote's URL leaves this module. Tags and history are
``registry``'s.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from dvc_studio_models.errors import GitRemoteError, NotGitRepoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scmrepo.git import Git

    from dvc_studio_models.model import ModelRef

_SCP_LIKE = re.compile(r"[^/]*?[^/:]:(?!//)")


class Clone:
    """A Git working tree, whichever folder of it the user stands in."""

    def __init__(self, scm: Git) -> None:
        self.scm = scm
        self.root = Path(scm.root_dir)
        self._repo: Any = scm.pygit2.repo

    @classmethod
    def find(cls, folder: Path) -> Clone:
        """Open the working tree that ``folder`` is in.

        Raises:
            NotGitRepoError: There is none, or the repository is bare.
        """
        from scmrepo.exceptions import SCMError
        from scmrepo.git import Git

        try:
            scm = Git(os.fspath(folder))
        except SCMError:
            raise NotGitRepoError(os.fspath(folder)) from None
        if scm.pygit2.repo.is_bare:
            scm.close()  # type: ignore[no-untyped-call]
            raise NotGitRepoError(
                os.fspath(folder), "a bare Git repository, without a working tree"
            )
        return cls(scm)

    def close(self) -> None:
        """Release Git's files."""
        self.scm.close()  # type: ignore[no-untyped-call]

    def tracked(self, paths: Iterable[str]) -> list[str]:
        """Return those of ``paths`` that Git's index has, or has a parent of.

        Args:
            paths: Relative to the root. A parent in the index is a file or a submodule.
        """
        index = self._repo.index
        return [
            path
            for path in paths
            if any(prefix in index for prefix in _with_parents(path))
        ]

    def has_remote(self, url: str) -> bool:
        """Whether a remote of this clone has that very URL."""
        return any(
            strip_secrets(self._absolute(remote.url)) == url
            for remote in self._repo.remotes
            if remote.url
        )

    def qualify(self, ref: ModelRef, folder: Path) -> ModelRef:
        """Let a bare name mean the model that ``folder``'s ``dvc.yaml`` annotates."""
        inner = os.path.relpath(folder.resolve(), self.root.resolve())
        if ref.folder or inner in {".", ".."} or inner.startswith("../"):
            return ref
        if ref.name not in _annotated(folder / "dvc.yaml"):
            return ref
        return replace(ref, name=f"{Path(inner).as_posix()}:{ref.name}")

    def remote_url(self, *, remote: str | None, preferred: str | None) -> str:
        """Tell the URL of the remote that stands for this repo, without secrets.

        Args:
            remote: A remote's name; it must exist.
            preferred: A remote's name or a URL, as ``exp.git_remote`` holds it.

        Raises:
            GitRemoteError: There is no such remote, or several and none to prefer.
        """
        if remote is None and preferred and preferred not in self._remotes():
            return strip_secrets(preferred)
        name = remote or preferred or self._default_remote()
        if name not in self._remotes():
            raise GitRemoteError.unknown(name, self._remotes())
        return strip_secrets(self._absolute(self.scm.pygit2.get_remote_url(name)))

    def _remotes(self) -> list[str]:
        return [remote.name for remote in self._repo.remotes]

    def _default_remote(self) -> str:
        from scmrepo.exceptions import SCMError

        try:
            return str(self.scm.pygit2.active_branch_remote())
        except SCMError:  # a detached HEAD, or a branch without upstream
            pass
        remotes = self._remotes()
        if len(remotes) == 1:
            return remotes[0]
        if "origin" in remotes:
            return "origin"
        raise GitRemoteError.undecided(remotes)

    def _absolute(self, url: str) -> str:
        """Make a relative path absolute: only this clone knows relative to what."""
        if is_local(url) and not url.startswith("file:"):
            return os.path.normpath(self.root / url)
        return url


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _annotated(dvc_yaml: Path) -> Mapping[str, object]:
    """Read the names under ``artifacts:``; a file that DVC cannot read has none."""
    from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml

    try:
        artifacts: object = (load_yaml(dvc_yaml) or {}).get("artifacts")
    except (OSError, YAMLFileCorruptedError, AttributeError):
        return {}
    return artifacts if isinstance(artifacts, dict) else {}


def is_local(url: str) -> bool:
    """Whether ``url`` names a folder of this machine, as Git reads it."""
    if "://" in url:
        return url.startswith("file:")
    return not _SCP_LIKE.match(url)


def is_loopback(url: str) -> bool:
    """Whether the host of ``url`` is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def strip_secrets(url: str) -> str:
    """Remove user name and password from a repo URL, never the user of ssh."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    user = userinfo.partition(":")[0] if "ssh" in parts.scheme else ""
    netloc = f"{user}{at}{host}" if user else host
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
