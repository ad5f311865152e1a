"""The versions of models in a cache, what needs them, and parts of unfinished pulls."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotInAnyCacheError
from dvc_studio_models.log import get_logger
from dvc_studio_models.operations.cache.collecting import (
    add_links,
    add_receipts,
    add_untagged,
    add_usage,
    collect,
    read_receipts,
)
from dvc_studio_models.operations.cache.context import open_cache
from dvc_studio_models.operations.cache.needs import Needs
from dvc_studio_models.operations.cache.versions import (
    CachedVersion,
    VersionFinder,
    look_up,
    merge,
)
from dvc_studio_models.registry.gto.counting import semver_key
from dvc_studio_models.store.base import PARTS
from dvc_studio_models.store.dvc.project import RECEIPTS, own_folder
from dvc_studio_models.store.parts.folder import PartStore, digest_of
from dvc_studio_models.store.user.project import user_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dvc_studio_models.model import Digest
    from dvc_studio_models.operations.cache.context import CacheContext
    from dvc_studio_models.operations.cache.roots import UserRoot
    from dvc_studio_models.operations.cache.versions import KnownVersion
    from dvc_studio_models.store.parts.folder import Leftover

logger = get_logger(__name__)

RECENT = "recent pull"
RECENT_S = 600
"""As long as a pull may take from its last byte to the last file, in a cache without a
lock."""

RUNNING = "running pull"
LONGEST_PULL_S = 24 * 3600


@dataclass(frozen=True)
class ListedPart:
    """A part of a file, of an unfinished pull."""

    leftover: Leftover
    digest: Digest | None
    """Of the whole file; None if no later pull can use the part."""

    model: str | None
    """The model and its version, if they are known, as is ``path``."""

    path: str | None
    is_at_hand: bool
    """Whether the cache has the whole file by now."""

    @property
    def size(self) -> int:
        """In bytes, on the disk."""
        return self.leftover.allocated_bytes

    @property
    def is_running(self) -> bool:
        """Whether a pull is writing it."""
        return not self.leftover.is_abandoned


@dataclass(frozen=True)
class CacheListing:
    """What is in a cache, as far as models are concerned."""

    folder: str
    versions: tuple[CachedVersion, ...]
    """By model, the greatest version first."""

    parts: tuple[ListedPart, ...]
    problems: tuple[str, ...] = ()
    """What could not be read, so that something may need more than is said here."""

    @property
    def size(self) -> int:
        """In bytes, of all versions; what they share counts once."""
        sizes = {d: size for each in self.versions for d, size in each.present.items()}
        return sum(sizes.values())

    @property
    def parts_size(self) -> int:
        """In bytes, of all parts."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Survey:
    """All that is known of a cache at one moment."""

    listing: CacheListing
    needs: Needs
    known: tuple[KnownVersion, ...]
    """All versions, in the cache or not."""

    damaged: frozenset[Digest]
    """Listings of folders that are damaged."""


def list_cache(
    names: Sequence[str] = (),
    *,
    folder: str | os.PathLike[str] = ".",
    cache_dir: str | os.PathLike[str] | None = None,
) -> CacheListing:
    """List the versions of models in a cache.

    Args:
        names: Of models; globs are allowed. None means all.
        folder: In the DVC project whose cache is listed; outside of one, the user's
            cache is.
        cache_dir: Another cache.

    Raises:
        NotInAnyCacheError: No version of a name is known.
        StudioModelsError: The cache or the project cannot be read.
    """
    context = open_cache(Path(folder), cache_dir)
    try:
        survey = take_survey(context, reads=False)
    finally:
        context.close()
    for problem in survey.listing.problems:
        logger.warning("%s", problem)
    return select(survey, names)


def select(survey: Survey, names: Sequence[str]) -> CacheListing:
    """Return the listing of the models that names or globs match.

    Raises:
        NotInAnyCacheError: One matches no version that is known.
    """
    listing = survey.listing
    select_known(survey, names)
    if not names:
        return listing
    return replace(
        listing,
        versions=tuple(v for v in listing.versions if _matches(v.known, names)),
        parts=tuple(
            part
            for part in listing.parts
            if part.model and _matches_text(part.model, names)
        ),
    )


def select_known(survey: Survey, names: Sequence[str]) -> list[KnownVersion]:
    """Return the versions that names or globs match, in the cache or not.

    Raises:
        NotInAnyCacheError: One matches no version that is known.
    """
    known = survey.known
    unknown = [n for n in names if not any(_matches(v, [n]) for v in known)]
    if unknown:
        raise NotInAnyCacheError(unknown, survey.listing.folder)
    return [v for v in known if not names or _matches(v, names)]


def _matches(version: KnownVersion, names: Iterable[str]) -> bool:
    return any(fnmatchcase(version.name, name) for name in names)


def _matches_text(model: str, names: Iterable[str]) -> bool:
    name = model.partition("@")[0].partition(" ")[0]
    return any(fnmatchcase(name, each) for each in names)


def take_survey(context: CacheContext, *, reads: bool) -> Survey:
    """Find all versions of a cache, and what needs them.

    Args:
        context: The cache and its projects.
        reads: Whether to hash files of the working trees that DVC's state does not
            know.

    Raises:
        LocalDiskError: The cache cannot be read.
    """
    cache = context.cache
    finder = VersionFinder(cache)
    records = context.records
    known = merge(
        itertools.chain(
            *(
                finder.registered(root, _repo_of(root, context))
                for root in _clones(context)
            ),
            finder.recorded(records, context.here),
        )
    )
    needs = Needs(cache)
    needs.problems.update(dict.fromkeys(context.problems))
    for root in context.roots:
        collect(root, needs, cache, reads=reads)
    for root in _clones(context):
        add_untagged(root, records, needs)
    receipts = read_receipts(_receipt_folders(context, needs), needs)
    add_receipts(receipts, needs)
    add_usage(records, needs, cache)
    needs.add_listed(known)
    add_links(known, needs, cache)
    found = look_up(known, cache)
    parts = tuple(_list_parts(context, known))
    if any(part.is_running for part in parts):
        _add_recent(known, needs, LONGEST_PULL_S, RUNNING)
    if not context.has_lock:
        _add_recent(known, needs, RECENT_S, RECENT)
    versions = [replace(each, needed_by=needs.reasons(each)) for each in found]
    versions.sort(key=lambda v: semver_key(v.known.version), reverse=True)
    versions.sort(key=lambda v: (v.known.name, v.known.repo or ""))
    damaged = [
        f"'{cache.path_of(each)}' is damaged. Run 'dvc models cache verify --fix'"
        for each in sorted(finder.damaged, key=str)
    ]
    listing = CacheListing(
        os.fspath(cache.path),
        tuple(versions),
        parts,
        tuple(dict.fromkeys([*needs.problems, *finder.problems, *damaged])),
    )
    return Survey(listing, needs, tuple(known), frozenset(finder.damaged))


def _clones(context: CacheContext) -> list[UserRoot]:
    """Return one working tree of each clone."""
    found: dict[Path | None, UserRoot] = {}
    for root in context.roots:
        found.setdefault(root.git_dir, root)
    return [root for git_dir, root in found.items() if git_dir]


def _repo_of(root: UserRoot, context: CacheContext) -> str | None:
    """Return the repo of a clone's models: None for that of the user's folder."""
    if context.here and root.git_dir == context.here.git_dir:
        return None
    urls = (each.repo for each in context.records if root.is_own_repo(each.repo))
    return next(urls, os.fspath(root.root))


def _add_recent(
    known: Iterable[KnownVersion], needs: Needs, seconds: float, reason: str
) -> None:
    """Add the versions that pulls may be about to place.

    A pull notes a version before it downloads what is missing of it.
    """
    since = time.time() - seconds
    for version in known:
        if version.last_used and version.last_used > since:
            needs.add(version.digests, reason)


def _receipt_folders(context: CacheContext, needs: Needs) -> list[Path]:
    """Return where the users of a user's cache keep receipts."""
    with needs.reading("the users of the cache"):
        return [
            own_folder(user) / RECEIPTS for user in user_folders(context.cache.path)
        ]
    return []  # type: ignore[unreachable]  # reading() notes an error


def _list_parts(
    context: CacheContext, known: Iterable[KnownVersion]
) -> Iterable[ListedPart]:
    files = {
        digest: (describe_version(version), path)
        for version in known
        for path, digest in version.files.items()
    }
    folders = [context.cache.path / PARTS]
    workspaces = [each for root in context.roots for each in root.workspaces]
    folders += [own_folder(each.root) / PARTS for each in workspaces]
    every = {os.path.realpath(folder): folder for folder in folders}
    for folder in every.values():
        if not folder.is_dir():
            continue
        for left in PartStore(folder).leftovers():
            digest = digest_of(left.key)
            model, path = files.get(digest, (None, None)) if digest else (None, None)
            at_hand = digest is not None and context.cache.find(digest) is not None
            yield ListedPart(left, digest, model, path, at_hand)


def describe_version(version: KnownVersion) -> str:
    """Return the model and its version as users write them."""
    if version.version:
        return f"{version.name}@{version.version}"
    return f"{version.name} {(version.commit or '')[:7]}"
