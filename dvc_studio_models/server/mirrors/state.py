"""How fresh a mirror is: the values, and the file in which processes share them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STALE_FETCHES = 3
STALE_S = 30
"""A mirror is stale after so many missed fetches, and so many seconds."""

AHEAD_S = 5.0
"""By so much, in seconds, the clocks of servers that share a mirror may differ."""

_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class MirrorState:
    """What the last fetches of a mirror came to."""

    fetched: float | None = None
    """When the last good one began, in seconds since 1970; None before the first."""

    tried: float | None = None
    """When the last one ended, in seconds since 1970."""

    failures: int = 0
    """Failed ones since the last good one."""

    error: str | None = None
    """Why the last one failed, without URLs and secrets; None if it did not."""

    maintained: float | None = None
    """When maintenance last ended, in seconds since 1970."""

    begun: float | None = None
    """When the last fetch began, in seconds since 1970."""

    def succeeded(self, begun: float) -> MirrorState:
        """Return the state after a good fetch."""
        maintained = self.maintained
        return MirrorState(begun, time.time(), maintained=maintained, begun=begun)

    def failed(self, begun: float, error: str) -> MirrorState:
        """Return the state after a failed fetch."""
        failures = self.failures + 1
        return replace(
            self, begun=begun, tried=time.time(), failures=failures, error=error
        )

    def maintained_now(self) -> MirrorState:
        """Return the state after maintenance."""
        return replace(self, maintained=time.time())


@dataclass(frozen=True)
class MirrorStatus:
    """How fresh a mirror is, for clients and operators."""

    fetched: float | None
    """When the last good fetch began, in seconds since 1970; None before the first."""

    error: str | None
    """Why the last fetch failed, in one sentence without URLs and secrets."""

    failures: int
    """Failed fetches since the last good one."""

    fetch_s: int
    """Pause between two fetches, in seconds."""

    @property
    def age_s(self) -> float | None:
        """Time since the last good fetch, in seconds; None before the first."""
        return None if self.fetched is None else max(0.0, time.time() - self.fetched)

    @property
    def is_stale(self) -> bool:
        """Whether fetches have failed for so long that tags may be missing."""
        age_s = self.age_s
        return age_s is None or age_s > STALE_FETCHES * self.fetch_s + STALE_S


def read_state(path: Path) -> MirrorState:
    """Read a state; one that cannot be read is that of a mirror never fetched.

    Times in the future are left out: the clock was set back.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        with path.open("rb") as file:
            found = MirrorState(**json.loads(file.read(_MAX_BYTES)))
        _check(found)
        return _without_future(found, time.time() + AHEAD_S)
    return MirrorState()


def _check(state: MirrorState) -> None:
    """Check the types of what a file has: another version may have written it."""
    times = (state.fetched, state.begun, state.tried, state.maintained)
    if any(type(each) not in {float, int, type(None)} for each in times):
        raise TypeError
    if type(state.failures) is not int or type(state.error) not in {str, type(None)}:
        raise TypeError


def _without_future(state: MirrorState, latest: float) -> MirrorState:
    """Leave out when something was done; when it was tried says that it was."""

    def known(moment: float | None) -> float | None:
        return moment if moment and moment <= latest else None

    return replace(
        state,
        fetched=known(state.fetched),
        begun=known(state.begun),
        maintained=known(state.maintained),
    )


def write_state(path: Path, state: MirrorState) -> None:
    """Write a state; a reader sees the old one or the new one.

    Raises:
        OSError: The file cannot be written.
    """
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
        os.replace(name, path)  # noqa: PTH105 - mkstemp returns a string
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - so it does
        raise
