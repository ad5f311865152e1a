"""What the local Git tags know of models: their versions and stages.

Reads GTO tags as GTO counts them, never the network. Answers can be memoised in a small
JSON file of the caller's: GTO takes over half a second to import.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models import memo as memos
from dvc_studio_models.model import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from scmrepo.git import Git
    from scmrepo.git.objects import GitTag

    from dvc_studio_models.model import ModelRef

logger = logging.getLogger(f"dvc.{__name__}")

LISTED = 10  # names in an error sentence, before it says how many more there are

_TAGS = b"refs/tags"


@dataclass(frozen=True)
class KnownModel:
    """A model that counts: registered and not deprecated."""

    name: str
    """As GTO and Studio spell it: ``churn`` or ``dir:churn``."""

    versions: tuple[ModelVersion, ...]
    """The registered ones, greatest SemVer first."""

    stages: Mapping[str, ModelVersion] = field(default_factory=dict)
    """Where each stage is now, be it on a commit without a version."""


def known(scm: Git, *, memo: Path | None = None) -> tuple[KnownModel, ...]:
    """List the models by name, with their versions and current stages.

    ``memo`` is a file that spares importing GTO while the tags are the same.
    """
    tags = fingerprint(scm)
    state = memos.load(memo)
    if state.get("tags") == tags:
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            return tuple(_model_from_json(model) for model in state["models"])
    models = _read_tags(scm)
    state.update(tags=tags, models=[asdict(model) for model in models])
    memos.save(memo, state)
    return models


def select(models: Iterable[KnownModel], ref: ModelRef) -> ModelVersion | None:
    """Find what ``ref`` means; with neither version nor stage: the greatest SemVer."""
    model = next((m for m in models if m.name == ref.name), None)
    if model is None:
        return None
    if ref.stage:
        return model.stages.get(ref.stage)
    if ref.version:
        return next((v for v in model.versions if v.version == ref.version), None)
    return model.versions[0] if model.versions else None


def explain(models: Iterable[KnownModel], ref: ModelRef) -> str:
    """Say why :func:`select` found nothing, and what there is instead."""
    by_name = {model.name: model for model in models}
    model = by_name.get(ref.name)
    if model is None:
        names = _listed("registered models", by_name)
        return f"model '{ref.name}' is not registered; {names}"
    if ref.stage:
        stages = _listed("known stages", model.stages)
        return f"stage '{ref.stage}' is not assigned; {stages}"
    versions = _listed("known versions", [v.version for v in model.versions])
    if ref.version:
        return f"version '{ref.version}' is not registered; {versions}"
    return f"no version of '{ref.name}' is registered; {versions}"


def fingerprint(scm: Git) -> str:
    """Hash the names and object ids of all tags: equal as long as no tag changes."""
    # Through dulwich, which `Git` has loaded: the first use of pygit2 takes 0.1 s.
    refs = scm.dulwich.repo.refs.as_dict(_TAGS)
    lines = b"".join(b"%s %s\n" % (refs[name], name) for name in sorted(refs))
    return hashlib.sha256(lines).hexdigest()


def _listed(what: str, names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{what}: {', '.join(names[:LISTED]) or 'none'}{more}"


def _read_tags(scm: Git) -> tuple[KnownModel, ...]:
    """Let GTO count the tags, without its slow search for annotations."""
    from gto.base import BaseRegistryState
    from gto.exceptions import GTOException
    from gto.tag import index_tag

    state = BaseRegistryState()
    ignored = []
    for name, tag in _gto_tags(scm):
        try:
            artifact = state.find_artifact(name, create_new=True)
            state.update_artifact(index_tag(artifact, tag))
        except (GTOException, ValueError) as exc:
            logger.debug("ignored the Git tag '%s': %s", tag.name, exc)
            ignored.append(tag.name)
    if ignored:
        logger.warning(_listed("ignored Git tags that GTO cannot count", ignored))
    found = sorted(state.get_artifacts().items())
    return tuple(_count(artifact) for _, artifact in found if artifact.is_active)


def _gto_tags(scm: Git) -> Iterator[tuple[str, GitTag]]:
    """Give each annotated GTO tag with its model's name, in GTO's order of counting."""
    from gto.constants import ACTION, NAME, Action
    from gto.tag import parse_name

    order = {Action.DEPRECATE: 0, Action.REGISTER: 1, Action.DEREGISTER: 1}
    order |= {Action.ASSIGN: 2, Action.UNASSIGN: 2}
    found = []
    for tag_name in scm.list_tags():
        parsed = parse_name(tag_name, raise_on_fail=False)
        if parsed.get(ACTION) in order and (tag := _dated(scm, tag_name)):
            found.append((order[parsed[ACTION]], parsed[NAME], tag))
    found.sort(key=lambda item: (item[0], item[2].tag_time))
    return ((name, tag) for _, name, tag in found)


def _dated(scm: Git, tag_name: str) -> GitTag | None:
    from scmrepo.git.objects import GitTag

    try:
        tag = scm.get_tag(tag_name)
        if not isinstance(tag, GitTag):
            return None
        # `git tag -a b a` makes a tag of a tag: what counts is the commit behind it.
        target = scm.dulwich.repo.get_peeled(_TAGS + b"/" + os.fsencode(tag_name))
    except (AttributeError, KeyError, ValueError) as exc:  # no tagger, no such object
        logger.debug("ignored the Git tag '%s': %r", tag_name, exc)
        return None
    return replace(tag, name=tag_name, target=target.decode("ascii"))


def _count(artifact: Any) -> KnownModel:
    from gto.constants import VersionSort

    def at(found: Any) -> ModelVersion:
        return ModelVersion(found.version, found.commit_hexsha)

    stages = artifact.get_vstages(sort=VersionSort.Timestamp).items()
    return KnownModel(
        artifact.artifact,
        tuple(at(version) for version in artifact.get_versions()),
        {stage: at(assigned[0]) for stage, assigned in sorted(stages)},
    )


def _model_from_json(value: dict[str, Any]) -> KnownModel:
    return KnownModel(
        value["name"],
        tuple(ModelVersion(**version) for version in value["versions"]),
        {s: ModelVersion(**version) for s, version in value["stages"].items()},
    )
