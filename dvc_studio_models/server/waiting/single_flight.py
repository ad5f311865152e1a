"""Results that several threads need at the same time, computed by one of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from dvc_studio_models.server.errors.requests import (
    GitSilentError,
)
from dvc_studio_models.server.waiting.deadlines import ANSWER_S, timeout_error

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Value = TypeVar("Value")


class SingleFlightCache(Generic[Value]):
    """A cache of bounded size; threads that need the same new value wait for one."""

    def __init__(
        self,
        room: int,
        *,
        size: Callable[[Value], int] = lambda _: 1,
        wait_s: float = ANSWER_S,
    ) -> None:
        """Create an empty cache.

        Args:
            room: The maximum sum of sizes; the newest value is always stored.
            size: Returns the size of a value.
            wait_s: The longest, in seconds, to wait for another thread's value.
        """
        self._room = room
        self._size = size
        self._wait_s = wait_s
        self._used = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Future[Value]] = OrderedDict()

    def peek(self, key: Hashable) -> Value | None:
        """Return the cached value, without making it or waiting for it."""
        with self._lock:
            found = self._values.get(key)
            if found is None or not found.done():
                return None
            self._values.move_to_end(key)
        return found.result()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the cached value, or make it; an error of ``make`` is not cached.

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
                raise timeout_error(self._wait_s)
            return found.result()
        try:
            value = make()
        except BaseException as exc:
            with self._lock:
                if self._values.get(key) is made:
                    del self._values[key]
            made.set_exception(exc)
            raise
        made.set_result(value)
        self._make_room(key, made)
        return value

    def clear(self) -> None:
        """Drop all values; those that are being made are not stored."""
        with self._lock:
            self._values.clear()
            self._used = 0

    def _make_room(self, key: Hashable, made: Future[Value]) -> None:
        with self._lock:
            if self._values.get(key) is not made:
                return
            self._used += self._size(made.result())
            if self._used <= self._room:
                return
            done = [each for each, value in self._values.items() if value.done()]
            for each in done[:-1]:
                if self._used <= self._room:
                    break
                self._used -= self._size(self._values.pop(each).result())


class CurrentCache(SingleFlightCache[Value]):
    """A cache of what is valid in one state; a value of another state replaces all.

    Each key is a pair of the state and the rest.
    """

    _state: Hashable = None

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the cached value, or make it, see :class:`SingleFlightCache`."""
        state, _ = cast("tuple[Hashable, Hashable]", key)
        if state != self._state:
            self._state = state
            self.clear()
        return super().get(key, make)


class SharedRead(Generic[Value]):
    """Reads something that changes, one thread at a time.

    A caller gets what was read after its call, and waits for two reads at most: the
    one in progress, and the next one, which serves all who called in between.
    """

    def __init__(self, read: Callable[[], Value], *, wait_s: float = ANSWER_S) -> None:
        """Store ``read``; :meth:`get` calls it.

        Args:
            read: Called by one thread at a time.
            wait_s: The longest, in seconds, to wait for another thread's read.
        """
        self._read = read
        self._wait_s = wait_s
        self._begun = 0
        self._reading = threading.Lock()
        self._reads: SingleFlightCache[Value] = SingleFlightCache(1, wait_s=wait_s)

    def get(self) -> Value:
        """Return a value whose reading starts after this call.

        Raises:
            GitSilentError: Another thread has been reading for too long.
        """
        return self._reads.get(self._begun + 1, self._read_next)

    def _read_next(self) -> Value:
        if not self._reading.acquire(timeout=self._wait_s):
            raise GitSilentError(self._wait_s)
        try:
            self._begun += 1  # from now on, callers need the read after this one
            return self._read()
        finally:
            self._reading.release()


class StampedRead(SharedRead[Value]):
    """Reads something again only when its stamp has changed."""

    def __init__(
        self,
        read: Callable[[], Value],
        *,
        stamp: Callable[[], object | None],
        keeps: Callable[[Value], bool] = lambda _: True,
        wait_s: float = ANSWER_S,
    ) -> None:
        """Store the functions; :meth:`get` calls them.

        Args:
            read: Called by one thread at a time.
            stamp: Returns a value that changes when what is read may have changed;
                None while it may be changing.
            keeps: Whether a value is valid as long as the stamp is.
            wait_s: The longest, in seconds, to wait for another thread's read.
        """
        super().__init__(read, wait_s=wait_s)
        self._stamp = stamp
        self._keeps = keeps
        self._current: tuple[object, Value] | None = None

    def get(self) -> Value:
        """Return a value that was valid after this call, see :class:`SharedRead`."""
        stamp = self._stamp()  # of before: no change while this runs is missed
        current = self._current
        if stamp is not None and current and current[0] == stamp:
            return current[1]
        value = super().get()
        if stamp is not None and self._keeps(value):
            self._current = (stamp, value)
        return value
