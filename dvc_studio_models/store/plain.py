"""The store without a cache: parts are in a hidden folder beside the targets."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.files.folders import FileStamp, Staged
from dvc_studio_models.files.paths import HIDDEN
from dvc_studio_models.files.scratch import (
    lay_out,
    make_folder,
    make_hidden_folder,
    remove_hidden,
    sweep,
    temporary_folder,
)
from dvc_studio_models.model import Digest
from dvc_studio_models.store.base import (
    PARTS,
    reading_file,
    stage_parts,
    stamps_of,
    sweep_parts,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.files.folders import FileStamp
    from dvc_studio_models.store.dvc.light import KnownFile


class PlainStore:
    """A store without a cache: parts are in a hidden folder of the root."""

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
        """None are kept: a folder that is not DVC's gets no files but the model."""
        return None

    @property
    def needs_second_copy(self) -> bool:
        """There is no cache."""
        return False

    def sweep(self) -> None:
        """Remove such files from the hidden folder, if there is one."""
        self._may_remove = True
        sweep(self._own)
        sweep_parts(self._own / PARTS, self)

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
        from dvc_data.hashfile.hash import file_md5

        with reading_file(path):
            return Digest(algorithm, file_md5(os.fspath(path), name=algorithm))

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

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Make a scratch folder. There is no lock, since DVC does not work here."""
        self._make()
        with temporary_folder(self._own) as folder:
            yield folder

    def close(self) -> None:
        """Remove the hidden folder, unless it contains parts or another pull uses it.

        Folders that were made for it are removed, too, if they are empty.
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
