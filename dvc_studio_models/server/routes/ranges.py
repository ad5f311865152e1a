"""Ranges of bytes that a client wants of an object (RFC 9110, section 14)."""

from __future__ import annotations

import re

MAX_RANGES = 100
"""More of them are ignored, and the whole object is sent."""

_RANGES = re.compile(r"\s*bytes\s*=(?P<ranges>.*)", re.IGNORECASE)
_RANGE = re.compile(r"(?P<first>[0-9]{0,4000})-(?P<last>[0-9]{0,4000})")


def parse_ranges(header: str, size: int) -> list[tuple[int, int]] | None:
    """Return the first and last byte of each range that an object has.

    Args:
        header: The value of ``Range``.
        size: Of the object, in bytes.

    Returns:
        None for a header that has to be ignored: of another unit, malformed, or with
        too many ranges. Empty if the object has none of the ranges.
    """
    match = _RANGES.fullmatch(header)
    texts = [text.strip() for text in match["ranges"].split(",")] if match else []
    texts = [text for text in texts if text]
    if not texts or len(texts) > MAX_RANGES:
        return None
    ranges = []
    for text in texts:
        found = _RANGE.fullmatch(text)
        if found is None or not (found["first"] or found["last"]):
            return None
        if not found["first"]:  # the last bytes
            suffix = min(int(found["last"]), size)
            first, last = size - suffix, size - 1
            if not suffix:
                continue
        else:
            first = int(found["first"])
            last = int(found["last"]) if found["last"] else max(first, size - 1)
            if last < first:
                return None
        if first < size:
            ranges.append((first, min(last, size - 1)))
    return ranges
