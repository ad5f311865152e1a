"""Objects of a cache that something needs, with the reasons."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

from dvc_studio_models.model import is_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dvc_studio_models.model import Digest
    from dvc_studio_models.operations.cache.versions import CachedVersion, KnownVersion
    from dvc_studio_models.store.upkeep.folder import CacheFolder


class Needs:
    """Objects, and the reasons to keep them."""

    def __init__(self, cache: CacheFolder) -> None:
        self._cache = cache
        self._reasons: dict[Digest, dict[str, None]] = defaultdict(dict)
        self._whole: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self.problems: dict[str, None] = {}
        """What could not be read, each with the reason, in the order of reading."""

    def add(self, digests: Iterable[Digest], reason: str) -> None:
        """Add objects, and the files in folders whose listing is in the cache."""
        for digest in digests:
            self._reasons[digest][reason] = None
            if is_tree(digest):
                with self.reading(reason):
                    for inner in (self._cache.read_listing(digest) or {}).values():
                        self._reasons[inner][reason] = None

    def add_listed(self, versions: Iterable[KnownVersion]) -> None:
        """Add the files of folders that are needed, and whose listing is missing."""
        for version in versions:
            for tree in version.trees:
                for reason in self._reasons.get(tree, {}):
                    for digest in version.digests:
                        self._reasons[digest][reason] = None

    def add_version(self, name: str, versions: Iterable[str | None], why: str) -> None:
        """Add all that is known of a version, by its name or its commit.

        The repo is not compared: it may be spelled in several ways.
        """
        for version in filter(None, versions):
            self._whole[name, version][why] = None

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Note an error of reading as a problem."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - DVC has many for bad files
            text = str(error) or type(error).__name__
            lines = text.splitlines()
            paths = getattr(error, "paths", ())
            reason = ": ".join([lines[0].rstrip(":"), *map(str, paths)])
            self.problems[f"{what}: {reason}"] = None

    def needs(self, digest: Digest) -> bool:
        """Whether an object is needed."""
        return digest in self._reasons

    def reasons(self, version: CachedVersion) -> tuple[str, ...]:
        """Return what needs all that is known of a version; if nothing does, nothing.

        A version whose files are all needed, each by something else, has all reasons.
        """
        known = version.known
        found: dict[str, None] = {}
        for each in (known.version, known.commit):
            if each:
                found |= self._whole.get((known.name, each), {})
        digests = known.files.values() or known.trees
        each_needs = [self._reasons.get(digest, {}) for digest in digests]
        common = [why for why in each_needs[0] if all(why in e for e in each_needs)]
        if not common and all(each_needs):
            common = [why for reasons in each_needs for why in reasons]
        return tuple(dict.fromkeys([*found, *common]))
