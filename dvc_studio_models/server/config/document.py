"""A YAML document whose values know their lines. Opens no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import (
    ConstructorError,
    DuplicateKeyError,
    RoundTripConstructor,
    SafeConstructor,
)
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.reader import ReaderError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node, ScalarNode

Keys = tuple["str | int", ...]
"""Keys and indexes from the top of a document to a value."""

MAX_CHARACTERS = 4_000_000


class NotYamlError(Exception):
    """A text is no YAML."""

    def __init__(self, reason: str, line: int | None) -> None:
        """Store what is wrong, and the first bad line, if it is known."""
        self.reason, self.line = reason, line
        super().__init__(reason)


class Document:
    """A YAML document, and where its values are."""

    def __init__(self, text: str) -> None:
        """Parse a text; dates stay text.

        Raises:
            NotYamlError: It is no YAML, or too long.
        """
        if len(text) > MAX_CHARACTERS:
            msg = f"it is longer than {MAX_CHARACTERS} characters"
            raise NotYamlError(msg, None)
        yaml = YAML(typ="rt")
        yaml.Constructor = _Constructor
        try:
            self.value: Any = yaml.load(text)
        except MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else None
            raise NotYamlError(_reason(exc), line) from None
        except ReaderError as exc:
            line = text.count("\n", 0, exc.position) + 1
            msg = f"it has the character {text[exc.position]!a}, which YAML forbids"
            raise NotYamlError(msg, line) from None
        except RecursionError:
            msg = "it is nested too deep"
            raise NotYamlError(msg, None) from None
        except (YAMLError, YAMLStreamError, ValueError) as exc:
            msg = f"it is not YAML ({type(exc).__name__})"
            raise NotYamlError(msg, None) from None

    def line(self, keys: Keys) -> int:
        """Return the line of a value, or of the nearest one around it; 1 at the top."""
        found, value = 1, self.value
        for key in keys:
            try:
                is_map = isinstance(value, dict)
                where = value.lc.key(key) if is_map else value.lc.item(key)
                found, value = where[0] + 1, value[key]
            except (AttributeError, LookupError, TypeError):
                break
        return found


class _Constructor(RoundTripConstructor):
    """Names the line of each value that it cannot read; leaves dates to us."""

    def construct_non_recursive_object(self, node: Node, tag: str | None = None) -> Any:
        """Return the value of a node."""
        try:
            return super().construct_non_recursive_object(node, tag)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = str(node.tag).rpartition(":")[2]
            msg = f"this cannot be read as '{kind}'"
            raise ConstructorError(None, None, msg, node.start_mark) from None


def _text(_: _Constructor, node: ScalarNode) -> str:
    return str(node.value)


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Constructor.add_constructor(  # ruamel's own makes an int of one with an anchor
    "tag:yaml.org,2002:bool", SafeConstructor.construct_yaml_bool
)


def _reason(exc: MarkedYAMLError) -> str:
    """Return what is wrong, without values, which may be secret."""
    if isinstance(exc, DuplicateKeyError):
        return "this key is there twice"
    return str(exc.problem or exc.context).partition("\n")[0]
