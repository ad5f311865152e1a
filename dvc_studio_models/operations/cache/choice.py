"""Which versions to remove from a cache. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.registry.gto.counting import semver_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dvc_studio_models.model import Digest
    from dvc_studio_models.operations.cache.versions import CachedVersion


@dataclass(frozen=True)
class Criteria:
    """Which of the versions that nothing needs to remove; by default all of them."""

    older_than_s: float | None = None
    """Only those last used longer ago, in seconds."""

    max_bytes: int | None = None
    """Only as many, the least recently used first, as bring the versions in the cache
    down to this size."""

    keep_latest: int | None = None
    """Keep this number of versions of each model: the greatest complete ones."""

    @property
    def is_given(self) -> bool:
        """Whether there is any."""
        return self != Criteria()


def choose(
    versions: Sequence[CachedVersion],
    criteria: Criteria,
    *,
    now: float,
    needs: Callable[[Digest], bool],
) -> list[CachedVersion]:
    """Return the versions to remove, the least recently used first.

    Args:
        versions: All in the cache, with what needs them.
        criteria: What the user wants.
        now: In seconds since 1970.
        needs: Whether something needs an object, be it another version's, too.
    """
    latest = _latest(versions, criteria.keep_latest)
    candidates = [
        version
        for version in sorted(versions, key=lambda version: version.last_used)
        if not version.needed_by
        and id(version) not in latest
        and _is_old(version, criteria, now)
    ]
    if criteria.max_bytes is None:
        return candidates
    uses = Counter(digest for version in versions for digest in version.present)
    sizes = {d: size for version in versions for d, size in version.present.items()}
    total = sum(sizes.values())
    chosen = []
    for version in candidates:
        if total <= criteria.max_bytes:
            break
        chosen.append(version)
        uses.subtract(list(version.present))
        gone = (d for d in version.present if not uses[d] and not needs(d))
        total -= sum(sizes[digest] for digest in gone)
    return chosen


def objects_to_remove(
    versions: Sequence[CachedVersion],
    chosen: Sequence[CachedVersion],
    *,
    needs: Callable[[Digest], bool],
) -> dict[Digest, int]:
    """Return the objects of versions that neither others nor anything else needs.

    Args:
        versions: All in the cache.
        chosen: Those to remove.
        needs: See :func:`choose`.

    Returns:
        Digest to size in bytes.
    """
    removed = {id(version) for version in chosen}
    kept = {d for v in versions if id(v) not in removed for d in v.present}
    return {
        digest: size
        for version in chosen
        for digest, size in version.present.items()
        if digest not in kept and not needs(digest)
    }


def _is_old(version: CachedVersion, criteria: Criteria, now: float) -> bool:
    if criteria.older_than_s is None:
        return True
    return now - version.last_used > criteria.older_than_s


def _latest(versions: Iterable[CachedVersion], number: int | None) -> set[int]:
    """Return the ids of the versions that ``keep_latest`` keeps."""
    models: dict[tuple[str | None, str], list[CachedVersion]] = defaultdict(list)
    for version in versions:
        if version.known.version and version.is_complete:
            models[version.known.repo, version.known.name].append(version)
    return {
        id(version)
        for each in models.values()
        for version in sorted(each, key=_semver, reverse=True)[: number or 0]
    }


def _semver(version: CachedVersion) -> tuple[object, ...]:
    return semver_key(version.known.version)
