"""Threads that are reused: to start one takes as long as a whole request."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[], Callable[[], None]]

IDLE_S = 30
"""How long, in seconds, a thread waits for its next work."""


class Threads:
    """Threads for any number of callers; as many as work at once, and no more.

    They do not keep the process from ending, whatever hangs.
    """

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        """Start no thread yet.

        Args:
            idle_s: How long a thread waits for its next work, in seconds.
        """
        self._idle_s = idle_s
        self._idle: list[SimpleQueue[Work]] = []
        """The queues of idle threads."""

    def start(self, work: Work) -> None:
        """Do some work in a thread.

        Args:
            work: Raises nothing, and returns a function that tells the result. The
                thread is idle before that is called: whoever waits for the result may
                need it next.

        Raises:
            RuntimeError: The system allows no more threads.
        """
        try:
            queue = self._idle.pop()
        except IndexError:
            queue = SimpleQueue()
            # Python waits at its end for threads that are not daemons.
            threading.Thread(target=self._run, args=(queue,), daemon=True).start()
        queue.put(work)

    def _run(self, queue: SimpleQueue[Work]) -> None:
        """Do what is queued, until there was nothing for ``idle_s``."""
        while True:
            try:
                work = queue.get(timeout=self._idle_s)
            except Empty:
                try:
                    self._idle.remove(queue)
                except ValueError:  # work is about to come
                    continue
                return
            tell = work()
            self._idle.append(queue)
            tell()
            del work, tell  # with all that they hold
