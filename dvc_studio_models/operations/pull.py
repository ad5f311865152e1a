"""The flow of a pull: ask, plan, fetch, place.

Owns the order of things and no I/O: each kind of it is a room's. Until all files of
all models are verified, a failure leaves the workspace as it was; then they are placed
together. (Not named ``pull``: a module of that name would hide the function of the
package once it is imported.)
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    GitFilesDifferError,
    NotGitRepoError,
    TargetChangedError,
    TargetExistsError,
    UnsafePathError,
    UsageError,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.model import (
    STUDIO,
    PullOptions,
    PullResult,
    SilentProgress,
)
from dvc_studio_models.operations.lock import (
    check_lockable,
    check_options,
    check_verified,
    choose,
    lock_path,
    pin,
)
from dvc_studio_models.operations.place import save_receipts
from dvc_studio_models.operations.plan import (
    CONFLICT,
    DOWNLOAD,
    LINK,
)
from dvc_studio_models.operations.prepare import (
    ask,
    filter_files,
    held,
    open_context,
    prepare,
)
from dvc_studio_models.operations.report import build_result, digests_of, with_downloads
from dvc_studio_models.operations.targets import already_placed, find_leftovers
from dvc_studio_models.registry.commands import git_checkout
from dvc_studio_models.sources.local.git_files import deliver_git_files
from dvc_studio_models.sources.verification import verify_downloads_with_git

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import Digest, ModelFile, Progress
    from dvc_studio_models.operations.prepare import PreparedPull
    from dvc_studio_models.sources.base import PullContext, Source
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.part import DownloadedFile


def pull(
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    options: PullOptions | None = None,
    progress: Progress | None = None,
) -> PullResult:
    """Bring models to their paths in the workspace: all of their files, or none.

    Args:
        names: ``churn``, ``churn@v1.2.0``, ``churn#prod``, ``dir:churn``; none means
            all that the lock file pins, where the options name one.
        stage: For every name without a selector of its own; so is ``version``.
        version: With or without the leading ``v``.
        options: Where from, where to, and how.
        progress: Told of bytes as they arrive.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    options = options or PullOptions()
    check_options(names, options)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        here = _open_context(options)
        refs, pins = choose(names, here, options, stage=stage, version=version)
        lock = lock_path(options.lock, here) if options.lock else None
        source, answers = ask(refs, pins, here, options, stack)
        ready = prepare(here, source, answers, pins, options, stack)
        if lock:
            check_lockable(ready.answers, lock, ready.registry)
        if options.dry_run:
            sizes = source.expected_sizes(ready.plan.downloads(), options)
            return build_result(source, ready, {}, began, sizes=sizes)
        _refuse_conflicts(ready)

        ready.sweep()
        arrived: dict[str, DownloadedFile] = {}
        stack.callback(_leave, arrived, ready.store)
        _fetch(ready, source, arrived, progress or SilentProgress(), jobs=options.jobs)
        if not options.is_partial:
            ready = _verify(ready, arrived)
        if lock:
            check_verified(ready.answers, ready.registry)
        _place(ready, arrived, options)
        result = build_result(source, ready, arrived, began)
        if lock:
            _pin(ready, arrived, result, lock)
        return result


def download_urls(
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    options: PullOptions | None = None,
) -> dict[str, str]:
    """Ask for the signed URLs of models' files; fetch and change nothing.

    Args:
        names: As for :func:`pull`; so are ``stage``, ``version`` and ``options``.
        stage: See there.
        version: See there.
        options: Only what says which repo and which files counts.

    Returns:
        Repo-relative path to URL. The URLs are secrets; most live for an hour.

    Raises:
        StudioModelsError: See :func:`pull`.
    """
    options = options or PullOptions()
    check_options(names, options)
    if options.lock or options.source not in {None, STUDIO}:
        msg = "'--urls' only prints Studio's links: leave out '--source' and '--lock'"
        raise UsageError(msg)
    # Nothing is placed: neither a clone nor the cache is needed.
    out = options.out or options.folder
    options = replace(options, source=STUDIO, cache=False, out=out)
    with contextlib.ExitStack() as stack:
        here = open_context(options)
        refs, pins = choose(names, here, options, stage=stage, version=version)
        _, answers = ask(refs, pins, here, options, stack)
        answers = [held(answer, pins, options) for answer in answers]
        files = [file for a in filter_files(answers, options) for file in a.files]
    problems = [(file.path, why) for file in files if (why := path_problem(file.path))]
    if problems:
        raise UnsafePathError(problems)
    return {file.path: file.url for file in files}


def _open_context(options: PullOptions) -> PullContext:
    try:
        return open_context(options)
    except NotGitRepoError as error:
        error.add_hint("Or use '--repo URL --out DIR'")
        raise


# Plan


def _refuse_conflicts(ready: PreparedPull) -> None:
    conflicts = [step.file for step in ready.plan.having(CONFLICT)]
    paths = [file.path for file in conflicts if not file.git_oid]
    if paths:
        raise TargetExistsError(paths)
    for answer in ready.answers:
        kept_in_git = [file.path for file in conflicts if file in answer.files]
        if kept_in_git and answer.version:
            command = git_checkout(answer.version.commit, kept_in_git)
            raise GitFilesDifferError(answer.ref.name, command, kept_in_git)


# Fetch


def _fetch(
    ready: PreparedPull,
    source: Source,
    arrived: dict[str, DownloadedFile],
    progress: Progress,
    *,
    jobs: int,
) -> None:
    """Bring what is missing, and take it into the cache as it is verified."""
    files = ready.plan.downloads()
    if not files:
        return
    stream = _deliver(ready, source, files, progress, jobs=jobs)
    with contextlib.closing(stream), contextlib.closing(progress):
        for batch in stream:
            arrived.update((done.file.path, done) for done in batch)
            parts = [
                (done.digest, part)
                for done in batch
                if (part := done.copy or done.part)
            ]
            ready.store.add([(digest, part.path) for digest, part in parts])
            for digest, part in parts:
                if ready.store.size_of(digest) is not None:
                    part.discard()


def _deliver(
    ready: PreparedPull,
    source: Source,
    files: Sequence[ModelFile],
    progress: Progress,
    *,
    jobs: int,
) -> Generator[list[DownloadedFile]]:
    """Bring what Git keeps from the clone, and all else from the source."""
    kept_in_git = [file for file in files if file.git_oid]
    yield from deliver_git_files(kept_in_git, ready.registry, ready.store)
    if others := [file for file in files if not file.git_oid]:
        yield from source.deliver(others, ready.store, progress, jobs=jobs)


def _verify(ready: PreparedPull, arrived: Mapping[str, DownloadedFile]) -> PreparedPull:
    registry = ready.registry
    if registry is None:
        return ready
    verified = [
        verify_downloads_with_git(
            answer, digests_of(answer, arrived), registry, ready.read_listing
        )
        for answer in ready.answers
    ]
    return replace(ready, answers=verified)


def _leave(arrived: Mapping[str, DownloadedFile], store: Store) -> None:
    """Let go of the parts: what is in no other place is for the next pull."""
    for done in arrived.values():
        if done.part and done.part.is_owned:
            if store.size_of(done.digest) is None:
                done.part.release()
            else:
                done.part.discard()
        if done.copy:
            done.copy.discard()


# Place


def _place(
    ready: PreparedPull, arrived: Mapping[str, DownloadedFile], options: PullOptions
) -> None:
    """Give all files their names, in one go, while no other DVC command looks."""
    store, plan = ready.store, ready.plan
    files = [file for answer in ready.answers for file in answer.files]
    executable = {file.path for file in files if file.is_executable}
    wanted: dict[str, Digest | None] = dict.fromkeys(plan.leftovers)
    parts: dict[str, Path] = {}
    for step, done in with_downloads(plan, arrived):
        digest = done.digest if done else step.file.digest
        if step.action not in {LINK, DOWNLOAD} or digest is None:
            continue
        wanted[step.file.path] = digest
        if done and done.part and done.part.is_owned:
            parts[step.file.path] = done.part.path
    if not wanted:
        ready.workspace.make_executable(executable)
        save_receipts(ready, arrived, options)
        return
    with store.lock() as scratch:
        _refuse_new_leftovers(ready, options)
        for path in already_placed(wanted, ready.seen, ready.workspace, store):
            del wanted[path]
        cached = {path: digest for path, digest in wanted.items() if digest}
        taken = {path: parts[path] for path in parts if cached.pop(path, None)}
        ready.workspace.place(
            store.stage(cached, taken, scratch),
            remove=[path for path in plan.leftovers if path in wanted],
            seen={path: ready.seen[path] for path in wanted},
            backups=scratch,
            executable=executable,
        )
        ready.workspace.make_executable(executable - set(wanted))
        save_receipts(ready, arrived, options)
    for done in arrived.values():
        if done.part:
            done.part.discard()


def _refuse_new_leftovers(ready: PreparedPull, options: PullOptions) -> None:
    """Refuse to mix with what another pull has placed since this one was planned.

    Raises:
        TargetChangedError: It has placed files that this version does not have.
    """
    if options.is_partial:
        return
    known = ready.receipts.load(ready.workspace.root)
    left = find_leftovers(ready.answers, known, ready.workspace, ready.store)
    if new := sorted(left.keys() - ready.plan.leftovers.keys()):
        raise TargetChangedError(new)


def _pin(
    ready: PreparedPull,
    arrived: Mapping[str, DownloadedFile],
    result: PullResult,
    path: Path,
) -> None:
    """Take down what was pulled, while no other pull does."""
    with ready.store.lock():
        pin(
            path,
            [
                (answer, digests_of(answer, arrived), model.files)
                for answer, model in zip(ready.answers, result.models, strict=True)
            ],
        )
