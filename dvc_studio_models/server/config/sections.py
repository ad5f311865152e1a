"""Lists and mappings in ``serve.yaml``: their checks, and their JSON Schema."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from dvc_studio_models.server.config.kinds import Kind, Place


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
class OneOrMore:
    """A list that is not empty, or one value without the list."""

    kind: Kind

    def read(self, value: Any, place: Place) -> tuple[Any, ...]:
        """Return the values."""
        if isinstance(value, list):
            return Items(self.kind, least=1).read(value, place)
        return (self.kind.read(value, place),)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""
        several = Items(self.kind, least=1).json_schema()
        return {"oneOf": [self.kind.json_schema(), several]}


@dataclass(frozen=True)
class Pairs:
    """Names, with values of one kind."""

    kind: Kind
    names: Callable[[], Collection[str]] = tuple
    """Returns all allowed names; none for any."""

    def read(self, value: Any, place: Place) -> dict[str, Any]:
        """Return the pairs."""
        if not isinstance(value, dict):
            place.wrong("this has to be a mapping of names to values")
            return {}
        if names := self.names():
            for name in value.keys() - names:
                place.at(name).wrong(unknown(str(name), names, "option of DVC"))
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
            place.at(name).wrong(unknown(str(name), self.keys, "key"))
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
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }


def unknown(name: str, names: Collection[str], what: str) -> str:
    """Say that there is no such name, and which one may be meant."""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {what}{hint}"
