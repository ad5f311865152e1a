"""What a connection may take of the server: bytes, and time.

Without this, a client could hold a connection for ever: by sending its request letter
by letter, or by not reading its reply.
"""

from __future__ import annotations

import contextlib
import fcntl
import resource
import struct
import termios
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

IDLE_S = 30
"""From the connection, or from the last reply, until a request is here as a whole; and
between any two bytes of a reply that the client reads."""

MOST = 512
"""Connections at once; who comes then is answered with 503. One that fetches an object
has two open files, so that all need more than the 1024 that Linux mostly allows at
first; see :func:`raise_limits`."""

HEAD_BYTES = 1 << 16
"""The longest head of a request. A body is never wanted, and never read."""


def raise_limits() -> None:
    """Let this process have as many open files as the system allows it at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS allows fewer than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Connection(H11Protocol):
    """A connection that a client cannot hold for nothing."""

    _timer: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes of the reply that the client had not taken when the timer was set."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request, but from no more clients than there is room for."""
        super().connection_made(transport)
        self._start_timer()
        most = self.config.limit_concurrency or MOST
        if len(self.connections) > most + most // 4:  # and they have not even asked
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Let a whole request take the time it needs."""
        super().handle_events()
        if self._is_answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Expect the next request, unless this one's body is still on its way."""
        self._start_timer()
        if self.conn.their_state not in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Expect the client to read."""
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        """Expect what has not come yet."""
        super().resume_writing()
        if self._is_answering():
            self._stop_timer()

    def _is_answering(self) -> bool:
        return not getattr(self.cycle, "response_complete", True)  # or None

    def _start_timer(self) -> None:
        self._stop_timer()
        self._unread = _unread_bytes(self.transport)
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._end_if_idle)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _end_if_idle(self) -> None:
        if _unread_bytes(self.transport) < self._unread:
            self._start_timer()  # it reads, however slowly
        else:
            self.transport.abort()


def _unread_bytes(transport: asyncio.Transport) -> int:
    """Count what was sent and not taken: here, and in the kernel, which holds more."""
    queued = 0
    with contextlib.suppress(OSError):  # a system that does not tell
        told = fcntl.ioctl(
            transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)
        )
        (queued,) = struct.unpack("i", told)
    return transport.get_write_buffer_size() + queued
