"""Studio's API: a model's name in, its files with signed URLs out.

Sends the requests to ``get-download-uris``. Promises that a reply is checked for form
and size before it is used, that the token is sent to Studio's own scheme, host and port
only and appears in no message, that each kind of refusal has an error of its own, and
that no reply, however slow, is waited for without end. Whether the paths are safe to
write is checked by ``files``.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import requests

from dvc_studio_models.background import ByteCounter, run_in_background
from dvc_studio_models.errors import (
    ModelNotFoundError,
    StudioAuthError,
    StudioError,
    StudioFailedError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
)
from dvc_studio_models.http.failures import (
    CONNECT_TIMEOUT_S,
    RETRY_STATUSES,
    backoff_s,
    describe_error,
    is_permanent,
    is_unresolved,
    sanitize,
    status_text,
)
from dvc_studio_models.http.session import make_session
from dvc_studio_models.http.urls import (
    RedirectRejected,
    TooManyRedirects,
    find_url_problem,
    follow_redirects,
)
from dvc_studio_models.model import Digest, ModelFile, ModelRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(f"dvc.{__name__}")

ENDPOINT = "/api/model-registry/get-download-uris"
TRIES = 3
READ_TIMEOUT_S = 60  # Studio takes long to sign thousands of files
REPLY_TIMEOUT_S = 300  # for the whole reply, however slowly it drips
RESOLVE_TIMEOUT_S = 5  # a dead resolver takes at least as long each time
MAX_REPLY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16
_DETAIL_CHARS = 500
_SERVER_ERROR = 500


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class StudioClient:
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

    def files(self, repo_url: str, ref: ModelRef) -> tuple[ModelFile, ...]:
        """Return the files of a model, in the order of their paths.

        Raises:
            StudioUnreachableError: Studio did not reply in three tries.
            StudioFailedError: Studio failed three times.
            StudioAuthError: The token was refused.
            ModelNotFoundError: Studio does not know the repo, model, version or stage.
            StudioResponseError: The reply does not have the documented form.
            StudioRedirectError: Studio redirects to another origin.
            ThreadLimitError: The system refuses to start a thread.
        """
        query = {"repo": repo_url, "name": ref.name}
        if ref.version:
            query["version"] = ref.version
        if ref.stage:
            query["stage"] = ref.stage
        logger.debug("asking Studio at '%s' for '%s' of '%s'", self.url, ref, repo_url)
        reply = self._get(query)
        if reply.status != requests.codes.ok:
            raise self._refusal(reply, ref, repo_url)
        urls = self._read(reply)
        if not urls:
            raise ModelNotFoundError(ref, repo_url, "Studio returned no files for it")
        return tuple(
            ModelFile(path, url, Digest.from_url(url))
            for path, url in sorted(urls.items())
        )

    def _get(self, query: dict[str, str]) -> _Reply:
        """Send a request, several times if that can help."""
        began = self._clock()
        for attempt in range(1, TRIES + 1):
            headers: Mapping[str, str] = {}
            reply = None
            try:
                reply = self._get_in_time(query)
            except requests.RequestException as error:
                why = describe_error(error)
                slow = self._clock() - began > RESOLVE_TIMEOUT_S
                if is_permanent(error) or (slow and is_unresolved(error)):
                    raise StudioUnreachableError(self.url, why) from None
            except TimeoutError:
                why = f"the reply took more than {self._reply_timeout_s} s"
                raise StudioUnreachableError(self.url, why) from None
            else:
                if not _is_busy(reply.status):
                    return reply
                why, headers = self._sentence(reply), reply.headers
            if attempt == TRIES:
                raise self._failure(reply, f"{why} ({TRIES} tries)")
            pause = backoff_s(attempt, headers)
            logger.warning("Studio: %s; trying again in %.1f s", why, pause)
            self._sleep(pause)
        raise AssertionError

    def _failure(self, reply: _Reply | None, why: str) -> Exception:
        """Return the error for a Studio that failed, or that did not reply."""
        if reply is None:
            return StudioUnreachableError(self.url, why)
        is_known = _is_json(reply)
        return StudioFailedError(self.url, reply.status, why, is_known=is_known)

    def _get_in_time(self, query: dict[str, str]) -> _Reply:
        """Send one request on another thread.

        A resolver does not react to Ctrl-C, and a socket's timeout starts again with
        each byte.
        """
        replies: list[_Reply] = []
        run_in_background(
            lambda: replies.append(self._get_once(query)),
            ByteCounter(),
            lambda _: None,
            silent_s=self._reply_timeout_s,
        )
        return replies[0]

    def _get_once(self, query: dict[str, str]) -> _Reply:
        def send(url: str) -> tuple[requests.Response, str | None]:
            timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            response = self._session.get(url, timeout=timeout, stream=True)
            is_redirect = response.is_redirect
            return response, response.headers["Location"] if is_redirect else None

        url = f"{self.url}{ENDPOINT}?{urlencode(query)}"
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
                return _Reply(response.status_code, response.headers, body)
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

    def _refusal(self, reply: _Reply, ref: ModelRef, repo_url: str) -> Exception:
        status, detail = reply.status, self._redact(_detail(reply.body))
        if status in {401, 403}:
            return StudioAuthError(self.url, status, detail or status_text(status))
        if status in {400, 404, 422} and (detail or _is_json(reply)):
            return ModelNotFoundError(ref, repo_url, detail or status_text(status))
        return StudioResponseError(self.url, self._sentence(reply))

    def _sentence(self, reply: _Reply) -> str:
        """Describe a refusal: Studio's message, or that Studio did not send it."""
        detail = self._redact(_detail(reply.body))
        if not (detail or _is_json(reply) or _is_busy(reply.status)):
            detail = f"{_not_json(reply)}; check studio.url"
        text = f"it answered {status_text(reply.status)}"
        return f"{text}, {detail}" if detail else text

    def _redact(self, text: str) -> str:
        return text.replace(self._token, "***")

    def _read(self, reply: _Reply) -> dict[str, str]:
        try:
            urls = json.loads(
                reply.body.decode(),
                object_pairs_hook=_unique,
                parse_constant=_no_constant,
            )
        except _ReplyError as error:
            raise StudioResponseError(self.url, str(error)) from None
        except (ValueError, RecursionError):
            why = f"{_not_json(reply)}; check studio.url"
            raise StudioResponseError(self.url, why) from None
        if not isinstance(urls, dict):
            kind = type(urls).__name__
            why = f"a JSON object was expected, not {kind}"
            raise StudioResponseError(self.url, why)
        problems = [
            f"{path!a}: {problem}"
            for path, url in urls.items()
            if (problem := find_url_problem(url))
        ]
        if problems:
            raise StudioResponseError(self.url, "; ".join(problems))
        return urls


class _ReplyError(ValueError):
    """The JSON is valid, but must not be used."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    reply = dict(pairs)
    if len(reply) != len(pairs):
        msg = "the same path appears twice"
        raise _ReplyError(msg)
    return reply


def _no_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise _ReplyError(msg)


def _is_busy(status: int) -> bool:
    return status in RETRY_STATUSES or status >= _SERVER_ERROR


def _not_json(reply: _Reply) -> str:
    kind = reply.headers.get("Content-Type", "no content type").partition(";")[0]
    return f"not JSON ({sanitize(kind)[:_DETAIL_CHARS]})"


def _is_json(reply: _Reply) -> bool:
    return _parse(reply.body) is not None


def _parse(body: bytes) -> Any:
    """Parse an error's body; None if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _detail(body: bytes) -> str:
    """Return the message in an error's body: ``detail``, ``message`` or field lists."""
    reply = _parse(body)
    if isinstance(reply, list):  # Django REST framework's bare ValidationError
        reply = {"": reply}
    if not isinstance(reply, dict):
        return ""
    for key in ("detail", "message"):
        if isinstance(reply.get(key), str):
            return sanitize(reply[key])[:_DETAIL_CHARS]
    fields = (
        f"{name}: {' '.join(map(str, value))}".removeprefix(": ")
        for name, value in reply.items()
        if isinstance(value, list)
    )
    return sanitize("; ".join(fields))[:_DETAIL_CHARS]
