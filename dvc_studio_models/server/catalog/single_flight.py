"""Answers that never change: worked out once, and kept as long as there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from dvc_studio_models.server.catalog.errors import StorageSilentError
from dvc_studio_models.server.patience import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from dvc_studio_models.server.catalog.errors import RefusedError

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """A cache for any number of threads: who asks for the same waits, nobody else."""

    def __init__(
        self,
        room: int,
        *,
        size: Callable[[Value], int],
        wait_s: float = ANSWER_S,
        silent: Callable[[float], RefusedError] = StorageSilentError,
    ) -> None:
        """Keep nothing yet.

        Args:
            room: Sum of the sizes of what is kept; the newest is, however large.
            size: Tells how much room a value takes.
            wait_s: The longest, in seconds, to wait for another thread's value.
            silent: Makes the error of who has waited that long, of those seconds.
        """
        self._room = room
        self._size = size
        self._wait_s = wait_s
        self._silent = silent
        self._used = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Future[Value]] = OrderedDict()

    def peek(self, key: Hashable) -> Value | None:
        """Give what is kept, without making or waiting for it."""
        with self._lock:
            found = self._values.get(key)
            if found is None or not found.done():
                return None
            self._values.move_to_end(key)
        return found.result()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Give what is kept, or else make it; what ``make`` raises is not kept.

        Raises:
            RefusedError: Another thread has been making it for too long.
        """
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            else:
                made = self._values[key] = Future()
        if found is not None:
            if not wait([found], self._wait_s).done:
                raise self._silent(self._wait_s)
            return found.result()
        try:
            value = make()
        except BaseException as exc:
            with self._lock:
                del self._values[key]
            made.set_exception(exc)
            raise
        made.set_result(value)
        self._make_room(self._size(value))
        return value

    def _make_room(self, more: int) -> None:
        with self._lock:
            self._used += more
            if self._used <= self._room:
                return
            done = [key for key, value in self._values.items() if value.done()]
            for key in done[:-1]:
                if self._used <= self._room:
                    break
                self._used -= self._size(self._values.pop(key).result())
