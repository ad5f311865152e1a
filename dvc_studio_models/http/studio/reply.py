"""What Studio replied: its status, headers and body, read as JSON or as an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from dvc_studio_models.http.failures import RETRY_STATUSES, sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping

_DETAIL_CHARS = 500
_SERVER_ERROR = 500


class Reply(NamedTuple):
    """One reply, as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_busy(self) -> bool:
        """Whether another try can help."""
        return self.status in RETRY_STATUSES or self.status >= _SERVER_ERROR

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON, and not a page of a proxy."""
        return _parse(self.body) is not None

    @property
    def has_json_type(self) -> bool:
        """Whether the reply says that its body is JSON."""
        return "json" in self.headers.get("Content-Type", "").lower()

    @property
    def not_json(self) -> str:
        """Text that says of which type the body is instead."""
        kind = self.headers.get("Content-Type", "no content type").partition(";")[0]
        return f"not JSON ({sanitize(kind)[:_DETAIL_CHARS]})"

    @property
    def detail(self) -> str:
        """The message of an error: ``detail``, ``message`` or field lists."""
        return _detail(self.body)

    def read(self) -> dict[str, Any]:
        """Read the JSON object.

        Raises:
            ReplyError: It is none.
        """
        try:
            found = json.loads(
                self.body.decode(),
                object_pairs_hook=_unique,
                parse_constant=_no_constant,
            )
        except ReplyError:
            raise
        except (ValueError, RecursionError):
            msg = f"{self.not_json}; check studio.url"
            raise ReplyError(msg) from None
        if not isinstance(found, dict):
            msg = f"a JSON object was expected, not {type(found).__name__}"
            raise ReplyError(msg)
        return found


class ReplyError(ValueError):
    """A reply must not be used; the message says why."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    reply = dict(pairs)
    if len(reply) != len(pairs):
        msg = "the same path appears twice"
        raise ReplyError(msg)
    return reply


def _no_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise ReplyError(msg)


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
