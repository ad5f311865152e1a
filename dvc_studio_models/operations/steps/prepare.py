"""The steps of a pull before the first byte: resolve, compare with lock and Git, plan.

Changes nothing in the workspace. Most steps return a :class:`plan.PreparedPull`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotGitRepoError, UsageError
from dvc_studio_models.files.folders import check_root
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.files.receipts import Receipts
from dvc_studio_models.files.workspace import Workspace
from dvc_studio_models.model import STUDIO, ModelRef
from dvc_studio_models.operations.steps.names import expand_names
from dvc_studio_models.operations.steps.plan import (
    PreparedPull,
    ProjectPull,
    check_globs,
    select_files,
)
from dvc_studio_models.operations.steps.targets import check_targets
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.sources import resolve, verification
from dvc_studio_models.sources.context import PullContext
from dvc_studio_models.sources.local.listings import listing_reader
from dvc_studio_models.sources.open import (
    open_source,
    suggest_alternatives,
    suggest_cache,
)
from dvc_studio_models.sources.settings import load_settings

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.model import ModelFile, Pin, PullOptions
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store


def open_context(options: PullOptions) -> PullContext:
    """Read the settings, and open the clone that the user's folder is in.

    Raises:
        UsageError: The repo that is named has no URL.
        NotGitRepoError: There is no clone, and no folder to place under is named.
        StudioConfigError: A setting cannot be used.
    """
    if options.repo is not None and not options.repo.strip():
        msg = "'--repo' is empty: give the URL of a Git repo, or leave it out"
        raise UsageError(msg)
    folder = Path(options.folder).absolute()
    settings = load_settings(folder, token=options.token, url=options.url)
    try:
        clone = Clone.find(folder)
    except NotGitRepoError:
        if options.out is None:
            raise
        return PullContext(folder, None, settings, options)
    return PullContext(folder, clone, settings, options)


def read_names(
    names: Sequence[str], context: PullContext, options: PullOptions
) -> list[ModelRef]:
    """Parse the names of models, each once.

    Args:
        names: As the user typed them, see :func:`expand_names`.
        context: A name without a folder may be that of a model of the user's folder.
        options: With the stage or version of every name without a selector of its own.

    Raises:
        UsageError: A name is not valid, or two select different versions of one model.
        NoModelMatchesError: No model matches a glob.
    """
    refs = [
        ModelRef.parse(name, version=options.version, stage=options.stage)
        for name in expand_names(names, context, options)
    ]
    if context.clone:
        refs = [context.clone.qualify(ref, context.folder) for ref in refs]
    by_name: dict[str, ModelRef] = {}
    for ref in refs:
        if by_name.setdefault(ref.name, ref) != ref:
            msg = f"'{ref.name}' is given twice: {by_name[ref.name]}, {ref}"
            raise UsageError(msg)
    return list(by_name.values())


def resolve_models(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
    stack: contextlib.ExitStack,
) -> tuple[Source, list[ResolvedModel]]:
    """Open the source, and resolve models to their files.

    Raises:
        UsageError: A glob is not valid.
        StudioModelsError: The source failed; an error of Studio's suggests another one.
    """
    check_globs([*options.include, *options.exclude])
    with suggest_alternatives(context, refs, pins, options):
        source = open_source(context, options)
        stack.callback(source.close)
        return source, source.resolve(refs, pins)


def check_paths(
    models: Sequence[ResolvedModel],
    workspace: Workspace,
    context: PullContext,
    *,
    source: str,
    together: bool,
) -> None:
    """Refuse paths that must not be written.

    Args:
        models: With the source's files.
        workspace: Where they are to be placed.
        context: Finds the clone that may track a path.
        source: The source of the paths, for the error.
        together: Whether all models are placed, so that no two may share a path.

    Raises:
        UnsafePathError: All bad paths.
    """
    for group in _groups(models, together=together):
        paths = [path for model in group for path in _stored(model)]
        check_targets(context, workspace, paths, source=source, together=together)


def without_excluded(
    models: Sequence[ResolvedModel], options: PullOptions
) -> Sequence[ResolvedModel]:
    """Return the models without the files that the globs leave out, to check paths.

    A file with an unsafe path stays, whatever the globs are.
    """
    if not options.is_partial:
        return models
    selected = set(selected_files(models, options))

    def is_checked(file: ModelFile) -> bool:
        return file in selected or path_problem(file.path) is not None

    return [
        replace(model, files=tuple(filter(is_checked, model.files))) for model in models
    ]


def source_label(source: Source, pins: Mapping[str, Pin]) -> str:
    """Describe the source of the paths, for an error."""
    if source.kind == STUDIO:
        return "Studio's reply"
    return "the lock file" if pins else "Git"


def verify_with_lock(
    models: Sequence[ResolvedModel],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
) -> list[ResolvedModel]:
    """Compare pinned models with their pins.

    Raises:
        LockMismatchError: A model has other files than its pin.
    """
    lock = None if isinstance(options.locked, bool) else str(options.locked)
    with suggest_cache(context, pins, options):
        return [
            resolve.verify_with_lock(model, pin, lock=lock)
            if (pin := pins.get(model.ref.name))
            else model
            for model in models
        ]


def open_stores(
    source: Source,
    models: Sequence[ResolvedModel],
    workspace: Workspace,
    context: PullContext,
    options: PullOptions,
) -> PreparedPull:
    """Group models by DVC project, and open the store and the receipts of each."""
    root = workspace.root
    if source.kind != STUDIO and context.clone:
        root = context.clone.root  # whose cache the source reads, wherever files go
    by_store: dict[Store, list[ResolvedModel]] = {}
    for model in models:
        store = context.open_store(root, _stored(model))
        by_store.setdefault(store, []).append(model)
    projects = []
    for store, of_project in by_store.items():
        receipts = Receipts(store.receipts)
        earlier = receipts.load(workspace.root)
        read_listing = listing_reader(store, source.kind, options)
        projects.append(ProjectPull(of_project, store, receipts, earlier, read_listing))
    refs = [model.ref for model in models]
    own = [ref for ref in refs if ref.repo is None]
    registry = context.open_registry() if own and context.clone else None
    names = [ref.name for ref in refs]
    return PreparedPull(context, source, workspace, projects, names, registry)


def with_known_digests(model: ResolvedModel, project: ProjectPull) -> ResolvedModel:
    """Add the hashes that earlier pulls computed, of objects whose URLs have none."""
    known = {
        version_id: receipt.files[path]
        for receipt in project.earlier
        for path, version_id in receipt.objects.items()
    }
    if not known:
        return model
    files = tuple(
        replace(
            file,
            digest=file.digest or known.get(resolve.object_version_id(file.url) or ""),
        )
        for file in model.files
    )
    return replace(model, files=files)


def verify_with_git(prepared: PreparedPull, *, together: bool) -> PreparedPull:
    """Compare all models with Git, and check the paths that Git adds to them.

    Args:
        prepared: With the source's files.
        together: See :func:`check_paths`.

    Raises:
        StudioModelsError: See :func:`verification.verify_with_git`.
    """
    registry = prepared.registry
    if registry is None:
        return prepared
    prepared = prepared.change_models(
        lambda model, project: verification.verify_with_git(
            model, registry, project.read_listing
        )
    )
    for models in _groups(prepared.models, together=together):
        # Git may track these paths by now.
        paths = [file.path for model in models for file in model.files if file.git_oid]
        prepared.workspace.check(paths, source="Git")
    return prepared


def verify_tags(prepared: PreparedPull, options: PullOptions) -> PreparedPull:
    """Verify the signatures of all models' tags, if that is required.

    Raises:
        SignatureError: See :func:`signatures.verify_tags`.
    """
    if not options.require_signed:
        return prepared
    from dvc_studio_models.sources import signatures

    registry = prepared.registry
    return prepared.change_models(
        lambda model, _: signatures.verify_tags(model, registry)
    )


def check_signed(prepared: PreparedPull, options: PullOptions) -> None:
    """Refuse downloaded content that Git has not verified, if signatures are required.

    Raises:
        SignatureError: See :func:`signatures.check_signed`.
    """
    if options.require_signed:
        from dvc_studio_models.sources import signatures

        for model in prepared.models:
            signatures.check_signed(model, prepared.registry)


def filter_files(prepared: PreparedPull, options: PullOptions) -> PreparedPull:
    """Remove the files that the globs leave out, and models without any file left.

    Raises:
        NothingSelectedError: No file is left.
    """
    if not options.is_partial:
        return prepared
    selected = set(selected_files(prepared.models, options))
    prepared = prepared.change_models(
        lambda model, _: replace(
            model, files=tuple(file for file in model.files if file in selected)
        )
    )
    projects = [
        replace(project, models=[model for model in project.models if model.files])
        for project in prepared.projects
    ]
    return replace(prepared, projects=[each for each in projects if each.models])


def selected_files(
    models: Iterable[ResolvedModel], options: PullOptions
) -> tuple[ModelFile, ...]:
    """Return the files that the globs select.

    Raises:
        NothingSelectedError: No file is left.
    """
    files = [file for model in models for file in model.files]
    return select_files(files, include=options.include, exclude=options.exclude)


def open_workspace(context: PullContext, options: PullOptions) -> Workspace:
    """Open the folder to place under, by its real path, which receipts name.

    Raises:
        UnsafePathError: The user names a folder inside of ``.git`` or ``.dvc``.
    """
    if options.out is not None:
        root = Path(os.path.realpath(context.folder / options.out))
        check_root(root)
        return Workspace(root)
    assert context.clone is not None  # noqa: S101 - else ``open_context`` has refused
    return Workspace(context.clone.root)


def _stored(model: ResolvedModel) -> list[str]:
    """Return the paths of the files that Git does not store."""
    return [file.path for file in model.files if not file.git_oid]


def _groups(
    models: Sequence[ResolvedModel], *, together: bool
) -> list[Sequence[ResolvedModel]]:
    """Return the models whose paths are checked against each other."""
    return [models] if together else [[model] for model in models]
