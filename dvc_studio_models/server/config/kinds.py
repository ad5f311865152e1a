"""The kinds of values in ``serve.yaml``: how each is checked, and its JSON Schema.

A mistake is recorded, and reading goes on, so that all are found at once. No message
quotes a value that may be secret.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dvc_studio_models.server.config.document import Keys

MAX_SECRET_BYTES = 65_536
_SHOWN = 60
"""Characters of a value in a message."""


@dataclass(frozen=True)
class Place:
    """Where in a config a value is, and what reading it needs and finds."""

    folder: Path
    """Of the config; relative paths start here."""

    keys: Keys = ()
    """From the top of the config."""

    mistakes: list[tuple[Keys, str]] = field(default_factory=list)
    """What is wrong, and where."""

    files: set[Path] = field(default_factory=set)
    """Further files that were read, or are missing."""

    def at(self, *keys: str | int) -> Place:
        """Return the place of a value inside this one."""
        return replace(self, keys=(*self.keys, *keys))

    def wrong(self, message: str) -> None:
        """Record a mistake."""
        self.mistakes.append((self.keys, message))


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
        place.wrong(f"{_shown(value)} is not a number from {self.least} to {self.most}")
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
        place.wrong(f"{_shown(value)} is neither true nor false")
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
        place.wrong(f"{_shown(value)} is none of: {', '.join(self.words)}")
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
            place.wrong(f"{_shown(value)} is not a date, such as 2027-01-31")
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
            return str(value)
        place.wrong("a secret is a text, {env: NAME} or {file: PATH}")
        return None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"$ref": "#/$defs/secret"}

    @staticmethod
    def definition() -> dict[str, Any]:
        """Return the part of a JSON Schema that the others refer to."""
        sources = [_object({source: {"type": "string"}}) for source in ("env", "file")]
        return {"oneOf": [{"type": ["string", "integer"]}, *sources]}

    def _from_environment(self, name: str, place: Place) -> str | None:
        secret = os.environ.get(name)
        if not secret:
            place.wrong(f"the environment variable '{name}' is not set")
        return secret or None

    def _from_file(self, name: str, place: Place) -> str | None:
        path = Path(resolve(name, place))
        place.files.add(path)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
            secret = content.decode("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            place.wrong(f"cannot read '{path}': {reason}")
            return None
        if not secret or len(content) > MAX_SECRET_BYTES:
            problem = "is empty" if not secret else "is too large for a secret"
            place.wrong(f"'{path}' {problem}")
            return None
        return secret


@dataclass(frozen=True)
class Items:
    """A list."""

    kind: Kind
    least: int = 0

    def read(self, value: Any, place: Place) -> tuple[Any, ...]:
        """Return its values, None in the place of each that is wrong."""
        if not isinstance(value, list):
            place.wrong("this has to be a list")
            return ()
        if len(value) < self.least:
            place.wrong("the list is empty")
        return tuple(
            self.kind.read(each, place.at(number)) for number, each in enumerate(value)
        )

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.kind.json_schema(), **least}


@dataclass(frozen=True)
class Pairs:
    """Any names, with values of one kind."""

    kind: Kind

    def read(self, value: Any, place: Place) -> dict[str, Any]:
        """Return the pairs."""
        if not isinstance(value, dict):
            place.wrong("this has to be a mapping of names to values")
            return {}
        return {
            str(name): self.kind.read(each, place.at(name))
            for name, each in value.items()
        }

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        return {"type": "object", "additionalProperties": self.kind.json_schema()}


@dataclass(frozen=True)
class Key:
    """A key of a section."""

    kind: Kind
    about: str
    """What it means, for the JSON Schema."""

    required: bool = False


@dataclass(frozen=True)
class Section:
    """A mapping with known keys."""

    keys: Mapping[str, Key]
    make: Callable[[dict[str, Any], Place], Any]
    """Builds the value from those that are given."""

    def read(self, value: Any, place: Place) -> Any:
        """Return the built value; None if it has no form at all."""
        if not isinstance(value, dict):
            place.wrong("this has to be a mapping of keys to values")
            return None
        for name in value.keys() - self.keys.keys():
            place.at(name).wrong(self._unknown(str(name)))
        for name, key in self.keys.items():
            if key.required and name not in value:
                place.wrong(f"'{name}' is missing")
        read = {
            name: key.kind.read(value[name], place.at(name))
            for name, key in self.keys.items()
            if name in value
        }
        return self.make(read, place)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        properties = {
            name: {"description": key.about, **key.kind.json_schema()}
            for name, key in self.keys.items()
        }
        required = [name for name, key in self.keys.items() if key.required]
        return _object(properties, required)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.keys, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"unknown key{hint}"


def resolve(path: str, place: Place) -> str:
    """Return a path of a config, absolute."""
    return os.path.normpath(place.folder / Path(path).expanduser())


def _object(
    properties: dict[str, Any], required: list[str] | None = None
) -> dict[str, Any]:
    names = [*properties] if required is None else required
    return {
        "type": "object",
        "properties": properties,
        **({"required": names} if names else {}),
        "additionalProperties": False,
    }


def _shown(value: object) -> str:
    """Return a value for a message, short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value)
    return f"'{text[:_SHOWN]}...'" if len(text) > _SHOWN else f"'{text}'"
