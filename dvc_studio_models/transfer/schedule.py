"""One attempt at a file: its part, its hash, and the ranges to request next.

A further range is requested only while the hash waits for bytes. Otherwise hashing is
the limit, and more connections would only take processor time from it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from dvc_studio_models.transfer.hashing import PrefixHash
from dvc_studio_models.transfer.mirror import PartMirror

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dvc_studio_models.store.parts.folder import PartStore
    from dvc_studio_models.store.parts.part import Part

    Span = tuple[int, int]

FIRST_WIDTH = 2
AHEAD = 2  # times the ranges that are requested at a time
_TICK_S = 0.1


class Attempt:
    """A part and its hash; results of requests for an earlier attempt are ignored."""

    def __init__(self, part: Part, store: PartStore) -> None:
        self.part = part
        self.hash = PrefixHash(part)
        self.mirror = PartMirror(part, store)
        self.content_md5: str | None = None
        self.size_confirmed = False
        """Whether its size is the one in a response."""
        self.verified = False
        self.in_background = False
        """Whether it is hashed on a thread of its own."""
        self.arrived = threading.Event()
        self._spans: deque[Span] = deque()
        self._range_bytes = 0
        self._queued = 0
        self._requested = 0
        self._width = FIRST_WIDTH
        self._lock = threading.Lock()

    def feed(self, position: int, chunk: memoryview) -> None:
        """Hash bytes that have just been written, here or in the background."""
        if self.in_background:
            self.arrived.set()
        else:
            self.hash.feed(position, chunk)

    def wait(self) -> None:
        """Wait for bytes for a moment: the transfer may have ended."""
        self.arrived.wait(_TICK_S)
        self.arrived.clear()

    def plan(self, spans: Iterable[Span], *, range_bytes: int) -> None:
        """Set the ranges that are still to be requested; hash in the background.

        Args:
            spans: In their order.
            range_bytes: Size of the largest.
        """
        with self._lock:
            self._spans, self._range_bytes = deque(spans), range_bytes
            self.in_background = bool(self._spans)

    def take_due(self) -> int:
        """Return how many more ranges to request now; each is counted once.

        No range starts far beyond the hashed bytes: its bytes would be gone from the
        page cache, and have to be read from the disk again.
        """
        with self._lock:
            before = self._queued
            while self._requested < self._width and self._queued < len(self._spans):
                lead = self._spans[self._queued][0] - self.hash.position
                if lead > AHEAD * self._width * self._range_bytes:
                    break
                self._queued += 1
                self._requested += 1
            return self._queued - before

    def take(self) -> Span:
        """Return the next range to request."""
        with self._lock:
            self._queued -= 1
            return self._spans.popleft()

    def range_done(self) -> None:
        """Note that a requested range has arrived."""
        with self._lock:
            self._requested -= 1

    def double_concurrency(self) -> None:
        """Allow twice as many ranges at a time."""
        with self._lock:
            if self._spans:
                self._width *= 2


def divide(
    spans: Iterable[tuple[int, int]], *, range_bytes: int, ramp: int
) -> Iterator[tuple[int, int]]:
    """Divide spans into ranges to request.

    The first ranges are smaller, each larger than the one before. Connections of equal
    speed therefore end one after another, and the hash, which needs the bytes in order,
    does not have to wait for all of them.

    Args:
        spans: In order, in bytes, the second number exclusive.
        range_bytes: Size of a range.
        ramp: How many ranges it takes to reach that size.
    """
    count = 0
    for start, stop in spans:
        at = start
        while at < stop:
            count = min(count + 1, ramp)
            size = max(1, range_bytes * count // ramp)
            yield at, min(at + size, stop)
            at += size
