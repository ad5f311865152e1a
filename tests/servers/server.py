"""The base of all servers: listens, records requests, follows scripts, and stops."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from servers.behaviour import ENDLESS_BYTES, OK, Behaviour, http_date
from servers.wire import Connection, Exchange, parse, send_body, send_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SHUTDOWN_S = 5.0

_ServerT = TypeVar("_ServerT", bound="Server")


@dataclass
class Reply:
    """A response, before it is sent."""

    status: int
    body: bytes | memoryview = b""
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Listens in its ``with`` block; subclasses create the responses."""

    def __init__(self, *, behaviour: Behaviour = OK, clock_offset_s: float = 0) -> None:
        self.behaviour = behaviour
        """The default for all requests; may be replaced at any time."""
        self.behaviours: dict[str, Behaviour] = {}
        """Path -> behaviour; overrides the default."""
        self.choose: Callable[[Exchange], Behaviour | None] = lambda _: None
        """Returns the behaviour for selected requests, e.g. by their range."""
        self.clock_offset_s = clock_offset_s
        """Error of this server's clock, in seconds; affects Date and signed links."""
        self._scripts: dict[str | None, deque[Behaviour]] = defaultdict(deque)
        self._exchanges: list[Exchange] = []
        self._connections: dict[Connection, threading.Thread] = {}
        self.most_connections = 0
        """The most that were open at a time."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self: _ServerT) -> _ServerT:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._acceptor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse new connections, close the open ones, and wait for their threads."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        with contextlib.suppress(
            OSError
        ):  # wakes accept(), even where shutdown does not
            socket.create_connection(("127.0.0.1", self.port), SHUTDOWN_S).close()
        self._acceptor.join(SHUTDOWN_S)
        self._listener.close()
        with self._lock:
            still_open = dict(self._connections)
        for connection in still_open:
            connection.interrupt()
        for thread in still_open.values():
            thread.join(SHUTDOWN_S)

    def origin(self, host: str = "127.0.0.1") -> str:
        """Return scheme, host and port."""
        return f"http://{host}:{self.port}"

    def script(self, *behaviours: Behaviour, path: str | None = None) -> None:
        """Queue ``behaviours``, one for each of the next requests (for ``path``)."""
        with self._lock:
            self._scripts[path].extend(behaviours)

    @property
    def requests(self) -> list[Exchange]:
        """All requests so far, in order of arrival."""
        with self._lock:
            return list(self._exchanges)

    @property
    def bytes_served(self) -> int:
        """Number of bytes of all bodies sent so far."""
        return sum(exchange.sent for exchange in self.requests)

    def forget(self) -> None:
        """Clear the list of requests."""
        with self._lock:
            self._exchanges.clear()

    def now(self) -> datetime:
        """Return the time of this server's clock, in UTC."""
        return datetime.now(timezone.utc) + timedelta(seconds=self.clock_offset_s)

    def answer(self, exchange: Exchange) -> Reply:
        """Return the correct response to ``exchange``."""
        raise NotImplementedError

    def _accept(self) -> None:
        for number in count(1):
            sock, _ = self._listener.accept()
            if self._stopping.is_set():
                sock.close()
                return
            connection = Connection(sock, self._stopping)
            thread = threading.Thread(
                target=self._serve, args=(sock, connection, number), daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
                now = sum(not each.is_left for each in self._connections)
                self.most_connections = max(self.most_connections, now)
            thread.start()

    def _serve(self, sock: socket.socket, connection: Connection, number: int) -> None:
        with sock, contextlib.suppress(OSError):  # the client may leave at any time
            while (head := connection.read_head()) is not None:
                exchange = self._record(head, number)
                if not self._respond(connection, exchange):
                    break
        with self._lock:
            del self._connections[connection]

    def _record(self, head: str, connection: int) -> Exchange:
        exchange = parse(head, connection)
        lasting = self.behaviours.get(exchange.path, self.behaviour)
        chosen = self.choose(exchange) or lasting
        with self._lock:
            exchange.behaviour = self._scripted(exchange.path) or chosen
            self._exchanges.append(exchange)
        return exchange

    def _scripted(self, path: str) -> Behaviour | None:
        for queue in (self._scripts[path], self._scripts[None]):
            if queue:
                return queue.popleft()
        return None

    def _respond(self, connection: Connection, exchange: Exchange) -> bool:
        """Respond; return whether the connection stays open."""
        behaviour = exchange.behaviour
        if behaviour.no_answer:
            connection.wait_for_hangup()
            return False
        connection.pause(behaviour.delay_s)
        if behaviour.close_before_answer:
            connection.finish(reset=behaviour.reset)
            return False
        reply = _change_body(self._reply(exchange), behaviour)
        exchange.status = reply.status
        send_head(connection, self._head(reply, behaviour), behaviour)
        if exchange.method != "HEAD":
            send_body(connection, exchange, reply.body)
        if behaviour.cut_after is not None:
            connection.finish(reset=behaviour.reset)
        return behaviour.cut_after is None and _keeps_alive(exchange)

    def _reply(self, exchange: Exchange) -> Reply:
        behaviour = exchange.behaviour
        if behaviour.status is not None:
            return Reply(behaviour.status, behaviour.reply)
        return self._redirected(exchange) or self.answer(exchange)

    def _redirected(self, exchange: Exchange) -> Reply | None:
        redirect = exchange.behaviour.redirect
        if redirect is None:
            return None
        if redirect.location is not None:
            return Reply(redirect.status, headers={"Location": redirect.location})
        left = redirect.hops if exchange.hop is None else exchange.hop
        if left == 0:
            return None
        location = f"{self.origin(redirect.host)}/hop-{left - 1}{exchange.target}"
        return Reply(redirect.status, headers={"Location": location})

    def _head(self, reply: Reply, behaviour: Behaviour) -> bytes:
        headers = {"Date": http_date(self.now()), **reply.headers}
        if behaviour.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif behaviour.framing == "length":
            size = ENDLESS_BYTES if behaviour.endless else len(reply.body)
            headers["Content-Length"] = str(size)
        if behaviour.framing == "close" or not behaviour.keep_alive:
            headers["Connection"] = "close"
        lines = [_status_line(reply.status)]
        lines += [f"{name}: {value}" for name, value in _override(headers, behaviour)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 10) -> None:
    """Return when ``condition`` holds, e.g. when a client has reached a state.

    Raises:
        TimeoutError: The condition did not hold in time.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def refusal(behaviour: Behaviour) -> Reply:
    """Turn an error response into a reply."""
    headers = {name: value for name, value in behaviour.headers.items() if value}
    return Reply(behaviour.status or 500, behaviour.reply, headers)


def _change_body(reply: Reply, behaviour: Behaviour) -> Reply:
    """Change the body as the behaviour says."""
    body = reply.body
    if behaviour.wrong_bytes and body:
        body = bytes([body[0] ^ 0xFF]) + bytes(body[1:])
    if behaviour.resize > 0:
        body = bytes(body) + bytes(behaviour.resize)
    elif behaviour.resize < 0:
        body = body[: behaviour.resize]
    if behaviour.gzip:
        body = gzip.compress(body)
        reply.headers["Content-Encoding"] = "gzip"
    reply.body = body
    return reply


def _override(
    headers: Mapping[str, str], behaviour: Behaviour
) -> Iterator[tuple[str, str]]:
    changed = {name.lower() for name in behaviour.headers}
    yield from (pair for pair in headers.items() if pair[0].lower() not in changed)
    for name, value in behaviour.headers.items():
        if value is not None:
            yield name, value


def _status_line(status: int) -> str:
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"HTTP/1.1 {status} {known.get(status, 'Unknown')}"


def _keeps_alive(exchange: Exchange) -> bool:
    behaviour = exchange.behaviour
    asked_to_close = exchange.headers.get("connection", "").lower() == "close"
    return behaviour.keep_alive and behaviour.framing != "close" and not asked_to_close
