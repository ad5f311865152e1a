"""A limit on the bytes that all connections receive together. No I/O.

Connections that are not read from fill the buffers of the system, and then the server
has to wait: that is all that slows it down. What has been received is accounted for
afterwards, so the first bytes come at once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECTION_BYTES = 64 << 10
"""A connection is opened for each of them, a second: slower ones are of no use."""

_READS = 11  # of a buffer, by one call of libcurl
_ROUND_S = 0.5  # in which each connection may fill its buffer so often
_BUFFERS = range(1 << 10, 64 << 10)
_CREDIT_S = 0.1


class RateLimit:
    """How long nothing may be received, from any number of threads."""

    def __init__(
        self,
        bytes_per_s: int,
        *,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing received.

        Args:
            bytes_per_s: The limit.
            connections: The most that are open without a limit.
            clock: Returns the time in seconds.
        """
        self.connections = max(1, min(connections, bytes_per_s // _CONNECTION_BYTES))
        """How many connections are enough to reach the limit."""
        fair = int(bytes_per_s * _ROUND_S) // (_READS * self.connections)
        self.buffer_bytes = min(max(fair, _BUFFERS.start), _BUFFERS.stop)
        """How much a connection receives at a time."""
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._free_at = clock()
        self._lock = threading.Lock()

    @property
    def pause_s(self) -> float:
        """For how long nothing may be received, in seconds."""
        return max(0.0, self._free_at - self._clock())

    def spend(self, count: int) -> None:
        """Note that so many bytes were received."""
        with self._lock:
            # A short time in which too little came may be made up for.
            since = max(self._free_at, self._clock() - _CREDIT_S)
            self._free_at = since + count / self._bytes_per_s
