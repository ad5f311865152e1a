"""The pull: the order of its steps, and the Python interface.

Both functions may be called from any thread, inside a Git repo or, with ``repo`` and
``out``, outside of one. They print nothing. Until all files of all models are verified,
a failure leaves the workspace as it was; then they are placed together. Of two pulls
of one model into one folder, the second to place may be refused, because its targets
have changed: call it again.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    GitFilesDifferError,
    NotGitRepoError,
    TargetExistsError,
    UnsafePathError,
    UsageError,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.model import STUDIO, PullOptions
from dvc_studio_models.operations.steps import prepare
from dvc_studio_models.operations.steps.lock import (
    check_lockable,
    check_options,
    check_verified,
    choose_models,
    lock_path,
)
from dvc_studio_models.operations.steps.place import (
    download,
    place,
    release_parts,
)
from dvc_studio_models.operations.steps.plan import CONFLICT
from dvc_studio_models.operations.steps.report import (
    build_result,
    digests_of,
)
from dvc_studio_models.operations.steps.targets import make_plans
from dvc_studio_models.registry.commands import git_checkout
from dvc_studio_models.sources import verification

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from dvc_studio_models.model import Pin, PullResult
    from dvc_studio_models.operations.steps.plan import PreparedPull
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel

    Report = Callable[[int, int | None], None]


def pull(  # noqa: PLR0913 - as many as the command has options, all named
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    out: str | os.PathLike[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    source: str | None = None,
    lock: bool | str | os.PathLike[str] = False,
    locked: bool | str | os.PathLike[str] = False,
    force: bool = False,
    cache: bool = True,
    dry_run: bool = False,
    jobs: int | None = None,
    token: str | None = None,
    url: str | None = None,
    progress: Report | None = None,
) -> PullResult:
    """Download models to their paths in the workspace: all of their files, or none.

    >>> result = pull("churn", stage="prod")
    >>> result.models[0].version
    'v2.0.0'
    >>> [(file.path, file.action) for file in result.models[0].files]
    [('models/churn.pkl', 'downloaded')]

    Args:
        names: ``churn``, ``churn@v1.2.0``, ``churn#prod``, ``dir:churn``.
        stage: For every name without a selector of its own.
        version: The same; with or without the leading ``v``.
        repo: URL of the Git repo as registered in Studio; by default that of the Git
            remote.
        git_remote: The Git remote to take the URL from.
        folder: Where to act: a folder of the clone.
        out: Place below this folder instead of the Git root.
        include: Globs on repo-relative paths, as in ``.dvcignore``.
        exclude: The same, for files not to pull.
        source: ``studio``; ``remote``, the user's own DVC remote; ``cache``, the DVC
            cache only. The last two resolve versions from local Git tags. By default
            Studio, or the cache if the settings say offline.
        lock: Pin the models in this file; True is ``models.lock`` in the Git root.
        locked: Pull exactly what this file pins; without names all of its models.
        force: Replace files whose content would be lost.
        cache: Add the files to the DVC cache.
        dry_run: Return what would be done, and do nothing.
        jobs: The most connections at a time, 1 to 256. By default 16, and up to 64
            for small files where the network is slow.
        token: For Studio; by default from the settings, as is ``url``.
        url: Studio's base URL.
        progress: Called from this thread with the bytes that are there and their total,
            which is None until it is known.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    options = PullOptions(
        stage=stage,
        version=version,
        repo=repo,
        git_remote=git_remote,
        folder=folder,
        out=out,
        include=include,
        exclude=exclude,
        source=source,
        lock=lock,
        locked=locked,
        force=force,
        cache=cache,
        dry_run=dry_run,
        jobs=jobs,
        token=token,
        url=url,
    )
    return pull_models(names, options, progress)


def pull_models(
    names: Sequence[str], options: PullOptions, report: Report | None = None
) -> PullResult:
    """Pull models, see :func:`pull`.

    Args:
        names: As the user typed them; none means all that the lock file pins.
        options: Where from, where to, and how.
        report: See ``progress`` there.

    Raises:
        StudioModelsError: See there.
    """
    check_options(names, options)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        context = _open_context(options, stack)
        refs, pins = choose_models(names, context, options)
        lock_file = lock_path(options.lock, context) if options.lock else None
        source, models = prepare.resolve_models(refs, pins, context, options, stack)
        prepared = prepare_pull(source, models, pins, context, options)
        if lock_file:
            check_lockable(prepared.models, lock_file, prepared.registry)
        if options.dry_run:
            sizes = source.expected_sizes(prepared.to_download(), options)
            return build_result(prepared, began=began, sizes=sizes)
        _refuse_conflicts(prepared)
        _sweep(prepared)
        stack.callback(release_parts, prepared)
        prepared = download(prepared, report or _ignore, jobs=options.jobs)
        if not options.is_partial:
            prepared = _verify_downloads_with_git(prepared)
        if lock_file:
            check_verified(prepared.models, prepared.registry)
        place(prepared, lock_file, options)
        return build_result(prepared, began=began)


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
    prepare.check_paths(models, workspace, context, source=label, together=together)
    models = prepare.verify_with_lock(models, pins, options)
    prepared = prepare.open_stores(source, models, workspace, context, options)
    prepared = prepared.change_models(prepare.with_known_digests)
    prepared = prepare.verify_with_git(prepared, together=together)
    prepared = prepare.filter_files(prepared, options)
    return make_plans(prepared, options)


def download_urls(  # noqa: PLR0913 - see pull
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    locked: bool | str | os.PathLike[str] = False,
    token: str | None = None,
    url: str | None = None,
) -> dict[str, str]:
    """Ask Studio for the signed URLs of models' files; download and change nothing.

    The arguments are those of :func:`pull`.

    >>> sorted(download_urls("churn", version="v1.0.0"))
    ['models/churn.pkl']

    Returns:
        Repo-relative path to URL. The URLs are secrets; most expire within an hour.

    Raises:
        StudioModelsError: See :func:`pull`.
    """
    options = PullOptions(
        stage=stage,
        version=version,
        repo=repo,
        git_remote=git_remote,
        folder=folder,
        include=include,
        exclude=exclude,
        locked=locked,
        token=token,
        url=url,
    )
    return find_urls(names, options)


def find_urls(names: Sequence[str], options: PullOptions) -> dict[str, str]:
    """Ask Studio for signed URLs, see :func:`download_urls`.

    Args:
        names: As the user typed them; none means all that the lock file pins.
        options: Which repo, and which files.

    Raises:
        StudioModelsError: See there.
    """
    check_options(names, options)
    if options.lock or options.source not in {None, STUDIO}:
        msg = "'--urls' only prints Studio's links: leave out '--source' and '--lock'"
        raise UsageError(msg)
    # Nothing is placed: neither a clone nor the cache is needed.
    out = options.out or options.folder
    options = replace(options, source=STUDIO, cache=False, out=out)
    with contextlib.ExitStack() as stack:
        context = _open_context(options, stack)
        refs, pins = choose_models(names, context, options)
        _, models = prepare.resolve_models(refs, pins, context, options, stack)
        models = prepare.verify_with_lock(models, pins, options)
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


def _refuse_conflicts(prepared: PreparedPull) -> None:
    """Refuse to replace content that would be lost, or that Git tracks.

    Raises:
        TargetExistsError: It would be lost.
        GitFilesDifferError: Only Git may change these files.
    """
    conflicts = {
        step.file.path: step.file
        for project in prepared.projects
        for plan in project.plans
        for step in plan.steps_to(CONFLICT)
    }
    if lost := [path for path, file in conflicts.items() if not file.git_oid]:
        raise TargetExistsError(lost)
    for model in prepared.models:
        in_git = [path for path in model.paths if path in conflicts]
        if in_git and model.version:
            command = git_checkout(model.version.commit, in_git)
            raise GitFilesDifferError(model.ref.name, command, in_git)


def _sweep(prepared: PreparedPull) -> None:
    """Remove what killed pulls left."""
    for project in prepared.projects:
        project.store.sweep()
    prepared.workspace.sweep(path for model in prepared.models for path in model.paths)


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


def _ignore(_done: int, _total: int | None) -> None:
    """Report nothing."""
