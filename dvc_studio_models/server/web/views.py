"""What the list of models shows: filtered, sorted and divided into pages. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from dvc_studio_models.server.web.stages import sort_stages, stage_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.server.site.overview import FoundModel

PAGE_ROWS = 50
"""The models of one page."""

NAME, UPDATED = SORTS = ("name", "updated")


@dataclass(frozen=True)
class Filters:
    """What somebody looks for."""

    search: str = ""
    """A part of the name of the model or its repo; empty for all."""

    stage: str = ""
    repo: str = ""
    """The key of one repo; empty for all."""

    sort: str = NAME
    page: int = 1

    @property
    def is_narrow(self) -> bool:
        """Whether some models may be left out."""
        return bool(self.search or self.stage or self.repo)

    def query(self, **changes: object) -> str:
        """Return the query of the list with some values changed, on its first page."""
        changed = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        default = Filters()
        names = {"search": "q"}
        values = {
            names.get(name, name): value
            for name, value in vars(changed).items()
            if value != getattr(default, name)
        }
        return f"?{urlencode(values)}" if values else "?"


@dataclass(frozen=True)
class Row:
    """One model of the list."""

    folder: str
    """What is before the colon in its name, with it; may be empty."""

    name: str
    repo: str
    """Its label."""

    href: str
    """Relative to the first page."""

    latest: str | None
    stages: tuple[tuple[str, str], ...]
    """Stage and version."""

    time: int | None
    """When the latest version was registered, in seconds since 1970."""


@dataclass(frozen=True)
class Chip:
    """A stage to filter by."""

    stage: str
    """Empty for all models."""

    count: int
    is_current: bool


@dataclass(frozen=True)
class ListView:
    """One page of the list."""

    filters: Filters
    rows: tuple[Row, ...]
    count: int
    """Of all models that fit the filters."""

    total: int
    """Of all models."""

    pages: int
    chips: tuple[Chip, ...]
    repos: Mapping[str, str]
    """The keys and labels of the repos that can be chosen."""


def view_list(
    models: Sequence[FoundModel], filters: Filters, repos: Mapping[str, str]
) -> ListView:
    """Return a page of a list of models.

    Args:
        models: All that the person may see.
        filters: What the person looks for.
        repos: Keys and labels of the repos that the person may see.
    """
    found = [each for each in models if _fits(each, filters)]
    chips = _chips(found, filters.stage)
    if filters.stage:
        found = [each for each in found if filters.stage in each.model.stages]
    if filters.sort == UPDATED:
        found.sort(key=lambda each: (-(each.model.time or 0), *_by_name(each)))
    else:
        found.sort(key=_by_name)
    pages = max(-(-len(found) // PAGE_ROWS), 1)
    page = min(filters.page, pages)
    shown = found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    return ListView(
        replace(filters, page=page),
        tuple(map(_row, shown)),
        len(found),
        len(models),
        pages,
        chips,
        repos,
    )


def href_of(repo: str, name: str) -> str:
    """Return the link to a model's page, relative to the first page.

    Args:
        repo: The key of its repo.
        name: Of the model.
    """
    return f"models/{quote(repo, safe='')}/{quote(name, safe='/:')}"


def _fits(found: FoundModel, filters: Filters) -> bool:
    repo = found.served.repo
    if filters.repo and filters.repo != repo.key:
        return False
    text = f"{repo.label} {found.model.name}".casefold()
    return all(word in text for word in filters.search.casefold().split())


def _by_name(found: FoundModel) -> tuple[str, str, str]:
    name = found.model.name
    return name.rpartition(":")[2].casefold(), name, found.served.repo.key


def _chips(found: Iterable[FoundModel], current: str) -> tuple[Chip, ...]:
    models = list(found)
    counts = Counter(stage for each in models for stage in each.model.stages)
    if current and current not in counts:
        counts[current] = 0
    every = Chip("", len(models), is_current=not current)
    order = sorted(counts, key=stage_order)
    return (every, *(Chip(each, counts[each], each == current) for each in order))


def _row(found: FoundModel) -> Row:
    folder, colon, name = found.model.name.rpartition(":")
    repo = found.served.repo
    return Row(
        f"{folder}{colon}",
        name,
        repo.label,
        href_of(repo.key, found.model.name),
        found.model.latest,
        sort_stages(found.model.stages),
        found.model.time,
    )
