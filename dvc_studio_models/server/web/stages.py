"""The order and the colours of stages, the same on all pages. No I/O."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_GREEN, _AMBER, _BLUE = "green", "amber", "blue"
_TONES = {
    "prod": _GREEN,
    "production": _GREEN,
    "live": _GREEN,
    "staging": _AMBER,
    "stage": _AMBER,
    "test": _AMBER,
    "dev": _BLUE,
    "development": _BLUE,
}
"""The colours of usual stages, from production to development."""

_OTHER_TONES = ("violet", "teal", "pink", "slate")
_ORDER = {_GREEN: 0, _AMBER: 1, _BLUE: 3}
_OTHER = 2


def tone_of(stage: str) -> str:
    """Return the colour of a stage."""
    if known := _TONES.get(stage.lower()):
        return known
    digest = hashlib.sha256(stage.encode("utf-8", "replace")).digest()
    return _OTHER_TONES[digest[0] % len(_OTHER_TONES)]


def stage_order(stage: str) -> tuple[int, str]:
    """Return what to sort stages by: production first, development last."""
    return _ORDER.get(tone_of(stage), _OTHER), stage


def sort_stages(stages: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return stages and their versions, production first."""
    return tuple((stage, stages[stage]) for stage in sorted(stages, key=stage_order))
