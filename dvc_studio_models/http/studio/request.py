"""Requests to one Studio: several tries, redirects, time limits, the token of a CI job.

Promises that a token is sent to Studio's own scheme, host and port only and appears in
no message, that a job's token is requested only after Studio has refused a request and
offered to take one, and that no reply, however slow or long, is waited for without end.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from dvc_studio_models.errors import (
    StudioAuthError,
    StudioError,
    StudioFailedError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
    TokenMissingError,
)
from dvc_studio_models.http.failures import (
    backoff_s,
    describe_error,
    is_permanent,
    is_unresolved,
    status_text,
)
from dvc_studio_models.http.session import ReplyTooLarge, fetch, make_session
from dvc_studio_models.http.studio.reply import ReplyError
from dvc_studio_models.http.urls import RedirectRejected, TooManyRedirects
from dvc_studio_models.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dvc_studio_models.http.studio.reply import Reply
    from dvc_studio_models.model import JobIdentity

logger = get_logger(__name__)

TRIES = 3
READ_TIMEOUT_S = 60  # Studio takes long to sign thousands of files
REPLY_TIMEOUT_S = 300  # for the whole reply, however slowly it drips
RESOLVE_TIMEOUT_S = 5  # a dead resolver takes at least as long each time
MAX_REPLY_BYTES = 64 << 20
UNAUTHORIZED = 401
_SECONDS = "[0-9]{1,9}"
_UNITS = ((48 * 3600, 24 * 3600, "days"), (2 * 3600, 3600, "hours"))


class StudioConnection:
    """Sends requests to one Studio, with one token."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        job: JobIdentity | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self.url = url
        self._token = token
        self._job = job
        self._job_token: str | None = None
        self._stale: set[str] = set()
        self._sleep = sleep
        self._clock = clock
        self._reply_timeout_s = reply_timeout_s
        self._session = make_session(self._authorization)

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
        reply = self._get(endpoint, query)
        if reply.status == UNAUTHORIZED and self._use_job_token(reply):
            reply = self._get(endpoint, query)
        self._warn_if_stale(reply, query.get("repo", ""))
        return reply

    def _warn_if_stale(self, reply: Reply, repo_url: str) -> None:
        """Warn once if the server says that its mirror of a repo is stale."""
        if reply.headers.get("X-Mirror-Stale") != "true" or repo_url in self._stale:
            return
        self._stale.add(repo_url)
        age = reply.headers.get("X-Mirror-Age", "")
        since = f" for {_duration(int(age))}" if re.fullmatch(_SECONDS, age) else ""
        logger.warning(
            "Studio has not fetched '%s'%s; new versions and stages may be missing",
            repo_url,
            since,
        )

    def _authorization(self) -> str | None:
        if self._job_token:
            return f"Bearer {self._job_token}"
        return f"token {self._token}" if self._token else None

    def _use_job_token(self, refusal: Reply) -> bool:
        """Request a new token of the CI job, if Studio accepts it in place of another.

        Returns:
            Whether there is one now.
        """
        from dvc_studio_models.http.hosts import job
        from dvc_studio_models.http.hosts.client import HostFailed

        if not (self._job and job.is_offered(refusal) and job.may_be_sent(self.url)):
            return False
        try:
            token = job.request_token(self._job, job.audience_of(self.url))
        except HostFailed as error:
            logger.warning("cannot get the token of this job: %s", error)
            return False
        if self._token and not self._job_token:
            logger.warning("Studio refused the token; using the token of this job")
        self._job_token = token
        return True

    def _get(self, endpoint: str, query: Mapping[str, str]) -> Reply:
        """Send a request, several times if that can help, see :meth:`get`."""
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
        failure: StudioError  # raised outside: its context may contain the token
        try:
            return fetch(
                self._session,
                url,
                read_timeout_s=READ_TIMEOUT_S,
                reply_timeout_s=self._reply_timeout_s,
                max_bytes=MAX_REPLY_BYTES,
            )
        except RedirectRejected as error:
            where = self._redact(error.target or "an unreadable URL")
            failure = StudioRedirectError(self.url, where)
        except TooManyRedirects as error:
            failure = StudioResponseError(self.url, str(error))
        except ReplyTooLarge:
            reason = f"larger than {MAX_REPLY_BYTES >> 20} MiB"
            failure = StudioResponseError(self.url, reason)
        raise failure

    def refusal(
        self, reply: Reply, not_found: Callable[[str], StudioError]
    ) -> StudioError | TokenMissingError:
        """Return the error of a reply that is not 200.

        Args:
            reply: The refusal.
            not_found: Makes the error of what Studio does not know, from its message.
        """
        status, detail = reply.status, self._redact(reply.detail)
        is_job = self._job_token is not None
        if status == UNAUTHORIZED and not self._token and not is_job:
            return TokenMissingError(self.url)
        if status in {401, 403}:
            said = detail or status_text(status)
            return StudioAuthError(self.url, status, said, is_job=is_job)
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
        for secret in filter(None, (self._token, self._job_token)):
            text = text.replace(secret, "***")
        return text


def _duration(seconds: int) -> str:
    """Write a duration in whole days or hours, if there are two of them, or minutes."""
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit} {name}"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
