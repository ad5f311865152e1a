"""Who sends a request, and what he may see. No I/O."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

ALL = ("*",)
"""The globs of whoever may see all repos."""

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Principal:
    """Who sends a request."""

    name: str
    """For the access log and the page; may be empty."""

    repos: tuple[str, ...] = ALL
    """Globs of the names of the repos that he may see."""

    ends: datetime | None = None
    """When his token ends, in UTC; None if it has no end."""

    unchecked: str = ""
    """The Git host that did not answer for some repos: he may see more of them."""

    @property
    def sees_all(self) -> bool:
        """Whether he may see every repo, whatever its name."""
        return "*" in self.repos

    def may_see(self, repo: str) -> bool:
        """Whether he may know that a repo of this name is served."""
        names, globs = self._compiled
        return repo in names or bool(globs and globs.match(repo))

    @cached_property
    def _compiled(self) -> tuple[frozenset[str], re.Pattern[str] | None]:
        """The names, and a pattern of the globs: a request costs as much with many."""
        globs = [each for each in self.repos if _MAGIC.search(each)]
        pattern = "|".join(map(fnmatch.translate, globs))
        return (
            frozenset(self.repos) - set(globs),
            re.compile(pattern) if pattern else None,
        )


EVERYBODY = Principal("")
"""Sends the requests to a server that requires no token."""
