"""The DVC cache, its links and the state database.

Owns all that is DVC's on disk, through DVC's own parts: :class:`DvcStore` is the store
of a DVC project. Which objects of the cache count is ``objects``'s to say.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    DvcRemoteError,
    disk_errors,
)
from dvc_studio_models.files.durable import fsync_files
from dvc_studio_models.files.folders import FileStamp, nearest_existing, stat_target
from dvc_studio_models.files.scratch import (
    make_hidden_folder,
    sweep,
    temporary_folder,
    temporary_name,
)
from dvc_studio_models.model import Digest
from dvc_studio_models.store.base import (
    PARTS,
    PlainStore,
    stage_parts,
    sweep_parts,
)
from dvc_studio_models.store.locking import hold_lock
from dvc_studio_models.store.objects import (
    Objects,
    by_algorithm,
    can_reflink,
    link_or_copy,
    link_types,
)
from dvc_studio_models.store.project import (
    RECEIPTS,
    open_project,
    own_folder,
    project_around,
    refuse_read_only,
)
from dvc_studio_models.store.trees import build_tree, parse_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.remote import DvcRemote


def open_store(
    folder: Path,
    root: Path,
    *,
    use_cache: bool = True,
    wait_for_lock: bool = False,
    config: Any = None,
    read_only: bool = False,
) -> Store:
    """Open the store for files that are to lie in ``folder``.

    Args:
        folder: The deepest folder that holds all of them; need not exist.
        root: Nothing above it counts.
        use_cache: Whether downloaded files are kept in the DVC cache.
        wait_for_lock: Whether to wait for another DVC process without end.
        config: Of some DVC project, see :func:`project.open_project`.
        read_only: Whether nothing may change on disk.

    Raises:
        StudioConfigError: DVC cannot read the project's config.
        LocalDiskError: The file system refused.
    """
    project = project_around(folder, root)
    if project is None:
        return PlainStore(root)
    return DvcStore(
        project,
        use_cache=use_cache,
        wait_for_lock=wait_for_lock,
        config=config,
        read_only=read_only,
    )


class DvcStore:
    """The cache of a DVC project."""

    def __init__(
        self,
        root: Path,
        *,
        use_cache: bool,
        wait_for_lock: bool,
        config: Any = None,
        read_only: bool = False,
    ) -> None:
        # DVC finds its databases by the real path, and what is in them too.
        real = os.path.realpath(root)
        waiting = {"_wait_for_lock": True} if wait_for_lock else {}  # from DVC 3.61 on
        self._repo: Any = open_project(
            real, config=config, read_only=read_only, **waiting
        )
        self._objects = Objects(self._repo)
        self._use_cache = use_cache
        self._waits = wait_for_lock
        self._own = own_folder(Path(real))
        self._staged: set[FileStamp | None] = set()

    @property
    def repo(self) -> Any:
        """DVC's own object of the project, for rooms that talk to hosts."""
        return self._repo

    @property
    def parts(self) -> Path:
        """In the cache folder beside ``files/``; without cache in the project's own.

        Made as DVC makes folders of its cache: a shared one is for the whole group.
        """
        if not self._use_cache:
            return self._own / PARTS
        cache = self._repo.cache.local
        folder = Path(self._objects.folder) / PARTS
        with self._objects.writing():
            cache.makedirs(os.fspath(folder))
            for needed in (folder, nearest_existing(Path(cache.path))):
                refuse_read_only(needed)
        return folder

    @property
    def receipts(self) -> Path | None:
        """In the project's own folder, which Git ignores."""
        return self._own / RECEIPTS

    @functools.cached_property
    def needs_second_copy(self) -> bool:
        """Whether cache and workspace lie where nothing but a copy can be made.

        Not where a file system lies between them: then a part cannot be moved either.
        """
        links = link_types(self._repo.cache.local)
        if not self._use_cache or set(links) - {"reflink"}:
            return False
        make_hidden_folder(self._own)
        here, there = self._own.stat(), self.parts.stat()
        if (here.st_dev, here.st_gid) != (there.st_dev, there.st_gid):
            return False  # a file would not be the user's as others are
        return not (links and can_reflink(self._own))

    def sweep(self) -> None:
        """Remove it from the cache folder and from the project's own."""
        sweep(self._own)
        for folder in (Path(self._objects.folder), self._own):
            sweep_parts(folder / PARTS, self)

    def size_of(self, digest: Digest) -> int | None:
        """Tell the size of an object whose content has its hash."""
        return self._objects.size_of(digest)

    def has_object(self, digest: Digest) -> bool:
        """Whether there is an object of that name, whatever its content."""
        return Path(self._objects.path_of(digest)).exists()

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash through DVC's state, which remembers by inode, mtime and size.

        Raises:
            FileNotFoundError: There is no file.
            LocalDiskError: It cannot be read.
        """
        return Digest(algorithm, self._objects.hash_of(_key(path), algorithm))

    def add(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Link parts into the cache as its objects.

        They are flushed first: DVC takes a read-only object for whole, also after a
        power cut that tore it.

        Raises:
            LocalDiskError: The file system refused.
        """
        if self._use_cache:
            with self._objects.writing():
                fsync_files(part for _, part in fetched)
                self._objects.add(fetched)

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
        self._objects.refuse_gone(set(cached.values()))
        linked: dict[str, Path] = {}
        for group in by_algorithm((digest, path) for path, digest in cached.items()):
            made = {path: folder / temporary_name() for _, path in group}
            pairs = [
                (self._objects.path_of(digest), os.fspath(made[path]))
                for digest, path in group
            ]
            with disk_errors(folder.parent):
                link_or_copy(self._objects.odb(group[0][0].algorithm), pairs)
            linked.update(made)
        staged = {**stage_parts(parts, folder), **linked}
        stamps = {new: FileStamp.of(new.lstat()) for new in staged.values()}
        with disk_errors(folder.parent):
            fsync_files(
                new
                for new in linked.values()
                if not self._objects.is_flushed(stamps[new])
            )
        self._staged.update(stamps.values())
        return staged

    def save_hashes(self, placed: Mapping[Path, Digest]) -> None:
        """Save the hashes to DVC's state, so that ``dvc status`` need not hash.

        What was staged is known by its inode, mtime and size. Anything else is hashed,
        unless the state knows it: it may have been edited since.

        Raises:
            LocalDiskError: The file system refused.
        """
        from dvc_objects.fs import localfs

        known = []
        for path, digest in placed.items():
            with contextlib.suppress(FileNotFoundError):
                if stat_target(path) in self._staged:
                    info = localfs.info(_key(path))
                    known.append((_key(path), digest, info))
                else:
                    self.digest_of(path, digest.algorithm)
        self._objects.save_hashes(known)

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Save the ``.dir`` object that DVC wants for a directory.

        Raises:
            LocalDiskError: The file system refused.
        """
        from dvc_data.hashfile.db import add_update_tree

        tree = build_tree(files)
        if self._use_cache and tree.hash_info.value == digest.value:
            with self._objects.writing():
                self._objects.drop_damaged(digest)
                add_update_tree(self._objects.odb(digest.algorithm), tree)

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:
        """Read a ``.dir`` object of the cache."""
        if self.size_of(digest) is None:
            return None
        return parse_tree(Path(self._objects.path_of(digest)).read_bytes(), digest)

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
        with self._objects.writing(needed=True):
            for folder in {self._objects.odb(d.algorithm).path for d in files.values()}:
                refuse_read_only(nearest_existing(Path(folder)))
            damaged = {
                path
                for path, digest in files.items()
                if self._objects.is_damaged(digest)
            }
        groups = by_algorithm(
            (digest, path) for path, digest in files.items() if path not in damaged
        )
        groups += by_algorithm((files[path], path) for path in damaged)
        before = 0
        for group in groups:
            wanted = {path: digest for digest, path in group}

            def report(count: int, before: int = before) -> None:
                tell(before + count)

            if damaged.isdisjoint(wanted):
                odb = self._objects.odb(group[0][0].algorithm)
                remote.fetch(wanted, odb, tell=report, jobs=jobs)
            else:
                self._replace(remote, wanted, tell=report, jobs=jobs)
            lacking = [path for path in wanted if self.size_of(wanted[path]) is None]
            if lacking:
                reason = "its hash is different there"
                raise DvcRemoteError(remote.name, [(path, reason) for path in lacking])
            before += sum(self.size_of(digest) or 0 for digest in wanted.values())

    def _replace(
        self,
        remote: DvcRemote,
        files: Mapping[str, Digest],
        *,
        tell: Callable[[int], None],
        jobs: int,
    ) -> None:
        """Replace damaged objects of one algorithm when their content has arrived.

        DVC itself would remove them first; see :meth:`fetch` for the arguments.
        """
        digests = set(files.values())
        with temporary_folder(self._own) as folder:
            odb = self._objects.temporary_odb(folder, next(iter(digests)).algorithm)
            remote.fetch(files, odb, tell=tell, jobs=jobs)
            fetched = [
                (digest, Path(odb.oid_to_path(digest.value))) for digest in digests
            ]
            self.add([(digest, path) for digest, path in fetched if path.exists()])

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Hold DVC's own lock of the project.

        Raises:
            LocalDiskError: It cannot be written.
            LockHeldError: Another process has it.
            LockUnsupportedError: The file system has no such locks.
        """
        with (
            hold_lock(self._repo, waits=self._waits),
            temporary_folder(self._own) as folder,
        ):
            yield folder

    def close(self) -> None:
        """Close DVC's databases."""
        self._repo.close()


def _key(path: Path) -> str:
    """Name a file of the workspace as DVC does, which works in the real folder."""
    return f"{os.path.realpath(path.parent)}{os.sep}{path.name}"
