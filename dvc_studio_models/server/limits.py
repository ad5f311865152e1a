"""Limits of a connection: bytes and time.

Without :class:`Connection`, a client could hold a connection for ever: by sending its
request letter by letter, or by not reading its reply.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import resource
import socket
import struct
import sys
import termios
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from dvc_studio_models.server.waiting.slow_calls import MAX_CONNECTIONS

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(f"dvc.{__name__}")

IDLE_S = 30
"""The longest, in seconds, from the connection or the last reply until a whole request
has arrived, and between any two bytes of a reply that the client reads."""


_SO_NWRITE = 0x1024  # of macOS's <sys/socket.h>
_MOST_FILES = 1 << 20
_OTHER_FILES = 64  # of the log, of Git's processes, of databases
_FILES_OF_FOUR = 9  # four connections with an object each, and one more that is refused


def raise_limits() -> None:
    """Raise the limit of open files to the most that the system allows.

    macOS starts programs with 256, reports no hard limit, and accepts up to a setting
    of its kernel (``kern.maxfilesperproc``). So it is asked for less until it accepts.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    wanted = hard
    if hard == resource.RLIM_INFINITY or hard > _MOST_FILES:
        wanted = _MOST_FILES
    while wanted > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return
        wanted //= 2


def most_connections() -> int:
    """Return how many connections at once the limit of open files allows.

    Logs a warning if that is fewer than :data:`MAX_CONNECTIONS`.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    most = max(1, (files - _OTHER_FILES) * 4 // _FILES_OF_FOUR)
    if most < MAX_CONNECTIONS:
        logger.warning(
            "at most %d connections at once, as this process may have %d open files; "
            "raise the limit ('ulimit -n')",
            most,
            files,
        )
    return min(most, MAX_CONNECTIONS)


BUSY = "too many connections; try again later"


async def refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there are too many connections."""
    logger.warning(BUSY)
    headers = {"Connection": "close", "Retry-After": "1"}
    response = JSONResponse({"detail": BUSY}, HTTPStatus.SERVICE_UNAVAILABLE, headers)
    await response(scope, receive, send)


_LOGGER = logging.getLogger("uvicorn.error.connection")
_LOGGER.addFilter(
    lambda record: (
        record.msg
        not in {
            "Invalid HTTP request received.",
            "ASGI callable returned without completing response.",
        }
    )
)
"""Without what is logged elsewhere: with the client's address, and with the reason."""


class Connection(H11Protocol):
    """A connection that is closed when the client is idle.

    What uvicorn would refuse in plain text is refused in JSON.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes of the reply that the client had not taken when the timer was set."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; close the connection if there are too many."""
        super().connection_made(transport)
        self.logger = _LOGGER
        self._start_timer()
        most = self.config.limit_concurrency or MAX_CONNECTIONS
        if len(self.connections) > most + max(1, most // 4):  # else each gets a reply
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop the timer when a whole request has arrived."""
        most = self.config.limit_concurrency or MAX_CONNECTIONS
        self.limit_concurrency = None  # uvicorn would answer in plain text
        is_full = len(self.connections) > most or len(self.tasks) >= most
        self.app = refuse_connection if is_full else self.config.loaded_app
        super().handle_events()
        if self._is_answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless this one has a body, which is not read."""
        self._start_timer()
        if self.conn.their_state not in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            self.transport.close()
        super().on_response_complete()

    def _should_upgrade(self) -> bool:
        """Answer as if the client had asked for no other protocol, and log nothing."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or has a malformed body; close the connection."""
        logger.info("malformed request from '%s'", (self.client or [""])[0])
        if self._is_answering():  # its route was called when the head was there
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        body = json.dumps({"detail": msg}).encode()
        head = h11.Response(
            status_code=HTTPStatus.BAD_REQUEST,
            headers=[
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ],
            reason=b"Bad Request",
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        """Stop the timer, unless a request is still incomplete."""
        super().resume_writing()
        if self._is_answering():
            self._stop_timer()

    def end_response(self) -> bool:
        """Close the connection if a response is being sent; return whether it was."""
        is_sending = self._is_answering() and self.cycle.response_started
        if is_sending:
            self.transport.abort()
        return is_sending

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
            self._start_timer()  # the client reads, however slowly
        else:
            self.transport.abort()


def _unread_bytes(transport: asyncio.Transport) -> int:
    """Return the bytes that the client has not received yet.

    Most of them are in the kernel's buffer. macOS tells their number by an option of
    the socket, which Python does not name.
    """
    queued = 0
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # not every system reports them
        if sys.platform == "darwin":
            queued = connection.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
        else:
            reply = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            (queued,) = struct.unpack("i", reply)
    return transport.get_write_buffer_size() + queued
