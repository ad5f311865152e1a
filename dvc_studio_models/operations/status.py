"""The flow of ``dvc models status``: ask, plan, tell. Changes nothing.

Of a pinned model, what its pin says counts: that needs no source. The source is asked
whether what was asked for when it was pinned is something else by now, and of all other
models what they are. No storage is asked.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from dvc_studio_models.model import (
    CACHE,
    ModelRef,
    ModelStatus,
    PullOptions,
    StatusResult,
)
from dvc_studio_models.operations.inventory import Inventory
from dvc_studio_models.operations.lock import lock_path, read_names
from dvc_studio_models.operations.prepare import ask, open_context, prepare
from dvc_studio_models.operations.report import build_result
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.registry.lockfile import read_pins
from dvc_studio_models.sources.local.source import LocalSource
from dvc_studio_models.sources.resolve import differences_of
from dvc_studio_models.sources.verification import verify_with_git

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelResult, Pin
    from dvc_studio_models.sources.base import PullContext, Source
    from dvc_studio_models.sources.resolve import ResolvedModel


def compare(
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    options: PullOptions | None = None,
) -> StatusResult:
    """Tell how the workspace stands to pinned models, and to what the source says.

    Args:
        names: Those that select nothing mean their pins, where ``models.lock`` has
            them. None at all means what is pinned and what was pulled; where nothing
            is and nothing was, all registered models.
        stage: For every name without a selector of its own; so is ``version``. Then no
            pin counts.
        version: With or without the leading ``v``.
        options: Which repo, and which source.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    options = options or PullOptions()
    with contextlib.ExitStack() as stack:
        here = open_context(options)
        pins = {} if stage or version else _read_pins(here)
        if names:
            refs = read_names(names, here, stage=stage, version=version)
            pins = {r.name: pins[r.name] for r in refs if _is_pinned(r, pins)}
            refs = [ref for ref in refs if not _is_pinned(ref, pins)]
        else:
            refs = list(_present(here, pins, stage=stage, version=version))
        return _compare(refs, pins, here, options, stack)


# Which


def _read_pins(here: PullContext) -> dict[str, Pin]:
    path = lock_path(True, here)  # noqa: FBT003 - the default one
    return read_pins(path) if path.exists() else {}


def _is_pinned(ref: ModelRef, pins: Mapping[str, Pin]) -> bool:
    return ref.name in pins and not ref.selector


def _present(
    here: PullContext,
    pins: Mapping[str, Pin],
    *,
    stage: str | None,
    version: str | None,
) -> Iterator[ModelRef]:
    """Name what was pulled and is not pinned; where nothing is, what is registered."""
    with contextlib.closing(Inventory(here.folder)) as inventory:
        receipts = inventory.receipts()
        names = [receipt.model + receipt.selector for receipt in receipts]
        if stage or version:
            names = [receipt.model for receipt in receipts]
        if not (names or pins):
            names = [model.name for model in inventory.registered()]
    for name in names:
        ref = ModelRef.parse(name, version=version, stage=stage)
        if ref.name not in pins:
            yield ref


# Compare


def _compare(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    here: PullContext,
    options: PullOptions,
    stack: contextlib.ExitStack,
) -> StatusResult:
    moving = [pin.ref for pin in pins.values() if not pin.ref.version]
    found: dict[str, ModelStatus] = {}
    repo = None
    if pins:
        local = stack.enter_context(
            contextlib.closing(LocalSource(here, CACHE, PullOptions()))
        )
        answers = local.resolve([pin.pinned for pin in pins.values()], pins)
        found = {
            result.ref.name: ModelStatus(result, pins[result.ref.name])
            for result in _plan(local, answers, pins, here, options, stack)
        }
        repo = local.repo
    if refs or moving:
        source, answers = ask([*refs, *moving], {}, here, options, stack)
        asked = answers[: len(refs)]
        for result in _plan(source, asked, {}, here, options, stack):
            found[result.ref.name] = ModelStatus(result)
        for answer in answers[len(refs) :]:
            name = answer.ref.name
            found[name] = _with_now(found[name], pins[name], answer, source)
        repo = source.repo
    return StatusResult(repo, tuple(found[name] for name in sorted(found)))


def _plan(
    source: Source,
    answers: Sequence[ResolvedModel],
    pins: Mapping[str, Pin],
    here: PullContext,
    options: PullOptions,
    stack: contextlib.ExitStack,
) -> Iterator[ModelResult]:
    """Tell what a pull of each model by itself would do: two may share a path."""
    for answer in answers:
        ready = prepare(here, source, [answer], pins, options, stack)
        yield from build_result(source, ready, {}, time.monotonic(), sizes={}).models


def _with_now(
    status: ModelStatus, pin: Pin, answer: ResolvedModel, source: Source
) -> ModelStatus:
    """Add what the pinned model is now."""
    kept_in_git = any(file.git_oid for file in pin.files)
    if source.clone and (kept_in_git or differences_of(answer, pin)):
        with contextlib.closing(GitRegistry(source.clone.reader)) as registry:
            answer = verify_with_git(answer, registry, lambda _: None)
    if not differences_of(answer, pin):
        return status
    now = answer.version.registered if answer.version else None
    return ModelStatus(status.result, pin, outdated=True, now=now)
