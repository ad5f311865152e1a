"""Which bytes of a file are there: a set of offsets. No I/O."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Ranges:
    """A set of byte offsets, as disjoint half-open ranges in order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Put ``start`` to ``stop`` (exclusive) into the set."""
        first = bisect.bisect_left(self._stops, start)
        last = bisect.bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    @property
    def contiguous_bytes(self) -> int:
        """How many bytes from the start on are there without a gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def total(self) -> int:
        """How many bytes are there."""
        return sum(self._stops) - sum(self._starts)

    def missing(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the gaps between ``start`` and ``stop``."""
        for there, until in self:
            if there >= stop:
                break
            if there > start:
                yield start, there
            start = max(start, until)
        if start < stop:
            yield start, stop


def divide(
    spans: Iterable[tuple[int, int]], *, most: int, ramp: int
) -> Iterator[tuple[int, int]]:
    """Divide spans into ranges to ask for.

    The first ones are smaller, each larger than the one before. Connections that are
    equally fast so end one after the other, all the time, and whoever reads in order
    need not wait until all of them are through.

    Args:
        spans: In order, in bytes, the second number exclusive.
        most: Size of a range, in bytes.
        ramp: How many ranges it takes until they have that size.
    """
    count = 0
    for start, stop in spans:
        at = start
        while at < stop:
            count = min(count + 1, ramp)
            size = max(1, most * count // ramp)
            yield at, min(at + size, stop)
            at += size
