"""The objects of a DVC cache, and the hashes in DVC's state.

Owns the reading, adding, linking and removing of objects, through DVC's own code. An
object is used only if its content has the hash in its name. DVC's state keeps hashes,
so that each object is read once. A damaged object is kept until its right content has
arrived: it may be the only copy of an edit that was made through a link.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dvc_studio_models.errors import (
    CacheRefusedError,
    IntegrityError,
    LocalDiskError,
    ObjectGoneError,
    SiteCacheError,
)
from dvc_studio_models.files.durable import copy, fsync_files
from dvc_studio_models.files.folders import FileStamp
from dvc_studio_models.files.scratch import temporary_name
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.base import reading_file
from dvc_studio_models.store.dvc.light import look_up_keys
from dvc_studio_models.store.dvc.project import REFUSALS, refused_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Info = Mapping[str, object]

_MD5_LETTERS = 32  # the suffix of a directory follows them

T = TypeVar("T")


class StampedPath(NamedTuple):
    """The path of an object, and what it was when its content was checked."""

    path: str
    stamp: FileStamp


class Objects:
    """The objects of one DVC project, in its cache and in the cache of DVC 2."""

    def __init__(self, open_repo: Callable[[], Any]) -> None:
        """Use the cache of a project.

        Args:
            open_repo: Returns DVC's own object of the project, which the caller closes.
        """
        self._open_repo = open_repo
        self._whole: dict[str, FileStamp] = {}
        self._flushed: set[FileStamp] = set()

    @functools.cached_property
    def _repo(self) -> Any:
        return self._open_repo()

    @property
    def folder(self) -> str:
        """The folder of the cache."""
        return str(self._repo.cache.local_cache_dir)

    def odb(self, algorithm: str) -> Any:
        """Return DVC's own object for the cache of an algorithm."""
        cache = self._repo.cache
        return cache.legacy if algorithm == MD5_DOS2UNIX else cache.local

    def path_of(self, digest: Digest) -> str:
        """Return the path of an object, which need not exist."""
        path: str = self.odb(digest.algorithm).oid_to_path(digest.value)
        return path

    def size_of(self, digest: Digest) -> int | None:
        """Return the size in bytes of an object whose content has its hash."""
        path = self.path_of(digest)
        try:
            found = os.stat(path)  # noqa: PTH116 - of thousands of files
            now = FileStamp.of(found)
            if self._whole.get(path) != now:
                if self.hash_of(path, digest.algorithm) != _hash(digest):
                    return None
                self._whole[path] = now
        except (OSError, LocalDiskError):
            return None
        return found.st_size

    def look_up(self, database: Path, digests: Iterable[Digest]) -> None:
        """Learn from DVC's state, in one query, which objects are whole.

        Then :meth:`size_of` does not ask for each of them.

        Args:
            database: DVC's database of hashes.
            digests: Of objects, which need not exist.
        """
        digest_by_path = {self.path_of(digest): digest for digest in digests}
        for path, known, found in look_up_keys(database, digest_by_path):
            digest = digest_by_path[path]
            if known[:2] == (digest.algorithm, _hash(digest)):
                self._whole[path] = FileStamp.of(found)

    def check_present(self, digests: Iterable[Digest]) -> dict[Digest, StampedPath]:
        """Check that objects exist, and return where.

        Raises:
            ObjectGoneError: One does not.
        """
        found = {}
        for digest in digests:
            path = self.path_of(digest)
            if self.size_of(digest) is None:
                raise ObjectGoneError(path)
            found[digest] = StampedPath(path, self._whole[path])
        return found

    def is_damaged(self, digest: Digest) -> bool:
        """Return whether the content of an object has another hash than its name.

        Raises:
            LocalDiskError: It cannot be read.
        """
        path = self.path_of(digest)
        try:
            return self.hash_of(path, digest.algorithm) != _hash(digest)
        except FileNotFoundError:
            return Path(path).is_symlink()  # a broken one

    def drop_damaged(self, digest: Digest) -> None:
        """Remove an object if it is damaged. Call it only when the content has arrived.

        Raises:
            LocalDiskError: It cannot be read.
        """
        if self.is_damaged(digest):
            Path(self.path_of(digest)).unlink(missing_ok=True)

    def temporary_odb(self, folder: Path, algorithm: str) -> Any:
        """Make a cache of DVC's in a temporary folder."""
        from dvc_data.hashfile.db.local import LocalHashFileDB
        from dvc_objects.fs import localfs

        return LocalHashFileDB(localfs, os.fspath(folder), hash_name=algorithm)

    def add(self, parts: Sequence[tuple[Digest, Path]]) -> None:
        """Move verified, flushed parts into the cache, as read-only objects.

        An object that exists is replaced: it is damaged, or another pull has just added
        the same content.

        Raises:
            OSError: The file system refuses.
        """
        added = []
        for digest, part in parts:
            odb, path = self.odb(digest.algorithm), self.path_of(digest)
            odb.protect(os.fspath(part))
            _move_to_cache(part, path, odb)
            stamp = FileStamp.of(os.stat(path))  # noqa: PTH116 - of thousands of files
            self._whole[path] = stamp
            self._flushed.add(stamp)
            added.append((path, digest, state_info(stamp)))
        self.save_hashes(added)

    @contextlib.contextmanager
    def writing(self, *, needed: bool = False) -> Iterator[None]:
        """Translate errors of writing to the cache and to DVC's databases.

        Args:
            needed: Whether the cache cannot be done without.
        """
        with database_errors(self._repo):
            try:
                yield
            except OSError as error:
                folder = self.folder
                path = refused_path(error, folder)
                reason = (error.strerror or str(error)).lower()
                if error.errno in REFUSALS and path.is_relative_to(folder):
                    raise CacheRefusedError(path, reason, needed=needed) from None
                raise LocalDiskError(folder, reason) from None

    def is_flushed(self, stamp: FileStamp) -> bool:
        """Return whether a file is an object that was added from a flushed part."""
        return stamp in self._flushed

    def hash_of(self, path: str, algorithm: str) -> str:
        """Return the hash of a file: from DVC's state if it has the file's stamp.

        Returns:
            The hash in hex, without the suffix of a directory.

        Raises:
            FileNotFoundError: There is no such file.
            LocalDiskError: It cannot be read.
        """
        from dvc_data.hashfile.hash import file_md5
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs import localfs

        with reading_file(Path(path)), database_errors(self._repo):
            # Before the file is read, which may change during that.
            info = localfs.info(path)
            _, known = self._repo.state.get(path, localfs, info)
            if known and known.name == algorithm:
                return str(known.value)[:_MD5_LETTERS]
            value: str = file_md5(path, name=algorithm)
            self._repo.state.save(path, localfs, HashInfo(algorithm, value), info)
        return value

    def save_hashes(self, known: Iterable[tuple[str, Digest, Info]]) -> None:
        """Save hashes of files to DVC's state: path, digest, and status of each file.

        Raises:
            LocalDiskError: The file system refuses.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs import localfs

        state = self._repo.state
        entries = [
            (path, HashInfo(digest.algorithm, digest.value), info)
            for path, digest, info in known
        ]
        with database_errors(self._repo):
            if hasattr(state, "save_many"):
                state.save_many(entries, localfs)
                return
            for path, hash_info, info in entries:  # dvc-data 3.15, of DVC 3.50
                state.save(path, localfs, hash_info, info)


@contextlib.contextmanager
def database_errors(repo: Any) -> Iterator[None]:
    """Translate errors of a project's databases, which SQLite raises."""
    import sqlite3

    try:
        yield
    except sqlite3.DatabaseError as error:
        raise SiteCacheError(repo.site_cache_dir, str(error)) from None


def by_algorithm(
    pairs: Iterable[tuple[Digest, T]],
) -> list[list[tuple[Digest, T]]]:
    """Group pairs by the algorithm of their digest, which each has its own cache."""
    groups: dict[str, list[tuple[Digest, T]]] = defaultdict(list)
    for digest, value in pairs:
        groups[digest.algorithm].append((digest, value))
    return list(groups.values())


def state_info(stamp: FileStamp) -> Info:
    """Return what DVC's state keeps of a file's status."""
    return {"ino": stamp.inode, "mtime": stamp.mtime, "size": stamp.size}


def _move_to_cache(part: Path, path: str, odb: Any) -> None:
    """Move a part to the path of an object, in one step."""
    try:
        os.replace(part, path)  # noqa: PTH105 - of thousands of files
    except FileNotFoundError:
        odb.makedirs(os.path.dirname(path))  # noqa: PTH120
        os.replace(part, path)  # noqa: PTH105
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copied = Path(path).with_name(temporary_name())
        try:
            copy(part, copied)
            fsync_files([copied])
            odb.protect(os.fspath(copied))
            copied.replace(path)
        finally:
            copied.unlink(missing_ok=True)


def _hash(digest: Digest) -> str:
    """Return the hash without the suffix of a directory."""
    return digest.value[:_MD5_LETTERS]


# Directories: a list of files is an object too


def build_tree(files: Mapping[str, Digest]) -> Any:
    """Build DVC's own object of a directory from its files' relative paths."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for path, digest in files.items():
        tree.add(tuple(path.split("/")), None, HashInfo(digest.algorithm, digest.value))
    tree.digest()
    return tree


def parse_tree(raw: bytes, digest: Digest) -> dict[str, Digest]:
    """Read a ``.dir`` object: relative path to digest, for each file.

    Raises:
        IntegrityError: It is not a list of files, although its hash is right.
    """
    from dvc_data.hashfile.tree import Tree

    try:
        tree = Tree.from_list(json.loads(raw), hash_name=digest.algorithm)
        return {
            "/".join(key): Digest(digest.algorithm, hash_info.value.lower())
            for key, _, hash_info in tree
        }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise IntegrityError(
            digest.value, expected=digest, actual="no list of files", source="Git"
        ) from None


def tree_digest(files: Mapping[str, Digest]) -> Digest:
    """Compute the ``.dir`` hash of a directory from the hashes of its files.

    Args:
        files: Relative path to digest, for every file in it.
    """
    algorithms: Iterable[str] = {digest.algorithm for digest in files.values()}
    algorithm = MD5_DOS2UNIX if MD5_DOS2UNIX in algorithms else MD5
    # ``dvc_data.hashfile.tree.Tree.as_bytes``, without the import of it
    entries = [{MD5: files[path].value, "relpath": path} for path in sorted(files)]
    text = json.dumps(entries, sort_keys=True)
    value = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return Digest(algorithm, f"{value}.dir")
