"""Studio's answer: a model's name in, its files with signed URLs out.

Owns the requests to ``get-download-uris`` (docs of the API: README, "Studio"). Promises
that a reply was checked for form and size before anyone sees it, that the token goes to
Studio's own scheme, host and port only, and that every refusal is told apart. Whether
the paths are safe to write is ``workspace``'s to say.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from dvc_studio_models.errors import (
    ModelNotFoundError,
    StudioAuthError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
)
from dvc_studio_models.model import Digest, ModelFile, ModelRef
from dvc_studio_models.transport import (
    CONNECT_TIMEOUT_S,
    MAX_REDIRECTS,
    RETRY_STATUSES,
    is_final,
    make_session,
    pause_s,
    reason,
    shown,
    status_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(f"dvc.{__name__}")

ENDPOINT = "/api/model-registry/get-download-uris"
TRIES = 3
READ_TIMEOUT_S = 60  # a directory of thousands of files takes Studio long to sign
REPLY_TIMEOUT_S = 300  # for the whole body, however slowly it drips
MAX_REPLY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16
_DETAIL_CHARS = 500


class StudioClient:
    """Asks one Studio, with one token."""

    def __init__(
        self, url: str, token: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.url = url
        self._sleep = sleep
        self._session = make_session(token=token)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def files(self, repo_url: str, ref: ModelRef) -> tuple[ModelFile, ...]:
        """Ask for the files of a model, in the order of their paths.

        Raises:
            StudioUnreachableError: No usable answer in three tries.
            StudioAuthError: The token was refused.
            ModelNotFoundError: Studio does not know the repo, model, version or stage.
            StudioResponseError: The answer is not what the API promises.
        """
        query = {"repo": repo_url, "name": ref.name}
        if ref.version:
            query["version"] = ref.version
        if ref.stage:
            query["stage"] = ref.stage
        logger.debug("asking Studio at '%s' for '%s' of '%s'", self.url, ref, repo_url)
        status, headers, body = self._get(query)
        if status != requests.codes.ok:
            raise self._refusal(status, headers, body, ref=ref, repo_url=repo_url)
        urls = self._read_reply(headers, body)
        if not urls:
            raise ModelNotFoundError(ref, repo_url, "Studio returned no files for it")
        return tuple(
            ModelFile(path, url, Digest.from_url(url))
            for path, url in sorted(urls.items())
        )

    def _get(self, query: dict[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Send one question, again where that can help."""
        for attempt in range(1, TRIES + 1):
            try:
                status, headers, body = self._get_once(query)
            except requests.RequestException as error:
                why, headers = reason(error), {}
                if is_final(error) or attempt == TRIES:
                    raise StudioUnreachableError(self.url, why) from None
            else:
                if status not in RETRY_STATUSES:
                    return status, headers, body
                why = f"it answered {status_text(status)}"
                if attempt == TRIES:
                    raise StudioUnreachableError(self.url, f"{why}, {TRIES} times")
            pause = pause_s(attempt, headers)
            logger.warning("Studio: %s; trying again in %.1f s", why, pause)
            self._sleep(pause)
        raise AssertionError

    def _get_once(self, query: dict[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        url = f"{self.url}{ENDPOINT}?{urlencode(query)}"
        for _ in range(MAX_REDIRECTS + 1):
            with self._session.get(
                url,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            ) as response:
                if not response.is_redirect:
                    body = self._read_body(response)
                    return response.status_code, response.headers, body
                url = self._redirected(response)
        raise StudioResponseError(self.url, f"more than {MAX_REDIRECTS} redirects")

    def _redirected(self, response: requests.Response) -> str:
        """Follow within Studio's own origin only: the token goes nowhere else."""
        target = urljoin(response.url, response.headers["Location"])
        try:
            same = _origin(target) == _origin(self.url)
        except ValueError:
            same = False
        if not same:
            raise StudioRedirectError(self.url, shown(target))
        return target

    def _read_body(self, response: requests.Response) -> bytes:
        body = bytearray()
        deadline = time.monotonic() + REPLY_TIMEOUT_S
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_REPLY_BYTES:
                raise StudioResponseError(
                    self.url, f"larger than {MAX_REPLY_BYTES >> 20} MiB"
                )
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout
        return bytes(body)

    def _refusal(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        ref: ModelRef,
        repo_url: str,
    ) -> Exception:
        detail = _detail(body)
        if status in {401, 403}:
            return StudioAuthError(self.url, status, detail or status_text(status))
        if status in {400, 404, 422} and detail:
            return ModelNotFoundError(ref, repo_url, detail)
        why = detail or f"not JSON ({_content_type(headers)})"
        why = f"{status_text(status)}, {why}; check studio.url"
        return StudioResponseError(self.url, why)

    def _read_reply(self, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        try:
            reply = json.loads(
                body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant
            )
        except (ValueError, RecursionError) as error:
            kind = _content_type(headers)
            why = (
                str(error)
                if isinstance(error, _ReplyError)
                else f"not JSON ({kind}); check studio.url"
            )
            raise StudioResponseError(self.url, why) from None
        if not isinstance(reply, dict):
            raise StudioResponseError(
                self.url, f"a JSON object was expected, not {type(reply).__name__}"
            )
        problems = [
            f"{path!a}: {problem}"
            for path, url in reply.items()
            if (problem := _url_problem(url))
        ]
        if problems:
            raise StudioResponseError(self.url, "; ".join(problems))
        return reply


class _ReplyError(ValueError):
    """JSON that can be read but must not be trusted."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    reply = dict(pairs)
    if len(reply) != len(pairs):
        msg = "the same path stands in it twice"
        raise _ReplyError(msg)
    return reply


def _no_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise _ReplyError(msg)


def _url_problem(url: object) -> str | None:
    """Say why a file's URL cannot be used; never quotes it."""
    if not isinstance(url, str):
        return "its URL is not a string"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "its URL holds characters that no URL has"
    try:
        parts = urlsplit(url)
        port_ok = parts.port != 0
    except ValueError:
        return "its URL cannot be read"
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        return "its URL is not of the form http(s)://host[:port]/..."
    if _is_metadata_host(parts.hostname):
        return "its URL points to a link-local address"
    return None


def _is_metadata_host(host: str) -> bool:
    """Cloud machines hand out credentials at such addresses; no file lies there."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".") == "metadata.google.internal"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_link_local or str(address) == "fd00:ec2::254"


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname,
        parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0),
    )


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "no content type").partition(";")[0]


def _detail(body: bytes) -> str:
    """Find the sentence in an error's body: ``detail``, ``message`` or field lists."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(reply, dict):
        return ""
    for key in ("detail", "message"):
        if isinstance(reply.get(key), str):
            return _printable(reply[key])
    fields = (
        f"{name}: {' '.join(map(str, value))}"
        for name, value in reply.items()
        if isinstance(value, list)
    )
    return _printable("; ".join(fields))


def _printable(text: str) -> str:
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line)[:_DETAIL_CHARS]
