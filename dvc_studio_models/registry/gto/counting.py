"""Derives models, versions and stages from tags, as GTO does. No I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dvc_studio_models.model import ModelSummary, ModelVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_NEVER = -(1 << 62)  # before any tag, in seconds


@dataclass(frozen=True)
class GtoTag:
    """The parsed name of one of GTO's tags."""

    tag: str
    """The whole name."""

    name: str
    """Of the model, as GTO and Studio spell it."""

    version: str | None = None
    stage: str | None = None
    cancels: bool = False
    counter: int | None = None

    @property
    def deprecates(self) -> bool:
        """Whether it deprecates the whole model."""
        return self.version is None and self.stage is None


@dataclass(frozen=True)
class CountedTag:
    """An annotated tag: only they have a time, and only they count for GTO."""

    parsed: GtoTag
    commit: str
    """The tagged commit, behind any number of tags of tags."""

    time: int
    """In seconds since 1970."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model that is registered and not deprecated."""

    name: str
    """As GTO and Studio spell it: ``churn`` or ``dir:churn``."""

    versions: tuple[ModelVersion, ...]
    """The registered ones, greatest SemVer first."""

    stages: Mapping[str, ModelVersion] = field(default_factory=dict)
    """The version in each stage; it may be a commit without a registered version."""

    def list_commits(self, first: str | None = None) -> list[ModelVersion]:
        """List the versions, then commits of stages without one.

        Args:
            first: The commit to list first.
        """
        every = dict.fromkeys([*self.versions, *self.stages.values()])
        return sorted(every, key=lambda version: version.commit != first)

    @property
    def summary(self) -> ModelSummary:
        """The names of its versions and stages."""
        return ModelSummary(
            self.name,
            tuple(version.version for version in self.versions),
            {stage: at.version for stage, at in self.stages.items()},
        )


@dataclass
class _Version:
    """One version at one commit, with the times of its latest tags."""

    version: str
    commit: str
    registered: int = _NEVER
    deregistered: int = _NEVER
    assigned: dict[str, int] = field(default_factory=dict)
    unassigned: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        """Whether it is registered; a deregistration of the same second wins."""
        is_of_tags = self.registered > _NEVER or self.deregistered > _NEVER
        return not is_of_tags or self.registered > self.deregistered

    @property
    def latest(self) -> int:
        """The time of its last tag."""
        staged = (*self.assigned.values(), *self.unassigned.values())
        return max((self.registered, self.deregistered, *staged))

    @property
    def created(self) -> int:
        """The time at which GTO considers it created."""
        return self.registered if self.registered > _NEVER else self.latest

    def stages(self) -> list[str]:
        """Return the stages that it is in, in the order of their assignment."""
        active = (s for s in self.assigned if self._is_in(s))
        return sorted(active, key=self.assigned.__getitem__)

    def _is_in(self, stage: str) -> bool:
        return self.assigned[stage] > self.unassigned.get(stage, _NEVER)


def count(
    tags: Sequence[CountedTag],
) -> tuple[tuple[RegisteredModel, ...], dict[tuple[str, str], int]]:
    """Derive the models from tags.

    Returns:
        The models by name, and the counter of the tag that assigned each stage, by
        model and stage.
    """
    by_model: dict[str, list[CountedTag]] = defaultdict(list)
    for tag in sorted(tags, key=lambda tag: (tag.time, tag.parsed.tag)):
        by_model[tag.parsed.name].append(tag)
    models: list[RegisteredModel] = []
    counters: dict[tuple[str, str], int] = {}
    for name in sorted(by_model):
        versions = _collect(by_model[name])
        deprecated = [t.time for t in by_model[name] if t.parsed.deprecates]
        latest = max((version.latest for version in versions), default=_NEVER)
        if not versions or latest < max(deprecated, default=_NEVER):
            continue
        staged = _staged(versions)
        stages = {s: ModelVersion(v.version, v.commit) for s, v in staged.items()}
        models.append(RegisteredModel(name, tuple(_registered(versions)), stages))
        counters.update(
            ((name, stage), version.counters[stage])
            for stage, version in staged.items()
            if stage in version.counters
        )
    return tuple(models), counters


def versions_at(tags: Sequence[CountedTag]) -> dict[str, str]:
    """Return the version that a stage tag of a model assigns, by commit.

    Args:
        tags: All of one model.
    """
    ordered = sorted(tags, key=lambda tag: (tag.time, tag.parsed.tag))
    _, chosen = _collect_versions(ordered)
    return {commit: version.version for commit, version in chosen.items()}


def _collect(tags: Sequence[CountedTag]) -> list[_Version]:
    """Group the tags of one model by version and commit, in order of time."""
    versions, chosen = _collect_versions(tags)
    for tag in tags:
        if tag.parsed.stage:
            if tag.commit in chosen:
                version = chosen[tag.commit]
            else:  # GTO makes a version for each stage tag of such a commit
                version = _Version(tag.commit, tag.commit)
                versions.append(version)
            _assign(version, tag)
    return versions


def _collect_versions(
    tags: Sequence[CountedTag],
) -> tuple[list[_Version], dict[str, _Version]]:
    """Group the tags of versions; return also the version that stands for a commit."""
    found: dict[tuple[str, str], _Version] = {}
    at_commit: dict[str, list[_Version]] = defaultdict(list)
    for tag in tags:
        if tag.parsed.version:
            key = tag.parsed.version, tag.commit
            if key not in found:
                found[key] = _Version(*key)
                at_commit[tag.commit].append(found[key])
            version = found[key]
            if tag.parsed.cancels:
                version.deregistered = max(version.deregistered, tag.time)
            else:
                version.registered = max(version.registered, tag.time)
    chosen = {commit: _choose(there) for commit, there in at_commit.items()}
    return list(found.values()), chosen


def _assign(version: _Version, tag: CountedTag) -> None:
    assert tag.parsed.stage  # noqa: S101 - it is a tag of a stage
    times = version.unassigned if tag.parsed.cancels else version.assigned
    times[tag.parsed.stage] = max(times.get(tag.parsed.stage, _NEVER), tag.time)
    if tag.parsed.counter is not None:
        version.counters[tag.parsed.stage] = tag.parsed.counter


def _choose(versions: Sequence[_Version]) -> _Version:
    """Choose the version that a stage tag assigns, where a commit has several.

    GTO refuses to. All have the same content, so the greatest registered one is
    chosen, of equals the last one made.
    """
    return max(reversed(versions), key=lambda v: (v.is_active, semver_key(v.version)))


def _registered(versions: Iterable[_Version]) -> Iterator[ModelVersion]:
    """Return the registered versions, greatest first, of equals the last made."""
    active = [v for v in versions if v.registered > _NEVER and v.is_active]
    active.sort(key=lambda version: semver_key(version.version))
    return (ModelVersion(v.version, v.commit) for v in reversed(active))


def _staged(versions: Sequence[_Version]) -> dict[str, _Version]:
    """Return the version that was assigned to each stage last."""
    active = sorted((v for v in versions if v.is_active), key=lambda v: v.created)
    pairs = [(s, version) for version in reversed(active) for s in version.stages()]
    pairs.sort(key=lambda pair: pair[1].assigned[pair[0]])
    return {stage: dict(pairs)[stage] for stage in sorted(dict(pairs))}


def semver_key(version: str | None) -> tuple[object, ...]:
    """Return the sort key of SemVer 2.0.0 (section 11), which ignores build metadata.

    A commit without a version is less than any version.
    """
    if version is None or not version.startswith("v"):
        return (-1,)
    numbers, _, rest = version[1:].partition("+")[0].partition("-")
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (rest.split(".") if rest else ())
    )
    return (*map(int, numbers.split(".")), not rest, parts)
