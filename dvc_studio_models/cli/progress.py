"""Progress of downloads: a bar on a terminal, a line every few seconds elsewhere.

Writes to stderr; stdout is for results.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from dvc_studio_models.model import SilentProgress, format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc.progress import Tqdm

    from dvc_studio_models.model import Progress

LINE_EVERY_S = 5.0  # often enough for CI systems that stop silent jobs


class BarProgress:
    """DVC's bar, drawn once there is something to show."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._bar: Tqdm | None = None

    def update(self, done: int, total: int | None) -> None:
        """Draw the state."""
        if self._bar is not None and total and not self._bar.total:
            self.close()  # its format has no place for a percentage
            self._bar = None
        if self._bar is None:
            from dvc.progress import Tqdm

            # Bytes of an earlier pull do not count for the rate.
            self._bar = Tqdm(
                desc=self._description, bytes=True, total=total, initial=done
            )
        self._bar.update_to(done, total)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class LineProgress:
    """A plain line every few seconds."""

    def __init__(
        self,
        description: str,
        *,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._description = description
        self._write = write or _write_line
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._next = 0.0

    def update(self, done: int, total: int | None) -> None:
        """Write a line, if the last one is old enough."""
        now = self._clock()
        if self._first is None:
            self._first, self._next = (now, done), now + LINE_EVERY_S
        elif done < self._first[1]:  # what an earlier pull left was thrown away
            self._first = now, done
        if now < self._next:
            return
        self._next = now + LINE_EVERY_S
        self._write(f"{self._description}: {self._state(now, done, total)}")

    def _state(self, now: float, done: int, total: int | None) -> str:
        began, before = self._first or (now, done)
        rate = (done - before) / (now - began) if now > began else 0.0
        text = format_bytes(done)
        if total:
            text += f" of {format_bytes(total)} ({100 * done // total}%)"
        text += f", {format_bytes(rate)}/s"
        if total and rate:
            text += f", {(total - done) / rate:.0f} s left"
        return text

    def close(self) -> None:
        """Do nothing."""


def make_progress(description: str, *, quiet: bool) -> Progress:
    """Return a bar if stderr is a terminal, else lines."""
    if quiet:
        return SilentProgress()
    if sys.stderr is not None and sys.stderr.isatty():
        return BarProgress(description)
    return LineProgress(description)


def _write_line(line: str) -> None:
    from dvc.ui import ui

    ui.error_write(line)
