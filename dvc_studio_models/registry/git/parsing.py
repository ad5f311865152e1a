"""Parses the output of ``git``. No I/O."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dvc_studio_models.registry.git.reader import GitObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BRANCH = "refs/heads/"
TAG = "refs/tags/"

_SYMREF = re.compile(r"ref: (\S+)\tHEAD")


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


def parse_listing(listed: bytes) -> tuple[str, dict[str, str]]:
    """Return the ref of HEAD, empty for none, and the id of each branch and tag."""
    head, refs = "", {}
    for line in os.fsdecode(listed).split("\n"):
        if symref := _SYMREF.fullmatch(line):
            head = symref[1]
        oid, _, name = line.partition("\t")
        if name.startswith((BRANCH, TAG)) and not name.endswith("^{}"):
            refs[name] = oid
    return head, refs
