"""The models of several served repos: those that a caller may see, searched and paged.

Each repo is read within its own limits. One that cannot be read, or not in time, is
named in the page: a model that is missing there may be registered all the same.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.server.errors.models import (
    ModelAmbiguousError,
    ModelMissingError,
)
from dvc_studio_models.server.errors.requests import GitSilentError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dvc_studio_models.model import ModelSummary
    from dvc_studio_models.server.site.served import Served

PAGE_MODELS = 100
"""The models of a page, by default."""

MAX_MODELS = 1000
"""The most models of a page."""

READ_S = 5.0
"""How long, in seconds, a page waits for the repos that it lists, all together."""

_AT_ONCE = 16  # repos that are read at the same time for one page


class Position(NamedTuple):
    """A place in the order of all models."""

    repo: str
    """The key of the repo."""

    model: str


@dataclass(frozen=True)
class Query:
    """Which models are wanted."""

    search: str = ""
    """A part of the model's or the repo's name, in upper or lower case; empty for
    all."""

    stage: str = ""
    """Only models with a version in this stage; empty for all."""

    after: Position | None = None
    """Only models behind this one."""

    limit: int | None = PAGE_MODELS
    """The most models of the page; None for all."""

    def matches(self, model: ModelSummary, repo: str) -> bool:
        """Whether a model of a repo with this label is wanted."""
        if self.stage and self.stage not in model.stages:
            return False
        wanted = self.search.casefold()
        return wanted in model.name.casefold() or wanted in repo.casefold()


@dataclass(frozen=True)
class FoundModel:
    """A model, and the repo that has it."""

    served: Served
    model: ModelSummary

    @property
    def position(self) -> Position:
        """Its place in the order of all models."""
        return Position(self.served.repo.key, self.model.name)


@dataclass(frozen=True)
class Unavailable:
    """A repo that could not be read."""

    repo: str
    """Its label."""

    error: RefusedError
    """Why; its message is for clients."""


@dataclass(frozen=True)
class ModelsPage:
    """Models of several repos, by the keys of the repos and their own names."""

    models: tuple[FoundModel, ...]
    next: Position | None = None
    """Where the next page begins: behind this model; None for the last page."""

    unavailable: tuple[Unavailable, ...] = ()
    """The repos whose models are missing in this page."""


async def list_models(
    repos: Sequence[Served], query: Query, *, read_s: float = READ_S
) -> ModelsPage:
    """List the models of several repos.

    Args:
        repos: Those that the caller may see.
        query: Which of their models are wanted.
        read_s: How long to wait for the repos, in seconds.
    """
    after = query.after
    ordered = sorted(
        (each for each in repos if after is None or each.repo.key >= after.repo),
        key=lambda each: each.repo.key,
    )
    found: list[FoundModel] = []
    unavailable: list[Unavailable] = []
    deadline = time.monotonic() + read_s
    for group in _in_groups(ordered, _AT_ONCE):
        reads = (_read(each, deadline - time.monotonic(), read_s) for each in group)
        for served, models in zip(group, await asyncio.gather(*reads), strict=True):
            if isinstance(models, RefusedError):
                unavailable.append(Unavailable(served.repo.label, models))
                continue
            found += (
                entry
                for entry in (FoundModel(served, model) for model in models)
                if (after is None or entry.position > after)
                and query.matches(entry.model, served.repo.label)
            )
            if query.limit is not None and len(found) > query.limit:
                page = tuple(found[: query.limit])
                return ModelsPage(page, page[-1].position, tuple(unavailable))
    return ModelsPage(tuple(found), None, tuple(unavailable))


async def find_model(
    repos: Sequence[Served], name: str, *, read_s: float = READ_S
) -> Served:
    """Find the only repo that has a model of this name.

    Args:
        repos: Those that the caller may see.
        name: Of the model.
        read_s: How long to wait for the repos, in seconds.

    Raises:
        ModelMissingError: None has it.
        ModelAmbiguousError: Several have it.
        RefusedError: None is known to have it, and one could not be read.
    """
    page = await list_models(repos, Query(limit=None), read_s=read_s)
    having = [each.served for each in page.models if each.model.name == name]
    if len(having) > 1:
        raise ModelAmbiguousError(name, [each.repo.label for each in having])
    if having:
        return having[0]
    for unavailable in page.unavailable:
        raise unavailable.error
    msg = f"model '{name}' is not registered in any repo"
    raise ModelMissingError(msg)


async def _read(
    served: Served, seconds: float, read_s: float
) -> tuple[ModelSummary, ...] | RefusedError:
    """List the models of one repo, or return why that is not possible."""
    read: Callable[[], tuple[ModelSummary, ...]] = served.listing.models
    try:
        return await asyncio.wait_for(served.slow_calls.run(read), max(seconds, 0))
    except RefusedError as error:
        return error
    except asyncio.TimeoutError:
        return GitSilentError(read_s)


def _in_groups(repos: Sequence[Served], size: int) -> list[tuple[Served, ...]]:
    it = iter(repos)
    return list(iter(lambda: tuple(itertools.islice(it, size)), ()))
