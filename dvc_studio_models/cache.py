"""The DVC cache, its links and the state database.

Owns all that is DVC's on disk, through DVC's own parts: :class:`DvcStore` is the store
of a DVC project. An object of the cache counts only while its content has the hash that
it is named after; DVC's state remembers that, so that each is read once. One that is
damaged stays as it is until its right content is at hand: it may be all there is of
somebody's edit through a link.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dvc_studio_models.disk import flush
from dvc_studio_models.errors import (
    DvcRemoteError,
    LocalDiskError,
    LockHeldError,
    disk_errors,
)
from dvc_studio_models.linking import can_reflink, link_or_copy, link_types
from dvc_studio_models.model import MD5_DOS2UNIX, Digest
from dvc_studio_models.remote import DvcRemote, configured_remote
from dvc_studio_models.scratch import hide, lend, sweep, waiting_name
from dvc_studio_models.store import (
    PARTS,
    PlainStore,
    Store,
    reading,
    sweep_parts,
    take_parts,
)
from dvc_studio_models.trees import build_tree, parse_tree, tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["DvcStore", "PlainStore", "Store", "open_store", "tree_digest"]

_MD5_LETTERS = 32  # what follows them marks a directory

_OWN = (".dvc", "tmp", "models")
_MEMO = "registry.json"

T = TypeVar("T")


def memo_of(folder: Path, root: Path) -> Path | None:
    """Tell where the DVC project around a folder keeps what was read from Git.

    Args:
        folder: Need not exist.
        root: Nothing above it counts.
    """
    for candidate in (folder, *folder.parents):
        if (candidate / ".dvc").is_dir():
            return candidate.joinpath(*_OWN, _MEMO)
        if candidate == root:
            break
    return None


def open_store(
    folder: Path, root: Path, *, use_cache: bool = True, wait_for_lock: bool = False
) -> Store:
    """Open the store for files that are to lie in ``folder``.

    Args:
        folder: The deepest folder that holds all of them; need not exist.
        root: Nothing above it counts.
        use_cache: Whether downloaded files are kept in the DVC cache.
        wait_for_lock: Whether to wait for another DVC process without end.
    """
    for candidate in (folder, *folder.parents):
        if (candidate / ".dvc").is_dir():
            return DvcStore(candidate, use_cache=use_cache, wait_for_lock=wait_for_lock)
        if candidate == root:
            break
    return PlainStore(root)


class DvcStore:
    """The cache of a DVC project."""

    def __init__(self, root: Path, *, use_cache: bool, wait_for_lock: bool) -> None:
        from dvc.repo import Repo

        # DVC finds its databases by the real path, and what is in them too.
        real = os.path.realpath(root)
        waiting = {"_wait_for_lock": True} if wait_for_lock else {}  # from DVC 3.61 on
        with disk_errors(real), _database_errors():
            self._repo: Any = Repo(real, **waiting)
        self._use_cache = use_cache
        self._own = Path(real).joinpath(*_OWN)
        self._whole: dict[str, tuple[int, ...]] = {}
        self._flushed: set[int] = set()
        self._staged: set[tuple[object, ...]] = set()

    @property
    def parts(self) -> Path:
        """In the cache folder beside ``files/``; without cache in the project's own.

        Made as DVC makes folders of its cache: a shared one is for the whole group.
        """
        if not self._use_cache:
            return self._own / PARTS
        folder = Path(self._repo.cache.local_cache_dir) / PARTS
        with disk_errors(folder):
            self._repo.cache.local.makedirs(os.fspath(folder))
        return folder

    @property
    def receipts(self) -> Path | None:
        """In the project's own folder, which Git ignores."""
        return self._own / "receipts"

    @property
    def memo(self) -> Path | None:
        """Beside the receipts."""
        return self._own / _MEMO

    @functools.cached_property
    def copies(self) -> bool:
        """Whether cache and workspace lie where nothing but a copy can be made.

        Not where a file system lies between them: then a part cannot be moved either.
        """
        links = link_types(self._repo.cache.local)
        if not self._use_cache or set(links) - {"reflink"}:
            return False
        hide(self._own)
        here, there = self._own.stat(), self.parts.stat()
        if (here.st_dev, here.st_gid) != (there.st_dev, there.st_gid):
            return False  # a file would not be the user's as others are
        return not (links and can_reflink(self._own))

    def sweep(self) -> None:
        """Remove it from the cache folder and from the project's own."""
        sweep(self._own)
        for folder in (Path(self._repo.cache.local_cache_dir), self._own):
            sweep_parts(folder / PARTS, self)

    def size_of(self, digest: Digest) -> int | None:
        """Tell the size of an object whose content has its hash."""
        path = self._object(digest)
        try:
            found = os.stat(path)  # noqa: PTH116 - of thousands of files
            now = _version_of(found)
            if self._whole.get(path) != now:
                if self._hash(path, digest.algorithm) != digest.value[:_MD5_LETTERS]:
                    return None
                self._whole[path] = now
        except (OSError, LocalDiskError):
            return None
        return found.st_size

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash through DVC's state, which remembers by inode, mtime and size.

        Raises:
            FileNotFoundError: There is no file.
            LocalDiskError: It cannot be read.
        """
        return Digest(algorithm, self._hash(_key(path), algorithm))

    def keep(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Link parts into the cache as its objects.

        They are flushed first: DVC takes a read-only object for whole, also after a
        power cut that tore it.

        Raises:
            LocalDiskError: The file system refused.
        """
        from dvc_objects.fs import localfs

        if not self._use_cache:
            return
        with disk_errors(self._repo.cache.local_cache_dir), _database_errors():
            flush(part for _, part in fetched)
            for group in _by_algorithm(fetched):
                for digest, _ in group:
                    self._drop_damaged(digest)
                self._odb(group[0][0]).add(
                    [os.fspath(part) for _, part in group],
                    localfs,
                    [digest.value for digest, _ in group],
                    hardlink=True,
                )
                for digest, part in group:
                    self._know_linked(self._object(digest), part)

    def _know_linked(self, path: str, part: Path) -> None:
        """Take an object for whole that is a verified, flushed part's very file."""
        found = os.stat(path)  # noqa: PTH116 - of thousands of files
        if found.st_ino == os.stat(part).st_ino:  # noqa: PTH116
            self._whole[path] = _version_of(found)
            self._flushed.add(found.st_ino)

    def stage(
        self,
        cached: Mapping[str, Digest],
        parts: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        """Link from the cache with the project's ``cache.type``.

        Raises:
            LocalDiskError: The file system refused, or an object is gone.
        """
        from dvc_objects.fs import localfs

        self._refuse_gone(set(cached.values()))
        linked: dict[str, Path] = {}
        for group in _by_algorithm((digest, path) for path, digest in cached.items()):
            made = {path: folder / waiting_name() for _, path in group}
            pairs = [(self._object(d), os.fspath(made[path])) for d, path in group]
            with disk_errors(folder):
                link_or_copy(self._odb(group[0][0]), pairs)
            linked.update(made)
        staged = {**take_parts(parts, folder), **linked}
        infos = {new: localfs.info(os.fspath(new)) for new in staged.values()}
        with disk_errors(folder):
            flush(at for at in linked.values() if infos[at]["ino"] not in self._flushed)
        self._staged.update(map(_identity, infos.values()))
        return staged

    def remember(self, placed: Mapping[Path, Digest]) -> None:
        """Save the hashes to DVC's state, so that ``dvc status`` need not hash.

        What was staged is known by its inode, mtime and size. Anything else is hashed,
        unless the state knows it: it may have been edited since.

        Raises:
            LocalDiskError: The file system refused.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs import localfs

        entries = []
        for path, digest in placed.items():
            with contextlib.suppress(FileNotFoundError):
                info = localfs.info(_key(path))
                if _identity(info) in self._staged:
                    hash_info = HashInfo(digest.algorithm, digest.value)
                    entries.append((_key(path), hash_info, info))
                else:
                    self.digest_of(path, digest.algorithm)
        state = self._repo.state
        with _database_errors():
            if hasattr(state, "save_many"):
                state.save_many(entries, localfs)
                return
            for key, hash_info, info in entries:  # dvc-data 3.15, of DVC 3.50
                state.save(key, localfs, hash_info, info)

    def keep_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Save the ``.dir`` object that DVC wants for a directory.

        Raises:
            LocalDiskError: The file system refused.
        """
        from dvc_data.hashfile.db import add_update_tree

        tree = build_tree(files)
        if self._use_cache and tree.hash_info.value == digest.value:
            with disk_errors(self._repo.cache.local_cache_dir), _database_errors():
                self._drop_damaged(digest)
                add_update_tree(self._odb(digest), tree)

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:
        """Read a ``.dir`` object of the cache."""
        if self.size_of(digest) is None:
            return None
        return parse_tree(Path(self._object(digest)).read_bytes(), digest)

    def open_remote(self, name: str | None) -> DvcRemote:
        """Find one of the project's remotes.

        Raises:
            RemoteConfigError: There is none that can be used.
        """
        return DvcRemote(self._repo, name)

    def configured_remote(self, names: Sequence[str | None]) -> str | None:
        """Name the remote that keeps outputs, None unless all their remotes are known.

        Args:
            names: Of their remotes; None stands for the project's default one.
        """
        return configured_remote(self._repo, names)

    def fetch(
        self,
        remote: DvcRemote,
        files: Mapping[str, Digest],
        *,
        tell: Callable[[int], None],
        jobs: int,
    ) -> None:
        """Bring contents from a remote into the cache.

        Args:
            remote: Of this project.
            files: Path, for messages, to digest.
            tell: Told of all bytes so far, from this thread.
            jobs: The most connections at a time.

        Raises:
            DvcRemoteError: The remote did not deliver what was asked for.
            LocalDiskError: The disk is full, or refuses to be written.
        """
        before = 0
        for group in _by_algorithm((digest, path) for path, digest in files.items()):
            wanted = {path: digest for digest, path in group}
            with disk_errors(self._repo.cache.local_cache_dir):
                for digest in wanted.values():
                    self._drop_damaged(digest)
            odb = self._odb(group[0][0])

            def tell_all(count: int, before: int = before) -> None:
                tell(before + count)

            remote.fetch(wanted, odb, tell=tell_all, jobs=jobs)
            damaged = [path for path in wanted if self.size_of(wanted[path]) is None]
            if damaged:
                reason = "it has another hash there"
                raise DvcRemoteError(remote.name, [(path, reason) for path in damaged])
            before += sum(self.size_of(digest) or 0 for digest in wanted.values())

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Hold DVC's own lock of the project.

        Raises:
            LocalDiskError: It cannot be written.
            LockHeldError: Another process has it.
        """
        from dvc.lock import LockError

        try:
            with disk_errors(self._own):
                self._repo.lock.lock()
        except LockError:
            raise LockHeldError from None
        try:
            with lend(self._own) as folder:
                yield folder
        finally:
            self._repo.lock.unlock()

    def close(self) -> None:
        """Close DVC's databases."""
        self._repo.close()

    def _odb(self, digest: Digest) -> Any:
        cache = self._repo.cache
        return cache.legacy if digest.algorithm == MD5_DOS2UNIX else cache.local

    def _object(self, digest: Digest) -> str:
        path: str = self._odb(digest).oid_to_path(digest.value)
        return path

    def _hash(self, path: str, algorithm: str) -> str:
        from dvc_data.hashfile.hash import file_md5
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs import localfs

        with reading(Path(path)), _database_errors():
            # Before it is read: what it becomes meanwhile is not taken for known.
            info = localfs.info(path)
            _, known = self._repo.state.get(path, localfs, info)
            if known and known.name == algorithm:
                return str(known.value)[:_MD5_LETTERS]
            value: str = file_md5(path, name=algorithm)
            self._repo.state.save(path, localfs, HashInfo(algorithm, value), info)
        return value

    def _drop_damaged(self, digest: Digest) -> None:
        path = self._object(digest)
        if os.path.lexists(path) and self.size_of(digest) is None:
            Path(path).unlink(missing_ok=True)

    def _refuse_gone(self, digests: Iterable[Digest]) -> None:
        for digest in digests:
            if self.size_of(digest) is None:
                reason = "it left the DVC cache, or was damaged, while the pull ran"
                raise LocalDiskError(self._object(digest), reason, action="read")


@contextlib.contextmanager
def _database_errors() -> Iterator[None]:
    """Tell what the file system refuses DVC's databases, which are SQLite's."""
    import sqlite3

    try:
        yield
    except sqlite3.OperationalError as error:
        from dvc.dirs import site_cache_dir

        raise LocalDiskError(site_cache_dir(), str(error)) from None


def _key(path: Path) -> str:
    """Name a file of the workspace as DVC does, which works in the real folder."""
    return f"{os.path.realpath(path.parent)}{os.sep}{path.name}"


def _version_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_mtime_ns, found.st_size


def _identity(info: Mapping[str, object]) -> tuple[object, ...]:
    return info["ino"], info["mtime"], info["size"]


def _by_algorithm(
    pairs: Iterable[tuple[Digest, T]],
) -> Iterable[list[tuple[Digest, T]]]:
    groups: dict[str, list[tuple[Digest, T]]] = defaultdict(list)
    for digest, value in pairs:
        groups[digest.algorithm].append((digest, value))
    return groups.values()
