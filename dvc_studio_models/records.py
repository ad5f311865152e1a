"""What Git recorded of a model at a commit: where it lies, and its hash.

Reads DVC files as DVC loads them, out of Git's objects: never a working tree and never
the network. What a commit holds never changes, so answers can be memoised.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dvc_studio_models import memo as memos
from dvc_studio_models.errors import config_errors
from dvc_studio_models.model import Digest, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dvc.fs import FileSystem
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from scmrepo.git import Git

logger = logging.getLogger(f"dvc.{__name__}")

MEMO_RECORDS = 5000  # the newest ones are kept; one takes some 200 bytes


class Records:
    """Records of many models; the memo is read once, and written by ``close``."""

    def __init__(self, scm: Git, *, memo: Path | None = None) -> None:
        self._history = History(scm)
        self._memo = memo
        self._known: dict[str, Any] = memos.load(memo).get("records", {})
        self._new: dict[str, Any] = {}

    def read(self, commit: str, name: str) -> Record | None:
        """Read where a model lies at a commit, and the hash that DVC recorded for it.

        Args:
            commit: Full SHA-1.
            name: ``churn``, or ``dir:churn`` for ``dir/dvc.yaml``.

        Returns:
            None where the commit annotates no such model, or cannot be read.
        """
        from dvc.exceptions import DvcException
        from scmrepo.exceptions import SCMError

        key = f"{commit} {name}"
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return _record_from_json(self._known[key])
        try:
            with config_errors():
                found = self._history.open_model(commit, name)
                record = _record(*found) if found else None
        except (DvcException, SCMError, OSError, KeyError, ValueError) as exc:
            logger.debug("cannot read model '%s' at commit '%s': %s", name, commit, exc)
            return None
        self._known[key] = self._new[key] = asdict(record) if record else None
        return record

    def close(self) -> None:
        """Save what was read, beside what others have saved meanwhile."""
        if self._new:
            state = memos.load(self._memo)
            records = [*state.get("records", {}).items(), *self._new.items()]
            state["records"] = dict(records[-MEMO_RECORDS:])
            memos.save(self._memo, state)
            self._new = {}


class History:
    """DVC projects as they were at commits; what was read is kept."""

    def __init__(self, scm: Git) -> None:
        self._scm = scm
        self._projects: dict[tuple[str, str], Repo] = {}
        self._artifacts: dict[object, Mapping[str, Any]] = {}

    def open_model(self, commit: str, name: str) -> tuple[Repo, str] | None:
        """Open the DVC project that holds a model, as it was at ``commit``.

        Returns:
            The project on Git's file system, whose ``/`` is the Git root (closing it
            would close ``scm``), and the model's path relative to that root; None where
            the commit annotates no such model.

        Raises:
            DvcException: The commit, or a DVC file in it, cannot be read.
        """
        folder, _, short_name = name.rpartition(":")
        project = self._project(commit, folder)
        artifact = self._annotated(project, folder).get(short_name) or {}
        path = from_root(artifact.get("path"), folder)
        if path is None:
            return None
        return self._project(commit, posixpath.dirname(path)), path

    def _project(self, commit: str, folder: str) -> Repo:
        from dvc.fs import GitFileSystem
        from dvc.repo import Repo

        if (commit, folder) not in self._projects:
            fs = GitFileSystem(scm=self._scm, rev=commit)
            root = _project_root(fs, folder)
            if (commit, root) not in self._projects:
                repo = Repo(root, fs=fs, scm=self._scm, uninitialized=True)
                self._projects[commit, root] = repo
            self._projects[commit, folder] = self._projects[commit, root]
        return self._projects[commit, folder]

    def _annotated(self, project: Repo, folder: str) -> Mapping[str, Any]:
        """Read the artifacts of a ``dvc.yaml``: to parse a long one takes DVC 0.1 s."""
        from dvc.dvcfile import load_file

        path = posixpath.join("/", folder, "dvc.yaml")
        dvc_yaml = load_file(project, path)
        if not dvc_yaml.exists():
            return {}
        with project.fs.open(path, "rb") as file:
            content = file.read()
        # Templates read other files of the commit too.
        key = (project.fs.rev, path) if b"${" in content else content
        if key not in self._artifacts:
            self._artifacts[key] = dvc_yaml.artifacts
        return self._artifacts[key]


def open_model(scm: Git, commit: str, name: str) -> tuple[Repo, str] | None:
    """Open one model, see :meth:`History.open_model`; ``scm`` may be bare."""
    return History(scm).open_model(commit, name)


def find_output(project: Repo, path: str) -> Output | None:
    """Find what DVC recorded for exactly ``path``, relative to the Git root."""
    for out in _outs(project, path):
        if out.protocol == "local" and out.fs_path == f"/{path}":
            return out
    return None


def digest_of(recorded: HashInfo | None) -> Digest | None:
    """Give the hash as a digest, or None where it is none that names content."""
    with contextlib.suppress(TypeError, ValueError):
        return Digest(recorded.name, recorded.value) if recorded else None
    return None


def _record(project: Repo, path: str) -> Record:
    if out := find_output(project, path):
        return Record(
            path,
            digest_of(out.hash_info),
            out.meta.size,
            out.remote,
            is_executable=out.meta.isexec,
        )
    return Record(path, None)


def _project_root(fs: FileSystem, folder: str) -> str:
    """Find the project around ``folder``, which need not exist; else the Git root."""
    path = f"/{folder}".rstrip("/")
    while path and not fs.isdir(f"{path}/.dvc"):
        path = path.rpartition("/")[0]
    return path or "/"


def from_root(path: object, folder: str) -> str | None:
    """Read a path of ``folder``'s ``dvc.yaml``; None where it is not one of the clone.

    Returns:
        Relative to the Git root.
    """
    if not isinstance(path, str) or not path or "://" in path:
        return None
    path = posixpath.normpath(posixpath.join(folder, path))
    return None if path in {".", ".."} or path.startswith(("/", "../")) else path


def _outs(project: Repo, path: str) -> Iterator[Output]:
    """Give outputs, those of the likeliest files first: a whole index may be slow."""
    from dvc.repo.index import Index

    parents = [posixpath.dirname(f"/{path}")]
    while parents[-1] not in {"/", project.root_dir}:
        parents.append(posixpath.dirname(parents[-1]))
    nearby = [f"/{path}.dvc", *(posixpath.join(p, "dvc.yaml") for p in parents)]
    for file in nearby:
        if project.fs.isfile(file) and not project.dvcignore.is_ignored_file(file):
            yield from Index.from_file(project, file).outs
    yield from project.index.outs


def _record_from_json(value: dict[str, Any] | None) -> Record | None:
    if value is None:
        return None
    digest = value["digest"]
    return Record(**{**value, "digest": Digest(**digest) if digest else None})
