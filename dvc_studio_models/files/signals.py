"""Signals that arrive during work that must not be interrupted.

A signal with a handler in Python, as Ctrl-C, may raise an exception between any two
steps. While signals are deferred, their handlers run only when they are called for.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


@contextlib.contextmanager
def deferred_signals() -> Iterator[Callable[[], None]]:
    """Defer signals until the context ends, and call their handlers then.

    Signals that end the process without a handler are not deferred. Outside the main
    thread nothing is deferred, since Python runs no handlers there.

    Yields:
        A function that calls the handlers of the signals that have arrived so far.
    """
    handlers: dict[int, Any] = {}
    arrived: dict[int, FrameType | None] = {}

    def note(number: int, frame: FrameType | None) -> None:
        arrived[number] = frame

    def call_handlers() -> None:
        if arrived:
            number, frame = arrived.popitem()
            try:
                handlers[number](number, frame)
            finally:
                call_handlers()

    try:
        with contextlib.suppress(ValueError):  # only the main thread may
            for each in filter(_has_handler, signal.valid_signals()):
                handlers[each] = signal.signal(each, note)
        yield call_handlers
    finally:
        for number, before in handlers.items():
            signal.signal(number, before)
        call_handlers()


def _has_handler(number: int) -> bool:
    """Return whether a signal has a handler in Python."""
    return callable(signal.getsignal(number))
