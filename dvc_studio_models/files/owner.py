"""Which process owns a temporary file, and whether that process still runs.

File locks are not used: where they do not work, a running process would lose its files.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_LETTERS = 8  # as many are enough for hosts of one name
_TICKS_PER_S = 100  # the kernel rounds the time of a start to these
_UUID_BYTES = 37  # with the terminator


@functools.cache
def host_id() -> str:
    """Return what a process number is unique in: host, container and boot.

    Hosts made of one image may share their name and a file system, but not the boot ID.
    On macOS that is all there is: a name may change with the network.
    """
    if session := _boot_session():
        return session
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        boot = _BOOT_ID.read_text("ascii")[:_BOOT_LETTERS]
    except OSError:
        namespace, boot = 0, ""
    return f"{socket.gethostname()}-{namespace}-{boot}"


def _boot_session() -> str:
    """Return what macOS calls each of its boots, a UUID; empty on another system.

    Only ``sysctlbyname`` has it, which ``sysctl kern.bootsessionuuid`` calls.
    """
    if sys.platform == "darwin":
        import ctypes

        answer = ctypes.create_string_buffer(_UUID_BYTES)
        size = ctypes.c_size_t(_UUID_BYTES)
        sysctl = ctypes.CDLL(None).sysctlbyname
        name, none = b"kern.bootsessionuuid", ctypes.c_size_t(0)
        if sysctl(name, answer, ctypes.byref(size), None, none) == 0:
            return answer.value.decode("ascii")
    return ""


def process_id() -> str:
    """Return the number of this process and when it started.

    The number alone is not enough: a container that restarts uses the same ones again.
    """
    return _with_start(os.getpid())


def owner_id() -> str:
    """Return the part of a file's name that says that this process owns the file."""
    return f"{host_id()}-{process_id()}"


def is_dead(owner: str) -> bool | None:
    """Check whether the process that owns a file has ended.

    Args:
        owner: Its :func:`owner_id`.

    Returns:
        None if this host cannot tell: the process ran on another host or before the
        last boot, or the name does not say when it started or is of an older format;
        on macOS, also if its number is that of a process with another start.
    """
    host, _, process = owner.rpartition("-")
    number, _, started = process.partition("_")
    if host != host_id() or not number.isdecimal():
        return None
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it runs as another user
        pass
    now = _start_ticks(int(number))
    if not now or now == started:
        return False
    # On macOS it may be the same process, since when the clock was set.
    return True if started and sys.platform != "darwin" else None


@functools.cache
def _with_start(number: int) -> str:
    started = _start_ticks(number)
    return f"{number}_{started}" if started else str(number)


def _start_ticks(number: int) -> str:
    """Return when a process started, in hundredths of a second; empty if unknown.

    On Linux that is counted from the start of the host. macOS stores the time that the
    clock showed, and never changes it; the start of the host changes with the clock.
    """
    import psutil  # type: ignore[import-untyped]

    try:
        started_s = psutil.Process(number).create_time()
        if sys.platform != "darwin":
            # The clock may be set while the process runs, which moves both times.
            started_s -= psutil.boot_time()
    except (psutil.Error, OSError, RuntimeError):  # the system hides it
        return ""
    return str(round(started_s * _TICKS_PER_S))
