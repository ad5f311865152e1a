"""Progress of downloads: a bar on a terminal, a line every few seconds elsewhere.

Writes to stderr; stdout is for results.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from dvc_studio_models.cli.output import log_handlers
from dvc_studio_models.model import PullProgress, format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc.progress import Tqdm

AUTO, BAR, PLAIN, JSON, NONE = KINDS = ("auto", "bar", "plain", "json", "none")
LINE_EVERY_S = 5.0  # often enough for CI systems that stop silent jobs
JSON_EVERY_S = 0.5


class Display(Protocol):
    """Shows the progress of a pull, or of other work."""

    def update(self, progress: PullProgress) -> None:
        """Show it; called often."""

    def update_bytes(self, done: int, total: int | None) -> None:
        """Show ``done`` of ``total`` bytes."""

    def close(self) -> None:
        """Restore the terminal."""

    def end(self, result: dict[str, Any]) -> None:
        """Show the JSON of the result, or of the error; called after ``close``."""


class NoProgress:
    """Shows nothing."""

    def update(self, progress: PullProgress) -> None:
        """Do nothing."""

    def update_bytes(self, done: int, total: int | None) -> None:
        """Show ``done`` of ``total`` bytes."""
        self.update(PullProgress(done, total, 0, 1, ()))

    def close(self) -> None:
        """Do nothing."""

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing."""


class BarProgress(NoProgress):
    """DVC's bar, drawn once there is something to show."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._bar: Tqdm | None = None

    def update(self, progress: PullProgress) -> None:
        """Draw the state, as wide as the terminal is now."""
        done, total = progress.bytes, progress.total
        info = f" {_format_files(progress)} |" if progress.files_total > 1 else ""
        if self._bar is not None and total and not self._bar.total:
            self.close()  # its format has no place for a percentage
        if self._bar is None:
            from dvc.progress import Tqdm

            # Bytes of an earlier pull do not count for the rate.
            self._bar = Tqdm(
                desc=self._description,
                bytes=True,
                total=total,
                initial=done,
                dynamic_ncols=True,
                postfix={"info": info},
            )
        self._bar.postfix["info"] = info
        self._bar.update_to(done, total)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class _Rate:
    """The rate of the bytes that this pull has received."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def update(self, now: float, done: int) -> float:
        """Return the rate in bytes a second."""
        if self._first is None or done < self._first[1]:
            # What an earlier pull left does not count, nor if it was thrown away.
            self._first = now, done
        began, before = self._first
        return (done - before) / (now - began) if now > began else 0.0


class LineProgress(NoProgress):
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
        self._rate = _Rate()
        self._next: float | None = None

    def update(self, progress: PullProgress) -> None:
        """Write a line, if the last one is old enough."""
        now = self._clock()
        rate = self._rate.update(now, progress.bytes)
        if self._next is None:
            self._next = now + LINE_EVERY_S
        if now < self._next:
            return
        self._next = now + LINE_EVERY_S
        self._write(f"{self._description}: {_format_state(progress, rate)}")


class JsonProgress(NoProgress):
    """A JSON object a line: of the progress, of each message, and of the result.

    The first and the last state are written, and those between not too often.
    """

    def __init__(
        self,
        *,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write or _write_line
        self._clock = clock
        self._rate = _Rate()
        self._next = 0.0
        self._latest: dict[str, Any] | None = None

    def update(self, progress: PullProgress) -> None:
        """Write the state, if the last one is old enough."""
        now = self._clock()
        self._latest = {
            "event": "progress",
            "bytes": progress.bytes,
            "total": progress.total,
            "files": progress.files,
            "files_total": progress.files_total,
            "rate": round(self._rate.update(now, progress.bytes)),
            "models": [vars(model) for model in progress.models],
        }
        if now >= self._next:
            self._next = now + JSON_EVERY_S
            self.close()

    def close(self) -> None:
        """Write the last state."""
        if self._latest is not None:
            self._put(self._latest)
            self._latest = None

    def end(self, result: dict[str, Any]) -> None:
        """Write the result."""
        self._put({"event": "result", **result})

    def _put(self, value: dict[str, Any]) -> None:
        self._write(json.dumps(value, ensure_ascii=False))


class _JsonFormatter(logging.Formatter):
    """Formats a log record as a JSON object on one line."""

    def __init__(self, text: logging.Formatter) -> None:
        super().__init__()
        self._text = text

    def format(self, record: logging.LogRecord) -> str:
        """Format the message as usual, but for the level."""
        message = self._text.format(record).removeprefix(f"{record.levelname}: ")
        level = record.levelname.lower()
        value = {"event": "message", "level": level, "message": message}
        return json.dumps(value, ensure_ascii=False)


def _format_state(progress: PullProgress, rate: float) -> str:
    done, total = progress.bytes, progress.total
    text = format_bytes(done)
    if total:
        text += f" of {format_bytes(total)} ({100 * done // total}%)"
    if progress.files_total > 1:
        text += f", {_format_files(progress)}"
    text += f", {format_bytes(rate)}/s"
    if total and rate:
        text += f", {max(0, total - done) / rate:.0f} s left"
    return text


def _format_files(progress: PullProgress) -> str:
    return f"{progress.files}/{progress.files_total} files"


def make_progress(description: str, kind: str = AUTO) -> Display:
    """Return the progress of this kind: by default a bar on a terminal, else lines."""
    if kind == AUTO:
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        kind = BAR if is_terminal else PLAIN
    if kind == BAR:
        return BarProgress(description)
    if kind == PLAIN:
        return LineProgress(description)
    if kind == JSON:
        _log_as_json()
        return JsonProgress()
    return NoProgress()


def _log_as_json() -> None:
    """Let DVC's messages on stderr be JSON too, so that all of its lines are."""
    from dvc.logger import ColorFormatter

    for handler in log_handlers():
        text = handler.formatter
        is_shown = getattr(handler, "stream", None) is sys.stderr
        if is_shown and isinstance(text, ColorFormatter):
            text.log_colors = False
            handler.setFormatter(_JsonFormatter(text))


def _write_line(line: str) -> None:
    from dvc.ui import ui

    ui.error_write(line)
