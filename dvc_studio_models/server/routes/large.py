"""Large replies: in pieces, as fast as their clients read, and few at once.

A reply that a client does not read stays in memory. Without :class:`Unread`, a few
clients could take all of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from dvc_studio_models.server.catalog.recorded import MAX_FILES
from dvc_studio_models.server.errors.requests import TooManyUnreadError
from dvc_studio_models.server.waiting.deadlines import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

MAX_REPLY_BYTES = 64 << 20
"""The largest reply that ``dvc models`` reads."""

SMALL_FILES = 100
"""Replies with so many links are small, and do not count."""

MOST_FILES = 2 * MAX_FILES
"""Links in the replies of one process that clients have not read yet."""

MOST_FILES_OF_REPO = MAX_FILES
"""The same, of one repo: the others have the rest."""

PIECE_BYTES = 1 << 16
LOOK_S = 0.05


@dataclass
class Unread:
    """The links in replies that are being made, or that clients have not read yet."""

    most: int = MOST_FILES
    most_of_repo: int = MOST_FILES_OF_REPO
    wait_s: float = ANSWER_S
    """The longest, in seconds, that a request waits for others to be read."""

    _by_repo: dict[str, int] = field(default_factory=dict)

    async def take(self, repo: str, files: int) -> Callable[[], None]:
        """Wait until there is room for a reply; returns what frees it again.

        Args:
            repo: The name of the repo.
            files: Links in the reply, at most ``most_of_repo``.

        Raises:
            TooManyUnreadError: There was none in time.
        """
        deadline = time.monotonic() + self.wait_s
        while not self._has_room(repo, files):
            if time.monotonic() > deadline:
                raise TooManyUnreadError
            await asyncio.sleep(LOOK_S)
        self._by_repo[repo] = self._by_repo.get(repo, 0) + files

        def free() -> None:
            self._by_repo[repo] -= files

        return free

    def _has_room(self, repo: str, files: int) -> bool:
        of_repo = self._by_repo.get(repo, 0) + files
        in_all = sum(self._by_repo.values()) + files
        return of_repo <= self.most_of_repo and in_all <= self.most


class LargeResponse(Response):
    """A reply that is sent in pieces: what is not read is in memory only once."""

    def __init__(
        self, body: bytes, *, free: Callable[[], None] = lambda: None, **options: Any
    ) -> None:
        """Store the reply.

        Args:
            body: The whole of it.
            free: Called when the client has read all, or has gone.
            options: Passed to Starlette.
        """
        super().__init__(body, **options)
        self._free = free

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the reply; each piece waits until those before it are on their way."""
        body = bytes(self.body)
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            for begin in range(0, len(body), PIECE_BYTES):
                piece = body[begin : begin + PIECE_BYTES]
                message = {"type": "http.response.body", "body": piece}
                await send({**message, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._free()
