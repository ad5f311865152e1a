"""The interface of a store, and what stores share.

A *store* returns which contents it has, adds verified parts, and makes files of them
that can be moved to their targets. The store in ``plain`` has no cache; that of a DVC
project is in ``dvc``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import LocalDiskError, disk_errors
from dvc_studio_models.files.durable import copy, fsync_files
from dvc_studio_models.files.folders import FileStamp, Staged, nearest_existing
from dvc_studio_models.model import Digest
from dvc_studio_models.store.parts.folder import PartStore

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from dvc_studio_models.store.dvc.light import KnownFile

PARTS = "parts"


class Store(Protocol):
    """Where verified contents are kept, and files for targets are made."""

    @property
    def parts(self) -> Path:
        """The folder for parts. It is made, and hidden from Git."""

    @property
    def receipts(self) -> Path | None:
        """The folder for receipts, or None if none are kept."""

    @property
    def cache_folder(self) -> Path | None:
        """The folder of the cache that contents are added to, or None."""

    @property
    def needs_second_copy(self) -> bool:
        """Whether the cache needs a copy of its own of each content."""

    def sweep(self) -> None:
        """Remove files that killed pulls left and that no pull needs."""

    def size_of(self, digest: Digest) -> int | None:
        """Return the size of a content in bytes, or None if the cache lacks it."""

    def has_object(self, digest: Digest) -> bool:
        """Whether the cache has an object of that name; its content is not read."""

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Return the hash of a file of the workspace.

        Raises:
            FileNotFoundError: It does not exist, or is a broken link, a folder or a
                device.
            LocalDiskError: It cannot be read.
        """

    def look_up(self, paths: Iterable[str]) -> dict[str, KnownFile]:
        """Return the files whose hash is known without reading them, by path.

        Args:
            paths: Of files of the workspace. One that is not in the result may be
                changed, missing or new.
        """

    def look_up_objects(self, digests: Iterable[Digest]) -> None:
        """Prepare calls of :meth:`size_of` for many contents."""

    def add(self, fetched: Sequence[tuple[Digest, Path]]) -> bool:
        """Move verified parts into the cache, if there is one.

        Returns:
            Whether they were moved.
        """

    def stage(
        self,
        cached: Mapping[str, Digest],
        parts: Mapping[str, Path],
        folder: Path,
        *,
        new_folders: Container[str] = (),
    ) -> Staged:
        """Return a flushed file for every target: from the cache, or a part.

        Args:
            cached: Target to a content of the cache.
            parts: Target to a part, which stays where it is.
            folder: Where files are made.
            new_folders: Folders of targets that are staged as a whole.
        """

    def save_hashes(
        self,
        root: Path,
        placed: Mapping[str, Digest],
        stamps: Mapping[str, FileStamp | None],
    ) -> None:
        """Save the hashes of files that were placed.

        Args:
            root: Of the workspace.
            placed: The files, by their paths in it.
            stamps: The stamps of those that were placed just now.
        """

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Add the list of a directory's files to the cache, if its hash is right."""

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:
        """Return the files of a directory, or None if the cache lacks their list."""

    def stop_caching(self, error: LocalDiskError, digests: Iterable[Digest]) -> bool:
        """Add nothing more to the cache, after it has failed, if it is not required.

        Args:
            error: The failure.
            digests: Of the contents whose parts are needed where parts are kept then.

        Returns:
            Whether anything is different now, so that another try may succeed.
        """

    def lock(self) -> contextlib.AbstractContextManager[Path]:
        """Hold the project's lock, and make a scratch folder below the root."""

    def close(self) -> None:
        """Close databases, and remove files that no later pull needs."""


def share_disk(store: Store, other: Store) -> bool:
    """Whether the parts of two stores are on one file system.

    Raises:
        LocalDiskError: A folder of parts cannot be read.
    """
    here, there = store.parts, other.parts
    with disk_errors(there, action="read"):
        devices = {nearest_existing(parts).stat().st_dev for parts in (here, there)}
    return len(devices) == 1


def sweep_parts(folder: Path, store: Store) -> None:
    """Remove parts that nobody will finish, or whose content a store has."""
    if folder.is_dir():
        PartStore(folder).sweep(lambda digest: store.size_of(digest) is not None)


def hash_file(path: Path, algorithm: str) -> Digest:
    """Hash a file.

    Raises:
        FileNotFoundError: There is no such file.
        LocalDiskError: It cannot be read.
    """
    from dvc_data.hashfile.hash import file_md5

    with reading_file(path):
        return Digest(algorithm, file_md5(os.fspath(path), name=algorithm))


@contextlib.contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Check that a path is a file, and translate errors of reading it.

    Raises:
        FileNotFoundError: It does not exist, or is a broken link, a folder or a device,
            which might never end.
        LocalDiskError: It cannot be read.
    """
    with disk_errors(path, action="read"):
        is_file = path.is_file()
    if not is_file:
        raise FileNotFoundError(errno.ENOENT, "no file", os.fspath(path))
    with disk_errors(path, action="read"):
        yield


def stage_parts(
    parts: Mapping[str, Path], made: Mapping[str, str], folder: Path
) -> dict[str, Path]:
    """Return a file for each target: the part itself, flushed, or a link or a copy.

    Parts stay where they are, so that the next pull finds them if this one fails.

    Args:
        parts: Target to part; targets of one content have the same part.
        made: Target to the path where a file may be made.
        folder: The scratch folder; in a folder inside of it, a link is made.

    Raises:
        LocalDiskError: The file system refuses.
    """
    left = Counter(parts.values())
    staged = {}
    with disk_errors(folder.parent):
        for path, part in parts.items():
            new = Path(made[path])
            left[part] -= 1
            if left[part]:
                copy(part, new)
                staged[path] = new
            else:
                is_linked = new.parent != folder and _can_link(part, new)
                staged[path] = new if is_linked else part
        fsync_files(staged.values())
    return staged


def stamps_of(files: Mapping[str, Path | str]) -> dict[str, FileStamp]:
    """Return the stamps of staged files."""
    return {path: FileStamp.of(os.lstat(new)) for path, new in files.items()}


def _can_link(part: Path, new: Path) -> bool:
    try:
        new.hardlink_to(part)
    except OSError:
        return False
    return True
