"""Object storage over HTTP, which can also respond incorrectly."""

from __future__ import annotations

import base64
import hashlib
import time
from itertools import count
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from servers.behaviour import (
    ACCESS_DENIED,
    BAD_SIGNATURE,
    INVALID_RANGE,
    NO_SUCH_KEY,
    OK,
    PRECONDITION_FAILED,
    REQUEST_EXPIRED,
    TWO_AUTHS,
    Behaviour,
)
from servers.links import object_path, signed
from servers.server import Reply, Server, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers.wire import Exchange


class FileServer(Server):
    """Serves ``objects`` (path -> content), which may change while it runs."""

    def __init__(
        self,
        objects: Mapping[str, bytes] | None = None,
        *,
        behaviour: Behaviour = OK,
        clock_offset_s: float = 0,
    ) -> None:
        super().__init__(behaviour=behaviour, clock_offset_s=clock_offset_s)
        self.objects = dict(objects or {})
        self._expiries: dict[str, float] = {}
        self._md5s: dict[bytes, bytes] = {}
        self._etags = count(1)

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        """Return the unsigned URL of ``path``."""
        return f"{self.origin(host)}{path}"

    def store(self, content: bytes, *, dvc2: bool = False, prefix: str = "") -> str:
        """Store ``content`` as a DVC remote does; return its path."""
        path = object_path(content, dvc2=dvc2, prefix=prefix)
        self.objects[path] = content
        return path

    def sign(
        self,
        path: str,
        *,
        expires_s: float = 3600,
        style: Literal["s3", "azure"] = "s3",
        host: str = "127.0.0.1",
    ) -> str:
        """Return a new link to ``path``, which expires after ``expires_s`` seconds."""
        url = self.url(path, host=host)
        link = signed(url, expires_s=expires_s, now=self.now(), style=style)
        self._expiries[link.removeprefix(self.origin(host))] = (
            time.monotonic() + expires_s
        )
        return link

    def publish(
        self, files: Mapping[str, bytes], *, expires_s: float = 3600
    ) -> Callable[[], dict[str, str]]:
        """Store ``files`` (repo path -> content); the result signs new links."""
        paths = {name: self.store(content) for name, content in files.items()}
        return lambda: {
            name: self.sign(path, expires_s=expires_s) for name, path in paths.items()
        }

    def revoke(self) -> None:
        """Make all links expire that were signed so far."""
        self._expiries = dict.fromkeys(self._expiries, float("-inf"))

    @property
    def mangled(self) -> list[str]:
        """Requested paths with queries that differ from every link that was signed."""
        asked = (exchange.target for exchange in self.requests if exchange.query)
        return [target for target in asked if target not in self._expiries]

    def answer(self, exchange: Exchange) -> Reply:
        """Respond as S3 or nginx does, except as the behaviour says."""
        content = self.objects.get(unquote(exchange.path))
        refused = self._refused(exchange)
        if refused is not None:
            return refusal(refused)
        if content is None:
            return refusal(NO_SUCH_KEY)
        identity = self._identity(content, exchange.behaviour)
        if not _matches(exchange, identity.get("ETag")):
            return refusal(PRECONDITION_FAILED)
        reply = _ranged(exchange, content) or Reply(200, content)
        reply.headers.update(identity)
        return reply

    def _refused(self, exchange: Exchange) -> Behaviour | None:
        behaviour = exchange.behaviour
        if exchange.method == "HEAD" and behaviour.refuse_head:
            return ACCESS_DENIED
        if exchange.method not in {"GET", "HEAD"}:
            return Behaviour(status=405)
        return self._badly_signed(exchange) if behaviour.signature_required else None

    def _badly_signed(self, exchange: Exchange) -> Behaviour | None:
        if not exchange.query:
            return ACCESS_DENIED
        if "authorization" in exchange.headers:
            return TWO_AUTHS
        expiry = self._expiries.get(exchange.target)
        if expiry is None:
            return BAD_SIGNATURE
        return REQUEST_EXPIRED if time.monotonic() > expiry else None

    def _identity(self, content: bytes, behaviour: Behaviour) -> dict[str, str]:
        md5 = self._md5(content)
        headers = {"Content-Type": "application/octet-stream"}
        etag = self._etag(md5.hex(), behaviour.etag)
        if etag is not None:
            headers["ETag"] = etag
        if behaviour.content_md5:
            headers["Content-MD5"] = base64.b64encode(md5).decode()
        if behaviour.accept_ranges:
            headers["Accept-Ranges"] = "bytes"
        return headers

    def _etag(self, md5: str, kind: str | None) -> str | None:
        if kind == "changing":
            return f'"{md5}-{next(self._etags)}"'
        return {"strong": f'"{md5}"', "weak": f'W/"{md5}"'}.get(kind or "", kind)

    def _md5(self, content: bytes) -> bytes:
        """Return the MD5 of a content; hash it only once for all its ranges."""
        if content not in self._md5s:
            md5 = hashlib.md5(content, usedforsecurity=False)
            self._md5s[content] = md5.digest()
        return self._md5s[content]


def _matches(exchange: Exchange, etag: str | None) -> bool:
    """Whether If-Match matches, by strong comparison: a weak ETag never matches."""
    wanted = exchange.headers.get("if-match")
    if wanted in {None, "*"} or not exchange.behaviour.if_match:
        return True
    return wanted == etag and not str(etag).startswith("W/")


def _ranged(exchange: Exchange, content: bytes) -> Reply | None:
    """Respond to a Range; None if the whole object must be sent."""
    behaviour = exchange.behaviour
    asked = exchange.byte_range
    if asked is None or not behaviour.ranges:
        return None
    if behaviour.refuse_ranges:
        return refusal(INVALID_RANGE)
    if not content:
        return _empty(behaviour)
    span = _span(asked, len(content))
    if span is None:
        reply = refusal(INVALID_RANGE)
        reply.headers["Content-Range"] = f"bytes */{len(content)}"
        return reply
    return _partial(content, *span, behaviour)


def _empty(behaviour: Behaviour) -> Reply | None:
    if behaviour.empty == "s3":
        return refusal(INVALID_RANGE)
    if behaviour.empty == "azure":
        return Reply(206, headers={"Content-Range": "bytes 0--1/0"})
    return None


def _span(asked: tuple[int | None, int | None], size: int) -> tuple[int, int] | None:
    """Return start and stop in the object; None if the range is outside of it."""
    first, last = asked
    if first is None:
        first, last = max(0, size - (last or 0)), None
    stop = size if last is None else min(size, last + 1)
    return (first, stop) if first < stop else None


def _partial(content: bytes, start: int, stop: int, behaviour: Behaviour) -> Reply:
    if behaviour.range_limit is not None:
        stop = min(stop, start + behaviour.range_limit)
    shift = behaviour.start_shift
    total = len(content) + behaviour.total_shift
    content_range = f"bytes {start + shift}-{stop - 1 + shift}/{total}"
    body = memoryview(content)[start:stop]
    return Reply(206, body, {"Content-Range": content_range})
