"""Refuses DVC files that would take too much time or memory to parse.

DVC's own have kilobytes, or megabytes where a cloud-versioned folder has thousands of
files, and neither aliases nor deep nesting. A file whose brackets or aliases could do
harm is first read as a stream of events, which needs little memory and is bounded.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 4 << 20
"""The largest file that DVC parses."""

MAX_ENTRIES = 200_000
"""Keys and items of lists, by their ``:``, ``-`` and ``,``; DVC parses that many in
about 20 s."""

MAX_LONG_NUMBERS = 1000
"""Numbers of 19 digits and more, of which Python may put many into one place of a
mapping: then the time to parse grows with the square of their number. Also of tags,
which make a number of any text."""

MAX_COMPLEX_KEYS = 50
"""Keys that are lists or mappings, of which the same is true."""

MAX_DEPTH = 50
"""The deepest nesting of lists and mappings."""

MAX_NODES = 1_000_000
"""Values, keys, lists and mappings, with what aliases repeat."""

MAX_STAGES = 10_000
"""Stages that one ``matrix`` makes."""

MAX_S = 5.0
"""The longest time, in seconds, that the events of one file may take."""

_DEEP = re.compile(rb"(?:[-?:][ \t]+){20}")  # lists in lists on one line

_ENTRY = re.compile(rb"[-:](?=[ \t\r\n])|,")

_LONG_NUMBER = re.compile(
    rb"(?<![\w.])(?:0x[0-9a-fA-F_]{16,}|(?:0[bo])?[0-9_]{19,})(?!\w)"
    rb"|(?<![^\s,\[{])!(?:!|<)"
)

_KEY_MARK = re.compile(rb"(?<![^\s,\[{])\?(?=\s)")

_DIRECTIVE = re.compile(rb"(?:^|[\n\r]|\xc2\x85|\xe2\x80[\xa8\xa9])(?:\xef\xbb\xbf)*%")
"""``%TAG`` makes each tag as long as it likes; ``%YAML 1.1`` has numbers to base 60."""


_NODES = {"AliasEvent", "ScalarEvent", "SequenceStartEvent", "MappingStartEvent"}


class TooComplexError(ValueError):
    """A file is too large or too complex; the message says how."""


def check_size(data: bytes) -> None:
    """Check the size of a file that DVC is to parse.

    Raises:
        TooComplexError: It is too large.
    """
    if len(data) > MAX_BYTES:
        msg = f"it is larger than {MAX_BYTES >> 20} MiB"
        raise TooComplexError(msg)


def check_yaml(data: bytes) -> None:
    """Check a YAML file that DVC is to parse.

    Raises:
        TooComplexError: It is too large, too deep, or its aliases repeat too much.
    """
    check_size(data)
    if _DIRECTIVE.search(data):
        msg = "it has a line that begins with '%', which DVC does not write"
        raise TooComplexError(msg)
    if _has_more(_ENTRY, data, MAX_ENTRIES):
        msg = f"it has more than {MAX_ENTRIES} keys and items of lists"
        raise TooComplexError(msg)
    if _has_more(_LONG_NUMBER, data, MAX_LONG_NUMBERS):
        msg = f"it has more than {MAX_LONG_NUMBERS} numbers of 19 digits, or tags"
        raise TooComplexError(msg)
    if not _may_be_complex(data):
        return
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    deadline = time.monotonic() + MAX_S
    try:
        text = data.decode("utf-8-sig")
        _check_events(YAML(typ="safe", pure=True).parse(text), deadline)
    except (YAMLError, UnicodeDecodeError):  # which DVC reports, with its line
        return
    except RecursionError:
        _refuse_depth()


def check_matrix(project: Any, path: str) -> None:
    """Check the stages with a ``matrix`` in a ``dvc.yaml``, before DVC makes them.

    Args:
        project: DVC's ``Repo``.
        path: Of the file.

    Raises:
        TooComplexError: One of them makes too many stages.
    """
    from dvc.dvcfile import load_file

    for definition in load_file(project, path).resolver.definitions.values():
        if hasattr(definition, "matrix_data"):
            lists = definition.resolved_iterable.values()
            if math.prod(map(len, lists)) > MAX_STAGES:
                msg = f"a matrix makes more than {MAX_STAGES} stages"
                raise TooComplexError(msg)


def _may_be_complex(data: bytes) -> bool:
    has_aliases = b"&" in data and b"*" in data
    brackets = data.count(b"[") + data.count(b"{")
    return (
        has_aliases
        or brackets > MAX_DEPTH
        or _has_more(_KEY_MARK, data, MAX_COMPLEX_KEYS)
        or _DEEP.search(data) is not None
    )


def _has_more(pattern: re.Pattern[bytes], data: bytes, most: int) -> bool:
    """Whether a pattern is found more often than that."""
    found = pattern.finditer(data)
    return next(itertools.islice(found, most, None), None) is not None


def _check_events(events: Iterable[Any], deadline: float) -> None:
    """Count depth, and nodes as if each alias was replaced by what it stands for."""
    count = _Count()
    for number, event in enumerate(events):
        count.add(event)
        if len(count.open) > MAX_DEPTH:
            _refuse_depth()
        if count.nodes > MAX_NODES:
            msg = f"it has more than {MAX_NODES} values, counting what aliases repeat"
            raise TooComplexError(msg)
        if count.complex_keys > MAX_COMPLEX_KEYS:
            msg = f"it has more than {MAX_COMPLEX_KEYS} keys that are lists"
            raise TooComplexError(msg)
        if number % 1000 == 0 and time.monotonic() > deadline:
            msg = f"it has lists and aliases that take more than {MAX_S:.0f} s to read"
            raise TooComplexError(msg)


class _Count:
    """Counts the nodes of a document."""

    def __init__(self) -> None:
        self.nodes = 0
        self.complex_keys = 0
        """Keys that are lists, mappings or aliases."""
        self._is_key: list[bool | None] = []
        """Whether the next node of each open collection is a key; None in a list."""
        self.open: list[tuple[str | None, int]] = []
        """Anchors of the collections that are not closed, and the nodes before each."""
        self._sizes: dict[str | None, int] = {}

    def add(self, event: Any) -> None:
        """Count an event of ruamel's parser."""
        kind = type(event).__name__
        if kind in _NODES and self._is_key and self._is_key[-1] is not None:
            is_plain = kind == "ScalarEvent" or not self._is_key[-1]
            self.complex_keys += not is_plain
            self._is_key[-1] = not self._is_key[-1]
        if kind == "AliasEvent":
            if event.anchor not in self._sizes:  # of what is around it: without an end
                msg = "it contains itself by an alias"
                raise TooComplexError(msg)
            self.nodes += self._sizes[event.anchor]
        elif kind in {"SequenceStartEvent", "MappingStartEvent"}:
            self.open.append((event.anchor, self.nodes))
            self._is_key.append(True if kind == "MappingStartEvent" else None)
            self.nodes += 1
        elif kind in {"SequenceEndEvent", "MappingEndEvent"}:
            anchor, before = self.open.pop()
            self._is_key.pop()
            self._sizes[anchor] = self.nodes - before
        elif kind == "ScalarEvent":
            self._sizes[event.anchor] = 1
            self.nodes += 1


def _refuse_depth() -> None:
    msg = f"it is nested more than {MAX_DEPTH} levels deep"
    raise TooComplexError(msg)
