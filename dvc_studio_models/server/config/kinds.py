"""The kinds of single values in ``serve.yaml``: their checks, and their JSON Schema.

A mistake is recorded, and reading goes on, so that all are found at once. No message
quotes a value that may be secret.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.server.config.token_file import is_public, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.server.config.document import Keys

MAX_SECRET_BYTES = 65_536
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # in paths, variables and URLs
_SHOWN = 60
"""Characters of a value in a message."""


@dataclass(frozen=True)
class Place:
    """Where in a config a value is, and what reading it needs and finds."""

    folder: Path
    """Of the config; relative paths start here."""

    is_public: bool = False
    """Whether everybody on this machine can read the config."""

    keys: Keys = ()
    """From the top of the config."""

    mistakes: list[tuple[Keys, str]] = field(default_factory=list)
    """What is wrong, and where."""

    unread: list[tuple[Keys, str]] = field(default_factory=list)
    """The secrets that could not be read: why, and where."""

    files: set[Path] = field(default_factory=set)
    """Further files that were read, or are missing."""

    def at(self, *keys: str | int) -> Place:
        """Return the place of a value inside this one."""
        return replace(self, keys=(*self.keys, *keys))

    def wrong(self, message: str) -> None:
        """Record a mistake."""
        self.mistakes.append((self.keys, message))

    def lacks(self, message: str) -> None:
        """Record a secret that could not be read."""
        self.unread.append((self.keys, message))

    def problem(self) -> str | None:
        """Return why a secret inside this place could not be read; None if all were."""
        depth = len(self.keys)
        found = (what for keys, what in self.unread if keys[:depth] == self.keys)
        return next(found, None)


class Kind(Protocol):
    """A kind of values."""

    def read(self, value: Any, place: Place) -> Any:
        """Return a value as the server uses it; None if it is wrong, see ``place``."""

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""


@dataclass(frozen=True)
class Text:
    """Text that is not empty."""

    check: Callable[[str], str | None] = lambda _: None
    """Returns what is wrong with a text."""

    pattern: str | None = None
    """For the JSON Schema."""

    def read(self, value: Any, place: Place) -> str | None:
        """Return the text."""
        if not isinstance(value, str) or not value.strip():
            place.wrong("this has to be a text")
        elif bad := _UNUSABLE.search(value):
            place.wrong(f"it has the character {bad[0]!a}, which no text here can have")
        elif not _can_be_parsed(value):
            place.wrong("this is no valid URL")
        elif problem := self.check(value):
            place.wrong(problem)
        else:
            return str(value)
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        pattern = {"pattern": self.pattern} if self.pattern else {"minLength": 1}
        return {"type": "string", **pattern}


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int

    def read(self, value: Any, place: Place) -> int | None:
        """Return the number."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number and self.least <= value <= self.most:
            return int(value)
        place.wrong(f"{shown(value)} is not a number from {self.least} to {self.most}")
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Switch:
    """``true`` or ``false``."""

    def read(self, value: Any, place: Place) -> bool | None:
        """Return it."""
        if isinstance(value, bool):
            return value
        place.wrong(f"{shown(value)} is neither true nor false")
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: Any, place: Place) -> str | None:
        """Return the word."""
        if value in self.words:
            return str(value)
        place.wrong(f"{shown(value)} is none of: {', '.join(self.words)}")
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"enum": [*self.words]}


@dataclass(frozen=True)
class Day:
    """A date."""

    def read(self, value: Any, place: Place) -> date | None:
        """Return it."""
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            place.wrong(f"{shown(value)} is not a date, such as 2027-01-31")
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"type": "string", "format": "date"}


@dataclass(frozen=True)
class PathText:
    """A path, relative to the folder of the config; ``~`` is the user's home."""

    def read(self, value: Any, place: Place) -> str | None:
        """Return the path, absolute."""
        text = Text().read(value, place)
        return None if text is None else resolve(text, place)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"type": "string", "minLength": 1}


_PUBLIC = (
    "every user of this machine can read this secret: run 'chmod o-rwx' on this file, "
    "or use {env: NAME} or {file: PATH}"
)


@dataclass(frozen=True)
class Secret:
    """A secret: literal, ``{env: NAME}`` or ``{file: PATH}``."""

    def read(self, value: Any, place: Place) -> str | None:
        """Return the secret."""
        if isinstance(value, dict) and len(value) == 1:
            (source,) = value
            named = Text().read(value[source], place.at(source))
            if named and source == "env":
                return self._from_environment(named, place)
            if named and source == "file":
                return self._from_file(named, place)
            if named is None:
                return None
        elif isinstance(value, (str, int)) and value != "":
            if place.is_public:
                place.wrong(_PUBLIC)
            return str(value).lower() if isinstance(value, bool) else str(value)
        place.wrong("a secret is a text, {env: NAME} or {file: PATH}")
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"$ref": "#/$defs/secret"}

    @staticmethod
    def definition() -> dict[str, Any]:
        """Return the part of a JSON Schema that the others refer to."""
        sources = [
            {
                "type": "object",
                "properties": {source: {"type": "string", "minLength": 1}},
                "required": [source],
                "additionalProperties": False,
            }
            for source in ("env", "file")
        ]
        return {
            "oneOf": [
                {"type": ["string", "integer", "boolean"], "minLength": 1},
                *sources,
            ]
        }

    def _from_environment(self, name: str, place: Place) -> str | None:
        secret = os.environ.get(name)
        if not secret:
            place.lacks(f"the environment variable '{name}' is not set")
        return secret or None

    def _from_file(self, name: str, place: Place) -> str | None:
        path = Path(resolve(name, place))
        place.files.add(path)
        try:
            content, status = read_regular(path, MAX_SECRET_BYTES)
            if is_public(status):
                place.wrong(
                    f"every user of this machine can read '{path}': run 'chmod "
                    f"o-rwx {shlex.quote(str(path))}'"
                )
            secret = content.decode("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            place.lacks(f"cannot read '{path}': {reason}")
            return None
        if not secret or len(content) > MAX_SECRET_BYTES:
            problem = "is empty" if not secret else "is too large for a secret"
            place.lacks(f"'{path}' {problem}")
            return None
        return secret


_GIT_URL = (
    "^(?!-)"
    "(?![A-Za-z0-9][A-Za-z0-9+.-]*::)"  # a program
    "(?!(?!(file|git|https?|ssh|git[+]ssh|ssh[+]git)://)[A-Za-z0-9][A-Za-z0-9+.-]*://)"
    "(?![a-z+]+://([^/@]*@)?(-|%2[Dd]))"  # a host that ssh would take for an option
    "(?![^/:]*@-)"
)
_NO_GIT_URL = (
    "Git does not fetch from such a URL: it has to begin with https://, http://, "
    "ssh://, git:// or file://, or be user@host:path or a path"
)


@dataclass(frozen=True)
class SecretUrl:
    """A URL for Git, which may have a password, or be read from where secrets are."""

    def read(self, value: Any, place: Place) -> str | None:
        """Return the URL."""
        if isinstance(value, dict):
            url = Secret().read(value, place)
            if url and not re.match(_GIT_URL, url):  # of this repo alone
                place.lacks(_NO_GIT_URL)
            return url
        url = Text().read(value, place)
        if url and not re.match(_GIT_URL, url):
            place.wrong(_NO_GIT_URL)
        if url and place.is_public and strip_secrets(url) != url:
            place.wrong(_PUBLIC)
        return url

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        _, *sources = Secret.definition()["oneOf"]
        return {"oneOf": [{"type": "string", "pattern": _GIT_URL}, *sources]}


def _can_be_parsed(text: str) -> bool:
    try:
        return "://" not in text or bool(urlsplit(text))
    except ValueError:  # unbalanced brackets
        return False


def resolve(path: str, place: Place) -> str:
    """Return a path of a config, absolute."""
    return os.path.normpath(place.folder / os.path.expanduser(path))


def shown(value: object) -> str:
    """Return a value for a message, short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text[:_SHOWN]}...'" if len(text) > _SHOWN else f"'{text}'"
