"""The versions of models that a cache has objects of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    CacheDamagedError,
    RecordUnreadableError,
    StudioConfigError,
    UnreadableRepoError,
)
from dvc_studio_models.model import Digest, is_tree
from dvc_studio_models.registry.recorded import expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from dvc_studio_models.model import ModelVersion
    from dvc_studio_models.operations.cache.roots import UserRoot
    from dvc_studio_models.registry.gto.counting import RegisteredModel
    from dvc_studio_models.registry.recorded import RecordedModel
    from dvc_studio_models.store.upkeep.folder import CacheFolder
    from dvc_studio_models.store.usage import UsageRecord

Key = tuple[str | None, str, str]
"""Repo, name, and version or commit."""


@dataclass(frozen=True)
class KnownVersion:
    """A version, as tags or a record of its use describe it."""

    name: str
    version: str | None
    """``v1.2.0``; None for a commit without a version."""

    commit: str | None
    repo: str | None = None
    """The repo's URL, None for that of the clone."""

    stages: tuple[str, ...] = ()
    files: Mapping[str, Digest] = field(default_factory=dict)
    """The files that are known, by path."""

    trees: frozenset[Digest] = frozenset()
    """The listings of its folders."""

    is_listed: bool = True
    """Whether all of its files are known."""

    others: frozenset[Digest] = frozenset()
    """Further files, of which another one is at the path in ``files``."""

    last_used: float | None = None
    """When a pull used it, in seconds since 1970; None if no record says so."""

    records: tuple[Path, ...] = ()
    """The records of its use."""

    @property
    def key(self) -> Key:
        """What identifies it."""
        which = self.version or self.commit or " ".join(sorted(map(str, self.digests)))
        return self.repo, self.name, which

    @property
    def digests(self) -> frozenset[Digest]:
        """All of its objects that are known."""
        return self.trees | self.others | frozenset(self.files.values())


@dataclass(frozen=True)
class CachedVersion:
    """A version that a cache has objects of."""

    known: KnownVersion
    present: Mapping[Digest, int]
    """Its objects in the cache, with their sizes in bytes."""

    last_used: float
    """When a pull used it, or the newest of its objects was written; without a record
    of a pull, when the newest was added or linked."""

    shared_bytes: int = 0
    """The size of the objects that other versions have, too."""

    needed_by: tuple[str, ...] = ()
    """What needs all of it: ``workspace``, a branch, ``#stage``, a lock file."""

    @property
    def size(self) -> int:
        """In bytes, of what is in the cache."""
        return sum(self.present.values())

    @property
    def files_present(self) -> int:
        """The number of its files whose content is in the cache."""
        return sum(digest in self.present for digest in self.known.files.values())

    @property
    def is_complete(self) -> bool:
        """Whether all of its files are in the cache."""
        is_there = self.files_present == len(self.known.files)
        return is_there and self.known.is_listed and bool(self.known.files)


class VersionFinder:
    """Finds the versions that a clone's tags and records of use describe."""

    def __init__(self, cache: CacheFolder) -> None:
        self._cache = cache
        self.problems: list[str] = []
        """Why versions or their files may be missing in the result."""

        self.damaged: set[Digest] = set()
        """Listings of folders whose content does not have their hash."""

    def registered(self, root: UserRoot, repo: str | None) -> Iterator[KnownVersion]:
        """Yield the versions that tags register, and the commits in stages.

        Args:
            root: In a clone.
            repo: Of the versions.
        """
        if root.registry is None:
            return
        for model in root.registry.models:
            for version in dict.fromkeys([*model.versions, *model.stages.values()]):
                try:
                    record = root.registry.read_record(model.name, version)
                except (
                    RecordUnreadableError,
                    StudioConfigError,
                    UnreadableRepoError,
                ) as error:
                    self.problems.append(str(error).partition("\n")[0])
                    continue
                if record:
                    found = self._describe(model, version, record)
                    yield replace(found, repo=repo)

    def recorded(
        self, records: Iterable[UsageRecord], here: UserRoot | None
    ) -> Iterator[KnownVersion]:
        """Yield the versions that records of use describe.

        Args:
            records: Of the cache.
            here: Around the user's folder; its repo is None in the result.
        """
        for record in records:
            is_own = here is not None and here.is_own_repo(record.repo)
            yield KnownVersion(
                record.model,
                record.version,
                record.commit,
                None if is_own else record.repo,
                files=record.files,
                trees=frozenset(record.trees.values()),
                last_used=record.used,
                records=(record.path,) if record.path else (),
            )

    def _describe(
        self, model: RegisteredModel, version: ModelVersion, record: RecordedModel
    ) -> KnownVersion:
        trees = {out.digest for out in record.outputs if is_tree(out.digest)}
        listings = {
            tree: listing
            for tree in filter(None, trees)
            if (listing := self._read_listing(tree)) is not None
        }
        files: dict[str, Digest] = {}
        for output in record.outputs:
            if not output.is_folder or output.files or output.digest in listings:
                part = type(record)(record.path, record.project, (output,))
                files |= {file.path: file.digest for file in expand(part, listings)}
        return KnownVersion(
            model.name,
            version.registered,
            version.commit,
            stages=tuple(s for s, at in model.stages.items() if at == version),
            files=files,
            trees=frozenset(filter(None, trees)),
            is_listed=trees <= listings.keys(),
        )

    def _read_listing(self, tree: Digest) -> dict[str, Digest] | None:
        try:
            return self._cache.read_listing(tree)
        except CacheDamagedError:
            self.damaged.add(tree)
            return None


def merge(found: Iterable[KnownVersion]) -> list[KnownVersion]:
    """Merge what tags and records say of one version; the first one's stages count."""
    merged: dict[Key, KnownVersion] = {}
    for version in found:
        before = merged.get(version.key)
        merged[version.key] = _join(before, version) if before else version
    return list(merged.values())


def _join(one: KnownVersion, other: KnownVersion) -> KnownVersion:
    lost = {d for path, d in other.files.items() if one.files.get(path, d) != d}
    times = [each.last_used for each in (one, other) if each.last_used is not None]
    return KnownVersion(
        one.name,
        one.version or other.version,
        one.commit or other.commit,
        one.repo,
        one.stages,
        {**other.files, **one.files},
        one.trees | other.trees,
        is_listed=one.is_listed or other.is_listed,
        others=one.others | other.others | lost,
        last_used=max(times, default=None),
        records=one.records + other.records,
    )


def look_up(
    known: Iterable[KnownVersion], cache: CacheFolder
) -> tuple[CachedVersion, ...]:
    """Return the versions that the cache has objects of.

    Raises:
        LocalDiskError: The cache cannot be read.
    """
    found = []
    for version in known:
        objects = {digest: cache.find(digest) for digest in version.digests}
        there = {digest: each for digest, each in objects.items() if each}
        if there:
            sizes = {digest: each.size for digest, each in there.items()}
            used = max(each.added for each in there.values())
            if version.last_used is not None:  # else DVC itself may have brought them
                written = max(each.modified for each in there.values())
                used = max(version.last_used, written)
            found.append(CachedVersion(version, sizes, used))
    count = Counter(digest for version in found for digest in version.present)
    return tuple(
        CachedVersion(
            each.known,
            each.present,
            each.last_used,
            sum(size for digest, size in each.present.items() if count[digest] > 1),
        )
        for each in found
    )
