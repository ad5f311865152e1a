"""All outputs that DVC's files record at a commit, and the lock files there.

What a branch needs, whatever model it belongs to. DVC reads its own files from Git's
objects, as in ``records``; here every one of them must be readable.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    CommitUnreadableError,
    ObjectTooLargeError,
    StudioModelsError,
    config_errors,
)
from dvc_studio_models.registry.git.tree import CommitTree, open_commit
from dvc_studio_models.registry.outputs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.model import Digest
    from dvc_studio_models.registry.git.reader import GitReader

_NO_CACHE = f"{os.devnull}/cache"  # DVC requires a folder, and does not use it


class CommitReader:
    """Reads commits of one repository."""

    def __init__(self, reader: GitReader) -> None:
        self._reader = reader
        self._where = os.fspath(reader.root or reader.common_dir)
        self._stack = contextlib.ExitStack()
        self._objects: Any = None
        self._trees: dict[str, CommitTree] = {}

    def close(self) -> None:
        """Close Git's objects."""
        self._stack.close()

    def digests(self, commit: str, project: str) -> list[Digest]:
        """List the hashes of all outputs of a DVC project at a commit.

        Args:
            commit: Its full id.
            project: The folder of the DVC project, relative to the Git root.

        Returns:
            An empty list if the commit does not have that folder.

        Raises:
            UnreadableRepoError: Git cannot read the commit.
            CommitUnreadableError: DVC cannot read one of its files there.
        """
        tree = self._tree(commit)
        if not tree.isdir(tuple(filter(None, project.split("/")))):
            return []
        with _read_errors(commit):
            return list(dict.fromkeys(outputs_of(self._open(tree, project))))

    def projects(self, commit: str) -> list[str]:
        """List the folders of the DVC projects at a commit, relative to the Git root.

        Raises:
            UnreadableRepoError: Git cannot read the commit.
        """
        keys = (key for key, _ in self._tree(commit).files(()))
        found = (key[: key.index(".dvc")] for key in keys if ".dvc" in key[:-1])
        return sorted({"/".join(folder) for folder in found})

    def find_files(
        self, commit: str, suffixes: tuple[str, ...]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the files of a commit whose names end so: path and content.

        Files that are too large to be read are left out.

        Raises:
            UnreadableRepoError: Git cannot read the commit, or one of them.
        """
        tree = self._tree(commit)
        for key, entry in tree.files(()):
            if entry.is_file and key[-1].endswith(suffixes):
                with contextlib.suppress(ObjectTooLargeError):
                    yield "/".join(key), tree.read(entry)

    def _tree(self, commit: str) -> CommitTree:
        if self._objects is None:
            self._objects = self._stack.enter_context(self._reader.objects())
        if commit not in self._trees:
            self._trees[commit] = CommitTree(self._objects, commit, where=self._where)
        return self._trees[commit]

    def _open(self, tree: CommitTree, project: str) -> Any:
        from dvc.repo import Repo
        from scmrepo.noscm import NoSCM

        return Repo(
            posixpath.join("/", project),
            fs=open_commit(tree),
            scm=NoSCM(self._where),  # DVC is not to open Git itself
            uninitialized=True,
            config={"cache": {"dir": _NO_CACHE}},
        )


def outputs_of(repo: Any) -> Iterator[Digest]:
    """Yield the hashes of all outputs of a DVC project, and of files listed in Git.

    Unlike DVC's ``used_objs``, those of ``dvc import`` too: they may be the only copy.

    Args:
        repo: DVC's own object of the project.

    Raises:
        DvcException: DVC cannot read one of its files.
    """
    for out in repo.index.outs:
        digest = digest_of(out.hash_info) if out.use_cache else None
        if digest:
            yield digest
        for entry in out.files or ():
            if digest := digest_of(_hash_info(entry, out.hash_name)):
                yield digest


def _hash_info(entry: Any, name: str) -> Any:
    from dvc_data.hashfile.hash_info import HashInfo

    return HashInfo(name, entry.get(name) or entry.get("md5"))


@contextlib.contextmanager
def _read_errors(commit: str) -> Iterator[None]:
    """Translate the errors of DVC, and those of content that DVC never writes."""
    try:
        with config_errors():
            yield
    except StudioModelsError:
        raise
    except Exception as error:  # noqa: BLE001 - of content that DVC never writes
        raise CommitUnreadableError(commit, str(error)) from None
