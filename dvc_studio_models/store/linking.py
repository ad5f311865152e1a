"""Files out of the DVC cache: linked as ``cache.type`` has it, or copied."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.background import parallel_map
from dvc_studio_models.errors import CacheLinkError, disk_errors
from dvc_studio_models.files.durable import copy
from dvc_studio_models.files.scratch import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Sequence


def link_types(odb: Any) -> list[str]:
    """Tell which links are tried before copies are made."""
    return list(itertools.takewhile(lambda link: link != "copy", odb.cache_types))


def link_or_copy(odb: Any, pairs: Sequence[tuple[str, str]]) -> None:
    """Link objects with the project's ``cache.type``; copy them where none works.

    Raises:
        CacheLinkError: None works, and ``cache.type`` allows no copies.
        OSError: The file system refuses.
    """
    from dvc_objects.fs import localfs
    from dvc_objects.fs.generic import transfer

    if links := link_types(odb):
        try:
            sources, targets = map(list, zip(*pairs, strict=True))
            transfer(odb.fs, sources, localfs, targets, links=links)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            if "copy" not in odb.cache_types:
                raise _error_of(odb, error) from None
    left = [pair for pair in pairs if not os.path.lexists(pair[1])]
    parallel_map(lambda pair: copy(Path(pair[0]), Path(pair[1])), left)


def _error_of(odb: Any, error: OSError) -> CacheLinkError:
    """Make the error of what DVC says when all types of links have failed."""
    last = error.__cause__ if isinstance(error.__cause__, OSError) else error
    reason = (last.strerror or str(last)).lower()
    return CacheLinkError(odb.path, odb.cache_types, reason)


def can_reflink(folder: Path) -> bool:
    """Try whether the file system of a folder of ours makes copies that share bytes.

    Raises:
        LocalDiskError: It cannot be written.
    """
    from dvc_objects.fs import localfs
    from dvc_objects.fs.generic import test_links

    with temporary_folder(folder) as lent, disk_errors(folder):
        here, target = os.fspath(lent), os.fspath(lent / "any")
        return bool(test_links(["reflink"], localfs, here, localfs, target))
