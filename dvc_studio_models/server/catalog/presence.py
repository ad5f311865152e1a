"""Whether objects are on their DVC remotes. The stores are read through DVC."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from dvc_studio_models.server.errors.remotes import RemoteUnreadableError
from dvc_studio_models.server.stores.places import LOCAL
from dvc_studio_models.server.stores.remotes import raise_if_unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.stores.remotes import Store

logger = logging.getLogger(f"dvc.{__name__}")


def find_missing(files: Sequence[StoredFile]) -> list[StoredFile]:
    """Return the files whose object is not on its remote, in their order.

    Raises:
        RemoteUnreadableError: A remote cannot be read.
    """
    try:
        return _find_missing(files)
    except Exception as exc:  # every service has errors of its own
        remotes = "', '".join(sorted({file.store.name for file in files}))
        logger.exception("cannot read from the DVC remote '%s'", remotes)
        raise RemoteUnreadableError(remotes, exc) from None


def _find_missing(files: Iterable[StoredFile]) -> list[StoredFile]:
    grouped = itertools.groupby(files, lambda file: (file.store, file.digest.algorithm))
    return [
        file
        for (store, algorithm), group in grouped
        for file in _find_in_store(store, algorithm, list(group))
    ]


def _find_in_store(
    store: Store, algorithm: str, files: Sequence[StoredFile]
) -> list[StoredFile]:
    if store.is_versioned:
        folder = store.remote.path.rstrip("/")
        found = store.remote.fs.exists([f"{folder}/{file.object}" for file in files])
        return [
            file for file, is_there in zip(files, found, strict=True) if not is_there
        ]
    odb = store.objects(algorithm)
    wanted = [file.digest.value for file in files]
    # For a folder, DVC's `oids_exist` would read all files, and remove broken ones.
    find = odb.list_oids_exists if store.protocol == LOCAL else odb.oids_exist
    there = set(find(list(dict.fromkeys(wanted))))
    lost = [file for file in files if file.digest.value not in there]
    raise_if_unreachable(store, algorithm, [file.digest.value for file in lost])
    return lost
