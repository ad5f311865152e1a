"""All that comes before the first byte: ask, compare with lock and Git, plan.

Owns no I/O: each kind of it is a room's. Changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotGitRepoError
from dvc_studio_models.files.receipts import Receipts
from dvc_studio_models.files.workspace import Workspace
from dvc_studio_models.model import STUDIO
from dvc_studio_models.operations.selection import check_globs, select_files
from dvc_studio_models.operations.targets import check_targets, survey
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.sources.base import PullContext
from dvc_studio_models.sources.local.listings import listing_reader
from dvc_studio_models.sources.open import open_source, suggest_alternatives
from dvc_studio_models.sources.resolve import (
    ResolvedModel,
    object_version_id,
    verify_with_lock,
)
from dvc_studio_models.sources.settings import load_settings
from dvc_studio_models.sources.verification import verify_with_git

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.files.workspace import FileStamp
    from dvc_studio_models.model import ModelFile, ModelRef, Pin, PullOptions
    from dvc_studio_models.operations.plan import Plan
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.comparison import ReadListing
    from dvc_studio_models.store.base import Store


def open_context(options: PullOptions) -> PullContext:
    """Find out where the user stands: the clone, and the settings that hold there.

    Raises:
        NotGitRepoError: In no clone, and no folder to place under is named.
        StudioConfigError: A setting cannot be used.
    """
    folder = Path(options.folder).absolute()
    settings = load_settings(folder, token=options.token, url=options.url)
    try:
        clone = Clone.find(folder)
    except NotGitRepoError:
        if options.out is None:
            raise
        return PullContext(folder, None, settings)
    return PullContext(folder, clone, settings)


def ask(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    here: PullContext,
    options: PullOptions,
    stack: contextlib.ExitStack,
) -> tuple[Source, list[ResolvedModel]]:
    """Open the source and ask it for the files of models.

    Raises:
        UsageError: A glob cannot be read: told before anything is asked.
        StudioModelsError: It cannot say; where it is Studio, with what else would do.
    """
    check_globs([*options.include, *options.exclude])
    with suggest_alternatives(here, refs, pins, options):
        source = stack.enter_context(contextlib.closing(open_source(here, options)))
        return source, source.resolve(refs, pins)


def held(
    answer: ResolvedModel, pins: Mapping[str, Pin], options: PullOptions
) -> ResolvedModel:
    """Hold a model that is pinned to its pin, see :func:`ask.verify_with_lock`."""
    lock = None if isinstance(options.locked, bool) else str(options.locked)
    pinned = pins.get(answer.ref.name)
    return verify_with_lock(answer, pinned, lock=lock) if pinned else answer


def filter_files(
    answers: Sequence[ResolvedModel], options: PullOptions
) -> list[ResolvedModel]:
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


@dataclass(frozen=True)
class PreparedPull:
    """All that is known before the first byte."""

    answers: list[ResolvedModel]
    workspace: Workspace
    store: Store
    receipts: Receipts
    plan: Plan
    seen: Mapping[str, FileStamp | None]
    registry: GitRegistry | None
    """What Git says of the models; None where no clone of their repo is at hand."""

    read_listing: ReadListing

    def sweep(self) -> None:
        """Remove what killed pulls left."""
        self.store.sweep()
        self.workspace.sweep(path for a in self.answers for path in a.paths)


def prepare(
    here: PullContext,
    source: Source,
    answers: Sequence[ResolvedModel],
    pins: Mapping[str, Pin],
    options: PullOptions,
    stack: contextlib.ExitStack,
) -> PreparedPull:
    """Check what was answered, compare it with lock and Git, and plan.

    Args:
        here: Where the user stands.
        source: Where the answers are from.
        answers: Of the models.
        pins: Of those that are pinned.
        options: What the user wants.
        stack: Closes what is opened.

    Raises:
        StudioModelsError: The answer must not, or cannot, be followed.
    """
    workspace = Workspace(_root(here, options))
    paths = [f.path for answer in answers for f in answer.files if not f.git_oid]
    check_targets(workspace, paths, source=source_label(source, pins))
    answers = [held(answer, pins, options) for answer in answers]
    store = source.open_store(workspace.root, paths)
    receipts = Receipts(store.receipts)
    known = receipts.load(workspace.root)
    answers = with_known_digests(answers, known)
    registry = None
    read_listing = listing_reader(store, source.kind, options)
    if source.clone:
        named = options.git_remote or here.settings.git_remote
        remote = source.clone.other_remote(named)
        reader = source.clone.reader
        registry = GitRegistry(reader, cache=store.tag_cache, remote=remote)
        stack.enter_context(contextlib.closing(registry))
        answers = [verify_with_git(a, registry, read_listing) for a in answers]
        _check_git_files(answers, workspace)
    answers = filter_files(answers, options)
    plan, seen = survey(answers, workspace, store, known, options=options)
    return PreparedPull(
        answers, workspace, store, receipts, plan, seen, registry, read_listing
    )


def _check_git_files(answers: Sequence[ResolvedModel], workspace: Workspace) -> None:
    """Check the paths that Git added; those that it tracks by now are no obstacle."""
    paths = [f.path for answer in answers for f in answer.files if f.git_oid]
    workspace.check(paths, source="Git")


def with_known_digests(
    answers: list[ResolvedModel], receipts: Iterable[Receipt]
) -> list[ResolvedModel]:
    """Take from earlier pulls the hashes of objects whose links tell none."""
    known = {
        name: receipt.files[path]
        for receipt in receipts
        for path, name in receipt.objects.items()
    }

    def recalled(file: ModelFile) -> ModelFile:
        digest = file.digest or known.get(object_version_id(file.url) or "")
        return replace(file, digest=digest)

    if not known:
        return answers
    return [replace(a, files=tuple(map(recalled, a.files))) for a in answers]


def _root(here: PullContext, options: PullOptions) -> Path:
    """Name the folder to place under by its one real path: receipts are found by it."""
    if options.out is not None:
        return Path(os.path.realpath(here.folder / options.out))
    assert here.clone is not None  # noqa: S101 - else ``stand`` has refused
    return here.clone.root


def source_label(source: Source, pins: Mapping[str, Pin]) -> str:
    """Tell who names the files, in the words of an error."""
    if source.kind == STUDIO:
        return "Studio's reply"
    return "the lock file" if pins else "Git"
