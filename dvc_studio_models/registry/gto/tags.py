"""Reads models, versions and stages from the tags of a repository, by GTO's rules.

One pass over the tags, in time proportional to their number. The rules are those of
``gto.tag`` and ``gto.base`` (1.10), whose own reader takes time that grows with the
square of the number of versions.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import VersionUnknownError
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import FOLDER, NAME, SEMVER, ModelRef
from dvc_studio_models.registry.git.reader import COMMIT, TAG, is_oid
from dvc_studio_models.registry.gto.counting import (
    CountedTag,
    GtoTag,
    RegisteredModel,
    count,
    semver_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.model import ModelVersion
    from dvc_studio_models.registry.git.reader import GitReader

logger = get_logger(__name__)

LISTED = 10  # names in a message, which then says how many more there are

_GTO_TAG = re.compile(
    rf"(?P<name>(?:{FOLDER}=)?{NAME})"
    rf"(?:(?:\#(?P<stage>{NAME})|@(?P<version>v{SEMVER}))(?P<cancel>!?)"
    r"|@(?P<deprecated>deprecated))(?:\#(?P<counter>[0-9]+))?"
)
_TARGET = re.compile(
    rb"object (?P<oid>[0-9a-f]{40}(?:[0-9a-f]{24})?)\ntype (?P<kind>[a-z]+)\n"
)
"""The beginning of each tag object; Git accepts no other."""

_YEAR_10000 = 253_402_300_800  # in seconds; Python has no later date
_TAGGER = re.compile(
    rb"tagger (?:.*\S) <[^<>]+> (?P<time>-?[0-9]+) [+-](?:[01][0-9]|2[0-3])[0-5][0-9]"
)
"""A name, an address, seconds since 1970; GTO reads no other."""


@dataclass(frozen=True)
class Registry:
    """The models that tags register, at one moment."""

    models: tuple[RegisteredModel, ...] = ()
    """By name."""

    lightweight: tuple[GtoTag, ...] = ()
    """Tags that GTO ignores, because they are not annotated."""

    unreadable: tuple[GtoTag, ...] = ()
    """Tags that Git cannot read, or whose commit the clone lacks."""

    counters: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The counter of the tag that assigned each stage, by model and stage."""

    counted: tuple[CountedTag, ...] = field(default=(), compare=False)
    """The tags that count."""

    oids: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The id of each tag's object, by the tag's name."""

    def find(self, name: str) -> RegisteredModel | None:
        """Return the model of that name."""
        return next((model for model in self.models if model.name == name), None)

    def resolve(self, ref: ModelRef) -> ModelVersion | None:
        """Return the version that ``ref`` selects; by default the greatest SemVer."""
        model = self.find(ref.name)
        if model is None:
            return None
        if ref.stage:
            return model.stages.get(ref.stage)
        if ref.version:
            return next((v for v in model.versions if v.version == ref.version), None)
        return model.versions[0] if model.versions else None

    def describe_missing(self, ref: ModelRef) -> str:
        """Return why :meth:`resolve` found nothing, and what there is instead."""
        model = self.find(ref.name)
        missing = self._describe_missing(ref, model)
        unread = sorted(
            t.tag for t in self.unreadable if not model or t.name == ref.name
        )
        if not unread:
            return missing
        return f"{missing}; {format_names('Git cannot read these tags', unread)}"

    def _describe_missing(self, ref: ModelRef, model: RegisteredModel | None) -> str:
        if model is None:
            names = format_names("registered models", [m.name for m in self.models])
            return f"model '{ref.name}' is not registered; {names}"
        if ref.stage:
            stages = format_names("known stages", list(model.stages))
            return f"stage '{ref.stage}' is not assigned; {stages}"
        versions = format_names("known versions", [v.version for v in model.versions])
        if ref.version:
            return f"version '{ref.version}' is not registered; {versions}"
        return f"no version of '{ref.name}' is registered; {versions}"

    def ignored_tags(self, ref: ModelRef) -> list[str]:
        """Return lightweight tags that would change what ``ref`` selects.

        CI systems replace the annotated tag that they run for by a lightweight one, so
        a tag that GTO ignores may be the one that is needed.
        """
        return self._relevant(self.lightweight, ref)

    def unreadable_tags(self, ref: ModelRef) -> list[str]:
        """Return tags that Git cannot read and that may change what ``ref`` selects."""
        return self._relevant(self.unreadable, ref)

    def unreadable_of(self, name: str) -> list[str]:
        """Return all tags of a model that Git cannot read."""
        return [tag.tag for tag in self.unreadable if tag.name == name]

    def version_error(self, ref: ModelRef) -> VersionUnknownError | None:
        """Return the error of tags that may change what ``ref`` selects, or None."""
        if tags := self.unreadable_tags(ref):
            return VersionUnknownError.unread(ref, tags)
        if tags := self.ignored_tags(ref):
            return VersionUnknownError.lightweight(ref, tags)
        return None

    def _relevant(self, tags: Iterable[GtoTag], ref: ModelRef) -> list[str]:
        now = self.resolve(ref)
        return [
            tag.tag
            for tag in tags
            if tag.name == ref.name and self._may_change(tag, ref, now)
        ]

    def all_ignored_tags(self) -> list[str]:
        """Return lightweight tags that would change any version or stage."""
        refs = (
            ModelRef(tag.name, tag.version if selects else None, tag.stage)
            for tag in self.lightweight
            for selects in (True, False)
            if selects or not tag.stage
        )
        found = {name for ref in dict.fromkeys(refs) for name in self.ignored_tags(ref)}
        return sorted(found)

    def _may_change(self, tag: GtoTag, ref: ModelRef, now: ModelVersion | None) -> bool:
        if tag.deprecates:
            return True
        if tag.stage:
            before = self.counters.get((ref.name, tag.stage))
            is_older = tag.counter and before and tag.counter < before
            return tag.stage == ref.stage and not is_older
        if tag.cancels:
            return now is not None and now.version == tag.version
        if ref.version:
            is_unknown = now is None or tag.counter is not None
            return ref.version == tag.version and is_unknown
        is_greater = now is None or semver_key(tag.version) > semver_key(now.version)
        return ref.stage is None and is_greater


def fingerprint(tags: Iterable[tuple[str, str]]) -> str:
    """Return a hash of the names and ids of tags."""
    lines = "\n".join(f"{oid} {name}" for name, oid in tags)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def parse_tag(name: str) -> GtoTag | None:
    """Parse a tag's name; None where it is not one of GTO's."""
    match = _GTO_TAG.fullmatch(name)
    if match is None:
        return None
    counter = match["counter"]
    return GtoTag(
        name,
        match["name"].replace("=", ":"),
        match["version"],
        match["stage"],
        cancels=match["cancel"] == "!",
        counter=int(counter) if counter else None,
    )


def read_registry(
    reader: GitReader,
    tags: Sequence[tuple[str, str]] | None = None,
    *,
    known: dict[str, Any] | None = None,
    warned: set[str] | None = None,
) -> Registry:
    """Read the models that tags register.

    Tags that GTO cannot read are skipped, with one warning for all of them.

    Args:
        reader: The repository.
        tags: Its tags, where they have been read already.
        known: What an earlier call read of tags, which never changes: only other tags
            are read. It is replaced by what is known now, and can be saved as JSON.
        warned: The warnings of earlier calls, which are not repeated; new ones are
            added.

    Raises:
        UnreadableRepoError: Git cannot read the tags.
    """
    tags = reader.tags() if tags is None else tags
    ours = [(parsed, oid) for name, oid in tags if (parsed := parse_tag(name))]
    keys = {parsed.tag: f"{oid} {parsed.tag}" for parsed, oid in ours}
    found = {t: fact for t in keys if (fact := _parse_fact((known or {}).get(keys[t])))}
    counted = [CountedTag(p, *found[p.tag]) for p, _ in ours if p.tag in found]
    registry, new = _read_new(
        reader,
        [pair for pair in ours if pair[0].tag not in found],
        set() if warned is None else warned,
    )
    counted += new
    if known is not None:
        known.clear()
        known.update((keys[t.parsed.tag], [t.commit, t.time]) for t in counted)
    models, counters = count(counted)
    return replace(
        registry,
        models=models,
        counters=counters,
        counted=tuple(counted),
        oids={parsed.tag: oid for parsed, oid in ours},
    )


def _parse_fact(fact: Any) -> tuple[str, int] | None:
    """Return the commit and the time of a tag that was saved; None if it is damaged."""
    is_pair = isinstance(fact, list) and len(fact) == 2  # noqa: PLR2004
    if not is_pair or not isinstance(fact[0], str) or type(fact[1]) is not int:
        return None
    return (fact[0], fact[1]) if is_oid(fact[0]) else None


def _read_new(
    reader: GitReader, ours: Sequence[tuple[GtoTag, str]], warned: set[str]
) -> tuple[Registry, list[CountedTag]]:
    """Read tags: those that GTO ignores or Git cannot read, and those that count."""
    kinds = reader.kinds([oid for _, oid in ours]) if ours else []
    annotated = [pair for pair, kind in zip(ours, kinds, strict=True) if kind == TAG]
    lightweight = [
        found
        for (found, _), kind in zip(ours, kinds, strict=True)
        if kind not in {TAG, None}
    ]
    unreadable = {f for (f, _), kind in zip(ours, kinds, strict=True) if kind is None}
    invalid: set[str] = set()
    counted = _read_annotated(reader, annotated, invalid, unreadable)
    commits = list(dict.fromkeys(tag.commit for tag in counted))
    there = dict(zip(commits, reader.kinds(commits), strict=True)) if commits else {}
    unreadable.update(tag.parsed for tag in counted if there[tag.commit] is None)
    invalid.update(
        t.parsed.tag for t in counted if there[t.commit] not in {COMMIT, None}
    )
    _warn("ignored Git tags that GTO cannot read", invalid, warned)
    _warn(
        "Git cannot read these tags, or their commits are missing",
        {t.tag for t in unreadable},
        warned,
    )
    registry = Registry(lightweight=tuple(lightweight), unreadable=tuple(unreadable))
    return registry, [t for t in counted if there[t.commit] == COMMIT]


def _warn(what: str, names: Iterable[str], warned: set[str]) -> None:
    text = format_names(what, found) if (found := sorted(names)) else ""
    if text and text not in warned:
        warned.add(text)
        logger.warning("%s", text)


def _read_annotated(
    reader: GitReader,
    annotated: Sequence[tuple[GtoTag, str]],
    invalid: set[str],
    unreadable: set[GtoTag],
) -> list[CountedTag]:
    """Read the commits and times of annotated tags.

    Args:
        reader: The repository.
        annotated: The tags, and the ids of their objects.
        invalid: Receives the names of those that GTO cannot read.
        unreadable: Receives those that Git cannot read.
    """
    counted = []
    remaining: list[tuple[GtoTag, str, int | None]]
    remaining = [(parsed, oid, None) for parsed, oid in annotated]
    while remaining:
        objects = reader.read_all([oid for _, oid, _ in remaining])
        inner: list[tuple[GtoTag, str, int | None]] = []
        for (parsed, _, outer), found in zip(remaining, objects, strict=True):
            if found is None:
                unreadable.add(parsed)
                continue
            target, kind, made = _parse_object(found.data)
            time = made if outer is None else outer
            is_named = outer is not None or _is_named(found.data, parsed.tag)
            if time is None or kind not in {COMMIT, TAG} or not is_named:
                invalid.add(parsed.tag)
            elif kind == COMMIT:
                counted.append(CountedTag(parsed, target, time))
            else:  # `git tag -a b a` makes a tag of a tag
                inner.append((parsed, target, time))
        remaining = inner
    return counted


def _parse_object(data: bytes) -> tuple[str, str, int | None]:
    """Return the tagged object's id and kind, and the time in seconds."""
    head = data.partition(b"\n\n")[0].split(b"\n")
    tagger = next(filter(None, map(_TAGGER.fullmatch, head)), None)
    target = _TARGET.match(data)
    return (
        target["oid"].decode() if target else "",
        target["kind"].decode() if target else "",
        _time_of(tagger["time"]) if tagger else None,
    )


def _time_of(seconds: bytes) -> int | None:
    """Parse a time; None where Python has no such date."""
    time = int(seconds)
    return time if abs(time) < _YEAR_10000 else None


def _is_named(data: bytes, tag: str) -> bool:
    """Whether a tag object has the name of its ref; GTO uses the object's."""
    return b"\ntag %s\n" % os.fsencode(tag) in data.partition(b"\n\n")[0] + b"\n"


def format_names(what: str, names: Sequence[str]) -> str:
    """Format a list of names, shortened with the number of names left out."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{what}: {', '.join(names[:LISTED]) or 'none'}{more}"
