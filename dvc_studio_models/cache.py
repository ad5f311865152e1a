"""The DVC cache, its links and the state database; or their absence.

Owns all that is DVC's on disk, through DVC's own parts. A *store* tells which contents
are at hand, takes verified parts in, and makes files of them that are ready to be
renamed into the workspace. :class:`DvcStore` does it with the project's cache,
:class:`PlainStore` where there is no DVC project.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dvc_studio_models.errors import LocalDiskError, LockHeldError
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_PARTS = "parts"
_SCRATCH_STALE_S = 3600.0  # placing takes seconds


class Store(Protocol):
    """Where contents come from and go to."""

    @property
    def parts(self) -> Path:
        """Folder for parts, made and out of Git's sight."""

    @property
    def receipts(self) -> Path | None:
        """Folder for receipts, None where none are kept."""

    @property
    def memo(self) -> Path | None:
        """File for what was read from Git, None where none is kept."""

    def size_of(self, digest: Digest) -> int | None:
        """Tell the size of a content in the cache, None if it is not there, whole."""

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash a file of the workspace, or remember its hash."""

    def keep(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Take verified parts into the cache."""

    def stage(
        self,
        cached: Mapping[str, Digest],
        parts: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        """Make a file in ``folder`` for every target, from the cache or from a part."""

    def remember(self, placed: Mapping[Path, Digest]) -> None:
        """Note the hashes of files that were placed."""

    def keep_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Take the list of a directory's files into the cache, if its hash fits."""

    def lock(self) -> contextlib.AbstractContextManager[Path]:
        """Hold the project's lock; lend a scratch folder in the root's file system."""

    def close(self) -> None:
        """Release what is open, and leave nothing behind that is not for later."""


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

        self._repo: Any = Repo(os.fspath(root), _wait_for_lock=wait_for_lock)
        self._use_cache = use_cache
        self._own = root / ".dvc" / "tmp" / "models"

    @property
    def parts(self) -> Path:
        """In the cache folder beside ``files/``; without cache in the project's own."""
        if self._use_cache:
            return Path(self._repo.cache.local_cache_dir) / _PARTS
        return self._own / _PARTS

    @property
    def receipts(self) -> Path | None:
        """In the project's own folder, which Git ignores."""
        return self._own / "receipts"

    @property
    def memo(self) -> Path | None:
        """Beside the receipts."""
        return self._own / "registry.json"

    def size_of(self, digest: Digest) -> int | None:
        """Ask the cache for the object; one that is damaged DVC removes here."""
        from dvc_objects.errors import ObjectFormatError

        try:
            size: int = self._odb(digest).check(digest.value).size
        except (FileNotFoundError, ObjectFormatError):
            return None
        return size

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash through DVC's state, which remembers by inode, mtime and size."""
        from dvc_data.hashfile.hash import hash_file
        from dvc_objects.fs import localfs

        _, found = hash_file(os.fspath(path), localfs, algorithm, self._repo.state)
        return Digest(algorithm, found.value)

    def keep(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Link parts into the cache as its objects."""
        from dvc_objects.fs import localfs

        if not self._use_cache:
            return
        by_algorithm: dict[str, list[tuple[Digest, Path]]] = defaultdict(list)
        for digest, part in fetched:
            by_algorithm[digest.algorithm].append((digest, part))
        with _disk_errors(self.parts):
            for group in by_algorithm.values():
                self._odb(group[0][0]).add(
                    [os.fspath(part) for _, part in group],
                    localfs,
                    [digest.value for digest, _ in group],
                    hardlink=True,
                )

    def stage(
        self,
        cached: Mapping[str, Digest],
        parts: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        """Link from the cache with the project's ``cache.type``."""
        from dvc_objects.fs import localfs
        from dvc_objects.fs.generic import transfer

        staged = _take_parts(parts, folder)
        by_algorithm: dict[str, list[str]] = defaultdict(list)
        for path, digest in cached.items():
            by_algorithm[digest.algorithm].append(path)
        for paths in by_algorithm.values():
            odb = self._odb(cached[paths[0]])
            links = {path: folder / secrets.token_hex(8) for path in paths}
            with _disk_errors(folder):
                transfer(
                    odb.fs,
                    [odb.oid_to_path(cached[path].value) for path in paths],
                    localfs,
                    [os.fspath(links[path]) for path in paths],
                    links=list(odb.cache_types),
                )
            staged.update(links)
        return staged

    def remember(self, placed: Mapping[Path, Digest]) -> None:
        """Save the hashes to DVC's state, so that ``dvc status`` need not hash."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs import localfs

        self._repo.state.save_many(
            (
                (os.fspath(path), HashInfo(digest.algorithm, digest.value), None)
                for path, digest in placed.items()
            ),
            localfs,
        )

    def keep_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Save the ``.dir`` object that DVC wants for a directory."""
        tree = _build_tree(files)
        if self._use_cache and tree.hash_info.value == digest.value:
            from dvc_data.hashfile.db import add_update_tree

            add_update_tree(self._odb(digest), tree)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Hold DVC's own lock of the project.

        Raises:
            LockHeldError: Another process has it.
        """
        from dvc.lock import LockError

        try:
            self._repo.lock.lock()
        except LockError:
            raise LockHeldError from None
        try:
            with _scratch(self._own, stale_after_s=0) as folder:
                yield folder
        finally:
            self._repo.lock.unlock()

    def close(self) -> None:
        """Close DVC's databases."""
        self._repo.close()

    def _odb(self, digest: Digest) -> Any:
        cache = self._repo.cache
        return cache.legacy if digest.algorithm == MD5_DOS2UNIX else cache.local


class PlainStore:
    """No cache: parts lie in a hidden folder of the root until they are placed."""

    def __init__(self, root: Path) -> None:
        self._own = root / ".dvc-models"

    @property
    def parts(self) -> Path:
        """In the hidden folder."""
        hide(self._own)
        return self._own / _PARTS

    @property
    def receipts(self) -> Path | None:
        """None are kept: nothing of ours stays in a folder that is not DVC's."""
        return None

    @property
    def memo(self) -> Path | None:
        """None is kept."""
        return None

    def size_of(self, digest: Digest) -> int | None:  # noqa: ARG002 - there is no cache
        """Find nothing."""
        return None

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash the file."""
        from dvc_data.hashfile.hash import file_md5

        return Digest(algorithm, file_md5(os.fspath(path), name=algorithm))

    def keep(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Do nothing: there is no cache."""

    def stage(
        self,
        cached: Mapping[str, Digest],  # noqa: ARG002 - there is no cache
        parts: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        """Take the parts themselves."""
        return _take_parts(parts, folder)

    def remember(self, placed: Mapping[Path, Digest]) -> None:
        """Do nothing: there is no state database."""

    def keep_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Do nothing: there is no cache."""

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Lend a scratch folder; there is no DVC command to keep out."""
        with _scratch(self._own, stale_after_s=_SCRATCH_STALE_S) as folder:
            yield folder

    def close(self) -> None:
        """Remove the hidden folder, unless a part in it waits for the next pull."""
        parts = self._own / _PARTS
        with contextlib.suppress(OSError):
            parts.rmdir()
        if not parts.exists():
            shutil.rmtree(self._own, ignore_errors=True)


def hide(folder: Path) -> None:
    """Make a folder that Git does not show.

    Raises:
        LocalDiskError: It cannot be made.
    """
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")


@contextlib.contextmanager
def _scratch(own: Path, *, stale_after_s: float) -> Iterator[Path]:
    """Lend an empty folder, having swept those that killed pulls left.

    Args:
        own: Where it is made.
        stale_after_s: How old a folder must be to be nobody's; 0 for a lock's holder.
    """
    hide(own)
    for left in own.glob("placing-*"):
        if time.time() - left.stat().st_mtime >= stale_after_s:
            shutil.rmtree(left, ignore_errors=True)
    folder = own / f"placing-{secrets.token_hex(8)}"
    with _disk_errors(folder):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_parts(parts: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Move each part, or copy it while another target needs it too."""
    waiting = list(parts.values())
    staged = {}
    with _disk_errors(folder):
        for path, part in parts.items():
            staged[path] = folder / secrets.token_hex(8)
            waiting.remove(part)
            if part in waiting:
                shutil.copyfile(part, staged[path])
            else:
                part.replace(staged[path])
    return staged


def _build_tree(files: Mapping[str, Digest]) -> Any:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for path, digest in files.items():
        tree.add(tuple(path.split("/")), None, HashInfo(digest.algorithm, digest.value))
    tree.digest()
    return tree


def tree_digest(files: Mapping[str, Digest]) -> Digest:
    """Rebuild the ``.dir`` hash of a directory from its files' hashes.

    Args:
        files: Path relative to the directory, and digest, of every file in it.
    """
    algorithms: Iterable[str] = {digest.algorithm for digest in files.values()}
    algorithm = MD5_DOS2UNIX if MD5_DOS2UNIX in algorithms else MD5
    return Digest(algorithm, _build_tree(files).hash_info.value)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Tell what the file system refused as an error of ours."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise LocalDiskError(where, (error.strerror or str(error)).lower()) from None
