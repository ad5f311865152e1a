"""Writes the measurements, the machine and the goals as Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import floor_bytes
from benchmarks.needs import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.measure import Runs

NOTES = "## Notes"
"""People write the text after this line. It is not overwritten."""

_MB = 1_000_000
_PROBE_BYTES = 500 * _MB
_COLUMNS = ("CPU, s", "peak, MB", "runs")
_TEXT_COLUMNS = {"client", "command", "files"}


@dataclass(frozen=True)
class Goal:
    """A goal of a case, and the measured value."""

    case: str
    wanted: str
    measured: str
    reached: bool


@dataclass(frozen=True)
class Result:
    """The results of one case."""

    title: str
    text: str
    rows: Mapping[str, Runs] = field(default_factory=dict)
    base: str = ""
    """The row that the others are compared with."""

    goals: tuple[Goal, ...] = ()
    table: str = ""
    """A table in a format of its own, used instead of ``rows``."""

    def markdown(self) -> str:
        """Write the section."""
        parts = [f"### {self.title}", self.text, self.table or self._table()]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _table(self) -> str:
        head = ["command", "wall, s (min to max)", f"x `{self.base}`", *_COLUMNS]
        lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
        base = self.rows[self.base].seconds
        lines += [_row(name, runs, base) for name, runs in self.rows.items()]
        return "\n".join(lines)


def _row(name: str, runs: Runs, base_s: float) -> str:
    wall = f"{runs.seconds:.2f} ({runs.fastest:.2f} to {runs.slowest:.2f})"
    ratio = f"{runs.seconds / base_s:.2f}"
    cells = [f"`{name}`", wall, ratio, f"{runs.cpu_s:.2f}", _peak(runs.peak_bytes)]
    return f"| {' | '.join([*cells, str(len(runs.usages))])} |"


def _peak(peak_bytes: int) -> str:
    floor = floor_bytes()
    return f"< {floor / _MB:.0f}" if peak_bytes <= floor else f"{peak_bytes / _MB:.0f}"


def goals_table(goals: Iterable[Goal]) -> str:
    """Return a table of goals and measured values."""
    lines = ["| case | goal | measured | |", "|---|---|---|---|"]
    for goal in goals:
        outcome = "reached" if goal.reached else "**not reached**"
        lines.append(f"| {goal.case} | {goal.wanted} | {goal.measured} | {outcome} |")
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the columns after those of text are aligned to the right."""
    marks = ["---" if name in _TEXT_COLUMNS else "--:" for name in head]
    lines = [" | ".join(cells) for cells in (head, marks, *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def machine(programs: Iterable[str]) -> dict[str, str]:
    """Return the date, the machine and the versions of a measurement."""
    return {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB memory",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "dvc-studio-models": f"{version('dvc-studio-models')} ({commit()})",
        "dvc": version("dvc"),
        "python": platform.python_version(),
        **{name: _version_of(name) for name in programs},
    }


def disk(folder: Path) -> str:
    """Return the type of a folder's file system, and its write rate."""
    rate = _disk_rate(folder) / _MB
    return f"{file_system(folder)}, {rate:.0f} MB/s written and flushed"


def facts_table(facts: Mapping[str, str]) -> str:
    """Return a table of the facts about a measurement."""
    lines = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *lines]) + "\n"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _disk_rate(folder: Path) -> float:
    """Return the rate at which a new file is written and flushed, in bytes/s."""
    probe, data = folder / "probe", os.urandom(_MB)
    began = time.perf_counter()
    with probe.open("wb", buffering=0) as file:
        for _ in range(_PROBE_BYTES // _MB):
            file.write(data)
        os.fsync(file.fileno())
    rate = _PROBE_BYTES / (time.perf_counter() - began)
    probe.unlink()
    return rate


def file_system(folder: Path) -> str:
    """Return the type of a folder's file system, and whether ext4 has a journal.

    Without one, ext4 does not use the inodes of files that were removed in the last
    minutes. It checks them one by one for each new file, which slows all tools.
    """
    kind = _output("stat", "-f", "-c", "%T", str(folder)) or "unknown file system"
    if kind != "ext2/ext3":  # and ext4, which has the same number
        return kind
    device = folder.stat().st_dev
    link = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    journals = Path("/proc/fs/jbd2").glob(f"{link.resolve().name}-*")
    return f"ext4 {'with' if any(journals) else 'without'} a journal"


def commit() -> str:
    """Return the current commit, with ``-dirty`` if files differ from it."""
    root = str(Path(__file__).parent.parent)
    return _output("git", "-C", root, "describe", "--always", "--dirty") or "no commit"


def is_dirty() -> bool:
    """Whether the code differs from the current commit."""
    return commit().endswith(("-dirty", "no commit"))


def _version_of(name: str) -> str:
    flag = "-v" if name in {"nginx", "wrk"} else "--version"
    first = _output(str(program(name)), flag).splitlines()[:1]
    words = first[0].replace("/", " ").split() if first else []
    return next((word for word in words if word[0].isdigit()), "unknown")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def write(path: Path, text: str) -> None:
    """Write the results, and keep the notes that people wrote."""
    notes = f"{NOTES}\n"
    if path.exists():
        _, found, after = path.read_text("utf-8").partition(f"\n{NOTES}\n")
        notes += after if found else ""
    path.write_text(f"{text}\n{notes}", "utf-8")


def say(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)
