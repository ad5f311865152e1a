"""When a mirror is fetched next. No I/O."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc_studio_models.server.mirrors.state import MirrorState

JITTER = 0.1
"""The part by which a pause is longer or shorter: mirrors do not stay in step."""

LONGEST_S = 900
"""The longest pause, in seconds, after failures, unless ``fetch`` itself is longer."""

RETRY_S = 2.0
"""The longest pause, in seconds, before failing mirrors are fetched after a reload."""

MAINTENANCE_S = 3600
"""The least time, in seconds, between two runs of maintenance."""


def pause_s(state: MirrorState, fetch_s: int, *, chance: float | None = None) -> float:
    """Return the pause after a fetch, in seconds: doubled by each failure in a row.

    Args:
        state: After the fetch.
        fetch_s: The pause after a good one.
        chance: A number from 0 to 1; by default a random one.
    """
    doubled = float(fetch_s << min(state.failures, 20))
    chance = random.random() if chance is None else chance  # noqa: S311 - no secret
    return min(doubled, max(fetch_s, LONGEST_S)) * (1 - JITTER + 2 * JITTER * chance)


def retry_s() -> float:
    """Return the pause before a failing mirror is fetched, in seconds: not all at once.

    The operator asks for it, by a start or a reload.
    """
    return random.uniform(0, RETRY_S)  # noqa: S311 - no secret


def is_due(state: MirrorState, pause_s: float, now: float) -> bool:
    """Whether it is time for a fetch; also where the clock was set back."""
    return state.tried is None or not 0 <= now - state.tried < pause_s
