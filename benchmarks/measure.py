"""Measures the wall time, CPU time and peak memory of commands.

CPU time and memory are those of the process and of the children it waited for, as the
kernel reports them (``wait4``). Linux includes the moment between fork and exec, so no
peak is below the peak of this process: see :func:`floor_bytes`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent
PACKAGES = ("dvc_studio_models", "_dvc_studio_models_startup")
LIMIT_S = 900.0  # a command that takes longer is killed
_LAST_LINES = 15
_POLL_S = 0.002
_KIB = 1024


@dataclass(frozen=True)
class Usage:
    """The time and memory of one run."""

    seconds: float
    cpu_s: float
    """User and system, in seconds."""

    peak_bytes: int

    def __add__(self, other: Usage) -> Usage:
        """Return the usage of two runs, one after the other."""
        return Usage(
            self.seconds + other.seconds,
            self.cpu_s + other.cpu_s,
            max(self.peak_bytes, other.peak_bytes),
        )


@dataclass(frozen=True)
class Runs:
    """The usages of all runs of one command."""

    usages: tuple[Usage, ...]

    @property
    def seconds(self) -> float:
        """The median wall time, in seconds."""
        return statistics.median(usage.seconds for usage in self.usages)

    @property
    def fastest(self) -> float:
        """The shortest wall time, in seconds."""
        return min(usage.seconds for usage in self.usages)

    @property
    def slowest(self) -> float:
        """The longest wall time, in seconds."""
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
    """A measured command failed."""


class Runner:
    """Runs commands in one environment, and writes their output to one file."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self.env = dict(env)
        self._log = log

    def run(self, command: Sequence[str | Path], cwd: Path) -> Usage:
        """Run a command to its end and measure it.

        Raises:
            CommandError: The command failed or did not end.
        """
        os.sync()  # else this run waits until data of the previous one is written
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
            raise CommandError(self._failure(command, process.returncode))
        peak = used.ru_maxrss * _KIB
        return Usage(seconds, used.ru_utime + used.ru_stime, peak)

    def output(self) -> str:
        """Return what the last command printed to stdout and stderr."""
        return self._log.read_text("utf-8", "replace")

    def interrupt(
        self, command: Sequence[str | Path], cwd: Path, *, at_bytes: int
    ) -> None:
        """Run a command, and kill it when it has written ``at_bytes`` bytes to files.

        Raises:
            CommandError: The command ended before.
        """
        with self._started(command, cwd) as process:
            while _written_bytes(process.pid) < at_bytes:
                if process.poll() is not None:
                    raise CommandError(self._failure(command, process.returncode))
                time.sleep(_POLL_S)

    @contextlib.contextmanager
    def _started(
        self, command: Sequence[str | Path], cwd: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command; kill it at the end of the block if it still runs."""
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

    def _failure(self, command: Sequence[str], code: int) -> str:
        lines = self.output().splitlines()[-_LAST_LINES:]
        shown = " ".join(map(str, command[:6]))
        return "\n".join([f"'{shown}' ended with {code}", *lines])


def _installed() -> set[Path]:
    return {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}


def compile_packages() -> None:
    """Compile all packages of this environment, so that no tool's first run does it."""
    folders = (*_installed(), *(ROOT / name for name in PACKAGES))
    command = [sys.executable, "-m", "compileall", "-qq", "-j", "0", *folders]
    subprocess.run(command, check=False)  # some packages have files for other Pythons


def floor_bytes() -> int:
    """Return the lowest peak memory that can be measured for any command."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def _written_bytes(pid: int) -> int:
    """Return the number of bytes that a process has written to files."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as file:  # noqa: PTH123
            counts = dict(line.split(": ") for line in file)
    except OSError:  # it has just ended
        return 0
    return int(counts.get("wchar", 0))
