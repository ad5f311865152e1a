"""Durations and sizes, as users write them and as they are shown."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timezone

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>[smhdw])")
_SIZE = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<prefix>[kmgt]?)(?P<unit>i?b)?",
    re.IGNORECASE,
)
_PREFIXES = ("", "k", "m", "g", "t")
_AGES = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60))


def duration(text: str) -> float:
    """Read a duration for ``type`` of an argument: ``30d``, ``12h``; in seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        msg = f"{text!a} is not a duration: use a number and s, m, h, d or w, as 30d"
        raise argparse.ArgumentTypeError(msg)
    return float(match["number"]) * _SECONDS[match["unit"]]


def size(text: str) -> int:
    """Read a size for ``type`` of an argument: ``20GB``, ``500MiB``, ``10G``; in bytes.

    As curl's sizes, ``10G`` is 10 GiB.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        msg = f"{text!a} is not a size: use a number and a unit, as 20GB or 500MiB"
        raise argparse.ArgumentTypeError(msg)
    is_decimal = (match["unit"] or "").lower() == "b"
    power = _PREFIXES.index(match["prefix"].lower())
    return int(float(match["number"]) * (1000 if is_decimal else 1024) ** power)


def format_age(seconds: float) -> str:
    """Format how long ago something was: ``3 days ago``."""
    for name, length in _AGES:
        if seconds >= (2 * length if name == "week" else length):
            count = int(seconds // length)
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def format_time(seconds: float) -> str:
    """Format a time in seconds since 1970 as ISO 8601, in UTC."""
    moment = datetime.fromtimestamp(int(seconds), tz=timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")
