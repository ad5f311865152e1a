"""What a command costs: wall time, CPU time, peak memory.

CPU time and memory are those of the process and of what it waited for, as the kernel
tells them when it ends (``wait4``). Linux counts the moment between fork and exec in,
so no peak is ever below this process's own: see :func:`floor_bytes`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LIMIT_S = 900.0  # a command that takes longer hangs
_LAST_LINES = 15
_LOOK_EVERY_S = 0.002
_KIB = 1024


@dataclass(frozen=True)
class Usage:
    """What one run cost."""

    seconds: float
    cpu_s: float
    """User and system, in seconds."""

    peak_bytes: int

    def __add__(self, other: Usage) -> Usage:
        """Give what both cost, one after the other."""
        return Usage(
            self.seconds + other.seconds,
            self.cpu_s + other.cpu_s,
            max(self.peak_bytes, other.peak_bytes),
        )


@dataclass(frozen=True)
class Runs:
    """What the same command cost each time."""

    usages: tuple[Usage, ...]

    @property
    def seconds(self) -> float:
        """The median wall time."""
        return statistics.median(usage.seconds for usage in self.usages)

    @property
    def fastest(self) -> float:
        """In seconds."""
        return min(usage.seconds for usage in self.usages)

    @property
    def slowest(self) -> float:
        """In seconds."""
        return max(usage.seconds for usage in self.usages)

    @property
    def cpu_s(self) -> float:
        """The median CPU time, in seconds."""
        return statistics.median(usage.cpu_s for usage in self.usages)

    @property
    def peak_bytes(self) -> int:
        """The highest peak of all runs."""
        return max(usage.peak_bytes for usage in self.usages)


class CommandError(Exception):
    """A command under measurement failed: then there is nothing to measure."""


class Runner:
    """Runs commands in one environment, their output in one file."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self.env = dict(env)
        self._log = log

    def run(self, command: Sequence[str], cwd: Path) -> Usage:
        """Run a command to its end and measure it.

        Raises:
            CommandError: It failed, or did not end.
        """
        os.sync()  # else the next run waits for what this one left to be written
        began = time.perf_counter()
        with self._started(command, cwd) as process:
            timer = threading.Timer(LIMIT_S, process.kill)
            timer.start()
            try:
                _, status, used = os.wait4(process.pid, 0)
                seconds = time.perf_counter() - began
            finally:
                timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise CommandError(self._complaint(command, process.returncode))
        peak = used.ru_maxrss * _KIB
        return Usage(seconds, used.ru_utime + used.ru_stime, peak)

    def interrupt(self, command: Sequence[str], cwd: Path, *, at_bytes: int) -> None:
        """Run a command and kill it when it has written so many bytes to files.

        Raises:
            CommandError: It ended before.
        """
        with self._started(command, cwd) as process:
            while _written_bytes(process.pid) < at_bytes:
                if process.poll() is not None:
                    raise CommandError(self._complaint(command, process.returncode))
                time.sleep(_LOOK_EVERY_S)

    @contextlib.contextmanager
    def _started(
        self, command: Sequence[str], cwd: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command; what still runs at the end of the block is killed."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=cwd, env=self.env, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _complaint(self, command: Sequence[str], code: int) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        shown = " ".join(command[:6])
        return "\n".join([f"'{shown}' ended with {code}", *lines])


def floor_bytes() -> int:
    """Tell the peak memory that every command seems to have at least."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def _written_bytes(pid: int) -> int:
    """Tell how many bytes a process has written to files."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as told:  # noqa: PTH123
            counts = dict(line.split(": ") for line in told)
    except OSError:  # it has just ended
        return 0
    return int(counts.get("wchar", 0))
