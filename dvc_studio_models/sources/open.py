"""Opens the source of a pull, and suggests another one if Studio fails."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    LockMismatchError,
    ModelNotFoundError,
    StudioAuthError,
    StudioFailedError,
    StudioModelsError,
    StudioOfflineError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
    TokenMissingError,
    UsageError,
)
from dvc_studio_models.model import CACHE, REMOTE, SOURCES, STUDIO
from dvc_studio_models.registry.lockfile import read_default
from dvc_studio_models.sources.studio import StudioSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelRef, Pin, PullOptions
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.context import PullContext

_STUDIO_FAILS = (
    StudioAuthError,
    StudioFailedError,
    StudioOfflineError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
    TokenMissingError,
)


def source_kind(context: PullContext, options: PullOptions) -> str:
    """Return the kind of the source: the one named; else Studio, or the cache."""
    return options.source or (CACHE if context.settings.offline else STUDIO)


def open_source(context: PullContext, options: PullOptions) -> Source:
    """Open the source that the options name; else Studio, or the cache if offline.

    Raises:
        UsageError: There is no such source, or other options rule it out.
        StudioModelsError: The source lacks a setting or a clone.
    """
    kind = source_kind(context, options)
    if kind not in SOURCES:
        msg = f"{kind!a} is not a source: use one of {', '.join(SOURCES)}"
        raise UsageError(msg)
    if kind == STUDIO:
        return StudioSource(context, options)
    if not options.cache:
        msg = f"'--source {kind}' needs the DVC cache: leave out '--no-cache'"
        raise UsageError(msg)
    if kind == REMOTE and options.limit_rate:
        msg = (
            "'--limit-rate' has no effect with '--source remote', where DVC downloads "
            "the files: leave it out"
        )
        raise UsageError(msg)
    from dvc_studio_models.sources.local.source import LocalSource

    return LocalSource(context, kind, options)


@contextlib.contextmanager
def suggest_alternatives(
    context: PullContext,
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    options: PullOptions,
) -> Iterator[None]:
    """Add to an error of Studio's another source that may have the models.

    No source is suggested if ``options`` forbid the cache or name another repo. If
    Studio does not know a model, the DVC remote is suggested only for imports, which
    Studio never serves; for other models, how to name another repo.
    """
    try:
        yield
    except (*_STUDIO_FAILS, ModelNotFoundError) as error:
        is_unknown = isinstance(error, ModelNotFoundError)
        hint = _find_alternative(context, refs, pins, options, imports_only=is_unknown)
        if isinstance(error, ModelNotFoundError):
            pin = pins.get(error.ref.name)
            hint = (
                _suggest_update(pin, context, options)
                if pin
                else hint or _suggest_repo(error, context, options)
            )
        if hint:
            error.add_hint(hint)
        raise


@contextlib.contextmanager
def suggest_cache(
    context: PullContext, pins: Mapping[str, Pin], options: PullOptions
) -> Iterator[None]:
    """Add to the error for a stage that has moved that the cache has its files.

    Studio cannot be asked for them, as it can for a version.
    """
    try:
        yield
    except LockMismatchError as error:
        pin = pins[error.ref.name]
        has_moved = pin.version is None
        if has_moved and options.cache and _is_cached(context, pin, options):
            error.add_hint(
                "All locked files are in the DVC cache: use '--source cache'"
            )
        raise


def _is_cached(context: PullContext, pin: Pin, options: PullOptions) -> bool:
    from dvc_studio_models.sources.local.source import LocalSource

    try:
        with contextlib.closing(LocalSource(context, CACHE, options)) as source:
            return source.are_cached([pin.pinned], {pin.ref.name: pin})
    except StudioModelsError:
        return False


def _suggest_update(pin: Pin, context: PullContext, options: PullOptions) -> str:
    """Say what to do about a locked version that Studio does not know any more."""
    name = f"{pin.ref.name}@VERSION" if pin.ref.version else pin.ref.name
    lock = "" if isinstance(options.locked, bool) else f" --lock {options.locked}"
    hint = (
        "Its version or stage was removed from the registry, or the repo has moved. "
        f"Lock another version with 'dvc models update {name}{lock}'"
    )
    if options.cache and _is_cached(context, pin, options):
        hint = f"All locked files are in the DVC cache: use '--source cache'\n{hint}"
    return hint


def _suggest_repo(
    error: ModelNotFoundError, context: PullContext, options: PullOptions
) -> str | None:
    """Say how to name another repo, if the clone's tags do not register the model."""
    name = error.ref.name
    if context.clone is None or options.repo is not None:
        return None
    try:
        if context.open_registry().tags.find(name):
            return None
        pins = read_default(context.clone.root)
    except StudioModelsError:
        pins = {}
    if error.ref.repo is not None:  # a pin, a receipt or a setting names it
        return None
    if name in pins and (repo := pins[name].ref.repo):
        option = f"--repo {shlex.quote(repo)}"
        return f"'models.lock' has it from another repo: add {option}"
    return (
        "If it is a model of another repo, name that repo with '--repo URL', or for "
        "every command with 'dvc config studio.repo_url URL'"
    )


def _find_alternative(
    context: PullContext,
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    options: PullOptions,
    *,
    imports_only: bool,
) -> str | None:
    if not options.cache:
        return None
    from dvc_studio_models.sources.local.source import LocalSource

    try:
        with contextlib.closing(LocalSource(context, CACHE, options)) as source:
            return source.suggest(refs, pins, imports_only=imports_only)
    except StudioModelsError:
        return None
