"""Reads requests and sends responses, with the faults that a network can have.

It uses raw sockets, because ``http.server`` cannot reset or close connections early.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from servers.behaviour import ENDLESS_BYTES, OK, Behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEND_BYTES = 1 << 20  # larger slices are not faster
READ_BYTES = 1 << 16
LINGER_S = 0.02  # a reset drops data that the kernel has not sent yet

_ABSOLUTE = re.compile(r"http://([^/]*)(/.*)", re.DOTALL)
_HOP = re.compile(r"/hop-(\d+)(/.*)", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Exchange:
    """A request, and the state of its response."""

    connection: int
    """Number of the TCP connection, from 1. Equal numbers mean keep-alive."""
    method: str
    target: str
    """Path and query, not decoded."""
    headers: Mapping[str, str]
    """Names in lower case."""
    behaviour: Behaviour = OK
    status: int | None = None
    """None: no status line was sent yet."""
    hop: int | None = None
    """Number of redirects that follow, in a chain of this server's redirects."""
    proxied_to: str | None = None
    """Host and port in the request, if the client uses this server as a proxy."""
    _sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query, not decoded."""
        return self.target.partition("?")[2]

    @property
    def params(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def byte_range(self) -> tuple[int | None, int | None] | None:
        """First and last requested byte; ``(None, n)`` means the last n bytes."""
        match = _RANGE.fullmatch(self.headers.get("range", ""))
        if match is None or match[0] == "bytes=-":
            return None
        first, last = (int(number) if number else None for number in match.groups())
        return first, last

    @property
    def sent(self) -> int:
        """Bytes of the body that the kernel accepted, without chunked framing."""
        with self._lock:
            return self._sent


class Connection:
    """A client's socket. Waits end when the server stops or the client disconnects."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._stopping = stopping
        self._unread = b""

    @property
    def is_left(self) -> bool:
        """Whether the client has closed the connection."""
        with contextlib.suppress(BlockingIOError, OSError):
            flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
            return not self._sock.recv(1, flags)
        return False

    def read_head(self) -> str | None:
        """Return the next request line and headers; None if the client disconnected."""
        while b"\r\n\r\n" not in self._unread:
            received = self._receive()
            if not received:
                return None
            self._unread += received
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def send(self, data: bytes | memoryview, exchange: Exchange | None = None) -> None:
        """Send all of ``data``, and count it as body of ``exchange``.

        The lock covers a non-blocking send. So a reader of the count never waits for a
        slow client, and after a byte has arrived, the count includes it.
        """
        rest = memoryview(data)
        while rest:
            self._wait(select.POLLOUT)
            with exchange._lock if exchange else contextlib.nullcontext():
                count = self._send_some(rest[:SEND_BYTES])
                if exchange:
                    exchange._sent += count
            rest = rest[count:]

    def pause(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        if seconds > 0 and self._stopping.wait(seconds):
            raise ConnectionAbortedError

    def wait_for_hangup(self) -> None:
        """Send nothing until the client disconnects."""
        while self._receive():
            pass

    def finish(self, *, reset: bool = False) -> None:
        """Shut down the connection, with FIN or RST. The owner closes the socket."""
        if reset:
            self.pause(LINGER_S)
            no_linger = struct.pack("ii", 1, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        else:
            self.interrupt()

    def interrupt(self) -> None:
        """Shut down the connection, which also ends all waits on it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> bytes:
        self._wait(select.POLLIN)
        try:
            return self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return self._receive()

    def _send_some(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._sock, event)
        poll.poll()
        if self._stopping.is_set():
            raise ConnectionAbortedError


def parse(head: str, connection: int) -> Exchange:
    """Parse a request line and headers."""
    request_line, *lines = head.split("\r\n")
    method, target, _ = request_line.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    proxied = _ABSOLUTE.fullmatch(target)
    target = proxied[2] if proxied else target
    hop = _HOP.fullmatch(target)
    exchange = Exchange(connection, method, hop[2] if hop else target, headers)
    exchange.hop = int(hop[1]) if hop else None
    exchange.proxied_to = proxied[1] if proxied else None
    return exchange


def send_head(connection: Connection, head: bytes, behaviour: Behaviour) -> None:
    """Send status line and headers, byte by byte if ``header_drip_s`` is set."""
    if not behaviour.header_drip_s:
        connection.send(head)
        return
    for offset in range(len(head)):
        connection.send(head[offset : offset + 1])
        connection.pause(behaviour.header_drip_s)


def send_body(
    connection: Connection, exchange: Exchange, body: bytes | memoryview
) -> None:
    """Send ``body`` with the framing, rate, pause and end of the behaviour."""
    behaviour = exchange.behaviour
    started = time.monotonic()
    for piece in _pieces(body, behaviour):
        _stall(connection, exchange)
        if behaviour.framing == "chunked":
            connection.send(b"%x\r\n" % len(piece))
            connection.send(piece, exchange)
            connection.send(b"\r\n")
        else:
            connection.send(piece, exchange)
        if behaviour.bytes_per_s:
            due = started + exchange.sent / behaviour.bytes_per_s
            connection.pause(due - time.monotonic())
    _stall(connection, exchange)
    if behaviour.framing == "chunked" and behaviour.cut_after is None:
        connection.send(b"0\r\n\r\n")


def _stall(connection: Connection, exchange: Exchange) -> None:
    if exchange.sent == exchange.behaviour.stall_after:
        connection.pause(exchange.behaviour.stall_s)


def _pieces(body: bytes | memoryview, behaviour: Behaviour) -> Iterator[memoryview]:
    """Split the body into slices; one of them starts at the pause."""
    view = memoryview(body)
    size = ENDLESS_BYTES if behaviour.endless else len(view)
    end = size if behaviour.cut_after is None else min(size, behaviour.cut_after)
    step = max(1, min(SEND_BYTES, (behaviour.bytes_per_s or SEND_BYTES * 50) // 50))
    zeros = memoryview(bytes(step))
    start = 0
    while start < end:
        stop = min(start + step, end)
        if behaviour.stall_after is not None and start < behaviour.stall_after < stop:
            stop = behaviour.stall_after
        piece = view[start:stop] or zeros[: stop - start]
        yield piece
        start += len(piece)
