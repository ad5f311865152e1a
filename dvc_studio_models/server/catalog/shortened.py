"""Texts of commits and tags, which may have any length, cut to what people read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.model import ModelDetails, RegisteredVersion, TagEvent

    Event = TypeVar("Event", RegisteredVersion, TagEvent)

MAX_TEXT = 2000
"""Characters of one message or description."""

MAX_TEXTS = 500_000
"""Characters of all messages of a list together; the newest come first."""

MAX_NAME = 200
"""Characters of a person's name or a label."""

MAX_LABELS = 100


def shorten(details: ModelDetails) -> ModelDetails:
    """Return the details of a model with texts of bounded length."""
    description = details.description
    return replace(
        details,
        type=details.type and cut(details.type, MAX_NAME),
        description=description and cut(description, MAX_TEXT),
        labels=tuple(cut(each, MAX_NAME) for each in details.labels[:MAX_LABELS]),
        versions=_shorten_all(details.versions),
        history=_shorten_all(details.history),
    )


def cut(text: str, length: int) -> str:
    """Return a text of at most this length; an ellipsis shows that it was cut."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


def _shorten_all(events: Sequence[Event]) -> tuple[Event, ...]:
    shortened = []
    left = MAX_TEXTS
    for event in events:
        message = cut(event.message, min(MAX_TEXT, left))
        left = max(0, left - len(message))
        author, email = cut(event.author, MAX_NAME), cut(event.email, MAX_NAME)
        shortened.append(replace(event, message=message, author=author, email=email))
    return tuple(shortened)
