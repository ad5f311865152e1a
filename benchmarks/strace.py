"""Counts system calls with strace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GROUPS = {
    "fsync": ("fsync", "fdatasync"),
    "syncfs": ("sync", "syncfs"),
    "open": ("open", "openat", "openat2", "creat"),
    "stat": ("stat", "lstat", "fstat", "newfstatat", "fstatat64", "statx"),
    "futex": ("futex",),
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat"),
    "read": ("read", "pread64", "readv", "recvfrom", "recvmsg"),
    "write": ("write", "pwrite64", "writev", "sendto", "sendmsg"),
}
"""Title -> the system calls that are counted together."""

_COLUMNS = 5


def traced(log: Path, groups: Iterable[str] = GROUPS) -> list[str | Path]:
    """Return the prefix of a command whose system calls are counted in ``log``."""
    names = ",".join(f"?{name}" for group in groups for name in GROUPS[group])
    # With a filter in the kernel, all other system calls run at full speed.
    return ["strace", "-f", "-c", "--seccomp-bpf", "-e", f"trace={names}", "-o", log]


def read_counts(table: str) -> dict[str, int]:
    """Return the number of calls of each group in the table of ``strace -c``."""
    rows = (line.split() for line in table.splitlines())
    # share, seconds, microseconds of a call, calls, errors if there are any, name
    calls = {
        row[-1]: int(row[3])
        for row in rows
        if len(row) >= _COLUMNS and row[3].isdigit()
    }
    return {
        group: sum(calls.get(name, 0) for name in names)
        for group, names in GROUPS.items()
    }
