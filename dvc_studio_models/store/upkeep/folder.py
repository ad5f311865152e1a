"""The objects in the folder of a cache: sizes, listings, hashes, removal.

Reads and removes files by the paths that DVC gives to objects, and needs no DVC
project. A removal writes a list of the objects first: the next one continues after a
kill, although the listings of folders are removed before their files.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    CacheDamagedError,
    IntegrityError,
    disk_errors,
)
from dvc_studio_models.files.scratch import write_atomically
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest, is_tree
from dvc_studio_models.store.dvc.objects import parse_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

UNFINISHED = "removal.unfinished"
"""The name of the list of objects that are being removed, in our folder."""

OWN = "models"
"""The name of our folder in a cache."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_MD5_LETTERS = 32  # the suffix of a directory follows them


@dataclass(frozen=True)
class StoredObject:
    """An object that exists; its content is not read."""

    size: int
    """In bytes."""

    added: float
    """When it was added or last linked, in seconds since 1970."""

    modified: float
    """When its content was written, in seconds since 1970."""

    links: int
    """The number of names (hard links) of the file."""


class CacheFolder:
    """The objects in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[Digest, StoredObject | None] = {}
        self._listings: dict[Digest, dict[str, Digest] | None] = {}

    def path_of(self, digest: Digest) -> Path:
        """Return the path of an object, which need not exist."""
        return self.path / digest.object_path

    def find(self, digest: Digest) -> StoredObject | None:
        """Return what is known of an object without reading it; None without one.

        Raises:
            LocalDiskError: The file system refuses.
        """
        if digest not in self._found:
            self._found[digest] = self._look(digest)
        return self._found[digest]

    def _look(self, digest: Digest) -> StoredObject | None:
        path = self.path_of(digest)
        with disk_errors(path, action="read"):
            try:
                found = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(found.st_mode):
            return None
        added = max(found.st_mtime, found.st_ctime)
        return StoredObject(found.st_size, added, found.st_mtime, found.st_nlink)

    def read_listing(self, digest: Digest) -> dict[str, Digest] | None:
        """List the files in a folder: relative path to hash; None without a listing.

        Raises:
            LocalDiskError: It cannot be read.
            CacheDamagedError: Its content does not have its hash.
        """
        if digest not in self._listings:
            self._listings[digest] = self._read_listing(digest)
        return self._listings[digest]

    def _read_listing(self, digest: Digest) -> dict[str, Digest] | None:
        path = self.path_of(digest)
        with disk_errors(path, action="read"):
            try:
                raw = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        actual = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        if actual != digest.value[:_MD5_LETTERS]:
            raise CacheDamagedError([os.fspath(path)])
        try:
            return parse_tree(raw, digest)
        except IntegrityError:
            raise CacheDamagedError([os.fspath(path)]) from None

    def with_files(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return these digests, and those of the files in folders that are listed.

        Raises:
            LocalDiskError, CacheDamagedError: See :meth:`read_listing`.
        """
        found = set(digests)
        for digest in [each for each in found if is_tree(each)]:
            found.update((self.read_listing(digest) or {}).values())
        return found

    def digest_at(self, path: str) -> Digest | None:
        """Return the digest of an object by its path; None for any other path."""
        return _digest_at(os.path.relpath(path, self._real))

    @functools.cached_property
    def _real(self) -> str:
        return os.path.realpath(self.path)

    def is_inside(self, path: str) -> bool:
        """Whether a real path is in the folder."""
        return path.startswith(f"{self._real}{os.sep}")

    @functools.cached_property
    def has_legacy_objects(self) -> bool:
        """Whether it may have objects of DVC 2, which are at its root."""
        return any(len(name) == 2 for name in _names(self.path))  # noqa: PLR2004

    def every(self) -> Iterator[Digest]:
        """Yield all objects.

        Raises:
            LocalDiskError: A folder cannot be read.
        """
        for top in ("", "files/md5"):
            for folder in _names(self.path / top):
                if len(folder) == 2:  # noqa: PLR2004 - the first letters of a hash
                    for name in _names(self.path / top / folder):
                        inner = os.path.join(top, folder, name)  # noqa: PTH118
                        if digest := _digest_at(inner):
                            yield digest

    def has_its_hash(self, digest: Digest) -> bool | None:
        """Read an object and compare its hash; None if it does not exist.

        Raises:
            LocalDiskError: It cannot be read.
        """
        from dvc_data.hashfile.hash import file_md5

        path = os.fspath(self.path_of(digest))
        with disk_errors(path, action="read"):
            try:
                actual = file_md5(path, name=digest.algorithm)
            except FileNotFoundError:
                return None
        return bool(actual == digest.value[:_MD5_LETTERS])

    def is_blocked(self, digest: Digest) -> bool:
        """Whether a folder or a broken link is at the path of an object."""
        path = self.path_of(digest)
        return os.path.lexists(path) and not path.is_file()

    # Removal

    def remove(self, digests: Iterable[Digest]) -> None:
        """Remove objects: the listings of folders first, then files.

        A kill in between leaves no folder that seems to be complete. What is left is in
        :meth:`unfinished`.

        Raises:
            LocalDiskError: The file system refuses.
        """
        wanted = list(dict.fromkeys(digests))
        note = self.path / OWN / UNFINISHED
        has_note = self._note(note, wanted)
        # Without the list, what a kill leaves is found by the listings.
        for digest in sorted(wanted, key=lambda each: is_tree(each) != has_note):
            self.drop(digest)
        with disk_errors(note):
            note.unlink(missing_ok=True)

    def _note(self, note: Path, wanted: Iterable[Digest]) -> bool:
        """Write the list of the objects to remove; return False on a full disk."""
        lines = [f"{digest.algorithm} {digest.value}\n" for digest in wanted]
        with disk_errors(note):
            try:
                if lines:
                    note.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(note, "".join(lines), flushed=True)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                return False
        return True

    def drop(self, digest: Digest) -> None:
        """Remove one object.

        Raises:
            LocalDiskError: The file system refuses.
        """
        path = self.path_of(digest)
        with disk_errors(path, action="remove"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self._found[digest] = None

    def unfinished(self) -> set[Digest]:
        """Return the objects that a killed removal has left.

        Raises:
            LocalDiskError: The list cannot be read.
        """
        note = self.path / OWN / UNFINISHED
        with disk_errors(note, action="read"):
            try:
                lines = note.read_text("utf-8", "replace").splitlines()
            except (FileNotFoundError, NotADirectoryError):
                return set()
        found = set()
        for line in lines:
            with contextlib.suppress(TypeError, ValueError):
                found.add(Digest(*line.split(" ")))
        return {digest for digest in found if self.find(digest)}


def _digest_at(inner: str) -> Digest | None:
    parts = tuple(inner.split("/"))
    algorithm = MD5 if parts[:2] == ("files", "md5") else MD5_DOS2UNIX
    if len(parts) != (4 if algorithm == MD5 else 2) or len(parts[-2]) != 2:  # noqa: PLR2004
        return None
    with contextlib.suppress(ValueError):
        return Digest(algorithm, parts[-2] + parts[-1])
    return None


def _names(folder: Path) -> list[str]:
    with disk_errors(folder, action="read"):
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 - only the names
        except (FileNotFoundError, NotADirectoryError):
            return []
