"""What the local Git history knows of models: versions, stages, paths, recorded hashes.

Reads GTO tags as GTO counts them and DVC files as DVC loads them, never a working tree
and never the network. Answers can be memoised in a small JSON file of the caller's:
GTO takes over half a second to import. A stale, broken or foreign memo is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import posixpath
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest, ModelVersion, Record
from dvc_studio_models.scratch import waiting_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from dvc.fs import FileSystem
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from scmrepo.git import Git
    from scmrepo.git.objects import GitTag

    from dvc_studio_models.model import ModelRef

logger = logging.getLogger(f"dvc.{__name__}")

MEMO_FORMAT = 1
MEMO_RECORDS = 500  # the newest ones are kept; one takes some 200 bytes
LISTED = 10  # names in an error sentence, before it says how many more there are

_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_TAGS = b"refs/tags"


@dataclass(frozen=True)
class KnownModel:
    """A model that counts: registered and not deprecated."""

    name: str
    """As GTO and Studio spell it: ``churn`` or ``dir:churn``."""

    versions: tuple[ModelVersion, ...]
    """The registered ones, greatest SemVer first."""

    stages: Mapping[str, ModelVersion] = field(default_factory=dict)
    """Where each stage is now. A stage may lie on a commit without a version; its
    ``version`` is the commit then."""


def known(scm: Git, *, memo: Path | None = None) -> tuple[KnownModel, ...]:
    """List the models by name, with their versions and current stages.

    ``memo`` is a file that spares importing GTO while the tags are the same.
    """
    tags = fingerprint(scm)
    state = _load_memo(memo)
    if state.get("tags") == tags:
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            return tuple(_model_from_json(model) for model in state["models"])
    models = _read_tags(scm)
    state.update(tags=tags, models=[asdict(model) for model in models])
    _save_memo(memo, state)
    return models


def resolve(
    scm: Git, ref: ModelRef, *, memo: Path | None = None
) -> ModelVersion | None:
    """Find the version that ``ref`` means now, as far as the clone's tags know."""
    return select(known(scm, memo=memo), ref)


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


def read_record(
    scm: Git, commit: str, name: str, *, memo: Path | None = None
) -> Record | None:
    """Read where a model lies at a commit, and the hash that DVC recorded for it.

    Args:
        scm: The clone, bare or not.
        commit: Full SHA-1; what it is never changes, so ``memo`` keeps what was read.
        name: ``churn``, or ``dir:churn`` for ``dir/dvc.yaml``.
        memo: See :func:`known`.

    Returns:
        None where the commit annotates no such model, or cannot be read.
    """
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    state = _load_memo(memo)
    key = f"{commit} {name}"
    records = state.setdefault("records", {})
    with contextlib.suppress(KeyError, TypeError):
        return _record_from_json(records[key])
    try:
        found = open_model(scm, commit, name)
        record = _record(*found) if found else None
    except (DvcException, SCMError, OSError, KeyError, ValueError) as exc:
        logger.debug("cannot read model '%s' at commit '%s': %s", name, commit, exc)
        return None
    records[key] = asdict(record) if record else None
    state["records"] = dict(list(records.items())[-MEMO_RECORDS:])
    _save_memo(memo, state)
    return record


def _record(project: Repo, path: str) -> Record:
    if out := find_output(project, path):
        return Record(path, digest_of(out.hash_info), out.meta.size)
    return Record(path, None)


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
        if parsed.get(ACTION) in order and (tag := _annotated(scm, tag_name)):
            found.append((order[parsed[ACTION]], parsed[NAME], tag))
    found.sort(key=lambda item: (item[0], item[2].tag_time))
    return ((name, tag) for _, name, tag in found)


def _annotated(scm: Git, tag_name: str) -> GitTag | None:
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


def open_model(scm: Git, commit: str, name: str) -> tuple[Repo, str] | None:
    """Open the DVC project that holds a model, as it was at ``commit``.

    Returns:
        The project on Git's file system, whose ``/`` is the Git root (closing it would
        close ``scm``), and the model's path relative to that root; None where the
        commit annotates no such model.

    Raises:
        DvcException: The commit, or a DVC file in it, cannot be read.
    """
    from dvc.fs import GitFileSystem

    fs = GitFileSystem(scm=scm, rev=commit)
    folder, _, short_name = name.rpartition(":")
    project = _open_project(scm, fs, folder)
    path = _annotated_path(project, folder, short_name)
    if path is None:
        return None
    if _project_root(fs, posixpath.dirname(path)) != project.root_dir:
        project = _open_project(scm, fs, posixpath.dirname(path))
    return project, path


def find_output(project: Repo, path: str) -> Output | None:
    """Find what DVC recorded for exactly ``path``, relative to the Git root."""
    for out in _outs(project, path):
        if out.protocol == "local" and out.fs_path == f"/{path}":
            return out
    return None


def digest_of(recorded: HashInfo | None) -> Digest | None:
    """Give the hash as a digest, or None where it is none that names content."""
    if recorded and recorded.name in {MD5, MD5_DOS2UNIX}:
        is_md5 = _HASH.fullmatch(recorded.value)
        return Digest(recorded.name, recorded.value) if is_md5 else None
    return None


def _open_project(scm: Git, fs: FileSystem, folder: str) -> Repo:
    from dvc.repo import Repo

    return Repo(_project_root(fs, folder), fs=fs, scm=scm, uninitialized=True)


def _project_root(fs: FileSystem, folder: str) -> str:
    """Find the project around ``folder``, which need not exist; else the Git root."""
    path = f"/{folder}".rstrip("/")
    while path and not fs.isdir(f"{path}/.dvc"):
        path = path.rpartition("/")[0]
    return path or "/"


def _annotated_path(project: Repo, folder: str, short_name: str) -> str | None:
    """Read the model's path from its ``dvc.yaml``, relative to the Git root."""
    from dvc.dvcfile import load_file

    dvc_yaml = load_file(project, posixpath.join("/", folder, "dvc.yaml"))
    if not dvc_yaml.exists():
        return None
    path = (dvc_yaml.artifacts.get(short_name) or {}).get("path")
    if not path or "://" in path:
        return None
    path = posixpath.normpath(posixpath.join(folder, path))
    return None if path in {".", ".."} or path.startswith(("/", "../")) else path


def _outs(project: Repo, path: str) -> Iterator[Output]:
    """Give outputs, those of the likeliest files first: a whole index may be slow."""
    from dvc.repo.index import Index

    parents = [posixpath.dirname(f"/{path}")]
    while parents[-1] not in {"/", project.root_dir}:
        parents.append(posixpath.dirname(parents[-1]))
    nearby = [f"/{path}.dvc", *(posixpath.join(p, "dvc.yaml") for p in parents)]
    for file in nearby:
        if project.fs.isfile(file) and not project.dvcignore.is_ignored_file(file):
            yield from Index.from_file(project, file).outs
    yield from project.index.outs


def _load_memo(memo: Path | None) -> dict[str, Any]:
    if memo is not None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            state = json.loads(memo.read_bytes())
            ours = isinstance(state, dict) and state.get("format") == MEMO_FORMAT
            if ours and isinstance(state.get("records", {}), dict):
                return dict(state)
    return {"format": MEMO_FORMAT}


def _save_memo(memo: Path | None, state: dict[str, Any]) -> None:
    if memo is None:
        return
    temp = memo.with_name(waiting_name())
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temp.write_text(json.dumps(state), encoding="utf-8")
        temp.replace(memo)
    except OSError as exc:  # a read-only clone is slower, not wrong
        logger.debug("cannot save '%s': %s", memo.name, exc.strerror)
        with contextlib.suppress(OSError):
            temp.unlink()


def _model_from_json(value: dict[str, Any]) -> KnownModel:
    return KnownModel(
        value["name"],
        tuple(ModelVersion(**version) for version in value["versions"]),
        {s: ModelVersion(**version) for s, version in value["stages"].items()},
    )


def _record_from_json(value: dict[str, Any] | None) -> Record | None:
    if value is None:
        return None
    digest = value["digest"]
    return Record(**{**value, "digest": Digest(**digest) if digest else None})
