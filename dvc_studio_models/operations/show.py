"""What there is to know of a model: its versions, its history, and what of it is here.

All from the clone: tags, commits, the DVC cache and the workspace. Models of another
repo are listed and described by the server, where it is ``dvc models serve``.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    GitRemoteError,
    RecordUnreadableError,
    StudioConfigError,
    UnreadableRepoError,
    UsageError,
    VersionUnknownError,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import ABSENT, ListedModel, WorkspaceState
from dvc_studio_models.operations.contents import list_files
from dvc_studio_models.operations.inventory import Inventory
from dvc_studio_models.operations.steps.names import with_known_repos
from dvc_studio_models.operations.steps.prepare import open_context, read_names
from dvc_studio_models.registry.lockfile import read_default
from dvc_studio_models.registry.urls import repo_id
from dvc_studio_models.sources.registered import (
    describe_remote,
    is_of_clone,
    list_registered,
)
from dvc_studio_models.sources.resolve import infer_repo_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from dvc_studio_models.model import (
        ModelDetails,
        ModelRef,
        ModelSummary,
        ModelVersion,
        Pin,
        PullOptions,
    )
    from dvc_studio_models.registry.recorded import RecordedModel
    from dvc_studio_models.sources.context import PullContext

logger = get_logger(__name__)

_HOW_TO_FIND = (
    "Run 'git fetch --tags', or name the models' repo with '--repo URL' or "
    "'dvc config studio.repo_url URL'"
)
_UNREADABLE = (RecordUnreadableError, StudioConfigError, UnreadableRepoError)


@dataclass(frozen=True)
class CacheState:
    """What the DVC cache has of one version."""

    files: int | None
    """The number of its files that are there; None if it lacks the list of a folder."""

    size: int | None
    """Their size in bytes."""


@dataclass(frozen=True)
class ShownModel:
    """One model, as ``dvc models show`` shows it."""

    ref: ModelRef
    details: ModelDetails
    workspace: WorkspaceState | None = None
    """None for a model of another repo, as for ``cache``, ``metrics``, ``params``."""

    cache: CacheState | None = None
    metrics: Mapping[str, Mapping[str, Any]] | None = None
    """Of the whole DVC project at that commit: path of a file to its values."""

    params: Mapping[str, Mapping[str, Any]] | None = None
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""


@dataclass(frozen=True)
class ShowResult:
    """The models that were asked for."""

    repo: str
    """The repo's URL; a clone's folder if it has no remote."""

    models: tuple[ShownModel, ...]


def show_models(names: Sequence[str], options: PullOptions) -> ShowResult:
    """Show models.

    Args:
        names: ``churn``, or with the version to describe ``churn@v1.0.0``,
            ``churn#prod``; or globs.
        options: Which repo, and whether all models are wanted.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    if not (names or options.all_models):
        msg = "no model given: name one or more, or use '--all'"
        raise UsageError(msg)
    with contextlib.ExitStack() as stack:
        # Nothing is placed, so outside of Git a repo's URL is enough.
        context = open_context(replace(options, out=options.out or options.folder))
        stack.callback(context.close)
        refs = read_names(names, context, options)
        if not is_of_clone(context, options):
            url = infer_repo_url(context.clone, context.settings, options)
            models = tuple(_show_remote(ref, url, context) for ref in refs)
            return ShowResult(url, models)
        refs = with_known_repos(refs, read_lock(context), context, options)
        inventory = Inventory(context.folder, context.clone)
        stack.callback(inventory.close)
        repo = repo_label(context, options)
        lacks_tags = options.repo is not None and not inventory.registry.models
        if lacks_tags:
            refs = [replace(ref, repo=repo) for ref in refs]
        models = tuple(
            _show_other(ref, inventory, context) if ref.repo else _show(ref, inventory)
            for ref in refs
        )
        return ShowResult(repo, models)


def _show_remote(ref: ModelRef, repo_url: str, context: PullContext) -> ShownModel:
    """Show a model of another repo, as its server describes it."""
    details = describe_remote(ref, repo_url, context)
    return ShownModel(replace(ref, repo=repo_url), details)


def _show_other(
    ref: ModelRef, inventory: Inventory, context: PullContext
) -> ShownModel:
    """Show a model that a lock or an earlier pull knows to be of another repo."""
    assert ref.repo  # noqa: S101 - else it is of the clone
    listed = (each for each in inventory.list_models() if each.name == ref.name)
    here = next((each for each in listed if each.repo == ref.repo), None)
    shown = _show_remote(ref, ref.repo, context)
    return replace(shown, workspace=here.workspace if here else None)


def read_lock(context: PullContext) -> dict[str, Pin]:
    """Read the pins of the default lock file; none if there is no such file.

    Raises:
        LockFileError: It cannot be read.
    """
    return read_default(context.clone.root) if context.clone else {}


def repo_label(context: PullContext, options: PullOptions) -> str:
    """Return the repo's URL, or the clone's folder if it has no remote."""
    try:
        return infer_repo_url(context.clone, context.settings, options)
    except GitRemoteError:
        return str(context.clone.root if context.clone else context.folder)


def _show(ref: ModelRef, inventory: Inventory) -> ShownModel:
    """Show a model of the clone.

    Raises:
        VersionUnknownError: There is no such model, or no such version of it.
    """
    registry = inventory.registry
    version = registry.resolve(ref)
    problem = registry.tags.version_error(ref)
    if version is None and (ref.selector or not _is_known(ref.name, inventory)):
        missing = registry.tags.describe_missing(ref)
        hint = None if registry.models else _HOW_TO_FIND
        raise problem or VersionUnknownError(
            ref, missing, problem="cannot show", hint=hint
        )
    if problem:
        logger.warning("%s", str(problem).partition("\n")[0])
    listed = inventory.describe(ref.name)
    notes: list[str] = []
    if not (version or registry.read_history(ref.name)):
        notes.append("this clone has no tag of it; 'git fetch --tags' may bring some")
    try:
        details = registry.describe(ref.name, version)
        record = registry.read_record(ref.name, version) if version else None
    except _UNREADABLE as error:
        notes.append(str(error).partition("\n")[0])
        record = None
        details = registry.describe(ref.name, None)
        if version:
            details = replace(
                details, version=version.registered, commit=version.commit
            )
    shown = ShownModel(
        ref,
        replace(details, path=details.path or listed.path),
        listed.workspace,
        _look_in_cache(record, inventory) if record else None,
    )
    return _with_measures(shown, version, record, inventory, notes)


def _is_known(name: str, inventory: Inventory) -> bool:
    """Whether a model is registered, was deprecated, or is annotated."""
    if inventory.registry.tags.find(name) or name in inventory.annotated:
        return True
    return bool(inventory.registry.read_history(name))


def _look_in_cache(record: RecordedModel, inventory: Inventory) -> CacheState:
    files = list_files(record, inventory)
    if files is None:
        return CacheState(None, None)
    sizes = [
        inventory.project_of(record.path).size_in_cache(file.digest) for file in files
    ]
    there = [size for size in sizes if size is not None]
    return CacheState(len(there), sum(there))


def _with_measures(
    shown: ShownModel,
    version: ModelVersion | None,
    record: RecordedModel | None,
    inventory: Inventory,
    notes: list[str],
) -> ShownModel:
    """Add the metrics and params of the version's commit, and the notes."""
    if version is None or record is None:
        return replace(shown, notes=tuple(notes))
    folder = record.project
    cache = inventory.project_of(record.path).cache_folder
    try:
        measures = inventory.registry.read_measures(
            version, folder, str(cache) if cache else None
        )
    except _UNREADABLE as error:
        notes.append(f"no metrics and params: {str(error).partition(chr(10))[0]}")
        return replace(shown, notes=tuple(notes))
    notes += measures.notes
    return replace(
        shown, metrics=measures.metrics, params=measures.params, notes=tuple(notes)
    )


# The list of a repo's models


def list_models(options: PullOptions) -> list[ListedModel]:
    """List the models of the repo that the options name.

    Args:
        options: With the repo's URL.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    with contextlib.ExitStack() as stack:
        # Nothing is placed, so outside of Git a repo's URL is enough.
        context = open_context(replace(options, out=options.out or options.folder))
        stack.callback(context.close)
        here: list[ListedModel] = []
        if context.clone is not None:
            inventory = Inventory(context.folder, context.clone)
            stack.callback(inventory.close)
            here = inventory.list_models()
            if is_of_clone(context, options) and inventory.registry.models:
                return [model for model in here if model.repo is None]
        return _list_remote(here, context, options)


def _list_remote(
    here: list[ListedModel], context: PullContext, options: PullOptions
) -> list[ListedModel]:
    """List the models of another repo, and what of them is in the workspace."""
    url = infer_repo_url(context.clone, context.settings, options)
    is_own = is_of_clone(context, options)
    known = {
        model.name: model
        for model in here
        if (is_own and model.repo is None)
        or (model.repo is not None and repo_id(model.repo) == repo_id(url))
    }
    return [
        _with_workspace(model, known.get(model.name), None if is_own else url)
        for model in list_registered(context, options)
    ]


def _with_workspace(
    model: ModelSummary, here: ListedModel | None, repo: str | None
) -> ListedModel:
    return ListedModel(
        model.name,
        here.path if here else None,
        here.workspace if here else WorkspaceState(ABSENT),
        model.latest,
        model.stages,
        model.versions,
        repo,
        here.locked if here else None,
    )
