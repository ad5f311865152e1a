"""Which tags decide what a version or stage is, and whether they are signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.registry.gto.counting import count
from dvc_studio_models.registry.gto.tags import Registry

if TYPE_CHECKING:
    from collections.abc import Collection

    from dvc_studio_models.model import ModelRef, ModelVersion
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.gto.counting import CountedTag


def find_unsigned(
    ref: ModelRef, version: ModelVersion, registry: Registry, reader: GitReader
) -> str | None:
    """Verify the tags that make ``ref`` this version.

    These are the tag that registers it, the tag that assigns the stage, and the tags
    that cancel others, if ``ref`` would be another version without them.

    Args:
        ref: What was requested.
        version: What it is by the tags.
        registry: The tags.
        reader: The repository, which verifies them.

    Returns:
        None if all are signed by a known key; else the reason.

    Raises:
        LocalDiskError: The system does not let Git run.
    """
    if reader.has_replacements():
        return "this clone replaces objects ('git replace')"
    tags = [tag for tag in registry.counted if tag.parsed.name == ref.name]
    deciding = _deciding(ref, version, tags)
    if not deciding:
        return "this clone has no tag that registers it"

    def find_problem(tag: CountedTag) -> str | None:
        return reader.find_signature_problem(registry.oids[tag.parsed.tag])

    for tag in deciding:
        if problem := find_problem(tag):
            return f"tag '{tag.parsed.tag}': {problem}"
    if ref.version:
        return None
    unsigned = {
        tag: problem
        for tag in tags
        if tag.parsed.cancels and (problem := find_problem(tag))
    }
    if not _matters(unsigned, ref, version, tags):
        return None
    alone = (tag for tag in unsigned if _matters([tag], ref, version, tags))
    tag = next(alone, next(iter(unsigned)))
    return f"tag '{tag.parsed.tag}', which cancels another: {unsigned[tag]}"


def _matters(
    some: Collection[CountedTag],
    ref: ModelRef,
    version: ModelVersion,
    tags: list[CountedTag],
) -> bool:
    """Whether ``ref`` would be another version without some tags."""
    models, _ = count([tag for tag in tags if tag not in some])
    return Registry(models).resolve(ref) != version


def _deciding(
    ref: ModelRef, version: ModelVersion, tags: list[CountedTag]
) -> list[CountedTag]:
    """Return the tags that register the version and assign the stage."""
    at_commit = [
        tag for tag in tags if tag.commit == version.commit and not tag.parsed.cancels
    ]
    registering = [tag for tag in at_commit if tag.parsed.version == version.version]
    assigning = [
        tag for tag in at_commit if ref.stage and tag.parsed.stage == ref.stage
    ]
    return [*_latest(registering), *_latest(assigning)]


def _latest(tags: list[CountedTag]) -> list[CountedTag]:
    return [max(tags, key=lambda tag: (tag.time, tag.parsed.tag))] if tags else []
