"""Which models a served repo has, and everything that Git says of one, as JSON.

Read from tags and commits only: DVC remotes are not needed. An answer is made once for
as long as no ref changes.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import RecordUnreadableError, StudioConfigError
from dvc_studio_models.model import ModelRef
from dvc_studio_models.registry.gto.details import describe_model
from dvc_studio_models.registry.records import RecordReader
from dvc_studio_models.server.errors.models import (
    ModelMissingError,
    RepoUnreadableError,
)
from dvc_studio_models.server.waiting.single_flight import SingleFlightCache

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelDetails, ModelVersion
    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.server.catalog.index import ModelIndex
    from dvc_studio_models.server.repos.repos import ServedRepo

logger = logging.getLogger(f"dvc.{__name__}")

MAX_EVENTS = 5000
"""The newest versions and the newest events of a model that an answer contains."""

MAX_CACHED_BYTES = 64 << 20  # per repo

_ALL = ModelRef("")


class Listing:
    """The models of one served repo."""

    def __init__(self, repo: ServedRepo, index: ModelIndex) -> None:
        """Store the repo; tags and commits are read when needed."""
        self._repo = repo
        self._index = index
        self._answers: SingleFlightCache[bytes] = SingleFlightCache(
            MAX_CACHED_BYTES, size=len
        )

    def list_models(self) -> bytes:
        """List the registered models by name.

        Raises:
            RepoUnreadableError: Git cannot read this server's copy of the repo.
            GitSilentError: Another thread has been reading Git for too long.
        """
        key = self._index.key(_ALL)  # of before: no change while this runs is missed
        if key and (cached := self._answers.peek(key)):
            return cached
        with self._index.git_errors():
            registry = self._index.tags.get()
        models = [
            {
                "name": model.name,
                "latest": model.latest,
                "versions": list(model.versions[:MAX_EVENTS]),
                "stages": dict(model.stages),
            }
            for model in (each.summary for each in registry.models)
        ]
        return self._cache(key, {"models": models})

    def describe(self, ref: ModelRef) -> bytes:
        """Describe a model, and the version that ``ref`` selects, or the latest.

        Raises:
            ModelMissingError: No tag registers such a model, version or stage.
            RepoUnreadableError: Git cannot read this server's copy of the repo.
            GitSilentError: Another thread has been reading Git for too long.
        """
        key = self._index.key(ref)
        if key and (cached := self._answers.peek(key)):
            return cached
        with self._index.git_errors():
            details = self._describe(ref, self._index.tags.get())
        if not details.versions and not details.history:
            raise ModelMissingError(self._index.tags.get().describe_missing(ref))
        details = replace(
            details,
            versions=details.versions[:MAX_EVENTS],
            history=details.history[:MAX_EVENTS],
        )
        return self._cache(key, details.to_json())

    def _describe(self, ref: ModelRef, registry: Registry) -> ModelDetails:
        if tags := registry.unreadable_tags(ref):
            reason = f"Git cannot read {', '.join(tags)}, or the commit is missing"
            raise RepoUnreadableError(self._repo.label, reason)
        version = registry.resolve(ref)
        if version is None and ref.selector:
            raise ModelMissingError(registry.describe_missing(ref))
        reader = self._repo.reader
        with contextlib.closing(RecordReader(reader, contents=False)) as records:
            try:
                return describe_model(ref.name, version, registry, reader, records)
            except (RecordUnreadableError, StudioConfigError) as exc:
                logger.warning("repo '%s': %s", self._repo.key, exc)
            details = describe_model(ref.name, None, registry, reader, records)
        return _of_version(details, version)

    def _cache(self, key: object, answer: dict[str, Any]) -> bytes:
        raw = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
        return raw if key is None else self._answers.get(key, lambda: raw)


def _of_version(details: ModelDetails, version: ModelVersion | None) -> ModelDetails:
    if version is None:
        return details
    return replace(details, version=version.registered, commit=version.commit)
