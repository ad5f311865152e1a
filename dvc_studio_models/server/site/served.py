"""One served repo: its models, and the limits of its slow calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.server.catalog.index import ModelIndex
    from dvc_studio_models.server.catalog.listing import Listing
    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.waiting.slow_calls import SlowCalls


@dataclass(frozen=True)
class Served:
    """One served repo."""

    repo: ServedRepo
    index: ModelIndex
    listing: Listing
    slow_calls: SlowCalls
    """Each repo has its own limits: one that hangs delays no other."""
