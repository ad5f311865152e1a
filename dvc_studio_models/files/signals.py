"""Signals that come while something is at work that must not be cut short.

A signal that Python code answers, as Ctrl-C, may raise an exception between any two
steps. While they are put off, it waits until somebody asks for it.
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
    """Put signals off for as long as the context lasts, and answer them after it.

    Gives a function that answers those that have come so far. What ends the process
    without asking Python is not put off. In other threads than the main one there is
    nothing to put off: Python answers no signal there.
    """
    answers: dict[int, Any] = {}
    came: dict[int, FrameType | None] = {}

    def note(number: int, frame: FrameType | None) -> None:
        came[number] = frame

    def answer() -> None:
        if came:
            number, frame = came.popitem()
            try:
                answers[number](number, frame)
            finally:
                answer()

    try:
        with contextlib.suppress(ValueError):  # only the main thread may
            for each in filter(_is_answered, signal.valid_signals()):
                answers[each] = signal.signal(each, note)
        yield answer
    finally:
        for number, before in answers.items():
            signal.signal(number, before)
        answer()


def _is_answered(number: int) -> bool:
    """Whether Python code answers a signal; the system does others."""
    return callable(signal.getsignal(number))
