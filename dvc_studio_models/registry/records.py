"""Reads models as commits record them, from DVC's files in them and from Git's trees.

DVC loads its own files from Git's objects, never from a working tree or the network.
Only the files that record the model must be readable. A commit never changes, so what
was read is cached, in a small JSON file that may be deleted at any time. A cache that
is outdated, damaged or foreign counts as empty; one that cannot be written is skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
    strip_quoted,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.files.scratch import write_atomically
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.registry.outputs import describe, find_outputs
from dvc_studio_models.registry.recorded import (
    Annotation,
    GitFile,
    RecordedModel,
    RecordedOutput,
    model_from_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dvc.repo import Repo

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.git.tree import CommitTree, Key, TreeEntry
    from dvc_studio_models.registry.metrics import Measures

logger = get_logger(__name__)

CACHED_RECORDS = 5000  # the newest ones; one takes some 300 bytes

_CACHE_FORMAT = 5

_NO_CACHE = f"{os.devnull}/cache"  # DVC requires a folder, and does not use it
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class RecordReader:
    """Reads many models of one repository."""

    def __init__(
        self,
        reader: GitReader,
        *,
        cache: Path | None = None,
        contents: bool = True,
        isolated: bool = False,
    ) -> None:
        """Load the cache; commits are read when needed.

        Args:
            reader: The repository.
            cache: The file of the cache, which ``close`` writes.
            contents: Whether to hash the files that Git tracks.
            isolated: Use no DVC config but the commit's; refuse files slow to parse.
        """
        self._isolated = isolated
        self._contents = contents
        self._reader = reader
        if cache and reader.has_replacements():  # then a commit may change
            cache = None
        self._cache = cache
        state = _load(cache)
        self._cached = state["records"]
        self._new: dict[str, Any] = {}
        self.tags = state["tags"]
        """What was read of tags, see :func:`tags.read_registry`; saved on ``close``."""
        self._saved_tags = dict(self.tags)
        self._stack = contextlib.ExitStack()
        self._projects: dict[tuple[str, str], Repo] = {}
        self._trees: dict[str, CommitTree] = {}
        self._artifacts: dict[object, Mapping[str, Any]] = {}

    def read(self, commit: str, name: str) -> RecordedModel | None:
        """Read a model as a commit records it.

        Args:
            commit: Its full id.
            name: ``churn``, or ``dir:churn`` for ``dir/dvc.yaml``.

        Returns:
            None if the commit does not annotate this model.

        Raises:
            UnreadableRepoError: Git cannot read the commit.
            RecordUnreadableError: DVC cannot read its files there.
            StudioConfigError: DVC cannot read its config at that commit.
        """
        key = f"{commit} {name}"
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return model_from_json(self._cached[key])
        with _read_errors(name, commit):
            record = self._read(commit, name)
        if not (record and _is_incomplete(record)):
            self._cached[key] = self._new[key] = asdict(record) if record else None
        return record

    def read_annotation(self, commit: str, name: str) -> Annotation | None:
        """Read what a commit's ``dvc.yaml`` says of a model, None if nothing.

        Raises:
            UnreadableRepoError, RecordUnreadableError, StudioConfigError: See
                :meth:`read`.
        """
        folder, _, short_name = name.rpartition(":")
        with _read_errors(name, commit):
            project = self._project(commit, folder)
            artifact = self._annotated(project, commit, folder).get(short_name)
        return Annotation.read(artifact) if isinstance(artifact, dict) else None

    def read_measures(self, commit: str, folder: str, cache: str | None) -> Measures:
        """Read the metrics and params of the DVC project around a folder.

        Args:
            commit: Its full id.
            folder: Relative to the Git root.
            cache: The folder of the DVC cache on this machine, if there is one.

        Raises:
            UnreadableRepoError: Git cannot read the commit.
            StudioConfigError: DVC cannot read its config at that commit.
        """
        from dvc_studio_models.registry.metrics import read_measures

        tree = self._tree(commit)
        root = _project_root(tree, folder)
        return read_measures(self._open_project(tree, root, cache or _NO_CACHE))

    def read_blob(self, oid: str) -> bytes | None:
        """Read the content of a file that Git tracks, None where the clone lacks it.

        Raises:
            UnreadableRepoError: Git cannot read it.
        """
        found = self._objects.read(oid)
        return found.data if found else None

    def close(self, *, save: bool = True) -> None:
        """Add what was read to the cache, which others may have written meanwhile.

        Args:
            save: Whether to write it; False if nothing may change on disk.
        """
        self._stack.close()
        is_changed = self._new or self.tags != self._saved_tags
        if save and is_changed and self._cache:
            records = [*_load(self._cache)["records"].items(), *self._new.items()]
            _save(self._cache, dict(records[-CACHED_RECORDS:]), self.tags)
            self._new, self._saved_tags = {}, dict(self.tags)

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
        """List the files of a model that Git tracks, without DVC's and Git's own.

        Contents are read only beside outputs of DVC: a model without any is not pulled.
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
        from dvc_studio_models.registry.git.tree import CommitTree

        if commit not in self._trees:
            where = os.fspath(self._reader.root or self._reader.common_dir)
            self._trees[commit] = CommitTree(
                self._objects, commit, where=where, bounded=self._isolated
            )
        return self._trees[commit]

    def _project(self, commit: str, folder: str) -> Repo:
        """Open the DVC project around a folder, as it was at a commit."""
        tree = self._tree(commit)
        root = _project_root(tree, folder)
        if (commit, root) not in self._projects:
            self._projects[commit, root] = self._open_project(tree, root, _NO_CACHE)
        return self._projects[commit, root]

    def _open_project(self, tree: CommitTree, root: str, cache: str) -> Repo:
        from dvc_studio_models.registry.committed.project import open_project

        git_dir, isolated = self._reader.common_dir, self._isolated
        with _config_errors():
            return open_project(
                tree, root, cache=cache, git_dir=git_dir, isolated=isolated
            )

    def _annotated(self, project: Repo, commit: str, folder: str) -> Mapping[str, Any]:
        """Read the artifacts of a ``dvc.yaml``, and parse each content only once."""
        from dvc.dvcfile import load_file

        path = posixpath.join("/", folder, "dvc.yaml")
        dvc_yaml = load_file(project, path)
        if not dvc_yaml.exists():
            return {}
        with project.fs.open(path, "rb") as file:
            content = file.read()
        # A template also depends on other files of the commit.
        key = (commit, path) if b"${" in content else content
        if key not in self._artifacts:
            # DVC's ``artifacts`` reads params.yaml even where there is no template.
            is_plain = b"${" not in content
            found = dvc_yaml.load().get("artifacts") if is_plain else dvc_yaml.artifacts
            self._artifacts[key] = found or {}
        return self._artifacts[key]


def relative_to_root(path: object, folder: str) -> str | None:
    """Return a path in ``folder``'s ``dvc.yaml`` relative to the Git root.

    Returns:
        None where it is not inside the clone.
    """
    if not isinstance(path, str) or not path or "://" in path:
        return None
    path = posixpath.normpath(posixpath.join(folder, path))
    return None if path in {".", ".."} or path.startswith(("/", "../")) else path


def _is_incomplete(record: RecordedModel) -> bool:
    """Whether the clone lacks content that a fetch may bring."""
    return bool(record.outputs) and any(f.digest is None for f in record.git_files)


def _load(cache: Path | None) -> dict[str, dict[str, Any]]:
    """Return the records and the tags of the cache, both of them empty if it is bad."""
    state: object = None
    if cache is not None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            state = json.loads(cache.read_bytes())
    if not isinstance(state, dict) or state.get("format") != _CACHE_FORMAT:
        state = {}
    parts = {name: state.get(name) for name in ("records", "tags")}
    return {name: p if isinstance(p, dict) else {} for name, p in parts.items()}


def _save(cache: Path, records: dict[str, Any], tags: dict[str, Any]) -> None:
    state = {"format": _CACHE_FORMAT, "records": records, "tags": tags}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, json.dumps(state))
    except OSError as exc:  # a read-only clone is slower, not wrong
        logger.debug("cannot save '%s': %s", cache.name, exc.strerror)


@contextlib.contextmanager
def _read_errors(name: str, commit: str) -> Iterator[None]:
    """Translate DVC's errors."""
    from dvc.exceptions import DvcException

    try:
        yield
    except StudioModelsError:
        raise
    except (DvcException, OSError, KeyError, ValueError) as error:
        raise RecordUnreadableError(name, commit, str(error)) from None


@contextlib.contextmanager
def _config_errors() -> Iterator[None]:
    """Translate errors of DVC's config, that of the commit or of this machine.

    The quoted line is left out: it may contain a token.
    """
    from voluptuous import Invalid

    try:
        with config_errors():
            yield
    except (Invalid, OSError) as error:
        msg = f"DVC cannot read its config: {strip_quoted(str(error))}"
        raise StudioConfigError(msg) from None


def _project_root(tree: CommitTree, folder: str) -> str:
    """Return the project around a folder, which need not exist; else the Git root."""
    path = folder.strip("/")
    while path and not tree.isdir((*path.split("/"), ".dvc")):
        path = path.rpartition("/")[0]
    return path
