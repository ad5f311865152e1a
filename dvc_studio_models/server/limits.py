"""Limits of a connection, and of the slow calls for one repo: number, bytes and time.

Without :class:`Connection`, a client could hold a connection for ever: by sending its
request letter by letter, or by not reading its reply. Without :class:`SlowCalls`, a
repo or a remote that hangs could take every connection and any number of threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import resource
import struct
import termios
import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dvc_studio_models.server.catalog.errors import GitBusyError
from dvc_studio_models.server.catalog.waiting import (
    ANSWER_S,
    SlowCall,
    current_call,
    timeout_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

IDLE_S = 30
"""The longest, in seconds, from the connection or the last reply until a whole request
has arrived, and between any two bytes of a reply that the client reads."""

MAX_CONNECTIONS = 512
"""Connections at once; any other gets 503. One that fetches an object has two open
files, so together they need more than the 1024 that Linux mostly allows at first; see
:func:`raise_limits`."""

MAX_PER_REPO = MAX_CONNECTIONS * 3 // 4
"""Requests for one repo at once, and objects of one repo sent at once. A repo that
hangs leaves connections for the others."""

MAX_WAITING_FOR_REMOTES = 64
"""Requests for one repo that may wait for its DVC remotes at once. One that timed
out counts until the remote has answered."""

HEAD_BYTES = 1 << 16
"""The longest head of a request. A body is never needed, and never read."""


def raise_limits() -> None:
    """Raise the limit of open files to the most that the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS allows fewer than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Connection(H11Protocol):
    """A connection that is closed when the client is idle."""

    _timer: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes of the reply that the client had not taken when the timer was set."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; close the connection if there are too many."""
        super().connection_made(transport)
        self._start_timer()
        most = self.config.limit_concurrency or MAX_CONNECTIONS
        if len(self.connections) > most + most // 4:  # uvicorn counts requests only
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop the timer when a whole request has arrived."""
        super().handle_events()
        if self._is_answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless this one has a body, which is not read."""
        self._start_timer()
        if self.conn.their_state not in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        """Stop the timer, unless a request is still incomplete."""
        super().resume_writing()
        if self._is_answering():
            self._stop_timer()

    def _is_answering(self) -> bool:
        return not getattr(self.cycle, "response_complete", True)  # or None

    def _start_timer(self) -> None:
        self._stop_timer()
        self._unread = _unread_bytes(self.transport)
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._end_if_idle)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _end_if_idle(self) -> None:
        if _unread_bytes(self.transport) < self._unread:
            self._start_timer()  # the client reads, however slowly
        else:
            self.transport.abort()


def _unread_bytes(transport: asyncio.Transport) -> int:
    """Return the bytes that the client has not received yet.

    Most of them are in the kernel's buffer.
    """
    queued = 0
    with contextlib.suppress(OSError):  # not every system reports them
        reply = fcntl.ioctl(
            transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)
        )
        (queued,) = struct.unpack("i", reply)
    return transport.get_write_buffer_size() + queued


class _Work(NamedTuple):
    """The next call for a thread."""

    call: SlowCall
    future: Future[Any]
    function: Callable[[], Any]


class SlowCalls:
    """Runs the calls for one repo that may be slow, each in a thread of its own.

    Threads are reused, as starting one takes as long as a whole request. They do not
    keep the process from ending, and there are never more than the limit, whatever
    hangs.
    """

    def __init__(
        self,
        *,
        seconds: float = ANSWER_S,
        most: int = MAX_PER_REPO,
        most_waiting: int = MAX_WAITING_FOR_REMOTES,
        idle_s: float = IDLE_S,
    ) -> None:
        """Set the limits; threads are started by :meth:`run`.

        Args:
            seconds: The longest time that a client waits.
            most: Calls at once, and objects sent at once.
            most_waiting: Calls at once that wait for DVC remotes.
            idle_s: How long a thread waits for the next call, in seconds.
        """
        self._seconds = seconds
        self._idle_s = idle_s
        self._idle: list[SimpleQueue[_Work]] = []
        """The queues of idle threads."""
        self._slots = threading.BoundedSemaphore(most)
        self._remote_slots = threading.BoundedSemaphore(most_waiting)
        self.downloads = threading.BoundedSemaphore(most)
        """One for each object that is being sent."""

    async def run(
        self, function: Callable[[], Result], *, reads_remote: bool = False
    ) -> Result:
        """Run ``function`` in a thread, which continues after the client got a timeout.

        Args:
            function: What it raises is raised here.
            reads_remote: Whether it only reads from a DVC remote.

        Raises:
            BusyError: Too many calls wait for DVC remotes already.
            GitBusyError: There are too many calls already.
            StorageSilentError: It took too long, waiting for a DVC remote.
            GitSilentError: It took too long, before it waited for one.
        """
        if not self._slots.acquire(blocking=False):
            raise GitBusyError
        call = SlowCall(self._remote_slots, waits_for_remote=reads_remote)
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        try:
            self._start(_Work(call, future, function))
        except RuntimeError:  # the system allows no more threads
            self._slots.release()
            raise GitBusyError from None
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waiting], timeout=self._seconds)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
        raise timeout_error(self._seconds, call)

    def _start(self, work: _Work) -> None:
        try:
            queue = self._idle.pop()
        except IndexError:
            queue = SimpleQueue()
            # Python waits at its end for threads that are not daemons.
            threading.Thread(target=self._run_all, args=(queue,), daemon=True).start()
        queue.put(work)

    def _run_all(self, queue: SimpleQueue[_Work]) -> None:
        """Run queued calls until idle for ``idle_s``."""
        while True:
            try:
                work = queue.get(timeout=self._idle_s)
            except Empty:
                try:
                    self._idle.remove(queue)
                except ValueError:  # work is about to come
                    continue
                return
            current_call.set(work.call)
            try:
                result, error = work.function(), None
            except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
                result, error = None, exc
            future = work.future
            del work
            # First, so that the place is free for whoever waits for the result.
            self._idle.append(queue)
            self._slots.release()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
            del future, result, error
