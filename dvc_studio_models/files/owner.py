"""Whose a file on its way is: which process works at it, on which machine.

No lock is asked: where locks lie, whoever works would lose what it needs.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


@functools.cache
def host_id() -> str:
    """Name what a process number is unique in: the host, and the container in it."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}-{namespace}"


def process_id() -> str:
    """Name this process: its number, which others get later, and when it started.

    A container that starts anew is the same machine and gives the same numbers.
    """
    return _name(os.getpid())


@functools.cache
def _name(number: int) -> str:
    started = _started(number)
    return f"{number}_{started}" if started else str(number)


def is_dead(process: str, where: str) -> bool | None:
    """Tell whether a process is over.

    Args:
        process: Its name, see :func:`process_id`, or its number alone.
        where: The :func:`host_id` that it ran on.

    Returns:
        None where that cannot be told from here.
    """
    number, _, started = process.partition("_")
    if where != host_id() or not number.isdecimal():
        return None
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it is somebody else's
        pass
    now = _started(int(number))
    if not now:
        return False
    return now != started if started else None


def _started(number: int) -> str:
    """Tell when a process started, in ticks since the machine did; empty if unknown."""
    try:
        status = Path(f"/proc/{number}/stat").read_bytes()
    except OSError:  # this system has none, or hides it
        return ""
    fields = status.rpartition(b")")[2].split()  # before it, any name in brackets
    return fields[19].decode("ascii")
