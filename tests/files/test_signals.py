"""Signals wait while they are put off, and none is lost."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from dvc_studio_models.files.signals import deferred_signals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def came() -> Iterator[list[int]]:
    """The user's signals that were answered."""
    numbers: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: numbers.append(number))
        for number in (signal.SIGUSR1, signal.SIGUSR2)
    }
    yield numbers
    for number, answer in before.items():
        signal.signal(number, answer)


def test_a_signal_is_answered_at_the_end(came: list[int]) -> None:
    with deferred_signals():
        signal.raise_signal(signal.SIGUSR1)
        assert came == []

    assert came == [signal.SIGUSR1]


def test_a_signal_is_answered_when_that_is_asked_for(came: list[int]) -> None:
    with deferred_signals() as answer:
        answer()
        signal.raise_signal(signal.SIGUSR1)
        answer()
        assert came == [signal.SIGUSR1]

    assert came == [signal.SIGUSR1]


def test_a_signal_afterwards_is_answered_at_once(came: list[int]) -> None:
    with deferred_signals():
        pass
    signal.raise_signal(signal.SIGUSR1)

    assert came == [signal.SIGUSR1]


def test_an_interrupt_hides_no_other_signal(came: list[int]) -> None:
    def interrupt() -> None:
        with deferred_signals():
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGUSR2)

    with pytest.raises(KeyboardInterrupt):
        interrupt()

    assert sorted(came) == [signal.SIGUSR1, signal.SIGUSR2]


def test_a_signal_after_an_error_is_answered_too(came: list[int]) -> None:
    def fail() -> None:
        with deferred_signals():
            signal.raise_signal(signal.SIGUSR1)
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        fail()

    assert came == [signal.SIGUSR1]


def test_another_thread_leaves_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def look() -> None:
        with deferred_signals() as answer:
            seen.append(signal.getsignal(signal.SIGINT))
            answer()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [before]
