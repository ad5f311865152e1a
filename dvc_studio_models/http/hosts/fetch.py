"""One request whose reply is read to its end, bounded in time and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.background import ByteCounter, run_in_background
from dvc_studio_models.http.failures import CONNECT_TIMEOUT_S
from dvc_studio_models.http.studio.reply import Reply
from dvc_studio_models.http.urls import follow_redirects

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

_CHUNK_BYTES = 1 << 16


class ReplyTooLarge(Exception):  # noqa: N818 - a signal, never shown
    """A reply is larger than the caller takes."""


def fetch(
    session: requests.Session,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    read_timeout_s: float,
    reply_timeout_s: float,
    max_bytes: int,
) -> Reply:
    """Send one request on another thread, and follow redirects within the origin.

    A resolver does not react to Ctrl-C, and a socket's timeout starts again with each
    byte.

    Args:
        session: Sends it.
        url: Sent byte for byte.
        headers: Sent too, to the same origin only.
        read_timeout_s: The longest time between two bytes, in seconds.
        reply_timeout_s: The longest time for the whole reply, in seconds.
        max_bytes: The largest body that is read.

    Raises:
        requests.RequestException: There was no reply.
        TimeoutError: It took too long.
        ReplyTooLarge: It is larger than ``max_bytes``.
        RedirectRejected: A redirect leads to another origin.
        TooManyRedirects: There are too many.
        ThreadLimitError: The system refuses to start a thread.
    """

    def send(address: str) -> tuple[requests.Response, str | None]:
        timeout = (CONNECT_TIMEOUT_S, read_timeout_s)
        response = session.get(address, headers=headers, timeout=timeout, stream=True)
        is_redirect = response.is_redirect
        return response, response.headers["Location"] if is_redirect else None

    def work() -> None:
        response, _ = follow_redirects(url, send, same_origin=True)
        with response:
            body = _read_body(response, max_bytes)
            replies.append(Reply(response.status_code, response.headers, body))

    replies: list[Reply] = []
    run_in_background(work, ByteCounter(), lambda _: None, silent_s=reply_timeout_s)
    return replies[0]


def _read_body(response: requests.Response, max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise ReplyTooLarge
    return bytes(body)
