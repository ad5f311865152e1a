"""The store without a cache: parts are in a hidden folder beside the targets."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.files.folders import FileStamp, Staged
from dvc_studio_models.files.scratch import lay_out, temporary_folder
from dvc_studio_models.store.base import (
    hash_file,
    stage_parts,
    stamps_of,
    sweep_parts,
)
from dvc_studio_models.store.hidden import HiddenFolder

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.errors import LocalDiskError
    from dvc_studio_models.files.folders import FileStamp
    from dvc_studio_models.model import Digest
    from dvc_studio_models.store.dvc.light import KnownFile


class PlainStore:
    """A store without a cache: parts are in a hidden folder of the root."""

    def __init__(self, root: Path) -> None:
        self._hidden = HiddenFolder(root)

    @property
    def parts(self) -> Path:
        """In the hidden folder."""
        return self._hidden.make_parts()

    @property
    def cache_folder(self) -> Path | None:
        """There is no cache."""
        return None

    @property
    def receipts(self) -> Path | None:
        """None are kept: a folder that is not DVC's gets no files but the model."""
        return None

    @property
    def needs_second_copy(self) -> bool:
        """There is no cache."""
        return False

    def sweep(self) -> None:
        """Remove such files from the hidden folder, if there is one."""
        self._hidden.sweep()
        sweep_parts(self._hidden.parts, self)

    def size_of(self, digest: Digest) -> int | None:  # noqa: ARG002 - there is no cache
        """Return None: there is no cache."""
        return None

    def has_object(self, digest: Digest) -> bool:  # noqa: ARG002 - there is no cache
        """Return False: there is no cache."""
        return False

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash the file.

        Raises:
            FileNotFoundError: There is no such file.
            LocalDiskError: It cannot be read.
        """
        return hash_file(path, algorithm)

    def look_up(self, paths: Iterable[str]) -> dict[str, KnownFile]:  # noqa: ARG002
        """Return nothing: there is no state database."""
        return {}

    def look_up_objects(self, digests: Iterable[Digest]) -> None:
        """Do nothing: there is no cache."""

    def add(self, fetched: Sequence[tuple[Digest, Path]]) -> bool:  # noqa: ARG002
        """Do nothing: there is no cache."""
        return False

    def stage(
        self,
        cached: Mapping[str, Digest],  # noqa: ARG002 - there is no cache
        parts: Mapping[str, Path],
        folder: Path,
        *,
        new_folders: Container[str] = (),
    ) -> Staged:
        """Return the parts themselves, or links to them in staged folders."""
        with disk_errors(folder.parent):
            made, folders = lay_out(parts, folder, new_folders)
            files = stage_parts(parts, made, folder)
            return Staged(files, stamps_of(files), folders)

    def save_hashes(
        self,
        root: Path,
        placed: Mapping[str, Digest],
        stamps: Mapping[str, FileStamp | None],
    ) -> None:
        """Do nothing: there is no state database."""

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Do nothing: there is no cache."""

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:  # noqa: ARG002
        """Return None: there is no cache."""
        return None

    def stop_caching(self, error: LocalDiskError, digests: Iterable[Digest]) -> bool:  # noqa: ARG002
        """Return False: there is no cache."""
        return False

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Make a scratch folder. There is no lock, since DVC does not work here."""
        self._hidden.make()
        with temporary_folder(self._hidden.path) as folder:
            yield folder

    def close(self) -> None:
        """Remove the hidden folder, unless it has parts or another pull uses it."""
        self._hidden.remove()
