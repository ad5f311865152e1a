"""A store with a cache of DVC's: its objects, its links, and DVC's state.

That of a DVC project adds DVC's lock; that of the user works anywhere.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.files.durable import fsync_files
from dvc_studio_models.files.folders import (
    FileStamp,
    Staged,
    nearest_existing,
    stat_target,
)
from dvc_studio_models.files.scratch import lay_out, make_hidden_folder
from dvc_studio_models.model import Digest
from dvc_studio_models.store.base import PARTS, stage_parts, stamps_of
from dvc_studio_models.store.dvc.light import KnownFile, look_up, state_key
from dvc_studio_models.store.dvc.links import can_reflink, link_types, stage_objects
from dvc_studio_models.store.dvc.objects import (
    Objects,
    build_tree,
    parse_tree,
    state_info,
)
from dvc_studio_models.store.dvc.project import check_writable

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from dvc_studio_models.store.dvc.project import LazyProject


class CachedStore:
    """Contents in the cache of a DVC project, and files that are linked from it."""

    def __init__(self, project: LazyProject, own: Path, *, use_cache: bool) -> None:
        """Use a project.

        Args:
            project: With the cache and the state.
            own: The folder for staged files, on the file system of the targets.
            use_cache: Whether contents are added to the cache.
        """
        self._project = project
        self._objects = Objects(lambda: self._project.repo)
        self._own = own
        self._use_cache = use_cache
        self._staged: dict[FileStamp | None, FileStamp] = {}

    @property
    def cache_folder(self) -> Path | None:
        """The folder that contains ``files/``."""
        return Path(self._project.cache_folder) if self._use_cache else None

    def _cached_parts(self) -> Path:
        """Return the folder of parts in the cache folder, beside ``files/``.

        It is made as DVC makes folders of its cache, which a group may share.
        """
        cache = self.repo.cache.local
        folder = Path(self._objects.folder) / PARTS
        with self._objects.writing():
            cache.makedirs(os.fspath(folder))
            for needed in (folder, nearest_existing(Path(cache.path))):
                check_writable(needed)
        return folder

    def _make_own(self) -> None:
        make_hidden_folder(self._own)

    @property
    def repo(self) -> Any:
        """DVC's own object of the project."""
        return self._project.repo

    @functools.cached_property
    def needs_second_copy(self) -> bool:
        """Whether the cache and the workspace can share no file by a link.

        False if they are on different file systems: then a part cannot be moved either.
        """
        links = link_types(self.repo.cache.local)
        if not self._use_cache or set(links) - {"reflink"}:
            return False
        self._make_own()
        here, there = self._own.stat(), self._cached_parts().stat()
        if (here.st_dev, here.st_gid) != (there.st_dev, there.st_gid):
            return False  # another group than that of the user's other files
        return not (links and can_reflink(self._own))

    def size_of(self, digest: Digest) -> int | None:
        """Return the size of an object whose content has its hash."""
        return self._objects.size_of(digest)

    def has_object(self, digest: Digest) -> bool:
        """Whether there is an object of that name, whatever its content."""
        return os.path.exists(self._project.object_path(digest))  # noqa: PTH110

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash a file, or take the hash from DVC's state.

        Raises:
            FileNotFoundError: There is no such file.
            LocalDiskError: It cannot be read.
        """
        return Digest(algorithm, self._objects.hash_of(state_key(path), algorithm))

    def look_up(self, paths: Iterable[str]) -> dict[str, KnownFile]:
        """Return the files whose hash DVC's state knows, in one query."""
        return look_up(self._project.database, paths)

    def look_up_objects(self, digests: Iterable[Digest]) -> None:
        """Learn from DVC's state, in one query, which of these contents are whole."""
        self._objects.look_up(self._project.database, digests)

    def add(self, fetched: Sequence[tuple[Digest, Path]]) -> bool:
        """Move parts into the cache as objects.

        They are flushed first: DVC trusts a read-only object, even if a power cut has
        damaged it.

        Raises:
            LocalDiskError: The file system refuses.
        """
        if self._use_cache:
            with self._objects.writing():
                fsync_files(part for _, part in fetched)
                self._objects.add(fetched)
        return self._use_cache

    def stage(
        self,
        cached: Mapping[str, Digest],
        parts: Mapping[str, Path],
        folder: Path,
        *,
        new_folders: Container[str] = (),
    ) -> Staged:
        """Link from the cache with the project's ``cache.type``.

        Raises:
            LocalDiskError: The file system refuses, or an object has been removed.
        """
        with disk_errors(folder.parent):
            made, folders = lay_out([*cached, *parts], folder, new_folders)
            files: dict[str, Path | str] = {**stage_parts(parts, made, folder)}
            stamps = stamps_of(files)
            self._staged.update((stamp, stamp) for stamp in stamps.values())
            linked = stage_objects(self._objects, cached, made)
        self._staged.update(linked.values())
        files.update((path, made[path]) for path in linked)
        stamps.update((path, stamp) for path, (stamp, _) in linked.items())
        return Staged(files, stamps, folders)

    def save_hashes(
        self,
        root: Path,
        placed: Mapping[str, Digest],
        stamps: Mapping[str, FileStamp | None],
    ) -> None:
        """Save the hashes to DVC's state, so that ``dvc status`` need not hash.

        A file whose stamp is that of a staged file has the expected content. Any other
        file may have been edited since, so it is hashed unless the state has its hash.

        Raises:
            LocalDiskError: The file system refuses.
        """
        known = []
        folders: dict[str, str] = {}
        for path, digest in placed.items():
            parent, _, name = path.rpartition("/")
            if parent not in folders:
                folders[parent] = os.path.realpath(root / parent)
            key = f"{folders[parent]}{os.sep}{name}"
            stamp = stamps.get(path) or stat_target(key)
            if content := self._staged.get(stamp):
                known.append((key, digest, state_info(content)))
            else:
                with contextlib.suppress(FileNotFoundError):
                    self.digest_of(root / path, digest.algorithm)
        self._objects.save_hashes(known)

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Save the ``.dir`` object that DVC needs for a directory.

        Raises:
            LocalDiskError: The file system refuses.
        """
        from dvc_data.hashfile.db import add_update_tree

        tree = build_tree(files)
        if self._use_cache and tree.hash_info.value == digest.value:
            with self._objects.writing():
                self._objects.drop_damaged(digest)
                add_update_tree(self._objects.odb(digest.algorithm), tree)

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:
        """Read a ``.dir`` object from the cache."""
        if self.size_of(digest) is None:
            return None
        return parse_tree(Path(self._objects.path_of(digest)).read_bytes(), digest)
