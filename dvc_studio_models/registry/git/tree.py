"""The files of one commit, in the form that DVC's file system for Git needs.

Replaces scmrepo's trie of the whole commit (``scmrepo.git.objects.GitTrie``): here a
folder is read only when it is needed.
"""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import CommitMissingError, ObjectMissingError
from dvc_studio_models.registry.committed.files import for_dvc
from dvc_studio_models.registry.git.reader import COMMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dvc.fs import GitFileSystem

    from dvc_studio_models.registry.git.reader import Objects

Key = tuple[str, ...]
"""A path, split; empty for the root."""

SUBMODULE = 0o160000  # a mode of Git only


@dataclass(frozen=True)
class TreeEntry:
    """One name in a folder of a commit."""

    mode: int
    """As in ``stat``, or :data:`SUBMODULE`."""

    oid: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a file, and not a link."""
        return stat.S_ISREG(self.mode)


class CommitTree:
    """The files of a commit, read one folder at a time, each once."""

    def __init__(
        self, objects: Objects, commit: str, *, where: str, bounded: bool = False
    ) -> None:
        """Store the commit; folders are read when needed.

        Args:
            objects: Of the repository, open as long as this is used.
            commit: Its full id.
            where: The repository, for errors.
            bounded: Refuse files for DVC that would take much time or memory to parse.
        """
        self.rev = commit
        self._bounded = bounded
        self._objects = objects
        self._where = where
        self._folders: dict[str, Mapping[str, TreeEntry]] = {}
        self._root: TreeEntry | None = None

    def entry(self, key: Key) -> TreeEntry | None:
        """Return the entry at a path; None if there is none.

        Raises:
            UnreadableRepoError: Git cannot read the commit, or a folder of the path.
        """
        entry = self._top()
        for name in key:
            if not entry.is_folder:
                return None
            found = self._folder(entry).get(name)
            if found is None:
                return None
            entry = found
        return entry

    def read(self, entry: TreeEntry) -> bytes:
        """Read the content of a file.

        Raises:
            UnreadableRepoError: Git cannot read it.
        """
        return self._read(entry.oid)

    def files(self, key: Key) -> Iterator[tuple[Key, TreeEntry]]:
        """List all files and links below a folder, in Git's order."""
        folder = self.entry(key)
        if folder is None or not folder.is_folder:
            return
        for name, entry in self._folder(folder).items():
            if entry.is_folder:
                yield from self.files((*key, name))
            else:
                yield (*key, name), entry

    # The interface that DVC's file system needs

    def open(
        self,
        key: Key,
        mode: str | None = "r",
        encoding: str | None = None,
        raw: bool = True,  # noqa: ARG002, FBT001, FBT002 - as scmrepo's trie has it
    ) -> io.BytesIO | io.StringIO:
        """Open a file for DVC; raises KeyError and IsADirectoryError as scmrepo's trie.

        Raises:
            ConfigError, TooComplexError: See :func:`files.for_dvc`.
        """
        entry = self._require(key)
        if entry.is_folder:
            raise IsADirectoryError
        data = b""
        if entry.mode != SUBMODULE:
            data = for_dvc(key, self.read(entry), bounded=self._bounded)
        if mode == "rb":
            return io.BytesIO(data)
        return io.StringIO(data.decode(encoding or "utf-8"))

    def exists(self, key: Key) -> bool:
        """Whether there is a file or folder at a path."""
        return self.entry(key) is not None

    def isdir(self, key: Key) -> bool:
        """Whether there is a folder."""
        entry = self.entry(key)
        return entry is not None and entry.is_folder

    def isfile(self, key: Key) -> bool:
        """Whether there is a file."""
        entry = self.entry(key)
        return entry is not None and entry.is_file

    def ls(self, key: Key) -> list[str]:
        """List the names in a folder."""
        return list(self._folder(self._require(key)))

    def info(self, key: Key) -> Any:
        """Describe the entry at a path; its size is read only when needed."""
        from scmrepo.utils import LazyDict

        entry = self._require(key)
        has_content = not entry.is_folder and entry.mode != SUBMODULE
        size: Any = lambda: len(self.read(entry)) if has_content else 0  # noqa: E731
        kind = "directory" if entry.is_folder else "file"
        return LazyDict[str, Any](
            {"size": size, "type": kind, "sha": entry.oid, "mode": entry.mode}
        )

    def _require(self, key: Key) -> TreeEntry:
        entry = self.entry(key)
        if entry is None:
            raise KeyError(key)
        return entry

    # Reading

    def _top(self) -> TreeEntry:
        if self._root is None:
            data = self._read(self.rev, kind=COMMIT)
            oid = data.partition(b"\n")[0].removeprefix(b"tree ").decode()
            self._root = TreeEntry(stat.S_IFDIR, oid)
        return self._root

    def _folder(self, entry: TreeEntry) -> Mapping[str, TreeEntry]:
        if entry.oid not in self._folders:
            raw = self._read(entry.oid)
            self._folders[entry.oid] = dict(_parse(raw, len(self.rev) // 2))
        return self._folders[entry.oid]

    def _read(self, oid: str, *, kind: str | None = None) -> bytes:
        found = self._objects.read(oid)
        if kind and (found is None or found.kind != kind):
            raise CommitMissingError(self._where, f"it has no {kind} {oid}")
        if found is None:
            raise ObjectMissingError(self._where, f"it has no object {oid}")
        return found.data


def open_commit(tree: CommitTree) -> GitFileSystem:
    """Open the files of a commit as DVC's file system; its ``/`` is the Git root."""
    from dvc.fs import GitFileSystem

    return GitFileSystem(rev=tree.rev, trie=tree)


def _parse(raw: bytes, id_bytes: int) -> Iterator[tuple[str, TreeEntry]]:
    """Parse a tree object: mode, name, NUL and binary id of each entry."""
    at = 0
    while at < len(raw):
        end = raw.index(b"\0", at)
        mode, _, name = raw[at:end].partition(b" ")
        at = end + 1 + id_bytes
        entry = TreeEntry(int(mode, 8), raw[end + 1 : at].hex())
        yield name.decode("utf-8", "surrogateescape"), entry
