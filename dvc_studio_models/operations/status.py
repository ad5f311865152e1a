"""Whether the workspace matches pinned models and what the source serves.

A pinned model is compared with its pin, which needs no source. The source is asked for
all other models, and whether a pinned stage has moved since. Storage is not asked, and
nothing is changed.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import ModelNotFoundError, StudioModelsError
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import (
    CACHE,
    STUDIO,
    ModelRef,
    ModelStatus,
    PullOptions,
    StatusResult,
)
from dvc_studio_models.operations.pull import prepare_pull
from dvc_studio_models.operations.steps.lock import of_repo
from dvc_studio_models.operations.steps.names import with_known_repos
from dvc_studio_models.operations.steps.prepare import (
    open_context,
    read_names,
    resolve_models,
)
from dvc_studio_models.operations.steps.report import build_result
from dvc_studio_models.registry.lockfile import read_default
from dvc_studio_models.registry.urls import key_of
from dvc_studio_models.sources.open import source_kind
from dvc_studio_models.sources.resolve import differences_of
from dvc_studio_models.sources.verification import verify_with_git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelResult, Pin
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel

    Key = tuple[str, str | None]
    Resolve = Callable[..., tuple[Source, list[ResolvedModel]]]

logger = get_logger(__name__)

_NOT_FOUND = ModelNotFoundError.exit_code
"""Of models that do not exist, and of those that DVC does not store."""


def compare(names: Sequence[str], options: PullOptions) -> StatusResult:
    """Compare the workspace with pinned models, and with what the source serves.

    Args:
        names: Or globs. A name without a selector means the model's pin, if
            ``models.lock`` has one. No name means all that is pinned or was pulled, or,
            if nothing is, all registered models.
        options: Which repo, which source, and the stage or version of every name
            without a selector of its own; with one of these, no pin counts.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    with contextlib.ExitStack() as stack:
        context = open_context(options)
        stack.callback(context.close)
        pins = {}
        if context.clone and not (options.stage or options.version):
            pins = of_repo(read_default(context.clone.root), options)
        is_named = bool(names or options.all_models)
        if is_named:
            refs = with_known_repos(
                read_names(names, context, options), pins, context, options
            )
            pins = {r.name: pins[r.name] for r in refs if _is_pinned(r, pins)}
            refs = [ref for ref in refs if not _is_pinned(ref, pins)]
        else:
            refs = list(_pulled_or_registered(context, pins, options))
        resolve = resolve_models if is_named else resolve_known
        return _compare(refs, pins, context, options, stack, resolve)


# Which models


def _is_pinned(ref: ModelRef, pins: Mapping[str, Pin]) -> bool:
    return ref.name in pins and not ref.selector


def _pulled_or_registered(
    context: PullContext, pins: Mapping[str, Pin], options: PullOptions
) -> Iterator[ModelRef]:
    """Yield the models that were pulled and are not pinned.

    If nothing is pinned and nothing was pulled, all registered models.
    """
    from dvc_studio_models.operations.inventory import Inventory

    inventory = Inventory(context.folder, context.clone)
    with contextlib.closing(inventory):
        receipts = inventory.receipts()
        ignores_selectors = bool(options.stage or options.version)
        names = [
            (
                receipt.model + ("" if ignores_selectors else receipt.selector),
                receipt.repo,
            )
            for receipt in receipts
        ]
        if not (names or pins):
            names = [(model.name, None) for model in inventory.registered()]
    for name, repo in names:
        ref = ModelRef.parse(name, version=options.version, stage=options.stage)
        pin = pins.get(ref.name)
        ref = replace(ref, repo=repo)
        if pin is None or key_of(pin.ref) != key_of(ref):
            yield ref


# Comparing


def _compare(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
    stack: contextlib.ExitStack,
    resolve: Resolve,
) -> StatusResult:
    moving = _find_moving(pins.values(), context, options)
    found: dict[Key, ModelStatus] = {}
    repo = None
    if pins:
        from dvc_studio_models.sources.local.source import LocalSource

        local = LocalSource(context, CACHE, PullOptions())
        stack.callback(local.close)
        models = local.resolve([pin.pinned for pin in pins.values()], pins)
        for result in _plan(local, models, pins, context, options):
            found[key_of(result.ref)] = ModelStatus(result, pins[result.ref.name])
        repo = local.repo
    if moving:
        source, models = resolve(moving, {}, context, options, stack)
        for model in models:
            pin = pins[model.ref.name]
            key = key_of(pin.ref)
            found[key] = _with_now(found[key], pin, model, context)
        repo = source.repo
    if refs:
        source, models = resolve(refs, {}, context, options, stack)
        for result in _plan(source, models, {}, context, options):
            found[key_of(result.ref)] = ModelStatus(result)
        repo = source.repo
    return StatusResult(repo, tuple(found[key] for key in sorted(found, key=str)))


def _find_moving(
    pins: Iterable[Pin], context: PullContext, options: PullOptions
) -> list[ModelRef]:
    """Return the pinned stages and latest versions that the source can look up.

    The tags of other repos are not in the clone; then a note says which are left out.
    """
    moving = [pin.ref for pin in pins if not pin.ref.version]
    if source_kind(context, options) == STUDIO:
        return moving
    if unknown := [str(ref) for ref in moving if ref.repo]:
        logger.note("cannot tell whether these have moved: %s", ", ".join(unknown))
    return [ref for ref in moving if ref.repo is None]


def resolve_known(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
    stack: contextlib.ExitStack,
) -> tuple[Source, list[ResolvedModel]]:
    """Resolve models, and leave out those that cannot be pulled, with a warning.

    Raises:
        StudioModelsError: None of the models can be pulled, or the source failed.
    """
    try:
        return resolve_models(refs, pins, context, options, stack)
    except StudioModelsError as error:
        if error.exit_code != _NOT_FOUND or len(refs) == 1:
            raise
        first = error
    models: list[ResolvedModel] = []
    for ref in refs:
        try:
            source, found = resolve_models([ref], pins, context, options, stack)
        except StudioModelsError as error:
            if error.exit_code != _NOT_FOUND:
                raise
            logger.warning("left out '%s': %s", ref, str(error).partition("\n")[0])
        else:
            models += found
    if not models:
        raise first
    return source, models


def _plan(
    source: Source,
    models: Sequence[ResolvedModel],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
) -> tuple[ModelResult, ...]:
    """Return what a pull of each model by itself would do: two may share a path."""
    prepared = prepare_pull(source, models, pins, context, options, together=False)
    return build_result(prepared, sizes={}).models


def _with_now(
    status: ModelStatus,
    pin: Pin,
    model: ResolvedModel,
    context: PullContext,
) -> ModelStatus:
    """Add the version that the pinned reference selects now."""
    has_git_files = any(file.git_oid for file in pin.files)
    is_own = context.clone and model.ref.repo is None
    if is_own and (has_git_files or differences_of(model, pin)):
        registry = context.open_registry()
        model = verify_with_git(model, registry, lambda _: None)
    if not differences_of(model, pin):
        return status
    return ModelStatus(status.result, pin, outdated=True, now=model.version_name)
