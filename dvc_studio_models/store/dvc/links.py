"""Files that are linked or copied from a cache for targets."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from dvc_studio_models.background import parallel_map
from dvc_studio_models.errors import CacheLinkError, disk_errors
from dvc_studio_models.files.durable import copy, fsync_files
from dvc_studio_models.files.folders import FileStamp
from dvc_studio_models.files.scratch import temporary_folder
from dvc_studio_models.store.dvc.objects import by_algorithm

_LARGE_BYTES = 1 << 20
_SLOW_S = 0.005  # for a small file; a local disk needs a tenth of it
_TRIED = 50  # so many files may be slower before others are copied at the same time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import Digest
    from dvc_studio_models.store.dvc.objects import Objects, StampedPath


def stage_objects(
    objects: Objects, cached: Mapping[str, Digest], made: Mapping[str, str]
) -> dict[str, tuple[FileStamp, FileStamp]]:
    """Link or copy contents of the cache, and flush those that may not be on the disk.

    Args:
        objects: The cache.
        cached: Target to a content.
        made: Target to the path where its file is made.

    Returns:
        By target, the stamp of the new file, and that of the file to which it leads.

    Raises:
        CacheLinkError: No type of links works, and copies are not allowed.
        LocalDiskError: An object has been removed.
        OSError: The file system refuses.
    """
    present = objects.check_present(set(cached.values()))
    stamps: dict[str, tuple[FileStamp, FileStamp]] = {}
    unflushed = []
    for group in by_algorithm((digest, path) for path, digest in cached.items()):
        pairs = [(present[digest], made[path]) for digest, path in group]
        are_objects = link_or_copy(objects.odb(group[0][0].algorithm), pairs)
        for (source, new), (_, path) in zip(pairs, group, strict=True):
            stamp = content = source.stamp
            if new not in are_objects:
                found = os.lstat(new)
                stamp = FileStamp.of(found)
                content = content if stat.S_ISLNK(found.st_mode) else stamp
            stamps[path] = stamp, content
            if not objects.is_flushed(content):
                unflushed.append(source.path if content == source.stamp else new)
    fsync_files(unflushed)
    return stamps


def link_types(odb: Any) -> list[str]:
    """Return the types of links that are tried before a copy is made."""
    return list(itertools.takewhile(lambda link: link != "copy", odb.cache_types))


def link_or_copy(odb: Any, pairs: Sequence[tuple[StampedPath, str]]) -> set[str]:
    """Link objects with the project's ``cache.type``; copy them if no type works.

    A file system limits how many hard links a file has. At the limit, files are copied.

    Args:
        odb: DVC's own object for the cache.
        pairs: Object, and new file.

    Returns:
        The new files that are hard links of their objects.

    Raises:
        CacheLinkError: No type works, and ``cache.type`` does not allow copies.
        OSError: The file system refuses.
    """
    from dvc_objects.fs import localfs
    from dvc_objects.fs.generic import transfer

    links = link_types(odb)
    linked = _hard_link(pairs) if links[:1] == ["hardlink"] else set()
    left = [pair for pair in pairs if pair[1] not in linked]
    if left and links:
        try:
            sources = [source.path for source, _ in left]
            targets = [new for _, new in left]
            transfer(odb.fs, sources, localfs, targets, links=links)
        except OSError as error:
            if error.errno not in {errno.ENOTSUP, errno.EMLINK}:
                raise
            if "copy" not in odb.cache_types:
                raise _error_of(odb, error) from None
        if os.path.lexists(left[0][1]):  # they are linked in this order
            left = [pair for pair in left if not os.path.lexists(pair[1])]
    _copy_all(left)
    return linked


def _hard_link(pairs: Sequence[tuple[StampedPath, str]]) -> set[str]:
    """Make hard links until one fails. Return the new files.

    DVC does the rest, and makes empty files instead of links to an empty object. It
    knows which errors mean that another type of link is to be tried.
    """
    linked: set[str] = set()
    folder = os.open(os.path.dirname(pairs[0][1]), os.O_RDONLY)  # noqa: PTH120
    try:
        for source, new in pairs:
            if source.stamp.size:
                # With an open folder, Python follows a link in the cache.
                os.link(source.path, new, dst_dir_fd=folder)
                linked.add(new)
    except OSError:
        pass
    finally:
        os.close(folder)
    return linked


def _copy_all(pairs: Sequence[tuple[StampedPath, str]]) -> None:
    """Copy objects: small ones one by one, until the file system turns out to be slow.

    Where a copy takes little more than its system calls, threads would only wait for
    each other.
    """
    large = [pair for pair in pairs if pair[0].stamp.size >= _LARGE_BYTES]
    small = [pair for pair in pairs if pair[0].stamp.size < _LARGE_BYTES]
    began = time.monotonic()
    for done, (source, new) in enumerate(small):
        if time.monotonic() - began > _SLOW_S * (done + _TRIED):
            large += small[done:]
            break
        copy(source.path, new, source.stamp.size)
    parallel_map(lambda pair: copy(pair[0].path, pair[1], pair[0].stamp.size), large)


def _error_of(odb: Any, error: OSError) -> CacheLinkError:
    """Make our error from the one that DVC raises if all types of links fail."""
    last = error.__cause__ if isinstance(error.__cause__, OSError) else error
    reason = (last.strerror or str(last)).lower()
    return CacheLinkError(odb.path, odb.cache_types, reason)


def can_reflink(folder: Path) -> bool:
    """Return whether the file system of a folder supports reflinks. It is tried out.

    Raises:
        LocalDiskError: It cannot be written.
    """
    from dvc_objects.fs import localfs
    from dvc_objects.fs.generic import test_links

    with temporary_folder(folder) as lent, disk_errors(folder):
        here, target = os.fspath(lent), os.fspath(lent / "any")
        return bool(test_links(["reflink"], localfs, here, localfs, target))
