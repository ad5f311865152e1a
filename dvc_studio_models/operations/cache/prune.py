"""Removes the versions of models that nothing needs from a cache.

What is needed is determined while DVC's lock of each project is held, so that no pull
and no other DVC command changes it meanwhile. Before a question to the user, it is
determined without the lock; then only what was shown is removed, and only if nothing
needs it by now.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import PruneRefusedError, SharedCacheError
from dvc_studio_models.operations.cache.choice import (
    Criteria,
    choose,
    objects_to_remove,
)
from dvc_studio_models.operations.cache.context import open_cache
from dvc_studio_models.operations.cache.listing import take_survey
from dvc_studio_models.store.parts.folder import STALE_AFTER_S

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from dvc_studio_models.model import Digest
    from dvc_studio_models.operations.cache.context import CacheContext
    from dvc_studio_models.operations.cache.listing import ListedPart, Survey
    from dvc_studio_models.operations.cache.versions import CachedVersion


@dataclass(frozen=True)
class PrunePlan:
    """What is removed from a cache, or would be."""

    folder: str
    """Of the cache."""

    versions: tuple[CachedVersion, ...]
    """Those to remove, the least recently used first."""

    kept: tuple[CachedVersion, ...]
    objects: Mapping[Digest, int]
    """The objects to remove, with their sizes in bytes."""

    parts: tuple[ListedPart, ...]
    """Those to remove."""

    kept_size: int
    """In bytes, of what stays in the cache of all versions."""

    is_done: bool = False
    """Whether it was removed."""

    @property
    def freed_bytes(self) -> int:
        """The space of objects and parts."""
        return sum(self.objects.values()) + sum(part.size for part in self.parts)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not self.objects and not self.parts


@dataclass(frozen=True)
class PruneOptions:
    """Which cache, and how."""

    folder: str | os.PathLike[str] = "."
    cache_dir: str | os.PathLike[str] | None = None
    projects: Sequence[str] | None = None
    """Others that use the cache; None if the user has named none."""

    dry_run: bool = False
    wait_for_lock: bool = False


def prune(
    criteria: Criteria,
    options: PruneOptions,
    confirm: Callable[[PrunePlan], bool] | None = None,
) -> PrunePlan:
    """Remove versions that nothing needs.

    Args:
        criteria: Which of them.
        options: Which cache, and how.
        confirm: Asks the user; None removes without a question.

    Returns:
        What was removed; what would be, in a dry run or if the user declined.

    Raises:
        PruneRefusedError: What is needed cannot be determined.
        SharedCacheError: Other projects may use the cache, and none was named.
        LockHeldError: Another DVC process holds a project's lock.
        StudioModelsError: The cache or a project cannot be read, or not be written.
    """
    shown = None
    if options.dry_run or confirm:
        with contextlib.closing(_open(options)) as context:
            shown = _plan(context, criteria)
        if options.dry_run or shown.is_empty or not (confirm and confirm(shown)):
            return shown
    with (
        contextlib.closing(_open(options)) as context,
        context.lock(waits=options.wait_for_lock),
    ):
        plan = _plan(context, criteria)
        return _remove(context, _limit(plan, shown) if shown else plan)


def _open(options: PruneOptions) -> CacheContext:
    projects = None if options.projects is None else list(options.projects)
    context = open_cache(Path(options.folder), options.cache_dir, projects=projects)
    if context.is_shared:
        context.close()
        raise SharedCacheError(context.cache.path)
    return context


def _plan(context: CacheContext, criteria: Criteria) -> PrunePlan:
    """Determine what to remove.

    Raises:
        PruneRefusedError: What is needed cannot be determined.
    """
    survey = take_survey(context, reads=True)
    listing, needs = survey.listing, survey.needs
    if listing.problems:
        raise PruneRefusedError(listing.problems)
    chosen = choose(
        listing.versions, criteria, now=time.time(), needs=survey.needs.needs
    )
    objects = objects_to_remove(listing.versions, chosen, needs=needs.needs)
    # Of others, there is nothing but files that something else needs.
    chosen = [v for v in chosen if not objects.keys().isdisjoint(v.present)]
    objects |= _unfinished(context, survey, chosen)
    removed = {id(version) for version in chosen}
    size = listing.size - sum(objects.values())
    return PrunePlan(
        listing.folder,
        tuple(chosen),
        tuple(v for v in listing.versions if id(v) not in removed),
        objects,
        tuple(part for part in listing.parts if _is_needless(part, criteria)),
        max(size, 0),
    )


def _unfinished(
    context: CacheContext, survey: Survey, chosen: Sequence[CachedVersion]
) -> dict[Digest, int]:
    """Return what a killed removal has left, and nothing needs."""
    removed = {id(version) for version in chosen}
    kept = {
        digest
        for version in survey.listing.versions
        if id(version) not in removed
        for digest in version.present
    }
    found = {}
    for digest in context.cache.unfinished() - kept:
        stored = context.cache.find(digest)
        if stored and stored.links == 1 and not survey.needs.needs(digest):
            found[digest] = stored.size
    return found


def _is_needless(part: ListedPart, criteria: Criteria) -> bool:
    """Whether to remove a part: no pull is writing it, and it is old or of no use.

    Without criteria, none is kept for a later pull.
    """
    if part.is_running:
        return False
    age_s = part.leftover.age_s
    if criteria.older_than_s is not None and age_s > criteria.older_than_s:
        return True
    is_of_no_use = part.digest is None or part.is_at_hand or age_s > STALE_AFTER_S
    return is_of_no_use or not criteria.is_given


def _limit(plan: PrunePlan, shown: PrunePlan) -> PrunePlan:
    """Leave out what the user has not seen."""
    seen = {version.known.key for version in shown.versions}
    paths = {part.leftover.path for part in shown.parts}
    return PrunePlan(
        plan.folder,
        tuple(v for v in plan.versions if v.known.key in seen),
        plan.kept,
        {
            digest: size
            for digest, size in plan.objects.items()
            if digest in shown.objects
        },
        tuple(part for part in plan.parts if part.leftover.path in paths),
        plan.kept_size,
    )


def _remove(context: CacheContext, plan: PrunePlan) -> PrunePlan:
    context.cache.remove(plan.objects)
    for part in plan.parts:
        part.leftover.remove()
    for record in (path for each in plan.versions for path in each.known.records):
        with contextlib.suppress(OSError):  # it names what is gone, and no more
            record.unlink(missing_ok=True)
    return PrunePlan(
        plan.folder,
        plan.versions,
        plan.kept,
        plan.objects,
        plan.parts,
        plan.kept_size,
        is_done=True,
    )
