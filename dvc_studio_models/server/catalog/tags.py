"""What the tags of one repo register now; they are read when a ref has changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dvc_studio_models.registry.gto.tags import fingerprint, format_names, read_registry
from dvc_studio_models.server.waiting.single_flight import StampedRead

if TYPE_CHECKING:
    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.server.repos.refs import RefsStamp
    from dvc_studio_models.server.repos.repos import ServedRepo

logger = logging.getLogger(f"dvc.{__name__}")

MOST_READS = 5
"""So often are tags read at once that change, and whose objects go away meanwhile."""


class Tags:
    """The tags of one repo."""

    def __init__(self, repo: ServedRepo, refs: RefsStamp) -> None:
        """Store the repo; :meth:`registry` reads it.

        Args:
            repo: The served repo.
            refs: The stamp of its refs.
        """
        self._repo = repo
        self._registry: tuple[str, Registry] | None = None
        self._facts: dict[str, object] = {}  # of tags, so that only new ones are read
        self._warned: set[str] = set()  # until Git can read all tags again
        self._reads = StampedRead(
            self._read,
            stamp=refs.read,
            keeps=lambda registry: not registry.unreadable,
        )

    def registry(self) -> Registry:
        """Return what tags register now, read again only if a ref may have changed.

        Raises:
            UnreadableRepoError: Git cannot read the tags.
            GitSilentError: Another thread has been reading them for too long.
        """
        return self._reads.get()

    def _read(self) -> Registry:
        tags = self._repo.reader.tags()
        for _ in range(MOST_READS):
            stamp = fingerprint(tags)
            if self._registry and self._registry[0] == stamp:
                return self._registry[1]
            registry = read_registry(
                self._repo.reader, tags, known=self._facts, warned=self._warned
            )
            if not registry.unreadable:
                break
            tags = self._repo.reader.tags()  # a tag that moved may have lost its object
            if fingerprint(tags) == stamp:  # Git may be able to read it in a moment
                return registry
        self._warn_of_ignored(registry)
        if not registry.unreadable:
            self._warned.clear()
            self._registry = (stamp, registry)
        return registry

    def _warn_of_ignored(self, registry: Registry) -> None:
        if ignored := registry.all_ignored_tags():
            names = format_names("lightweight Git tags are ignored", ignored)
            logger.warning("repo '%s': %s", self._repo.key, names)
