"""The log of the package, and the warnings of one call.

All loggers are children of ``dvc_studio_models``, which writes nothing by itself: the
application decides. ``dvc models`` writes it as DVC writes its own log.
"""

from __future__ import annotations

import contextlib
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

NAME = "dvc_studio_models"

IN_ALL_WORKERS = {"in_all_workers": True}
"""The ``extra`` of what each worker of the server finds out; only one has to log it."""

_collected: ContextVar[list[str] | None] = ContextVar("warnings", default=None)

logging.getLogger(NAME).addHandler(logging.NullHandler())


class Log(_Adapter):
    """A logger whose warnings are also collected, whatever level it has."""

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Collect and log a warning."""
        collected = _collected.get()
        if collected is not None:
            collected.append(str(msg) % args if args else str(msg))
        super().warning(msg, *args, **{"stacklevel": 2, **kwargs})

    def note(self, msg: object, *args: object) -> None:
        """Collect what is worth knowing, but no problem, and log it as information."""
        collected = _collected.get()
        if collected is not None:
            collected.append(str(msg) % args if args else str(msg))
        self.info(msg, *args, stacklevel=2)


def get_logger(name: str) -> Log:
    """Return the logger of a module."""
    return Log(logging.getLogger(name), {})


@contextlib.contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the warnings that are logged in the block, and on threads it starts."""
    collected: list[str] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def log_as(name: str) -> None:
    """Write the log with the handlers and the level of another logger."""
    logging.getLogger(NAME).parent = logging.getLogger(name)
