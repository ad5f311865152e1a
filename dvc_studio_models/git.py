"""The clone: its root, the URL that Studio knows it by, the files that Git tracks.

Owns the reading of Git's working tree settings, through scmrepo. Promises that no
password or token of a remote's URL leaves this module. Tags and history are
``registry``'s. Git itself is asked for a remote's URL where it is installed: libgit2
knows neither ``GIT_CONFIG_GLOBAL`` nor ``GIT_CONFIG_COUNT``, not every include, and
takes the last of several URLs, not the first.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dvc_studio_models.errors import (
    GitRemoteError,
    NotGitRepoError,
    UnreadableRepoError,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from scmrepo.git import Git

    from dvc_studio_models.errors import StudioModelsError
    from dvc_studio_models.model import ModelRef

LOCAL = "file:"
"""Host of a path on this machine."""

_SCP = re.compile(r"(?:[^/:]*@)?(?P<host>\[[^]/]+\]|[^/:]+):(?P<path>(?!//).+)")
_SCP_LIKE = re.compile(r"[^/]*?[^/:]:(?!//)")
_SCP_PASSWORD = re.compile(r"\A([^/:@]+):[^/@]*@(?=[^/]*:)")
_USERINFO = re.compile(
    r"(?P<scheme>[a-z0-9+.-]*)://"
    # The second form has a slash in its password, which no program can use.
    r"(?P<userinfo>[^/?#]*|(?!\[)[^/?#:]*:(?!\d*(?:[/?#]|\Z)).*)@",
    re.IGNORECASE,
)
# Set in hooks, maybe for another repo than the one that we stand in.
_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE"}


class Clone:
    """A Git working tree, whichever folder of it the user stands in."""

    def __init__(self, scm: Git) -> None:
        self.scm = scm
        self._repo: Any = scm.pygit2.repo
        self.root = Path(self._repo.workdir)

    @classmethod
    def find(cls, folder: Path) -> Clone:
        """Open the working tree that ``folder`` is in.

        Raises:
            NotGitRepoError: There is none, or the repository is bare.
            UnreadableRepoError: There is one that libgit2 or dulwich refuses.
        """
        from scmrepo.git import Git

        scm = None
        try:
            # A link may lead into a clone; dulwich before 1.0 would look around it.
            scm = Git(os.path.realpath(folder))
            bare = scm.pygit2.repo.is_bare
        except Exception as error:  # noqa: BLE001 - dulwich's and libgit2's have no base
            if scm:
                _close(scm)
            raise unusable(os.fspath(folder), error) from None
        if bare:
            _close(scm)
            raise NotGitRepoError(
                os.fspath(folder), "a bare Git repository, without a working tree"
            )
        return cls(scm)

    def close(self) -> None:
        """Release Git's files."""
        _close(self.scm)

    def tracked(self, paths: Iterable[str]) -> list[str]:
        """Return those of ``paths`` that Git's index has, or has a parent of.

        Args:
            paths: Relative to the root. A parent in the index is a file or a submodule.
        """
        index = self._index()
        return [
            path
            for path in paths
            if any(prefix in index for prefix in _with_parents(path))
        ]

    def has_remote(self, url: str) -> bool:
        """Whether a remote of this clone is that repo, however it is spelled."""
        return any(
            _is_same_repo(self._url(remote.name), url)
            for remote in self._repo.remotes
            if remote.url
        )

    def qualify(self, ref: ModelRef, folder: Path) -> ModelRef:
        """Let a bare name mean the model that ``folder``'s ``dvc.yaml`` annotates."""
        inner = os.path.relpath(folder.resolve(), self.root.resolve())
        if inner == "." or ref.name not in _annotated(folder / "dvc.yaml"):
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
        remotes = self._remotes()
        name = remote
        if name is None:
            name = preferred or self._upstream() or _choose(remotes)
        if name in remotes:
            return strip_secrets(self._absolute(self._url(name)))
        if remote is not None or not is_url(name):
            raise GitRemoteError.unknown(strip_secrets(name), remotes)
        return strip_secrets(self._absolute(name))

    def _remotes(self) -> list[str]:
        return [remote.name for remote in self._repo.remotes]

    def _upstream(self) -> str | None:
        """Tell what the current branch pulls from: a remote's name, or a URL.

        Read from the config, since libgit2 knows no upstream before its first fetch.
        """
        from pygit2 import GitError
        from scmrepo.exceptions import SCMError

        try:
            branch = self.scm.pygit2.active_branch()
            remote = str(self._repo.config[f"branch.{branch}.remote"])
        except (SCMError, GitError, KeyError):  # no branch, or one without upstream
            return None
        return None if remote == "." else remote

    def _url(self, name: str) -> str:
        """Tell a remote's URL as ``git remote get-url`` does."""
        url = self._repo.remotes[name].url
        if not url:
            raise GitRemoteError.without_url(name)
        says = self._ask_git("remote", "get-url", "--", name)
        return says.rstrip("\n") if says else str(url)

    def _index(self) -> Container[str]:
        from pygit2 import GitError

        try:
            index: Container[str] = self._repo.index
        except GitError as error:  # it is split or sparse
            names = self._ask_git("ls-files", "-z")
            if names is None:
                raise UnreadableRepoError(str(self.root), str(error)) from None
            return set(names.split("\0"))
        return index

    def _ask_git(self, *args: str) -> str | None:
        """Let Git itself answer; None where it is not installed, or cannot."""
        git = shutil.which("git")
        if git is None:
            return None
        done = subprocess.run(  # noqa: S603 - the arguments are not from outside
            [git, *args],
            cwd=self.root,
            env={k: v for k, v in os.environ.items() if k not in _PLACES},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    def _absolute(self, url: str) -> str:
        """Make a relative path absolute: only this clone knows relative to what."""
        if is_local(url) and "://" not in url:
            return os.path.normpath(self.root / url)
        return url


def _close(scm: Git) -> None:
    scm.close()  # type: ignore[no-untyped-call]


def unusable(folder: str, error: Exception) -> StudioModelsError:
    """Tell why a folder cannot be opened, given dulwich's or libgit2's error."""
    from pygit2 import GitError
    from scmrepo.exceptions import SCMError

    if isinstance(error, SCMError):
        return NotGitRepoError(folder)
    if isinstance(error, ValueError):  # its text quotes a line, maybe with a password
        why = "its config is broken, or its format not supported"
        return UnreadableRepoError(folder, why)
    name = "" if isinstance(error, GitError) else f"{type(error).__name__} "
    return UnreadableRepoError(folder, f"{name}{error}")


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
    """Read the names under ``artifacts:``; a file that DVC cannot read has none."""
    from dvc.utils.serialize import ParseError, load_yaml

    try:
        artifacts: object = (load_yaml(dvc_yaml) or {}).get("artifacts")
    except (OSError, ParseError, AttributeError):
        return {}
    return artifacts if isinstance(artifacts, dict) else {}


def is_url(text: str) -> bool:
    """Whether ``text`` is a repo's URL or path, and not a remote's name."""
    return ":" in text or "/" in text


def is_local(url: str) -> bool:
    """Whether ``url`` names a folder of this machine, as Git reads it."""
    if "://" in url:
        return url.lower().startswith("file:")
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
        return _SCP_PASSWORD.sub(r"\1@", url)
    url = _USERINFO.sub(_strip_userinfo, url)
    if url.lower().startswith("http"):
        url = re.split(r"[?#]", url, maxsplit=1)[0]
    return url


def _strip_userinfo(match: re.Match[str]) -> str:
    is_ssh = "ssh" in match["scheme"].lower()
    user = match["userinfo"].partition(":")[0] if is_ssh else ""
    return f"{match['scheme']}://{user}@" if user else f"{match['scheme']}://"


def identity(url: str) -> tuple[str, str]:
    """Reduce a URL to host and path, which all spellings of one repo have in common.

    As Studio does: scheme, user, port, ``.git`` and the host's case do not count.

    Args:
        url: A URL, an scp-like address, a path or ``owner/name``.

    Returns:
        The host in lower case, ``LOCAL`` for a path, empty for ``owner/name`` alone;
        and the path without the outer slashes.
    """
    url = strip_secrets(url.strip())
    if "://" in url:
        with contextlib.suppress(ValueError):  # unbalanced brackets of an IPv6 host
            parts = urlsplit(url)
            host = LOCAL if parts.scheme == "file" else parts.hostname or ""
            return host, _bare(unquote(parts.path))
    if Path(url).is_absolute():
        return LOCAL, _bare(url)
    if match := _SCP.fullmatch(url):
        return match["host"].strip("[]").lower(), _bare(match["path"])
    return "", _bare(url)


def _bare(path: str) -> str:
    return re.sub(r"/+", "/", path).strip("/").removesuffix(".git").rstrip("/")


def _is_same_repo(url: str, other: str) -> bool:
    (host, path), (other_host, other_path) = identity(url), identity(other)
    return path == other_path and (host == other_host or "" in {host, other_host})
