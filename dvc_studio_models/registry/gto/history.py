"""The history of a model: who registered, assigned and cancelled what, and when.

The rules are those of ``gto history``. Only the tags of one model are read, so the cost
does not grow with the number of the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dvc_studio_models.model import RegisteredVersion, TagEvent
from dvc_studio_models.registry.gto.counting import semver_key, versions_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.gto.counting import GtoTag, RegisteredModel
    from dvc_studio_models.registry.gto.tags import Registry

REGISTRATION, ASSIGNMENT = "registration", "assignment"
_EVENTS = {
    "deprecation": 2,
    REGISTRATION: 3,
    "deregistration": 4,
    ASSIGNMENT: 5,
    "unassignment": 6,
}
"""GTO's order of events of the same second."""

_TAGGER = re.compile(rb"tagger (?P<name>.*) <(?P<email>[^<>]*)> ")
_SIGNATURE = re.compile(
    rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SIGNED MESSAGE|SSH SIGNATURE)-----",
    re.MULTILINE,
)
"""Where Git ends a tag's message."""


def read_history(
    reader: GitReader, registry: Registry, name: str
) -> tuple[TagEvent, ...]:
    """Read the events of a model, newest first.

    Args:
        reader: The repository.
        registry: Its tags.
        name: Of the model, which may be deprecated.

    Raises:
        UnreadableRepoError: Git cannot read the tags.
    """
    tags = [tag for tag in registry.counted if tag.parsed.name == name]
    oids = [registry.oids[tag.parsed.tag] for tag in tags]
    objects = reader.read_all(oids) if oids else []
    at_commit = versions_at(tags)
    events = []
    for tag, found in zip(tags, objects, strict=True):
        parsed = tag.parsed
        version = parsed.version
        if parsed.stage:
            version = at_commit.get(tag.commit, tag.commit)
        author, email, message = _parse(found.data if found else b"")
        events.append(
            TagEvent(
                _event_of(parsed),
                version,
                parsed.stage,
                tag.commit,
                tag.time,
                author,
                email,
                message,
                parsed.tag,
            )
        )
    events.sort(key=lambda e: (e.time, _EVENTS[e.event], e.tag), reverse=True)
    return tuple(events)


def list_versions(
    model: RegisteredModel, history: Sequence[TagEvent]
) -> tuple[RegisteredVersion, ...]:
    """List the registered versions of a model, newest first.

    Commits without a version that a stage is assigned to are listed too.

    Args:
        model: With its versions and stages.
        history: Of the model, newest first.
    """
    versions = dict.fromkeys([*model.versions, *model.stages.values()])
    made: dict[tuple[str, str], TagEvent] = {}
    for event in history:
        if event.event in {REGISTRATION, ASSIGNMENT} and event.version:
            key = event.version, event.commit
            if key not in made or made[key].event == ASSIGNMENT != event.event:
                made[key] = event
    listed = [
        RegisteredVersion(
            at.registered,
            at.commit,
            event.time if event else 0,
            event.author if event else "",
            event.email if event else "",
            event.message if event else "",
            tuple(stage for stage, now in model.stages.items() if now == at),
        )
        for at in versions
        for event in [made.get((at.version, at.commit))]
    ]
    listed.sort(key=lambda v: (v.time, semver_key(v.version)), reverse=True)
    return tuple(listed)


def _event_of(parsed: GtoTag) -> str:
    if parsed.deprecates:
        return "deprecation"
    if parsed.stage:
        return "unassignment" if parsed.cancels else ASSIGNMENT
    return "deregistration" if parsed.cancels else REGISTRATION


def _parse(data: bytes) -> tuple[str, str, str]:
    """Return the tagger's name and address, and the message without a signature."""
    head, _, body = data.partition(b"\n\n")
    taggers = (_TAGGER.match(line) for line in head.split(b"\n"))
    tagger = next(filter(None, taggers), None)
    message = _SIGNATURE.split(body, maxsplit=1)[0].strip()
    return (
        _decode(tagger["name"]) if tagger else "",
        _decode(tagger["email"]) if tagger else "",
        _decode(message),
    )


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip()
