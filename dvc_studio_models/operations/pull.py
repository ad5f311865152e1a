"""The pull: the order of its steps.

Until all files of all models are verified, a failure leaves the workspace as it was;
then they are placed together. Of two pulls of one model into one folder, the second to
place may be refused, because its targets have changed.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    GitFilesDifferError,
    LocalDiskError,
    NotGitRepoError,
    ObjectGoneError,
    TargetExistsError,
    UnsafePathError,
    UsageError,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.log import collect_warnings
from dvc_studio_models.model import STUDIO, PullOptions
from dvc_studio_models.operations.steps import prepare
from dvc_studio_models.operations.steps.ignore import ignore_placed
from dvc_studio_models.operations.steps.lock import (
    check_lockable,
    check_options,
    check_verified,
    choose_models,
    lock_path,
    tell_pinned,
)
from dvc_studio_models.operations.steps.place import (
    download,
    place,
    release_parts,
)
from dvc_studio_models.operations.steps.plan import CONFLICT, link_arrived
from dvc_studio_models.operations.steps.report import (
    build_result,
    digests_of,
)
from dvc_studio_models.operations.steps.targets import make_plans
from dvc_studio_models.operations.steps.usage import record_usage
from dvc_studio_models.sources import verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.errors import WorkspaceError
    from dvc_studio_models.model import Pin, PullProgress, PullResult
    from dvc_studio_models.operations.steps.plan import PreparedPull
    from dvc_studio_models.operations.steps.progress import Report
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel


def pull_models(
    names: Sequence[str], options: PullOptions, report: Report | None = None
) -> PullResult:
    """Download models and place all of their files, or none.

    Args:
        names: As the user typed them; none means all that the lock file pins.
        options: Where from, where to, and how.
        report: Called from this thread while files are downloaded.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    check_options(names, options)
    with collect_warnings() as warnings:
        try:
            result = _pull(names, options, report or _ignore)
        except ObjectGoneError:  # 'cache prune' or 'dvc gc' was faster
            result = _pull(names, options, report or _ignore)
    return replace(result, warnings=tuple(warnings))


def _pull(names: Sequence[str], options: PullOptions, report: Report) -> PullResult:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        context = _open_context(options, stack)
        refs, pins = choose_models(names, context, options)
        tell_pinned(refs, context, options)
        lock_file = lock_path(options.lock, context) if options.lock else None
        source, models = prepare.resolve_models(refs, pins, context, options, stack)
        prepared = prepare_pull(source, models, pins, context, options)
        if lock_file:
            check_lockable(prepared.models, lock_file, prepared.registry)
        if options.dry_run:
            sizes = source.expected_sizes(prepared.to_download(), options)
            result = build_result(prepared, began=began, sizes=sizes)
            return replace(result, refused=_find_conflicts(prepared))
        if refused := _find_conflicts(prepared):
            raise refused
        _sweep(prepared)
        record_usage(prepared)
        stack.callback(release_parts, prepared)
        prepared = _download(prepared, report, options)
        if not options.is_partial:
            prepared = _verify_downloads_with_git(prepared)
        if lock_file:
            check_verified(prepared.models, prepared.registry)
        prepare.check_signed(prepared, options)
        place(prepared, lock_file, options)
        record_usage(prepared)
        result = build_result(prepared, began=began)
        return replace(result, gitignore=ignore_placed(prepared, options))


def prepare_pull(
    source: Source,
    models: Sequence[ResolvedModel],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
    *,
    together: bool = True,
) -> PreparedPull:
    """Take all steps between the source's reply and the first byte.

    Args:
        source: Of the models.
        models: As the source resolved them.
        pins: Of the pinned models, by their names.
        context: With the clone, the settings and the stores.
        options: What the user wants.
        together: Whether all are placed, so that no two may share a path.

    Raises:
        StudioModelsError: The models must not, or cannot, be pulled.
    """
    workspace = prepare.open_workspace(context, options)
    label = prepare.source_label(source, pins)
    chosen = prepare.without_excluded(models, options)
    prepare.check_paths(chosen, workspace, context, source=label, together=together)
    models = prepare.verify_with_lock(models, pins, context, options)
    prepared = prepare.open_stores(source, models, workspace, context, options)
    prepared = prepared.change_models(prepare.with_known_digests)
    prepared = prepare.verify_with_git(prepared, together=together)
    prepared = prepare.verify_tags(prepared, options)
    prepared = prepare.filter_files(prepared, options)
    return make_plans(prepared, options)


def find_urls(names: Sequence[str], options: PullOptions) -> dict[str, str]:
    """Ask Studio for the signed URLs of models' files: repo-relative path to URL.

    Args:
        names: As the user typed them; none means all that the lock file pins.
        options: Which repo, and which files.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    check_options(names, options)
    if options.lock or options.source not in {None, STUDIO}:
        msg = "'--urls' only prints Studio's links: leave out '--source' and '--lock'"
        raise UsageError(msg)
    if options.require_signed:
        msg = "'--urls' verifies no content: leave out '--require-signed'"
        raise UsageError(msg)
    # Nothing is placed: neither a clone nor the cache is needed.
    out = options.out or options.folder
    options = replace(options, source=STUDIO, cache=False, out=out)
    with contextlib.ExitStack() as stack:
        context = _open_context(options, stack)
        refs, pins = choose_models(names, context, options)
        _, models = prepare.resolve_models(refs, pins, context, options, stack)
        models = prepare.verify_with_lock(models, pins, context, options)
    files = prepare.selected_files(models, options)
    problems = [(file.path, why) for file in files if (why := path_problem(file.path))]
    if problems:
        raise UnsafePathError(problems)
    return {file.path: file.url for file in files}


def _open_context(options: PullOptions, stack: contextlib.ExitStack) -> PullContext:
    try:
        context = prepare.open_context(options)
    except NotGitRepoError as error:
        error.add_hint("Or use '--repo URL --out DIR'")
        raise
    stack.callback(context.close)
    return context


def _find_conflicts(prepared: PreparedPull) -> WorkspaceError | None:
    """Return the error for content that would be lost, or that Git tracks."""
    conflicts = {
        step.file.path: step.file
        for project in prepared.projects
        for plan in project.plans
        for step in plan.steps_to(CONFLICT)
    }
    if lost := [path for path, file in conflicts.items() if not file.git_oid]:
        return TargetExistsError(lost)
    for model in prepared.models:
        in_git = [path for path in model.paths if path in conflicts]
        if in_git and model.version:
            folder = model.record.path if model.record else ""
            from dvc_studio_models.registry.commands import git_checkout

            command = git_checkout(model.version.commit, in_git, folder=folder)
            return GitFilesDifferError(model.ref.name, command, in_git)
    return None


def _sweep(prepared: PreparedPull) -> None:
    """Remove what killed pulls left."""
    for project in prepared.projects:
        project.store.sweep()
    prepared.workspace.sweep(path for model in prepared.models for path in model.paths)


def _download(
    prepared: PreparedPull, report: Report, options: PullOptions
) -> PreparedPull:
    """Download what is missing; once more, without the user's cache, if that fails.

    Raises:
        StudioModelsError: See :func:`place.download`.
    """
    try:
        return download(prepared, report, jobs=options.jobs)
    except LocalDiskError as error:
        release_parts(prepared)
        files = prepared.to_download()
        digests = [file.digest for file in files if file.digest]
        stores = [project.store for project in prepared.projects]
        if not any(store.stop_caching(error, digests) for store in stores):
            raise
    for project in prepared.projects:
        project.downloads.clear()
    projects = [link_arrived(project) for project in prepared.projects]
    prepared = replace(prepared, projects=projects)
    return download(prepared, report, jobs=options.jobs)


def _verify_downloads_with_git(prepared: PreparedPull) -> PreparedPull:
    """Compare with Git the hashes that are known only after the download."""
    registry = prepared.registry
    if registry is None:
        return prepared
    return prepared.change_models(
        lambda model, project: verification.verify_downloads_with_git(
            model,
            digests_of(model, project.downloads),
            registry,
            project.read_listing,
        )
    )


def _ignore(_progress: PullProgress) -> None:
    """Report nothing."""
