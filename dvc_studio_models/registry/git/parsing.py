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

_CONSEQUENCES = (
    "early EOF",
    "failed to run ",
    "fetch-pack: ",
    "index-pack ",
    "some local refs could not be updated",
    "the remote end hung up",
    "unpack-objects failed",
)
"""How messages begin that only say that something failed before."""

_NO_REASON = "Could not read from remote repository"
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


def reason_of(err: bytes) -> str:
    """Return Git's last error message, without URLs, which may contain secrets."""
    lines = err.decode(errors="backslashreplace").splitlines()
    named = list(filter(_is_error, lines))
    reason = (named or lines or ["git failed without a message"])[-1]
    if reason.endswith(":"):  # the details are on the lines below
        reason = f"{reason} {' '.join(lines[lines.index(reason) + 1 :]).strip()}"
    text = reason.partition(": ")[2] or reason
    return re.sub(r"\S+://\S*[^\s':]'?", "its address", text)


def remote_reason(err: bytes) -> str:
    """Return why a mirror could not be cloned, fetched or maintained.

    Returns:
        Git's last error message; the first one, where the last one only says that
        something failed before; ssh's, where Git only says that it could not connect.
    """
    if b"dubious ownership" in err:
        return "it belongs to another user, and Git does not trust it"
    reason = reason_of(err)
    if reason.startswith(_CONSEQUENCES):
        lines = err.decode(errors="backslashreplace").splitlines()
        first = next(filter(_is_error, lines), reason)
        return reason_of(first.encode())
    if not reason.startswith(_NO_REASON):
        return reason
    before = err.partition(f"fatal: {_NO_REASON}".encode())[0]
    lines = before.decode(errors="backslashreplace").splitlines()
    told = [line.strip() for line in lines if line.strip()]
    return reason_of(told[-1].encode()) if told else reason


def _is_error(line: str) -> bool:
    return line.startswith(("fatal: ", "error: "))
