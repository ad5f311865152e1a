"""Opens the source of a pull, and suggests another one if Studio fails."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
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


def open_source(context: PullContext, options: PullOptions) -> Source:
    """Open the source that the options name; else Studio, or the cache if offline.

    Raises:
        UsageError: There is no such source, or other options rule it out.
        StudioModelsError: The source lacks a setting or a clone.
    """
    kind = options.source or (CACHE if context.settings.offline else STUDIO)
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

    None is suggested if ``options`` forbid the cache or name another repo. If Studio
    does not know a model, the DVC remote is suggested only for imports, which Studio
    never serves.
    """
    try:
        yield
    except (*_STUDIO_FAILS, ModelNotFoundError) as error:
        is_unknown = isinstance(error, ModelNotFoundError)
        if hint := _find_alternative(
            context, refs, pins, options, imports_only=is_unknown
        ):
            error.add_hint(hint)
        raise


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
