"""Threads: a bounded pool over one queue, and work that cannot be interrupted.

The libraries of Git hosts and clouds can block for minutes and ignore Ctrl-C. They run
on a thread, so that Ctrl-C works meanwhile. Nothing waits for a thread that stalls, not
even the end of the process.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from dvc_studio_models.errors import ThreadLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Task = Callable[[], None]

_TICK_S = 0.1
_GRACE_S = 0.5
_PARALLEL = 16  # more are no faster on any disk

T = TypeVar("T")


class Workers:
    """Runs tasks, which may add others."""

    def __init__(self, limit: int) -> None:
        """Set the limit; :meth:`add` starts the threads.

        Args:
            limit: The maximum number of threads; never more are started than tasks.
        """
        self.error: BaseException | None = None
        """The exception of a task, which ended the pool."""
        self._limit = limit
        self._threads: list[threading.Thread] = []
        self._started = 0
        self._idle = 0
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition()
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether the pool has ended; tasks check this and return."""
        return self._ended.is_set()

    def add(self, tasks: Iterable[Task], *, first: bool = False) -> None:
        """Queue tasks.

        Args:
            tasks: Started in this order.
            first: Whether to start them before all queued tasks.

        Raises:
            ThreadLimitError: The system refuses to start even one thread.
        """
        with self._changed:
            if self.ended:
                return
            if first:
                self._tasks.extendleft(reversed(list(tasks)))
            else:
                self._tasks.extend(tasks)
            self._start_threads(len(self._tasks) - self._idle)
            self._changed.notify_all()

    def add_unlimited(self, task: Task) -> bool:
        """Run a task at once, on a thread of its own that the limit does not count.

        Returns:
            Whether it runs. False after the end, or if the system refuses to start
            a thread.
        """
        with self._changed:
            return not self.ended and self._start(functools.partial(self._run, task))

    def pause(self, seconds: float) -> None:
        """Wait, or return earlier if the pool ends."""
        self._ended.wait(seconds)

    def end(self, error: BaseException | None = None) -> None:
        """Start no more tasks; running tasks have to check ``ended``."""
        with self._changed:
            if not self.ended:
                self.error = error
            self._ended.set()
            self._tasks.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the threads; one that hangs in a system call is left behind."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start_threads(self, count: int) -> None:
        for _ in range(min(count, self._limit - self._started)):
            if not self._start(self._work):
                if not self._started:
                    raise ThreadLimitError
                self._limit = self._started
                return
            self._started += 1
            self._idle += 1  # until it takes a task

    def _start(self, target: Task) -> bool:
        name = f"dvc-models-{len(self._threads)}"
        run = contextvars.copy_context().run  # to collect its warnings too
        thread = threading.Thread(target=run, args=(target,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._threads.append(thread)
        return True

    def _work(self) -> None:
        while (task := self._next()) is not None:
            self._run(task)
            with self._changed:
                self._idle += 1

    def _run(self, task: Task) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self.end(error)

    def _next(self) -> Task | None:
        with self._changed:
            while not self._tasks and not self.ended:
                self._changed.wait()
            self._idle -= 1
            return self._tasks.popleft() if self._tasks else None


class ByteCounter:
    """Counts the bytes of a call of :func:`run_in_background`; thread-safe."""

    def __init__(self) -> None:
        self.bytes = 0
        self.stopped = False
        """Whether the caller has stopped waiting."""
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes that have arrived.

        Raises:
            InterruptedError: The caller has stopped waiting.
        """
        if self.stopped:
            raise InterruptedError
        with self._lock:
            self.bytes += count


def run_in_background(
    work: Task,
    counter: ByteCounter,
    report: Callable[[int], None],
    *,
    silent_s: float = math.inf,
) -> None:
    """Run ``work`` on a thread and wait for it; report bytes, and react to Ctrl-C.

    Work that is interrupted while bytes arrive is waited for briefly, so that it can
    remove its temporary files. Work that stalls is left behind.

    Args:
        work: Its exception is raised here.
        counter: Counts the bytes that arrive; stopped at the end.
        report: Called with the bytes so far, from the calling thread.
        silent_s: The longest time without a byte, in seconds.

    Raises:
        ThreadLimitError: The system refuses to start a thread.
        TimeoutError: No byte arrived for that long.
    """
    workers = Workers(1)

    def work_and_end() -> None:
        work()
        workers.end()

    if not workers.add_unlimited(work_and_end):
        raise ThreadLimitError
    before, since = counter.bytes, time.monotonic()
    try:
        while not workers.ended:
            workers.pause(_TICK_S)
            report(counter.bytes)
            if counter.bytes != before:
                before, since = counter.bytes, time.monotonic()
            if time.monotonic() - since > silent_s:
                raise TimeoutError
    finally:
        counter.stopped = True
        workers.join(_GRACE_S)
    if workers.error:
        raise workers.error


def parallel_map(act: Callable[[T], None], items: Iterable[T]) -> None:
    """Call ``act`` for every item, several at a time, and wait for all.

    The calling thread works too, so it works even if no other thread can be started.
    A disk writes its journal once for several files that are flushed at a time.

    Args:
        act: Its first exception is raised here; no further item is begun.
        items: In the order in which they are begun.
    """
    waiting = deque(items)
    errors: list[BaseException] = []

    def work() -> None:
        with contextlib.suppress(IndexError):
            while not errors:
                item = waiting.popleft()
                try:
                    act(item)
                except BaseException as error:  # noqa: BLE001 - raised below
                    errors.append(error)

    workers = Workers(_PARALLEL)
    threads = min(len(waiting), _PARALLEL) - 1
    while threads > 0 and workers.add_unlimited(work):
        threads -= 1
    try:
        work()
    finally:
        waiting.clear()
        workers.join(threading.TIMEOUT_MAX)
    if errors:
        raise errors[0]
