"""Which tags decide what a version or stage is, and whether they are signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.registry.gto.counting import semver_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.model import ModelRef, ModelVersion
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.gto.counting import CountedTag
    from dvc_studio_models.registry.gto.tags import Registry


def find_unsigned(
    ref: ModelRef, version: ModelVersion, registry: Registry, reader: GitReader
) -> str | None:
    """Verify the tags that make ``ref`` this version.

    These are the tag that registers it, the tag that assigns the stage, and tags that
    cancel what would count otherwise: a greater version, or a later assignment.

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
    deciding = list(_deciding(ref, version, tags))
    if not deciding:
        return "this clone has no tag that registers it"
    for tag in deciding:
        if problem := reader.find_signature_problem(registry.oids[tag.parsed.tag]):
            return f"tag '{tag.parsed.tag}': {problem}"
    return None


def _deciding(
    ref: ModelRef, version: ModelVersion, tags: list[CountedTag]
) -> Iterator[CountedTag]:
    at_commit = [
        tag for tag in tags if tag.commit == version.commit and not tag.parsed.cancels
    ]
    registering = [tag for tag in at_commit if tag.parsed.version == version.version]
    yield from _latest(registering)
    cancelled = [tag for tag in tags if tag.parsed.cancels]
    if ref.stage:
        assigning = [tag for tag in at_commit if tag.parsed.stage == ref.stage]
        yield from _latest(assigning)
        since = max((tag.time for tag in assigning), default=0)
        for tag in cancelled:
            is_relevant = tag.parsed.stage in {ref.stage, None}
            if is_relevant and tag.time >= since:
                yield tag
    elif not ref.version:
        for tag in cancelled:
            if semver_key(tag.parsed.version) > semver_key(version.version):
                yield tag


def _latest(tags: list[CountedTag]) -> list[CountedTag]:
    return [max(tags, key=lambda tag: (tag.time, tag.parsed.tag))] if tags else []
