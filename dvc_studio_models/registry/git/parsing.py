"""Parses the output of ``git``. No I/O."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dvc_studio_models.registry.git.reader import GitObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def split_objects(content: bytes) -> Iterator[GitObject | None]:
    """Split the output of ``git cat-file --batch``."""
    at = 0
    while at < len(content):
        end = content.index(b"\n", at)
        head = content[at:end]
        at = end + 1
        if head.endswith(b" missing"):
            yield None
            continue
        _, kind, size = head.decode().split(" ")
        yield GitObject(kind, content[at : at + int(size)])
        at += int(size) + 1


def parse_config(listed: bytes) -> list[tuple[str, str]]:
    """Parse the output of ``git config -z --list``: names and values."""
    return [parse_setting(entry) for entry in os.fsdecode(listed).split("\0") if entry]


def own_settings(
    scoped: Iterable[tuple[str, tuple[str, str]]],
) -> list[tuple[str, str]]:
    """Return the settings of the repository itself; each comes with its scope."""
    return [setting for scope, setting in scoped if scope in {"local", "worktree"}]


def parse_setting(entry: str) -> tuple[str, str]:
    """Parse one setting: its name, and its value."""
    key, _, value = entry.partition("\n")
    return key, value
