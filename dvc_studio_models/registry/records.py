"""Reads what a commit records of a model, from its DVC files and from Git itself.

DVC loads its own files, out of Git's objects: never a working tree and never the
network. Only the files that record the model have to be readable. What a commit holds
never changes, so answers can be cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import posixpath
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    ObjectTooLargeError,
    RecordUnreadableError,
    StudioConfigError,
    StudioModelsError,
    config_errors,
    without_quotes,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.registry import cache as caches
from dvc_studio_models.registry.git.tree import CommitTree, open_commit
from dvc_studio_models.registry.outputs import describe, find_outputs
from dvc_studio_models.registry.recorded import GitFile, RecordedModel, RecordedOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dvc.repo import Repo

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.git.tree import Key, TreeEntry

logger = logging.getLogger(f"dvc.{__name__}")

CACHED_RECORDS = 5000  # the newest ones; one takes some 300 bytes

_NO_CACHE = f"{os.devnull}/cache"  # DVC asks for a folder, and does not use it
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Records:
    """Records of many models of one repository."""

    def __init__(
        self, reader: GitReader, *, cache: Path | None = None, contents: bool = True
    ) -> None:
        """Read nothing yet.

        Args:
            reader: The repository.
            cache: File for what was read, which ``close`` completes.
            contents: Whether the hashes of files that Git keeps are wanted.
        """
        self._contents = contents
        self._reader = reader
        if cache and reader.replaces():  # then a commit does not say the same for ever
            cache = None
        self._cache = cache
        self._known: dict[str, Any] = caches.load(cache).get("records", {})
        self._new: dict[str, Any] = {}
        self._stack = contextlib.ExitStack()
        self._projects: dict[tuple[str, str], Repo] = {}
        self._trees: dict[str, CommitTree] = {}
        self._artifacts: dict[object, Mapping[str, Any]] = {}

    def read(self, commit: str, name: str) -> RecordedModel | None:
        """Read what a commit records of a model.

        Args:
            commit: Its full id.
            name: ``churn``, or ``dir:churn`` for ``dir/dvc.yaml``.

        Returns:
            None where the commit annotates no such model.

        Raises:
            UnreadableRepoError: Git cannot read the commit.
            RecordUnreadableError: DVC cannot read its files there.
            StudioConfigError: DVC cannot read its config at that commit.
        """
        key = f"{commit} {name}"
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return caches.record_from_json(self._known[key])
        with _read_errors(name, commit):
            record = self._read(commit, name)
        if not (record and _is_lacking(record)):
            self._known[key] = self._new[key] = asdict(record) if record else None
        return record

    def read_blob(self, oid: str) -> bytes | None:
        """Read the content of a file that Git keeps, None where the clone lacks it.

        Raises:
            UnreadableRepoError: Git cannot read it.
        """
        found = self._objects.read(oid)
        return found.data if found else None

    def close(self) -> None:
        """Save what was read, beside what others have saved meanwhile."""
        self._stack.close()
        if self._new:
            state = caches.load(self._cache)
            records = [*state.get("records", {}).items(), *self._new.items()]
            state["records"] = dict(records[-CACHED_RECORDS:])
            caches.save(self._cache, state)
            self._new = {}

    # One model

    def _read(self, commit: str, name: str) -> RecordedModel | None:
        folder, _, short_name = name.rpartition(":")
        project = self._project(commit, folder)
        artifact = self._annotated(project, commit, folder).get(short_name) or {}
        path = relative_to_root(artifact.get("path"), folder)
        if path is None:
            return None
        project = self._project(commit, posixpath.dirname(path))
        outs = find_outputs(project, path, folder)
        outputs = tuple(describe(out) for out in outs if out.use_cache)
        is_one = any(output.holds(path) for output in outputs)
        git_files = () if is_one else tuple(self._git_files(commit, path, outputs))
        return RecordedModel(path, project.root_dir.strip("/"), outputs, git_files)

    def _git_files(
        self, commit: str, path: str, outputs: tuple[RecordedOutput, ...]
    ) -> Iterator[GitFile]:
        """List what Git keeps of a model; DVC's and Git's own files are no part of it.

        Contents are read only beside outputs of DVC: what is Git's alone is not pulled.
        """
        tree = self._tree(commit)
        key = tuple(path.split("/"))
        entry = tree.entry(key)
        if entry and not entry.is_folder:
            yield from self._git_file(key, entry, content=bool(outputs))
        for inner, each in tree.files(key):
            yield from self._git_file(inner, each, content=bool(outputs))

    def _git_file(
        self, key: Key, entry: TreeEntry, *, content: bool
    ) -> Iterator[GitFile]:
        path = "/".join(key)
        if path_problem(path):
            return
        if not entry.is_file:
            yield GitFile(path, entry.oid)
            return
        is_executable = bool(entry.mode & 0o100)
        data = None
        if content and self._contents:
            with contextlib.suppress(ObjectTooLargeError):
                data = self.read_blob(entry.oid)
        if data is None or data.startswith(_LFS_POINTER):
            yield GitFile(path, entry.oid, is_executable=is_executable)
            return
        digest = Digest(MD5, hashlib.md5(data, usedforsecurity=False).hexdigest())
        yield GitFile(path, entry.oid, digest, len(data), is_executable=is_executable)

    # DVC's view of a commit

    @cached_property
    def _objects(self) -> Any:
        return self._stack.enter_context(self._reader.objects())

    def _tree(self, commit: str) -> CommitTree:
        if commit not in self._trees:
            where = os.fspath(self._reader.root or self._reader.common_dir)
            self._trees[commit] = CommitTree(self._objects, commit, where=where)
        return self._trees[commit]

    def _project(self, commit: str, folder: str) -> Repo:
        """Open the DVC project around a folder, as it was at a commit."""
        from dvc.repo import Repo
        from scmrepo.noscm import NoSCM

        tree = self._tree(commit)
        root = _project_root(tree, folder)
        if (commit, root) not in self._projects:
            # DVC is not to open Git itself, which it does through libgit2.
            scm = NoSCM(os.fspath(self._reader.root or self._reader.common_dir))
            fs = open_commit(tree)
            with _config_errors():
                repo = Repo(
                    f"/{root}",
                    fs=fs,
                    scm=scm,
                    uninitialized=True,
                    config={"cache": {"dir": _NO_CACHE}},
                )
                _ = repo.config
            self._projects[commit, root] = repo
        return self._projects[commit, root]

    def _annotated(self, project: Repo, commit: str, folder: str) -> Mapping[str, Any]:
        """Read the artifacts of a ``dvc.yaml``: to parse a long one takes DVC 0.1 s."""
        from dvc.dvcfile import load_file

        path = posixpath.join("/", folder, "dvc.yaml")
        dvc_yaml = load_file(project, path)
        if not dvc_yaml.exists():
            return {}
        with project.fs.open(path, "rb") as file:
            content = file.read()
        # Templates read other files of the commit too.
        key = (commit, path) if b"${" in content else content
        if key not in self._artifacts:
            # To resolve templates, DVC reads params.yaml, where there are none too.
            is_plain = b"${" not in content
            found = dvc_yaml.load().get("artifacts") if is_plain else dvc_yaml.artifacts
            self._artifacts[key] = found or {}
        return self._artifacts[key]


def relative_to_root(path: object, folder: str) -> str | None:
    """Read a path of ``folder``'s ``dvc.yaml``; None where it is not one of the clone.

    Returns:
        Relative to the Git root.
    """
    if not isinstance(path, str) or not path or "://" in path:
        return None
    path = posixpath.normpath(posixpath.join(folder, path))
    return None if path in {".", ".."} or path.startswith(("/", "../")) else path


def _is_lacking(record: RecordedModel) -> bool:
    """Whether content was looked for and was not there, which a fetch may change."""
    read = record.git_files if record.outputs else ()
    return any(file.digest is None for file in read)


@contextlib.contextmanager
def _read_errors(name: str, commit: str) -> Iterator[None]:
    """Say why a commit cannot be read."""
    from dvc.exceptions import DvcException

    try:
        yield
    except StudioModelsError:
        raise
    except (DvcException, OSError, KeyError, ValueError) as error:
        raise RecordUnreadableError(name, commit, str(error)) from None


@contextlib.contextmanager
def _config_errors() -> Iterator[None]:
    """Say what DVC cannot read of its config, be it of the commit or of this machine.

    What its parser quotes is left out: a line that it cannot read may hold a token.
    """
    from voluptuous import Invalid

    try:
        with config_errors():
            yield
    except (Invalid, OSError) as error:
        msg = f"DVC cannot read its config: {without_quotes(str(error))}"
        raise StudioConfigError(msg) from None


def _project_root(tree: CommitTree, folder: str) -> str:
    """Find the project around a folder, which need not exist; else the Git root."""
    path = folder.strip("/")
    while path and not tree.isdir((*path.split("/"), ".dvc")):
        path = path.rpartition("/")[0]
    return path
