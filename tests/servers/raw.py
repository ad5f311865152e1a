"""A server that sends any bytes, whether they are HTTP or not."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Answer = Callable[[str], Iterable[bytes]]
    """Head of a request -> bytes to send before the connection is closed."""

_RANGE = re.compile(r"(?mi)^range: bytes=(\d+)-(\d+)\r?$")


class RawServer:
    """Responds to each request with the result of a callable, in its ``with`` block."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[str] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines = iter(self.rfile.readline, b"\r\n")
                head = b"".join(line for line in lines if line).decode("latin-1")
                outer.heads.append(head)
                with contextlib.suppress(OSError):  # the client closed the connection
                    for piece in outer.answer(head):
                        self.wfile.write(piece)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


def asked_range(head: str) -> tuple[int, int] | None:
    """Return the first and last byte of the requested range."""
    match = _RANGE.search(head)
    return (int(match[1]), int(match[2])) if match else None
