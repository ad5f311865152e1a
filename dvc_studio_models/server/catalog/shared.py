"""One read of Git for all who ask at the same time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from dvc_studio_models.server.catalog.errors import GitSilentError
from dvc_studio_models.server.patience import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class SharedRead(Generic[Value]):
    """Reads something that changes, for any number of threads.

    Whoever asks gets what was read after that moment, and waits for two reads at most:
    the one under way, and the next, which answers all who came in between.
    """

    def __init__(self, read: Callable[[], Value], *, wait_s: float = ANSWER_S) -> None:
        """Read nothing yet.

        Args:
            read: Called by one thread at a time.
            wait_s: The longest, in seconds, to wait for another thread's read.
        """
        self._read = read
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._begun = 0
        self._done = 0
        self._running = False
        self._value: Value | None = None
        self._error: Exception | None = None

    def get(self) -> Value:
        """Return what is read from now on.

        Raises:
            GitSilentError: Another thread has been reading for too long.
        """
        with self._changed:
            mine = self._begun + 1
            while self._done < mine:
                if not self._running:
                    self._run()
                elif not self._changed.wait(self._wait_s):
                    raise GitSilentError(self._wait_s)
            if self._error:
                raise self._error
            return self._value  # type: ignore[return-value]  # of a read that ended

    def _run(self) -> None:
        """Read, while others may ask and wait; the caller holds the lock."""
        self._running = True
        self._begun += 1
        self._changed.release()
        value, error = None, None
        try:
            value = self._read()
        except Exception as exc:  # noqa: BLE001 - it is raised to all who wait
            error = exc
        finally:
            self._changed.acquire()
            self._running = False
            self._done = self._begun
            self._value, self._error = value, error
            self._changed.notify_all()
