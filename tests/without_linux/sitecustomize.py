"""Takes away from Python what only Linux has, before anything else is imported.

With this folder in PYTHONPATH, every Python of a test run lacks these calls, also
``dvc`` and the server: ``make test-fallbacks``. The names are those that Python has on
Linux and not on macOS, and calls of libc that are reached by ``ctypes``. Files in
``/proc`` do not exist for this project's own code. What psutil needs on Linux stays.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import re
import resource
import signal
import socket
import sys
from typing import Any

TAKEN = {
    os: r"copy_file_range|sendfile|splice|fdatasync|posix_fadvise|posix_fallocate"
    r"|O_DIRECT|O_NOATIME|O_PATH|O_RSYNC|O_TMPFILE|O_LARGEFILE"
    r"|(get|list|remove|set)xattr|memfd_create|eventfd.*|timerfd.*|pidfd_open|P_PIDFD"
    r"|pipe2|preadv|pwritev|getrandom|sched_(get|set)(affinity|param|scheduler)"
    r"|setns|unshare|(MFD|POSIX_FADV|RWF|SPLICE|XATTR)_.*",
    fcntl: r"F_(OFD|SEAL|NOTIFY|[GS]ET(LEASE|PIPE_SZ|SIG)|ADD_SEALS|GET_SEALS).*|DN_.*",
    resource: r"prlimit|RLIMIT_(MSGQUEUE|NICE|OFILE|RTPRIO|RTTIME|SIGPENDING)",
    signal: r"pidfd_send_signal|sigtimedwait|sigwaitinfo|SIGRTM.*|SIGPWR|SIGSTKFLT",
    socket: r"AF_(NETLINK|VSOCK)|MSG_NOSIGNAL|SOCK_(CLOEXEC|NONBLOCK)"
    r"|SO_(BINDTODEVICE|DOMAIN|MARK|PASSCRED|PEERCRED|PEERSEC|PRIORITY|PROTOCOL)"
    r"|TCP_(CORK|DEFER_ACCEPT|KEEPIDLE|LINGER2|QUICKACK|SYNCNT|USER_TIMEOUT)",
}
OPEN = io.open
OF_LIBC = {"prctl", "renameat2", "statx", "sync_file_range", "syncfs"}
OWN = re.compile(r"[/\\]dvc_studio_models[/\\]")
PSUTIL = re.compile(r"[/\\]psutil[/\\]")


class WithoutLinux(ctypes.CDLL):
    """A library that has no calls of Linux."""

    def __getitem__(self, name: str) -> ctypes._FuncPtr:
        if name in OF_LIBC:
            raise AttributeError(name)
        return super().__getitem__(name)


def open_but_proc(file: Any, *args: Any, **kwargs: Any) -> Any:
    """Open a file, but let this project's code find none in ``/proc``.

    Raises:
        FileNotFoundError: It opens one.
    """
    frame = sys._getframe() if str(file).startswith("/proc/") else None
    while frame is not None and not PSUTIL.search(frame.f_code.co_filename):
        if OWN.search(frame.f_code.co_filename):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
        frame = frame.f_back
    return OPEN(file, *args, **kwargs)


for module, names in TAKEN.items():
    for name in [name for name in vars(module) if re.fullmatch(names, name)]:
        delattr(module, name)
ctypes.CDLL = WithoutLinux  # type: ignore[misc]
# In a class of pathlib's on Python 3.10, a function would become a method.
io.open = builtins.open = staticmethod(open_but_proc)
