"""Where contents come from and go to: what the flow asks of it, and the plain one.

A *store* tells which contents are at hand, takes verified parts in, and makes files of
them that are ready to get their names. :class:`PlainStore` keeps nothing; the one with
DVC's cache is ``cache``'s.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.files.durable import copy, fsync_files
from dvc_studio_models.files.paths import HIDDEN
from dvc_studio_models.files.scratch import (
    make_folder,
    make_hidden_folder,
    remove_hidden,
    sweep,
    temporary_folder,
    temporary_name,
)
from dvc_studio_models.model import Digest
from dvc_studio_models.store.parts import PartStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PARTS = "parts"


class Store(Protocol):
    """Where contents come from and go to."""

    @property
    def parts(self) -> Path:
        """Folder for parts, made and out of Git's sight."""

    @property
    def receipts(self) -> Path | None:
        """Folder for receipts, None where none are kept."""

    @property
    def needs_second_copy(self) -> bool:
        """Whether a content is in the cache and in the workspace as two files."""

    def sweep(self) -> None:
        """Remove what killed pulls left and no pull needs."""

    def size_of(self, digest: Digest) -> int | None:
        """Tell the size of a content in the cache, None if it is not there, whole."""

    def has_object(self, digest: Digest) -> bool:
        """Whether the cache has an object of that name; its content is not read."""

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash a file of the workspace, or remember its hash.

        Raises:
            FileNotFoundError: There is no file: nothing, a link to nothing or to a
                folder, a device.
            LocalDiskError: It cannot be read.
        """

    def add(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Take verified parts into the cache."""

    def stage(
        self,
        cached: Mapping[str, Digest],
        parts: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        """Make a file in ``folder`` for every target, from the cache or from a part.

        Their content survives a power cut.
        """

    def save_hashes(self, placed: Mapping[Path, Digest]) -> None:
        """Note the hashes of files that were placed."""

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Take the list of a directory's files into the cache, if its hash fits."""

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:
        """Read the list of a directory's files from the cache, None if it lacks it."""

    def lock(self) -> contextlib.AbstractContextManager[Path]:
        """Hold the project's lock; lend a scratch folder in the root's file system."""

    def close(self) -> None:
        """Release what is open, and leave nothing behind that is not for later."""


class PlainStore:
    """No cache: parts lie in a hidden folder of the root until they are placed."""

    def __init__(self, root: Path) -> None:
        self._own = root / HIDDEN
        self._made: list[Path] = []
        self._may_remove = False

    @property
    def parts(self) -> Path:
        """In the hidden folder."""
        self._make()
        make_folder(self._own / PARTS)
        return self._own / PARTS

    @property
    def receipts(self) -> Path | None:
        """None are kept: nothing of ours stays in a folder that is not DVC's."""
        return None

    @property
    def needs_second_copy(self) -> bool:
        """There is no cache."""
        return False

    def sweep(self) -> None:
        """Remove what lies in the hidden folder, if there is one."""
        self._may_remove = True
        sweep(self._own)
        sweep_parts(self._own / PARTS, self)

    def size_of(self, digest: Digest) -> int | None:  # noqa: ARG002 - there is no cache
        """Find nothing."""
        return None

    def has_object(self, digest: Digest) -> bool:  # noqa: ARG002 - there is no cache
        """Find nothing."""
        return False

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash the file.

        Raises:
            FileNotFoundError: There is no file.
            LocalDiskError: It cannot be read.
        """
        from dvc_data.hashfile.hash import file_md5

        with reading_file(path):
            return Digest(algorithm, file_md5(os.fspath(path), name=algorithm))

    def add(self, fetched: Sequence[tuple[Digest, Path]]) -> None:
        """Do nothing: there is no cache."""

    def stage(
        self,
        cached: Mapping[str, Digest],  # noqa: ARG002 - there is no cache
        parts: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        """Take the parts themselves."""
        return stage_parts(parts, folder)

    def save_hashes(self, placed: Mapping[Path, Digest]) -> None:
        """Do nothing: there is no state database."""

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Do nothing: there is no cache."""

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:  # noqa: ARG002
        """Find nothing."""
        return None

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Lend a scratch folder; there is no DVC command to keep out."""
        self._make()
        with temporary_folder(self._own) as folder:
            yield folder

    def close(self) -> None:
        """Remove the hidden folder, unless something in it is for later, or another's.

        The folders that were made for it go too, where no file came into them.
        """
        if not self._may_remove:
            return
        remove_hidden(self._own / PARTS)
        remove_hidden(self._own)
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def _make(self) -> None:
        self._may_remove = True
        missing = [at for at in self._own.parents if not at.exists()]
        self._made = self._made or missing
        make_hidden_folder(self._own)


def sweep_parts(folder: Path, store: Store) -> None:
    """Remove parts that nobody will finish, or that a store has the content of."""
    if folder.is_dir():
        PartStore(folder).sweep(lambda digest: store.size_of(digest) is not None)


@contextlib.contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Let only files be read within, and tell what the file system refuses.

    Raises:
        FileNotFoundError: There is no file: nothing, a link to nothing or to a folder,
            a device that would never end.
        LocalDiskError: It cannot be read.
    """
    with disk_errors(path, action="read"):
        is_file = path.is_file()
    if not is_file:
        raise FileNotFoundError(errno.ENOENT, "no file", os.fspath(path))
    with disk_errors(path, action="read"):
        yield


def stage_parts(parts: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Return a file for each target: the part itself, flushed, or a copy of it.

    Parts stay where they are, so that the next pull finds them if this one fails.

    Args:
        parts: Target to part; targets of one content have the same part.
        folder: Where copies are made.

    Raises:
        LocalDiskError: The file system refused.
    """
    left = Counter(parts.values())
    staged = {}
    with disk_errors(folder.parent):
        for path, part in parts.items():
            staged[path] = part
            left[part] -= 1
            if left[part]:
                staged[path] = folder / temporary_name()
                copy(part, staged[path])
        fsync_files(staged.values())
    return staged
