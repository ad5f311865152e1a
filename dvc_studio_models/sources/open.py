"""Which source is asked, and which other one would do where Studio fails."""

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
from dvc_studio_models.model import CACHE, SOURCES, STUDIO
from dvc_studio_models.sources.local.source import LocalSource
from dvc_studio_models.sources.studio import StudioSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelRef, Pin, PullOptions
    from dvc_studio_models.sources.base import PullContext, Source

_STUDIO_FAILS = (
    StudioAuthError,
    StudioFailedError,
    StudioOfflineError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
    TokenMissingError,
)


def open_source(here: PullContext, options: PullOptions) -> Source:
    """Open the source that is asked for, or that the settings leave.

    Raises:
        UsageError: There is no such source, or options contradict it.
        StudioModelsError: What the source itself lacks.
    """
    kind = options.source or (CACHE if here.settings.offline else STUDIO)
    if kind not in SOURCES:
        msg = f"{kind!a} is not a source: use one of {', '.join(SOURCES)}"
        raise UsageError(msg)
    if kind == STUDIO:
        return StudioSource(here, options)
    if not options.cache:
        msg = f"'--source {kind}' needs the DVC cache: leave out '--no-cache'"
        raise UsageError(msg)
    return LocalSource(here, kind, options)


@contextlib.contextmanager
def suggest_alternatives(
    here: PullContext,
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    options: PullOptions,
) -> Iterator[None]:
    """Where Studio fails within, let its error say which other source would do.

    That is none where ``options`` forbid the cache, or name another repo. What Studio
    does not know, another source has only where another repo keeps it.
    """
    try:
        yield
    except (*_STUDIO_FAILS, ModelNotFoundError) as error:
        is_unknown = isinstance(error, ModelNotFoundError)
        if way := _find_way(here, refs, pins, options, imports_only=is_unknown):
            error.add_hint(way)
        raise


def _find_way(
    here: PullContext,
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    options: PullOptions,
    *,
    imports_only: bool,
) -> str | None:
    if not options.cache:
        return None
    try:
        source = LocalSource(here, CACHE, options)
        with contextlib.closing(source):
            return source.find_way(refs, pins, imports_only=imports_only)
    except StudioModelsError:  # then there is none
        return None
