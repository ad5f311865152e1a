"""One try at a whole file: its part, its hash, and the ranges to ask for.

A further range is asked for only while the hash waits for bytes. Where it does not,
hashing is the limit, and more connections would only take its processor away.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from dvc_studio_models.transfer.hashing import PrefixHash
from dvc_studio_models.transfer.mirror import PartMirror

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dvc_studio_models.store.part import Part
    from dvc_studio_models.store.parts import PartStore

    Span = tuple[int, int]

FIRST_WIDTH = 2
AHEAD = 2  # times the ranges that are asked for at a time
_TICK_S = 0.1


class Attempt:
    """A part and its hash; requests that serve an earlier attempt are void."""

    def __init__(self, part: Part, store: PartStore) -> None:
        self.part = part
        self.hash = PrefixHash(part)
        self.mirror = PartMirror(part, store)
        self.content_md5: str | None = None
        self.size_confirmed = False
        """Whether its size is what storage says."""
        self.judged = False
        self.in_background = False
        """Whether a thread of its own hashes it."""
        self.arrived = threading.Event()
        self._spans: deque[Span] = deque()
        self._most = 0
        self._queued = 0
        self._asked = 0
        self._width = FIRST_WIDTH
        self._lock = threading.Lock()

    def feed(self, position: int, chunk: memoryview) -> None:
        """Hash bytes that have just been written, here or beside."""
        if self.in_background:
            self.arrived.set()
        else:
            self.hash.feed(position, chunk)

    def wait(self) -> None:
        """Wait for bytes, but not for ever: all may have ended."""
        self.arrived.wait(_TICK_S)
        self.arrived.clear()

    def plan(self, spans: Iterable[Span], *, most: int) -> None:
        """Take down which ranges are still to be asked for; hash them beside.

        Args:
            spans: In their order.
            most: How large one is, in bytes.
        """
        with self._lock:
            self._spans, self._most = deque(spans), most
            self.in_background = bool(self._spans)

    def take_due(self) -> int:
        """Tell how many more ranges are to be asked for now; each is told once.

        No range starts far beyond what is hashed: its bytes would leave the memory,
        and have to be read back from the disk.
        """
        with self._lock:
            before = self._queued
            while self._asked < self._width and self._queued < len(self._spans):
                lead = self._spans[self._queued][0] - self.hash.position
                if lead > AHEAD * self._width * self._most:
                    break
                self._queued += 1
                self._asked += 1
            return self._queued - before

    def take(self) -> Span:
        """Give the first of the ranges that are to be asked for."""
        with self._lock:
            self._queued -= 1
            return self._spans.popleft()

    def range_done(self) -> None:
        """Take down that a range which was asked for is here."""
        with self._lock:
            self._asked -= 1

    def double_concurrency(self) -> None:
        """Allow twice as many ranges at a time."""
        with self._lock:
            if self._spans:
                self._width *= 2


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
