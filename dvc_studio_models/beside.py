"""Runs beside us what cannot be interrupted: the libraries of Git hosts and clouds.

Promises that Ctrl-C is heard while they work, and that nobody waits for one that
stalls, not even the end of the process.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

from fsspec import Callback

from dvc_studio_models.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK_S = 0.1
_GRACE_S = 0.5


class Count(Callback):  # type: ignore[misc]  # fsspec is untyped
    """Counts the bytes of all files; from the threads of a file system."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.stopped = False
        self._lock = threading.Lock()

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Callback:  # noqa: ARG002
        """Count what one file's transfer tells."""
        return _FileCount(self)

    def add(self, count: int) -> None:
        """Count bytes that have arrived.

        Raises:
            InterruptedError: Nobody waits for them any more.
        """
        if self.stopped:
            raise InterruptedError
        with self._lock:
            self.bytes += count


class _FileCount(Callback):  # type: ignore[misc]
    def __init__(self, total: Count) -> None:
        super().__init__()
        self._total = total

    def relative_update(self, inc: int = 1) -> None:
        self.value += inc
        self._total.add(inc)

    def absolute_update(self, value: int) -> None:
        self.relative_update(value - self.value)


def run_beside(
    work: Callable[[], None],
    count: Count,
    tell: Callable[[int], None],
    *,
    silent_s: float = math.inf,
) -> None:
    """Run ``work`` on a thread, so that bytes are told, and Ctrl-C heard, in between.

    Whose bytes still arrive removes its temporary files at the end. A host that stalls
    holds its thread for minutes, and nobody waits for that.

    Args:
        work: What it raises is raised here.
        count: Of the bytes that arrive; stopped at the end.
        tell: Told of all bytes so far, from this thread.
        silent_s: For how long, in seconds, no byte may arrive.

    Raises:
        TimeoutError: None arrived for so long.
    """
    workers = Workers(1)

    def work_and_end() -> None:
        work()
        workers.end()

    workers.add_beside(work_and_end)
    before, since = count.bytes, time.monotonic()
    try:
        while not workers.ended:
            workers.pause(_TICK_S)
            tell(count.bytes)
            if count.bytes != before:
                before, since = count.bytes, time.monotonic()
            if time.monotonic() - since > silent_s:
                raise TimeoutError
    finally:
        count.stopped = True
        workers.join(_GRACE_S)
    if workers.error:
        raise workers.error
