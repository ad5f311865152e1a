"""Reading the files of a model that Git itself stores, from the clone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dvc_studio_models.errors import GitFileMissingError, IntegrityError, disk_errors
from dvc_studio_models.store.parts.folder import PartStore, key_of
from dvc_studio_models.store.parts.part import DownloadedFile

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from dvc_studio_models.model import ModelFile
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.store.base import Store


def deliver_git_files(
    files: Sequence[ModelFile], registry: GitRegistry | None, store: Store
) -> Generator[list[DownloadedFile]]:
    """Write files from Git to parts, and check their hashes.

    Args:
        files: Each with its ``git_oid`` and its digest.
        registry: Of the clone; None where there is none.
        store: Of the DVC project, with the folder of parts.

    Raises:
        GitFileMissingError: The clone lacks a file.
        IntegrityError: Git has other content than a lock file says.
        LocalDiskError: The file system refused.
    """
    if not files:
        return
    parts = PartStore(store.parts)
    for file in files:
        assert file.git_oid  # noqa: S101 - else storage has it
        assert file.digest  # noqa: S101 - Git's content was hashed, or is pinned
        data = registry.read_blob(file.git_oid) if registry else None
        if data is None:
            raise GitFileMissingError(file.path, file.git_oid)
        actual = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if actual != file.digest.value:
            raise IntegrityError(
                file.path, expected=file.digest, actual=actual, source="the lock file"
            )
        part = parts.create(key_of(file.digest))
        with disk_errors(part.path):
            part.describe(len(data), None)
            with part.open() as opened:
                part.write(opened, 0, data)
        yield [DownloadedFile(file, file.digest, len(data), "git", part)]
