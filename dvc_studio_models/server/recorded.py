"""What a commit says of a model: Git and its DVC files in, outputs out.

What a commit says never changes.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from pygit2 import GitError
from scmrepo.exceptions import SCMError

from dvc_studio_models import records
from dvc_studio_models.server.refusals import NotStoredError, RefusedError
from dvc_studio_models.server.remotes import CONFIG_ERRORS, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from scmrepo.git import Git

    from dvc_studio_models.model import Digest, ModelVersion


@dataclass(frozen=True)
class CloudVersion:
    """Which version of an object a cloud-versioned remote gave a file."""

    remote: str
    id: str


@dataclass(frozen=True)
class RecordedFile:
    """A file as DVC recorded it."""

    path: str
    """Relative to the Git root, with ``/``."""

    remote: str | None
    """None for the project's default."""

    digest: Digest
    size: int | None
    """In bytes, where DVC recorded it."""

    version: CloudVersion | None = None


@dataclass(frozen=True)
class RecordedOutput:
    """An output of DVC: a file, or a directory."""

    file: RecordedFile
    """Of a directory, the digest of its listing."""

    hash_info: HashInfo
    files: tuple[RecordedFile, ...] = ()
    """Of a directory that DVC listed in Git, as it does for cloud-versioned remotes."""


@dataclass(frozen=True)
class RecordedModel:
    """A model at a commit."""

    project: str
    """Folder of the DVC project, relative to the Git root; empty for the root."""

    path: str
    outs: tuple[RecordedOutput, ...]
    """Those that the model is, or has parts of, at least one."""

    @property
    def size(self) -> int:
        """How many files are named here."""
        return sum(1 + len(out.files) for out in self.outs)


class UntoldError(Exception):
    """Why the files of a version cannot be told."""


def read_model(scm: Git, version: ModelVersion, name: str) -> RecordedModel:
    """Read what Git says of a model.

    Raises:
        ConfigUnreadableError: DVC cannot read its config.
        NotStoredError: Its files cannot be told.
    """
    try:
        found = records.open_model(scm, version.commit, name)
        if found is None:
            raise NotStoredError(name, version, "no 'dvc.yaml' annotates it there")
        project, path = found
        outs = tuple(_recorded(out) for out in _outputs(project, path))
    except RefusedError:
        raise
    except UntoldError as exc:
        raise NotStoredError(name, version, str(exc)) from None
    except CONFIG_ERRORS as exc:
        raise unreadable(exc) from None
    except (DvcException, SCMError, GitError, KeyError) as exc:
        raise NotStoredError(name, version, f"cannot read Git: {exc}") from exc
    if not outs:
        raise NotStoredError(name, version, f"'{path}' is not tracked by DVC")
    return RecordedModel(project.root_dir.strip("/"), path, outs)


def holds(folder: str, path: str) -> bool:
    """Say whether ``path`` is ``folder``, or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def _outputs(project: Repo, path: str) -> list[Output]:
    """Find the output at ``path``, or else those above or below it."""
    exact = records.find_output(project, path)
    found = [exact] if exact else project.index.outs
    return [
        out
        for out in found
        if out.protocol == "local"
        and out.use_cache
        and (
            holds(path, out.fs_path.lstrip("/")) or holds(out.fs_path.lstrip("/"), path)
        )
    ]


def _recorded(out: Output) -> RecordedOutput:
    path = out.fs_path.lstrip("/")
    file = _file(path, out.remote, out.meta, out.hash_info)
    if file is None:
        reason = f"DVC recorded no hash for '{path}'"
        raise UntoldError(reason)
    return RecordedOutput(file, out.hash_info, tuple(_listed(out, path)))


def _listed(out: Output, folder: str) -> Iterator[RecordedFile]:
    """Give the files of a directory whose listing is in Git."""
    from dvc_data.hashfile.tree import Tree

    for key, meta, hash_info in Tree.from_list(
        out.files or [], hash_name=out.hash_name
    ):
        path = posixpath.join(folder, *key)
        if file := _file(path, out.remote, meta, hash_info):
            yield file


def _file(
    path: str, remote: str | None, meta: Meta | None, hash_info: HashInfo | None
) -> RecordedFile | None:
    digest = records.digest_of(hash_info)
    if digest is None:
        return None
    version = None
    if meta and meta.version_id:
        version = CloudVersion(meta.remote or "", meta.version_id)
    return RecordedFile(path, remote, digest, meta.size if meta else None, version)
