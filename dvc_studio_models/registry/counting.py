"""Counts tags as GTO does: deprecations, then versions, then stages. No I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dvc_studio_models.model import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_NEVER = -(1 << 62)  # before any tag, in seconds


@dataclass(frozen=True)
class RegistryTag:
    """A tag whose name is one of GTO's."""

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
        """Whether it takes the whole model back."""
        return self.version is None and self.stage is None


@dataclass(frozen=True)
class CountedTag:
    """A tag that counts: an annotated one, which says when it was made."""

    what: RegistryTag
    commit: str
    """The commit that it is of, by however many tags in between."""

    time: int
    """In seconds since 1970."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model that counts: registered and not deprecated."""

    name: str
    """As GTO and Studio spell it: ``churn`` or ``dir:churn``."""

    versions: tuple[ModelVersion, ...]
    """The registered ones, greatest SemVer first."""

    stages: Mapping[str, ModelVersion] = field(default_factory=dict)
    """Where each stage is now, be it on a commit without a version."""


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
        """Whether it counts; of two tags of one second the deregistration does."""
        is_of_tags = self.registered > _NEVER or self.deregistered > _NEVER
        return not is_of_tags or self.registered > self.deregistered

    @property
    def latest(self) -> int:
        """When it was tagged last."""
        staged = (*self.assigned.values(), *self.unassigned.values())
        return max((self.registered, self.deregistered, *staged))

    @property
    def created(self) -> int:
        """When GTO takes it to have been made."""
        return self.registered if self.registered > _NEVER else self.latest

    def stages(self) -> list[str]:
        """List the stages that it is in, the first assigned first."""
        active = (s for s in self.assigned if self._is_in(s))
        return sorted(active, key=self.assigned.__getitem__)

    def _is_in(self, stage: str) -> bool:
        return self.assigned[stage] > self.unassigned.get(stage, _NEVER)


def count(
    tags: Sequence[CountedTag],
) -> tuple[tuple[RegisteredModel, ...], dict[tuple[str, str], int]]:
    """Count tags.

    Returns:
        The models by name, and the counter of the tag that put a stage where it is, by
        model and stage.
    """
    by_model: dict[str, list[CountedTag]] = defaultdict(list)
    for tag in sorted(tags, key=lambda tag: (tag.time, tag.what.tag)):
        by_model[tag.what.name].append(tag)
    models: list[RegisteredModel] = []
    counters: dict[tuple[str, str], int] = {}
    for name in sorted(by_model):
        versions = _collect(by_model[name])
        deprecated = [t.time for t in by_model[name] if t.what.deprecates]
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


def _collect(tags: Sequence[CountedTag]) -> list[_Version]:
    """Sort the tags of one model by version and commit, in the order of their times."""
    found: dict[tuple[str, str], _Version] = {}
    at_commit: dict[str, list[_Version]] = defaultdict(list)
    for tag in tags:
        if tag.what.version:
            key = tag.what.version, tag.commit
            if key not in found:
                found[key] = _Version(*key)
                at_commit[tag.commit].append(found[key])
            version = found[key]
            if tag.what.cancels:
                version.deregistered = max(version.deregistered, tag.time)
            else:
                version.registered = max(version.registered, tag.time)
    versions = list(found.values())
    likeliest = {commit: _likeliest(there) for commit, there in at_commit.items()}
    for tag in tags:
        if tag.what.stage:
            if tag.commit in likeliest:
                version = likeliest[tag.commit]
            else:  # GTO makes one of its own for each tag of such a commit
                version = _Version(tag.commit, tag.commit)
                versions.append(version)
            _assign(version, tag)
    return versions


def _assign(version: _Version, tag: CountedTag) -> None:
    assert tag.what.stage  # noqa: S101 - it is a tag of a stage
    times = version.unassigned if tag.what.cancels else version.assigned
    times[tag.what.stage] = max(times.get(tag.what.stage, _NEVER), tag.time)
    if tag.what.counter is not None:
        version.counters[tag.what.stage] = tag.what.counter


def _likeliest(versions: Sequence[_Version]) -> _Version:
    """Choose the version that a stage is of, where a commit has several.

    GTO refuses to. All have the same content, and the greatest that counts is shown,
    of equals the last one made.
    """
    return max(reversed(versions), key=lambda v: (v.is_active, semver_key(v.version)))


def _registered(versions: Iterable[_Version]) -> Iterator[ModelVersion]:
    """List what is registered and counts, greatest first, of equals the last made."""
    active = [v for v in versions if v.registered > _NEVER and v.is_active]
    active.sort(key=lambda version: semver_key(version.version))
    return (ModelVersion(v.version, v.commit) for v in reversed(active))


def _staged(versions: Sequence[_Version]) -> dict[str, _Version]:
    """Find the version that was put into each stage last."""
    active = sorted((v for v in versions if v.is_active), key=lambda v: v.created)
    pairs = [(s, version) for version in reversed(active) for s in version.stages()]
    pairs.sort(key=lambda pair: pair[1].assigned[pair[0]])
    return {stage: dict(pairs)[stage] for stage in sorted(dict(pairs))}


def semver_key(version: str | None) -> tuple[object, ...]:
    """Order versions as SemVer 2.0.0 does (section 11); build metadata is equal.

    A commit, which stands where no version is, is less than any version.
    """
    if version is None or not version.startswith("v"):
        return (-1,)
    numbers, _, rest = version[1:].partition("+")[0].partition("-")
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (rest.split(".") if rest else ())
    )
    return (*map(int, numbers.split(".")), not rest, parts)
