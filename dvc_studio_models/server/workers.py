"""Several processes that answer requests at one address.

The main process only starts them, starts another where one has died, and passes
signals on. It has no threads, so that it can fork at any time.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.server.links.signing_key import share_signing_key
from dvc_studio_models.server.metrics_folder import metrics_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(f"dvc.{__name__}")

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

STOP_S = 8.0
"""How long, in seconds, a worker may take to stop; then it is killed."""

AGAIN_S = 1.0
"""The least time, in seconds, between two starts of the same worker."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@contextlib.contextmanager
def sharing(count: int) -> Iterator[None]:
    """Prepare what several workers share: keys, and a folder.

    It is for metrics, and for what they see first of the repos.

    This comes before the server is imported, as ``prometheus_client`` looks for the
    folder when it is imported.

    Args:
        count: How many there will be; one needs nothing.

    Raises:
        StudioConfigError: The key in the environment is too short.
    """
    if count == 1:
        yield
        return
    share_signing_key()
    if sys.platform == "darwin":
        _ignore_system_proxies()
    main = os.getpid()
    with metrics_folder() as folder:
        os.environ[METRICS_VARIABLE] = folder
        try:
            yield
        finally:
            if os.getpid() == main:
                del os.environ[METRICS_VARIABLE]


def _ignore_system_proxies() -> None:
    """Let the workers find no proxy but that of the environment.

    Without one there, Python asks macOS, and a process that was forked crashes in that
    call (CPython issue 105912).
    """
    from urllib.request import getproxies_environment

    if not getproxies_environment():
        os.environ["no_proxy"] = "*"


@dataclass
class _Worker:
    """One process."""

    pid: int
    number: int
    """From 0; another one in its place has the same."""

    ready: int
    """Where it writes a line when it is ready to answer."""

    started: float = field(default_factory=time.monotonic)


class InWorker(NamedTuple):
    """What a worker knows of itself."""

    number: int
    """From 0."""

    tell: Callable[[str], None]
    """To be called when it is ready."""


class _InWorkerError(Exception):
    """Leaves the main process's loop in a worker, which has just been forked."""

    def __init__(self, here: InWorker) -> None:
        super().__init__()
        self.here = here


class Workers:
    """The main process and its workers."""

    def __init__(
        self,
        count: int,
        *,
        announce: Callable[[str], None],
        forget: Callable[[int], None],
    ) -> None:
        """Store how many there are; :meth:`start` starts them.

        Args:
            count: How many processes answer requests.
            announce: Called with the line of the first worker that is ready.
            forget: Called with the id of each process that has ended.
        """
        self._count = count
        self._announce = announce
        self._forget = forget
        self._workers: list[_Worker] = []
        self._is_announced = False
        self._stop_at: float | None = None
        self._due: list[float] = []
        """When workers are to be started in place of others."""

    def start(self) -> InWorker | None:
        """Start the workers, one first, and the others when it is ready.

        Returns:
            In each worker, which one it is. In the main process, None after all have
            ended because they were told to.

        Raises:
            SystemExit: The first worker could not start; it has said why.
        """
        gc.freeze()  # the workers share the memory of what is imported
        # Workers end if the main process does, however it ends.
        alive, self._life = os.pipe()
        self._alive = alive
        self._signals = _Signals()
        try:
            self._fork()
            while self._workers or self._due:
                self._wait()
        except _InWorkerError as forked:
            return forked.here
        finally:
            self._signals.reset()
        return None

    def _fork(self) -> None:
        """Start a worker.

        Raises:
            _InWorkerError: This process is it.
        """
        ready, told = os.pipe()
        taken = {worker.number for worker in self._workers}
        number = next(n for n in range(self._count) if n not in taken)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(told)
            self._workers.append(_Worker(pid, number, ready))
            return
        self._signals.reset()
        # Until it serves, a stop ends it at once and without a word.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        others = (each.ready for each in self._workers if each.ready >= 0)
        for descriptor in (ready, self._life, *others):
            os.close(descriptor)
        end = threading.Thread(target=_end_with, args=(self._alive,), daemon=True)
        end.start()

        def tell(line: str) -> None:
            os.write(told, line.encode())
            os.close(told)

        raise _InWorkerError(InWorker(number, tell))

    def _wait(self) -> None:
        """Wait for the next event, and see to it."""
        pipes = [each.ready for each in self._workers if each.ready >= 0]
        readable, _, _ = select.select([self._signals.fd, *pipes], [], [], self._next())
        for worker in [each for each in self._workers if each.ready in readable]:
            self._on_ready(worker)
        if self._signals.fd in readable:
            for number in self._signals.read():
                self._on_signal(number)
        if self._stop_at and time.monotonic() > self._stop_at:
            self._send(signal.SIGKILL)
        while self._due and self._due[0] <= time.monotonic():
            self._due.pop(0)
            self._fork()

    def _next(self) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        due = [*self._due[:1], *filter(None, [self._stop_at])]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _on_ready(self, worker: _Worker) -> None:
        line = os.read(worker.ready, 1 << 12).decode()
        os.close(worker.ready)
        worker.ready = -1
        if line and not self._is_announced:  # else it has ended before
            self._is_announced = True
            self._announce(line)
            for _ in range(self._count - 1):
                self._fork()

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._bury()
        elif number == signal.SIGHUP:
            self._send(signal.SIGHUP)
        else:
            self._due.clear()
            self._stop_at = self._stop_at or time.monotonic() + STOP_S
            self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, number)

    def _bury(self) -> None:
        """Forget the workers that have ended, and see to others in their place."""
        for worker in tuple(self._workers):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            self._workers.remove(worker)
            self._forget(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._stop_at:
                continue
            if not self._is_announced:
                raise SystemExit(code if code > 0 else 1)
            how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
            logger.error("a worker %s; starting another", how)
            self._due.append(max(time.monotonic(), worker.started + AGAIN_S))
            self._due.sort()


@contextlib.contextmanager
def handling(number: signal.Signals, handler: Callable[..., None]) -> Iterator[None]:
    """Handle a signal; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


class _Signals:
    """The signals of the main process, as something that can be waited for."""

    def __init__(self) -> None:
        self.fd, self._told = os.pipe()
        for number in (self.fd, self._told):
            os.set_blocking(number, False)
        self._fd_before = signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        # Only handled signals are told.
        self._before = {n: signal.signal(n, lambda *_: None) for n in _SIGNALS}

    def read(self) -> list[int]:
        """Return the numbers of the signals that have come."""
        return list(os.read(self.fd, 1 << 12))

    def reset(self) -> None:
        """Handle signals as before; a second call does nothing."""
        if self._before:
            signal.set_wakeup_fd(self._fd_before)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before.clear()
            os.close(self.fd)
            os.close(self._told)


def _end_with(alive: int) -> None:
    """End this process when nobody has the other end of the pipe any more."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
