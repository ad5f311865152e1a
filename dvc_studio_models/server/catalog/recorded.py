"""The files of a version, and the objects that store their content."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_objects.errors import ObjectFormatError

from dvc_studio_models.registry.commands import dvc_import, git_checkout
from dvc_studio_models.registry.outputs import digest_of
from dvc_studio_models.registry.recorded import expand
from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.server.errors.models import TooManyFilesError
from dvc_studio_models.server.errors.remotes import (
    RemoteUnreadableError,
)
from dvc_studio_models.server.stores.remotes import raise_if_unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dvc_studio_models.model import Digest, ModelVersion
    from dvc_studio_models.registry.recorded import (
        Listing,
        RecordedFile,
        RecordedModel,
        RecordedOutput,
    )
    from dvc_studio_models.server.stores.remotes import Store

logger = logging.getLogger(f"dvc.{__name__}")


MAX_FILES = 100_000
"""Files of one version; the reply has a link of some hundred bytes to each."""

MAX_LISTING_BYTES = 32 << 20
"""The largest listing of a folder; it is read into memory as a whole."""


class FilesUnknownError(Exception):
    """The files of a version cannot be listed; the message says why."""


@dataclass(frozen=True)
class StoredFile:
    """One file of a version, and the object that stores its content."""

    path: str
    """Relative to the Git root, with ``/``."""

    store: Store
    digest: Digest
    size: int | None
    """In bytes, where DVC recorded it."""

    object: str
    """Relative to the store: ``files/md5/ab/cdef...``, of DVC 2 ``ab/cdef...``; where
    it is cloud-versioned, the file's own path and ``?versionId=...``."""


def folders_of(record: RecordedModel) -> list[RecordedOutput]:
    """Return the outputs whose listing is an object on a remote."""
    return [each for each in record.outputs if each.is_folder and not each.files]


def list_files(
    record: RecordedModel, stores: Mapping[str | None, Store]
) -> tuple[StoredFile, ...]:
    """List the files of a version by path; listings are read from their remotes.

    Raises:
        FilesUnknownError: A listing is missing or broken, or there is no file.
        TooManyFilesError: There are too many, or a listing is too large.
        RemoteUnreadableError: A remote cannot be read.
    """
    listings = {
        output.digest: _listing(stores[output.remote], output)
        for output in folders_of(record)
        if output.digest
    }
    files = expand(record, listings)
    if not files:
        reason = f"DVC does not track '{record.path}'"
        raise FilesUnknownError(reason)
    if len(files) > MAX_FILES:
        raise TooManyFilesError(record.path, f"{MAX_FILES} files")
    return tuple(_stored(file, stores[file.remote], record.project) for file in files)


def _listing(store: Store, output: RecordedOutput) -> Listing:
    """Read the listing of a folder from the DVC remote."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    assert output.digest  # noqa: S101 - the hash of the listing
    path, digest = output.path, output.digest
    try:
        try:
            odb = store.objects(digest.algorithm)
            name = odb.oid_to_path(digest.value)
            if (odb.fs.size(name) or 0) > MAX_LISTING_BYTES:
                raise TooManyFilesError(
                    path, f"{MAX_LISTING_BYTES >> 20} MiB of their names and hashes"
                )
            tree = Tree.load(odb, HashInfo(digest.algorithm, digest.value))
            return {"/".join(key): d for key, _, h in tree if (d := digest_of(h))}
        except FileNotFoundError:
            raise_if_unreachable(store, digest.algorithm, [digest.value])
            reason = (
                f"the file list of '{path}' is not on the DVC remote; was it pushed?"
            )
        except (ObjectFormatError, KeyError, TypeError):
            reason = f"the file list of '{path}' on the DVC remote is invalid"
    except TooManyFilesError:
        raise
    except Exception as exc:  # every service has errors of its own
        logger.exception("cannot read from the DVC remote '%s'", store.name)
        raise RemoteUnreadableError(store.name, exc) from None
    raise FilesUnknownError(reason)


def _stored(file: RecordedFile, store: Store, project: str) -> StoredFile:
    if store.is_versioned:
        name = _versioned_object(file, store, project)
    else:
        name = file.digest.object_path
    return StoredFile(file.path, store, file.digest, file.size, name)


def _versioned_object(file: RecordedFile, store: Store, project: str) -> str:
    if file.version is None or file.version.remote not in {store.name, ""}:
        reason = (
            f"Git does not record the version of '{file.path}' on the cloud-versioned "
            f"DVC remote '{store.name}'; run 'dvc push', commit, and register that"
        )
        raise FilesUnknownError(reason)
    inside = file.path.removeprefix(f"{project}/") if project else file.path
    return f"{inside}?versionId={file.version.id}"


def why_not_stored(record: RecordedModel, version: ModelVersion) -> str | None:
    """Return why no DVC remote of this repo has the files; None if one should."""
    if not record.outputs:
        if not record.git_files:
            return f"'{record.path}' is not tracked by DVC"
        return (
            f"'{record.path}' is stored in Git, not in DVC; run "
            f"'{git_checkout(version.commit, [record.path])}' in a clone"
        )
    for output in record.outputs:
        origin = output.origin
        source = f" from '{strip_secrets(origin.url)}'" if origin else ""
        if output.is_of_another_repo or (origin and output.digest is None):
            return (
                f"'{output.path}' is imported{source}, and DVC does not push imports "
                f"to this repo's remote; run '{dvc_import(output, version.commit)}' in "
                "a clone"
            )
        if output.digest is None:
            return f"DVC recorded no hash for '{output.path}'"
    return None


def why_not_pushed(path: str) -> str:
    """Return why an output with ``push: false`` is on no remote."""
    return (
        f"'{path}' has 'push: false', so 'dvc push' skips it; remove that, and "
        "run 'dvc push' where it was trained"
    )
