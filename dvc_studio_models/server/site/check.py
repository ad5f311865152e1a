"""Checks the repos of a config without serving them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dvc_studio_models.server.repos.opening import Opening
from dvc_studio_models.server.repos.repos import OPEN_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.server.config.values import RepoConfig


def find_problems(repos: Sequence[RepoConfig]) -> dict[int, str]:
    """Return the number of each repo that cannot be opened -> why.

    Mirrors are left out: the server makes them.
    """
    openings = {n: Opening(each) for n, each in enumerate(repos) if each.url is None}
    for opening in openings.values():
        opening.start(lambda _: None)
    deadline = time.monotonic() + OPEN_S
    return {
        number: opening.message
        for number, opening in openings.items()
        if not opening.wait(max(0.0, deadline - time.monotonic())) or opening.error
    }
