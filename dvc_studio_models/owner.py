"""Whose a file on its way is: which process works at it, on which machine.

No lock is asked: where locks lie, whoever works would lose what it needs.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


@functools.cache
def machine() -> str:
    """Name what a process number is unique in: the host, and the container in it."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}-{namespace}"


def is_gone(pid: str, where: str) -> bool | None:
    """Tell whether a process is over.

    Args:
        pid: Its number, as a file's name has it.
        where: The :func:`machine` that it ran on.

    Returns:
        None where that cannot be told from here.
    """
    if where != machine() or not pid.isdecimal():
        return None
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it is somebody else's
        return False
    return False
