"""Requests to one Studio: several tries, redirects, time limits.

Promises that the token is sent to Studio's own scheme, host and port only and appears
in no message, and that no reply, however slow or long, is waited for without end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from dvc_studio_models.background import ByteCounter, run_in_background
from dvc_studio_models.errors import (
    StudioAuthError,
    StudioError,
    StudioFailedError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
)
from dvc_studio_models.http.failures import (
    CONNECT_TIMEOUT_S,
    backoff_s,
    describe_error,
    is_permanent,
    is_unresolved,
    status_text,
)
from dvc_studio_models.http.session import make_session
from dvc_studio_models.http.studio.reply import Reply, ReplyError
from dvc_studio_models.http.urls import (
    RedirectRejected,
    TooManyRedirects,
    follow_redirects,
)
from dvc_studio_models.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = get_logger(__name__)

TRIES = 3
READ_TIMEOUT_S = 60  # Studio takes long to sign thousands of files
REPLY_TIMEOUT_S = 300  # for the whole reply, however slowly it drips
RESOLVE_TIMEOUT_S = 5  # a dead resolver takes at least as long each time
MAX_REPLY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16


class StudioConnection:
    """Sends requests to one Studio, with one token."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self.url = url
        self._token = token
        self._sleep = sleep
        self._clock = clock
        self._reply_timeout_s = reply_timeout_s
        self._session = make_session(token=token)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, endpoint: str, query: Mapping[str, str]) -> Reply:
        """Send a request, several times if that can help.

        Args:
            endpoint: The path below Studio's base URL.
            query: The parameters, not quoted.

        Returns:
            The reply, which may be a refusal.

        Raises:
            StudioUnreachableError: Studio did not reply in three tries.
            StudioFailedError: Studio failed three times.
            StudioResponseError: The reply is too large.
            StudioRedirectError: Studio redirects to another origin.
            ThreadLimitError: The system refuses to start a thread.
        """
        url = f"{self.url}{endpoint}?{urlencode(query)}"
        began = self._clock()
        for attempt in range(1, TRIES + 1):
            headers: Mapping[str, str] = {}
            reply = None
            try:
                reply = self._get_in_time(url)
            except requests.RequestException as error:
                why = describe_error(error)
                slow = self._clock() - began > RESOLVE_TIMEOUT_S
                if is_permanent(error) or (slow and is_unresolved(error)):
                    raise StudioUnreachableError(self.url, why) from None
            except TimeoutError:
                why = f"the reply took more than {self._reply_timeout_s} s"
                raise StudioUnreachableError(self.url, why) from None
            else:
                if not reply.is_busy:
                    return reply
                why, headers = self._sentence(reply), reply.headers
            if attempt == TRIES:
                raise self._failure(reply, f"{why} ({TRIES} tries)")
            pause = backoff_s(attempt, headers)
            logger.warning("Studio: %s; trying again in %.1f s", why, pause)
            self._sleep(pause)
        raise AssertionError

    def _failure(self, reply: Reply | None, why: str) -> Exception:
        """Return the error for a Studio that failed, or that did not reply."""
        if reply is None:
            return StudioUnreachableError(self.url, why)
        is_known = reply.is_json
        return StudioFailedError(self.url, reply.status, why, is_known=is_known)

    def _get_in_time(self, url: str) -> Reply:
        """Send one request on another thread.

        A resolver does not react to Ctrl-C, and a socket's timeout starts again with
        each byte.
        """
        replies: list[Reply] = []
        run_in_background(
            lambda: replies.append(self._get_once(url)),
            ByteCounter(),
            lambda _: None,
            silent_s=self._reply_timeout_s,
        )
        return replies[0]

    def _get_once(self, url: str) -> Reply:
        def send(address: str) -> tuple[requests.Response, str | None]:
            timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            response = self._session.get(address, timeout=timeout, stream=True)
            is_redirect = response.is_redirect
            return response, response.headers["Location"] if is_redirect else None

        failure: StudioError  # raised outside: its context may contain the token
        try:
            response, _ = follow_redirects(url, send, same_origin=True)
        except RedirectRejected as error:
            where = self._redact(error.target or "an unreadable URL")
            failure = StudioRedirectError(self.url, where)
        except TooManyRedirects as error:
            failure = StudioResponseError(self.url, str(error))
        else:
            with response:
                body = self._read_body(response)
                return Reply(response.status_code, response.headers, body)
        raise failure

    def _read_body(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_REPLY_BYTES:
                raise StudioResponseError(
                    self.url, f"larger than {MAX_REPLY_BYTES >> 20} MiB"
                )
        return bytes(body)

    def refusal(
        self, reply: Reply, not_found: Callable[[str], StudioError]
    ) -> StudioError:
        """Return the error of a reply that is not 200.

        Args:
            reply: The refusal.
            not_found: Makes the error of what Studio does not know, from its message.
        """
        status, detail = reply.status, self._redact(reply.detail)
        if status in {401, 403}:
            return StudioAuthError(self.url, status, detail or status_text(status))
        if status in {400, 404, 422} and (detail or reply.is_json):
            return not_found(detail or status_text(status))
        return StudioResponseError(self.url, self._sentence(reply))

    def read(self, reply: Reply) -> dict[str, Any]:
        """Read the JSON object of a reply.

        Raises:
            StudioResponseError: It is none.
        """
        try:
            return reply.read()
        except ReplyError as error:
            raise StudioResponseError(self.url, str(error)) from None

    def _sentence(self, reply: Reply) -> str:
        """Describe a refusal: Studio's message, or that Studio did not send it."""
        detail = self._redact(reply.detail)
        if not (detail or reply.is_json or reply.is_busy):
            detail = f"{reply.not_json}; check studio.url"
        text = f"it answered {status_text(reply.status)}"
        return f"{text}, {detail}" if detail else text

    def _redact(self, text: str) -> str:
        return text.replace(self._token, "***")
