"""Which models a served repo has, and everything that Git says of one.

Read from tags and commits only: DVC remotes are not needed. An answer is made once for
as long as no ref changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import RecordUnreadableError, StudioConfigError
from dvc_studio_models.model import ModelRef, format_date
from dvc_studio_models.registry.gto.details import describe_model
from dvc_studio_models.server.catalog.shortened import shorten
from dvc_studio_models.server.errors.models import (
    ModelMissingError,
    RepoUnreadableError,
)
from dvc_studio_models.server.errors.requests import list_some
from dvc_studio_models.server.waiting.single_flight import (
    CurrentCache,
    SingleFlightCache,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dvc_studio_models.model import ModelDetails, ModelSummary, ModelVersion
    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.server.catalog.index import ModelIndex
    from dvc_studio_models.server.repos.repos import ServedRepo

logger = logging.getLogger(f"dvc.{__name__}")

MAX_EVENTS = 5000
"""The newest versions and the newest events of a model that an answer contains."""

MAX_CACHED_BYTES = 64 << 20  # per repo
MAX_CACHED_EVENTS = 100_000  # per repo; one takes about half a kilobyte

_ALL = ModelRef("")


@dataclass(frozen=True)
class Answer:
    """What the API answers."""

    body: bytes
    """In JSON."""

    etag: str
    """Changes with the body."""

    @classmethod
    def of(cls, content: dict[str, Any]) -> Answer:
        """Write JSON."""
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class Listing:
    """The models of one served repo."""

    def __init__(self, repo: ServedRepo, index: ModelIndex) -> None:
        """Store the repo; tags and commits are read when needed."""
        self._repo = repo
        self._index = index
        self._lists: SingleFlightCache[tuple[ModelSummary, ...]] = SingleFlightCache(1)
        self._details: CurrentCache[ModelDetails] = CurrentCache(
            MAX_CACHED_EVENTS, size=_count_events
        )
        self._answers: CurrentCache[Answer] = CurrentCache(
            MAX_CACHED_BYTES, size=lambda answer: len(answer.body)
        )
        self._summarized: tuple[Registry | None, tuple[ModelSummary, ...]] = (None, ())

    def models(self) -> tuple[ModelSummary, ...]:
        """List the registered models by name.

        Raises:
            RepoUnreadableError: Git cannot read this server's copy of the repo, or
                some of its tags: another version may be the latest.
            GitSilentError: Another thread has been reading Git for too long.
        """
        key = self._index.key(_ALL)  # of before: no change while this runs is missed
        if key and (cached := self._lists.peek(key)) is not None:
            return cached
        registry = self._index.whole_registry()
        known, models = self._summarized
        if known is not registry:
            models = _summarize(registry)
            self._summarized = registry, models
        return models if key is None else self._lists.get(key, lambda: models)

    def list_models(self) -> Answer:
        """List the registered models, see :meth:`models`, and write that in JSON."""
        key = self._index.key(_ALL)
        if key and (cached := self._answers.peek(key)):
            return cached
        models = ((model, self._repo.label) for model in self.models())
        return self._cache(key, list_to_json(models))

    def details(self, ref: ModelRef) -> ModelDetails:
        """Describe a model, and the version that ``ref`` selects, or the latest.

        Raises:
            ModelMissingError: No tag registers such a model, version or stage.
            RepoUnreadableError: Git cannot read this server's copy of the repo.
            GitSilentError: Another thread has been reading Git for too long.
        """
        key = self._index.key(ref)
        if key is None:
            return self._read_details(ref)
        # Once for all who ask: a tag may have a message of many megabytes.
        return self._details.get(key, lambda: self._read_details(ref))

    def _read_details(self, ref: ModelRef) -> ModelDetails:
        with self._index.git_errors():
            details = self._describe(ref, self._index.registry())
        if not details.versions and not details.history:
            raise ModelMissingError(self._index.registry().describe_missing(ref))
        details = replace(
            details,
            versions=details.versions[:MAX_EVENTS],
            history=details.history[:MAX_EVENTS],
        )
        return shorten(details)

    def describe(self, ref: ModelRef) -> Answer:
        """Describe a model, see :meth:`details`, and write that in JSON."""
        key = self._index.key(ref)
        if key and (cached := self._answers.peek(key)):
            return cached
        content = {"repo": self._repo.label, **self.details(ref).to_json()}
        return self._cache(key, content)

    def _cache(self, key: object, content: dict[str, Any]) -> Answer:
        answer = Answer.of(content)
        return answer if key is None else self._answers.get(key, lambda: answer)

    def _describe(self, ref: ModelRef, registry: Registry) -> ModelDetails:
        if tags := registry.unreadable_of(ref.name):  # it lists all versions
            reason = f"Git cannot read {list_some(tags)}, or the commit is missing"
            raise RepoUnreadableError(self._repo.label, reason)
        version = registry.resolve(ref)
        if version is None and ref.selector:
            raise ModelMissingError(registry.describe_missing(ref))
        reader = self._repo.reader
        with self._index.records.open() as records:
            try:
                return describe_model(ref.name, version, registry, reader, records)
            except (RecordUnreadableError, StudioConfigError) as exc:
                logger.warning("repo '%s': %s", self._repo.key, exc)
            details = describe_model(ref.name, None, registry, reader, records)
        return _of_version(details, version)


def list_to_json(models: Iterable[tuple[ModelSummary, str]]) -> dict[str, Any]:
    """Return a list of models in JSON, without further pages.

    Args:
        models: Each with its repo, as clients name it.
    """
    entries = [
        {
            "name": model.name,
            "repo": repo,
            "latest": model.latest,
            "date": None if model.time is None else format_date(model.time),
            "versions": list(model.versions),
            "stages": dict(model.stages),
        }
        for model, repo in models
    ]
    return {"models": entries, "next": None, "unavailable": []}


def _summarize(registry: Registry) -> tuple[ModelSummary, ...]:
    times: dict[tuple[str, str], int] = {}
    for tag in registry.counted:
        parsed = tag.parsed
        if parsed.version and not parsed.cancels:
            at = parsed.name, parsed.version
            times[at] = max(tag.time, times.get(at, tag.time))
    models = (model.summary for model in registry.models)
    return tuple(
        replace(
            model,
            versions=model.versions[:MAX_EVENTS],
            time=times.get((model.name, model.latest)) if model.latest else None,
        )
        for model in models
    )


def _count_events(details: ModelDetails) -> int:
    return 1 + len(details.versions) + len(details.history)


def _of_version(details: ModelDetails, version: ModelVersion | None) -> ModelDetails:
    if version is None:
        return details
    return replace(details, version=version.registered, commit=version.commit)
