"""How the log is written: ``key=value`` pairs, or a JSON object per line."""

from __future__ import annotations

import json
import logging
import re
import select
import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dvc.exceptions import DvcException
from dvc.logger import LoggerHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Format = Callable[[Mapping[str, object]], str]

LOGFMT, JSON = "logfmt", "json"
FORMATS = (LOGFMT, JSON)

READER_S = 1.0
"""How long, in seconds, the log waits once for a reader that has stopped reading."""

LONGEST = 500
"""Characters of a value. A line stays below ``PIPE_BUF``, 4096 bytes: longer ones may
run together in a pipe to which several workers write."""

_PLAIN = re.compile(r"[^\s\"=\\]+", re.ASCII)


def format_of(name: str) -> Format:
    """Return the function that writes a line."""
    return _to_json if name == JSON else _to_logfmt


def use_format(name: str) -> None:
    """Write all that this process logs in a format, from now on.

    A line is written at once: workers write to the same file, and DVC's handlers write
    the end of a line by itself. One that cannot be written stops nothing.
    """
    # DVC disables all of the log where stderr is closed, also what goes to stdout.
    logging.disable(logging.NOTSET if sys.stdout else logging.INFO)
    root = logging.getLogger("dvc")
    for handler in tuple(root.handlers):
        if isinstance(handler, LoggerHandler):
            root.removeHandler(handler)
            root.addHandler(LossyHandler(handler))
    for handler in root.handlers:
        if isinstance(handler, LossyHandler):
            handler.use_format(name)
            logging.getLogger("uvicorn").addHandler(handler)


def leave_to_first_worker() -> None:
    """Log nothing more of what the first worker logs too."""
    for handler in logging.getLogger("dvc").handlers:
        handler.addFilter(lambda record: not hasattr(record, "in_all_workers"))


def leave_to_main_thread() -> None:
    """Log nothing more of other threads: at the end, what they wait for fails."""
    main = threading.main_thread().ident
    for handler in logging.getLogger("dvc").handlers:
        handler.addFilter(lambda record: record.thread == main)


def log_time() -> str:
    """Return the time now, as in all lines."""
    return f"{datetime.now(timezone.utc).isoformat(timespec='seconds')[:19]}Z"


def _poll_for(stream: Any) -> select.poll | None:
    """Return what tells whether a stream can be written to; None if nothing can."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError):  # there is none, or it is in memory
        return None
    return poll


class LossyStream:
    """Writes where another stream does, and waits only briefly for who reads it.

    A text that a pipe does not take as a whole is written in pieces.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._poll = _poll_for(stream)
        self._wait_s = READER_S

    def write(self, text: str) -> None:
        """Write a text, or as much of it as is read.

        Raises:
            BlockingIOError: Whoever reads the stream has stopped reading.
        """
        for piece in _pieces(text):
            if not self._has_room():
                raise BlockingIOError
            self._stream.write(piece)
            self._stream.flush()

    def _has_room(self) -> bool:
        """Whether a piece can be written at once, or soon if the one before could.

        The system says so of a pipe that has room for ``PIPE_BUF`` bytes.
        """
        if self._poll is None:
            return True
        has_room = bool(self._poll.poll(self._wait_s * 1000))
        self._wait_s = READER_S if has_room else 0
        return has_room


def _pieces(text: str) -> Iterator[str]:
    """Split a text that has more than ``PIPE_BUF`` bytes."""
    if len(text.encode(errors="replace")) <= select.PIPE_BUF:
        yield text
        return
    size = select.PIPE_BUF // 4  # bytes of the longest characters
    for start in range(0, len(text), size):
        yield text[start : start + size]


class LossyHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes where another handler does, and counts the lines that cannot be written.

    DVC's handlers raise an error then, which would end the thread that reloads the
    config, or the main process of the workers. They also look for progress bars before
    each line, and a server has none.
    """

    def __init__(self, other: logging.StreamHandler[Any]) -> None:
        super().__init__(LossyStream(other.stream))
        self.setLevel(other.level)
        self.setFormatter(other.formatter)
        self.filters = other.filters
        self._plain = other.formatter

    def use_format(self, name: str) -> None:
        """Write lines in a format from now on."""
        self.setFormatter(JsonFormatter() if name == JSON else self._plain)

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of one message."""
        return super().format(record).removesuffix("\n")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Count a line that was lost; others than those of metrics cannot tell."""
        from dvc_studio_models.server.monitoring import metrics

        metrics.lost_lines.inc()


class JsonFormatter(logging.Formatter):
    """Writes messages as JSON; a line of the access log is JSON already."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one message."""
        message = record.getMessage()
        if getattr(record, "is_access", False):
            return message
        line = {"time": log_time(), "level": record.levelname.lower()}
        error = record.exc_info[1] if record.exc_info else None
        # DVC logs what ends a command with an empty message.
        line["message"] = message or ": ".join(_causes(error))
        is_told = isinstance(error, DvcException) and not _is_verbose()
        if record.exc_info and not is_told:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _causes(error: BaseException | None) -> Iterator[str]:
    while error:
        yield str(error)
        error = error.__cause__


def _is_verbose() -> bool:
    return logging.getLogger("dvc").isEnabledFor(logging.DEBUG)


def _to_logfmt(facts: Mapping[str, object]) -> str:
    """Write ``key=value`` pairs without empty values, quoted where necessary."""
    pairs = ((name, _cut(value)) for name, value in facts.items() if value is not None)
    return " ".join(f"{name}={_quoted(value)}" for name, value in pairs if value)


def _to_json(facts: Mapping[str, object]) -> str:
    """Write an object without empty values; escapes all but ASCII."""
    known = {
        name: value if isinstance(value, (int, float)) else _cut(value)
        for name, value in facts.items()
        if value not in (None, "")
    }
    return json.dumps(known)


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _quoted(value: str) -> str:
    is_plain = _PLAIN.fullmatch(value) and value.isprintable()
    return value if is_plain else json.dumps(value)
