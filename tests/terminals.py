"""Runs a command in a pseudo-terminal and records its output."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def heed_ctrl_c() -> None:
    """Restore SIGINT, which the children of a background job ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def on_terminal(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    columns: int = 80,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command with a terminal as stdin, stdout and stderr.

    Returns:
        The exit code, and in ``stdout`` all output.

    Raises:
        TimeoutError: The command did not end in time and was killed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    until = time.monotonic() + timeout_s
    # pytest-xdist sets COLUMNS, which takes precedence over the terminal's width.
    inherited = {name: os.environ[name] for name in os.environ if name != "COLUMNS"}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**inherited, "TERM": "xterm", **(env or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := _read(ours, until - time.monotonic()):
            shown += chunk
        code = process.wait(timeout_s)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return subprocess.CompletedProcess(list(command), code, shown.decode(), "")


def _read(terminal: int, timeout_s: float) -> bytes:
    """Read available output; return nothing when all writers have closed it."""
    if not select.select([terminal], [], [], max(timeout_s, 0))[0]:
        msg = "the command did not end in time"
        raise TimeoutError(msg)
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:  # Linux raises EIO at the end of a terminal
            raise
        return b""
