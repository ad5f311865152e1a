"""The flow of a pull: ask, plan, fetch, place.

Owns the order of things and no I/O: each kind of it is a room's. Until all files of
all models are verified, a failure leaves the workspace as it was; then they are placed
together. (Not named ``pull``: a module of that name would hide the function of the
package once it is imported.)
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.ask import (
    Answer,
    anchor,
    connect,
    make_renewal,
    prove,
    tell_repo,
)
from dvc_studio_models.cache import open_store
from dvc_studio_models.config import load_settings
from dvc_studio_models.errors import (
    NotGitRepoError,
    TargetExistsError,
    UnsafePathError,
)
from dvc_studio_models.git import Clone
from dvc_studio_models.model import (
    MD5,
    Digest,
    FileResult,
    ModelRef,
    ModelResult,
    PullOptions,
    PullResult,
)
from dvc_studio_models.parts import PartStore
from dvc_studio_models.paths import path_problem
from dvc_studio_models.plan import (
    CONFLICT,
    DOWNLOAD,
    LINK,
    REMOVE,
    UNCHANGED,
    Plan,
    Step,
)
from dvc_studio_models.progress import SilentProgress
from dvc_studio_models.receipts import Receipt, Receipts
from dvc_studio_models.selection import select_files
from dvc_studio_models.survey import check_targets, survey
from dvc_studio_models.transfer import fetch
from dvc_studio_models.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dvc_studio_models.cache import Store
    from dvc_studio_models.progress import Progress
    from dvc_studio_models.studio import StudioClient
    from dvc_studio_models.transfer import Fetched
    from dvc_studio_models.workspace import Seen

_DONE = {UNCHANGED: "unchanged", LINK: "linked", DOWNLOAD: "downloaded"}


def pull(
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    options: PullOptions | None = None,
    progress: Progress | None = None,
) -> PullResult:
    """Bring models to their paths in the workspace: all of their files, or none.

    Args:
        names: ``churn``, ``churn@v1.2.0``, ``churn#prod``, ``dir:churn``.
        stage: For every name without a selector of its own; so is ``version``.
        version: With or without the leading ``v``.
        options: Where from, where to, and how.
        progress: Told of bytes as they arrive.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    refs = [ModelRef.parse(name, version=version, stage=stage) for name in names]
    return _pull(refs, options or PullOptions(), progress or SilentProgress())


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
    refs = [ModelRef.parse(name, version=version, stage=stage) for name in names]
    with contextlib.ExitStack() as stack:
        asked = _ask(refs, options, stack)
        files = [file for a in _narrow(asked.answers, options) for file in a.files]
    problems = [(file.path, why) for file in files if (why := path_problem(file.path))]
    if problems:
        raise UnsafePathError(problems)
    return {file.path: file.url for file in files}


@dataclass(frozen=True)
class _Asked:
    """What Studio was asked, and what it said."""

    repo_url: str
    clone: Clone | None
    client: StudioClient
    answers: list[Answer]


def _ask(
    refs: Sequence[ModelRef], options: PullOptions, stack: contextlib.ExitStack
) -> _Asked:
    here = Path(options.folder).absolute()
    settings = load_settings(here, token=options.token, url=options.url)
    clone = _find_clone(here, options, stack)
    repo_url = tell_repo(clone, settings, options)
    client = stack.enter_context(contextlib.closing(connect(settings)))
    if clone:
        refs = [clone.qualify(ref, here) for ref in refs]
    answers = [Answer(ref, client.files(repo_url, ref)) for ref in refs]
    return _Asked(repo_url, clone, client, answers)


def _pull(
    refs: Sequence[ModelRef], options: PullOptions, progress: Progress
) -> PullResult:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        asked = _ask(refs, options, stack)
        repo_url, clone, answers = asked.repo_url, asked.clone, asked.answers
        workspace = Workspace(_root(clone, options))
        paths = [path for answer in answers for path in answer.paths]
        check_targets(workspace, paths)
        store = stack.enter_context(
            contextlib.closing(_open_store(workspace, answers, options))
        )
        if clone and (options.repo is None or clone.has_remote(repo_url)):
            answers = [anchor(answer, clone, memo=store.memo) for answer in answers]
        renew = make_renewal(asked.client, repo_url, answers)
        answers = _narrow(answers, options)
        receipts = Receipts(store.receipts)
        plan, seen = survey(answers, workspace, store, receipts, options=options)
        if options.dry_run:
            return _tell(repo_url, answers, plan, {}, began, dry_run=True)
        _refuse_conflicts(plan)

        store.sweep()
        workspace.sweep(paths)
        fetched: dict[str, Fetched] = {}
        stack.callback(_leave, fetched)
        _fetch(plan, store, fetched, renew, progress, jobs=options.jobs)
        if not options.is_partial:
            answers = [prove(answer, _digests(answer, fetched)) for answer in answers]
        _place(plan, fetched, workspace, store, seen)
        _remember(answers, fetched, workspace, store, receipts, options)
        return _tell(repo_url, answers, plan, fetched, began)


# Where


def _find_clone(
    here: Path, options: PullOptions, stack: contextlib.ExitStack
) -> Clone | None:
    try:
        clone = Clone.find(here)
    except NotGitRepoError:
        if options.out is None:
            raise
        return None
    return stack.enter_context(contextlib.closing(clone))


def _root(clone: Clone | None, options: PullOptions) -> Path:
    if options.out is not None:
        return (Path(options.folder) / options.out).absolute()
    assert clone is not None  # noqa: S101 - else _find_clone has refused
    return clone.root


def _open_store(
    workspace: Workspace, answers: Iterable[Answer], options: PullOptions
) -> Store:
    """Open the store of the DVC project that holds all targets."""
    parents = [path.rpartition("/")[0] for a in answers for path in a.paths]
    common = os.path.commonpath(parents) if all(parents) else ""
    return open_store(
        workspace.root / common,
        workspace.root,
        use_cache=options.cache,
        wait_for_lock=options.wait_for_lock,
    )


def _narrow(answers: Sequence[Answer], options: PullOptions) -> list[Answer]:
    """Leave out the files that the globs leave out, and models without any other."""
    if not options.is_partial:
        return list(answers)
    files = [file for answer in answers for file in answer.files]
    kept = set(select_files(files, include=options.include, exclude=options.exclude))
    narrowed = [
        replace(answer, files=tuple(file for file in answer.files if file in kept))
        for answer in answers
    ]
    return [answer for answer in narrowed if answer.files]


# Fetch


def _refuse_conflicts(plan: Plan) -> None:
    conflicts = [step.file.path for step in plan.having(CONFLICT)]
    if conflicts:
        raise TargetExistsError(conflicts)


def _fetch(
    plan: Plan,
    store: Store,
    fetched: dict[str, Fetched],
    renew: Callable[[], Mapping[str, str]],
    progress: Progress,
    *,
    jobs: int,
) -> None:
    """Download what is missing and take it into the cache as it is verified."""
    files = plan.downloads()
    if not files:
        return
    parts = PartStore(store.parts)
    stream = fetch(files, store=parts, renew=renew, progress=progress, jobs=jobs)
    with contextlib.closing(stream), contextlib.closing(progress):
        for batch in stream:
            fetched.update((done.file.path, done) for done in batch)
            store.keep([(_digest(done), done.path) for done in batch])
            for done in batch:
                if store.size_of(_digest(done)) is not None:
                    done.part.discard()


def _digest(done: Fetched) -> Digest:
    return done.file.digest or Digest(MD5, done.md5)


def _digests(answer: Answer, fetched: Mapping[str, Fetched]) -> dict[str, Digest]:
    """Tell the hashes of all files, those that only the download told too."""
    return {
        file.path: file.digest or _digest(fetched[file.path]) for file in answer.files
    }


def _leave(fetched: Mapping[str, Fetched]) -> None:
    """Let go of the parts: what was not placed is for the next pull."""
    for done in fetched.values():
        done.part.release()


# Place


def _place(
    plan: Plan,
    fetched: Mapping[str, Fetched],
    workspace: Workspace,
    store: Store,
    seen: Mapping[str, Seen | None],
) -> None:
    """Give all files their names, in one go, while no other DVC command looks."""
    cached: dict[str, Digest] = {}
    parts: dict[str, Path] = {}
    for step, done in _with_downloads(plan, fetched):
        digest = _digest(done) if done else step.file.digest
        if step.action not in {LINK, DOWNLOAD} or digest is None:
            continue
        if done is None or store.size_of(digest) is not None:
            cached[step.file.path] = digest
        else:
            parts[step.file.path] = done.path
    if not (cached or parts or plan.leftovers):
        return
    with store.lock() as scratch:
        workspace.place(
            store.stage(cached, parts, scratch),
            remove=plan.leftovers,
            seen={path: seen[path] for path in [*cached, *parts, *plan.leftovers]},
            backups=scratch,
        )
    for done in fetched.values():
        done.part.discard()


def _with_downloads(
    plan: Plan, fetched: Mapping[str, Fetched]
) -> Iterator[tuple[Step, Fetched | None]]:
    """Tell for every file which download, if any, brought its content."""
    by_content = {done.file.digest or done.file.path: done for done in fetched.values()}
    for step in plan.steps:
        content = step.file.digest or step.file.path
        yield step, by_content.get(content) if step.action == DOWNLOAD else None


def _remember(
    answers: Iterable[Answer],
    fetched: Mapping[str, Fetched],
    workspace: Workspace,
    store: Store,
    receipts: Receipts,
    options: PullOptions,
) -> None:
    """Tell DVC the hashes, and the next pull what this one placed."""
    known = {receipt.model: receipt for receipt in receipts.load(workspace.root)}
    for answer in answers:
        before = known.get(answer.ref.name) if options.is_partial else None
        digests = dict(before.files) if before else {}
        digests |= _digests(answer, fetched)
        receipt = Receipt(
            answer.ref.name,
            str(workspace.root),
            answer.version.version if answer.version else None,
            answer.version.commit if answer.version else None,
            digests,
        )
        if known.get(answer.ref.name) == receipt:
            continue
        store.remember({workspace.root / path: d for path, d in digests.items()})
        _keep_tree(answer, digests, store)
        receipts.save(receipt)


def _keep_tree(answer: Answer, digests: Mapping[str, Digest], store: Store) -> None:
    """Give DVC the list of a directory's files, which Studio does not serve."""
    record = answer.record
    if record and record.digest and record.digest.value.endswith(".dir"):
        at = len(record.path) + 1
        inner = {path[at:]: digest for path, digest in digests.items()}
        store.keep_tree(inner, record.digest)


# Tell


def _tell(
    repo_url: str,
    answers: Iterable[Answer],
    plan: Plan,
    fetched: Mapping[str, Fetched],
    began: float,
    *,
    dry_run: bool = False,
) -> PullResult:
    """Say what was done; in a dry run, where nothing was, what would be."""
    results = {
        step.file.path: _file_result(step, done, dry_run=dry_run)
        for step, done in _with_downloads(plan, fetched)
    }
    models = [
        ModelResult(
            answer.ref,
            answer.version.version if answer.version else None,
            answer.version.commit if answer.version else None,
            tuple(
                replace(results[path], verified_by="git")
                if answer.record
                else results[path]
                for path in answer.paths
            ),
        )
        for answer in answers
    ]
    gone = REMOVE if dry_run else "removed"
    removed = [FileResult(path, None, None, gone, None) for path in plan.leftovers]
    models[-1] = replace(models[-1], files=(*models[-1].files, *removed))
    downloaded = sum(done.size for done in fetched.values())
    return PullResult(repo_url, tuple(models), downloaded, time.monotonic() - began)


def _file_result(step: Step, done: Fetched | None, *, dry_run: bool) -> FileResult:
    digest = _digest(done) if done else step.file.digest
    return FileResult(
        step.file.path,
        done.size if done else step.size,
        digest.value if digest else None,
        step.action if dry_run else _DONE[step.action],
        done.verified_by if done else "url",
    )
