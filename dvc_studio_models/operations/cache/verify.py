"""Hashes the objects of a cache again, and removes damaged ones if asked to."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.operations.cache.context import open_cache
from dvc_studio_models.operations.cache.listing import (
    describe_version,
    select_known,
    take_survey,
)
from dvc_studio_models.store.upkeep.workspace import links_into

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dvc_studio_models.model import Digest
    from dvc_studio_models.operations.cache.context import CacheContext
    from dvc_studio_models.operations.cache.versions import KnownVersion

    Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class DamagedObject:
    """An object whose content does not have the hash in its name."""

    path: str
    digest: Digest
    models: tuple[str, ...]
    """The versions that have it; empty if it belongs to no model."""

    files: tuple[str, ...]
    """The files that have this content, in these versions."""

    is_removed: bool = False
    linked_from: str | None = None
    """A symbolic link of the workspace that leads to it. It is not removed: it may be
    the only copy of an edit that was made through the link."""


@dataclass(frozen=True)
class VerifyResult:
    """The outcome of a verification."""

    folder: str
    checked: int
    """The number of objects."""

    checked_bytes: int
    damaged: tuple[DamagedObject, ...]

    @property
    def is_whole(self) -> bool:
        """Whether no damaged object is left."""
        return all(each.is_removed for each in self.damaged)


@dataclass(frozen=True)
class VerifyOptions:
    """Which cache, and how."""

    folder: str | os.PathLike[str] = "."
    cache_dir: str | os.PathLike[str] | None = None
    whole_cache: bool = False
    """Verify all objects, and not only those of models."""

    fix: bool = False
    """Remove damaged objects, so that the next pull downloads them."""

    wait_for_lock: bool = False


def verify(
    names: Sequence[str], options: VerifyOptions, report: Report | None = None
) -> VerifyResult:
    """Hash objects again.

    Args:
        names: Of models; globs are allowed. None means all.
        options: Which cache, and how.
        report: Called with the bytes that are done and their total.

    Raises:
        NotInAnyCacheError: No version of a name is known.
        LockHeldError: Another DVC process holds a project's lock.
        StudioModelsError: The cache or the project cannot be read, or not be written.
    """
    with contextlib.closing(
        open_cache(Path(options.folder), options.cache_dir)
    ) as context:
        survey = take_survey(context, reads=False)
        versions = select_known(survey, names)
        digests = {d for version in versions for d in version.digests}
        if options.whole_cache:
            digests.update(context.cache.every())
        sizes = _sizes(context, digests)
        damaged = [d for d in sorted(digests, key=str) if context.cache.is_blocked(d)]
        damaged += _find_damaged(context, sizes, report or _ignore)
        found = [_describe(context, versions, digest) for digest in damaged]
        if options.fix and found:
            with context.lock(waits=options.wait_for_lock):
                found = _fix(context, found)
        return VerifyResult(
            survey.listing.folder, len(sizes), sum(sizes.values()), tuple(found)
        )


def _sizes(context: CacheContext, digests: Iterable[Digest]) -> dict[Digest, int]:
    found = {digest: context.cache.find(digest) for digest in sorted(digests, key=str)}
    return {digest: each.size for digest, each in found.items() if each}


def _find_damaged(
    context: CacheContext, sizes: dict[Digest, int], report: Report
) -> list[Digest]:
    damaged, done, total = [], 0, sum(sizes.values())
    report(0, total)
    for digest, size in sizes.items():
        if context.cache.has_its_hash(digest) is False:
            damaged.append(digest)
        done += size
        report(done, total)
    return damaged


def _describe(
    context: CacheContext, versions: Iterable[KnownVersion], digest: Digest
) -> DamagedObject:
    having = [each for each in versions if digest in each.digests]
    files = [p for known in having for p, d in known.files.items() if d == digest]
    return DamagedObject(
        os.fspath(context.cache.path_of(digest)),
        digest,
        tuple(dict.fromkeys(map(describe_version, having))),
        tuple(dict.fromkeys(files)),
    )


def _fix(context: CacheContext, found: Iterable[DamagedObject]) -> list[DamagedObject]:
    """Remove objects that are still damaged, unless the workspace links to them."""
    links = links_into(_placed_paths(context), context.cache)
    fixed = []
    for each in found:
        linked = links.get(each.digest)
        is_blocked = context.cache.is_blocked(each.digest)
        if not is_blocked and context.cache.has_its_hash(each.digest) is not False:
            continue  # another process has replaced or removed it
        if linked is None:
            context.cache.drop(each.digest)
        fixed.append(
            DamagedObject(
                each.path,
                each.digest,
                each.models,
                each.files,
                is_removed=linked is None,
                linked_from=linked,
            )
        )
    return fixed


def _placed_paths(context: CacheContext) -> Iterator[str]:
    """Yield where files of the cache may be linked from."""
    for workspace in (each for root in context.roots for each in root.workspaces):
        yield from workspace.output_paths()
    for record in context.records:
        yield from (f"{record.root}/{path}" for path in record.files)


def _ignore(_done: int, _total: int | None) -> None:
    """Report nothing."""
