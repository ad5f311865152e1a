"""Runs the ``git`` program: bounded in time, ended with us, without a terminal.

Promises that Git runs no hook, no file system monitor and no clean-up, and opens no
connection unless the caller allows its protocol.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
import select
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    LocalDiskError,
    ObjectMissingError,
    ObjectTooLargeError,
    UnreadableRepoError,
)
from dvc_studio_models.registry.git.reader import MAX_OBJECT_BYTES, GitObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SILENT_S = 60.0
"""For how long, in seconds, Git may say nothing; a cold network file system is slow."""

FETCH_S = 8.0
"""The same for one object of a partial clone, which comes from its remote."""

_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE"}
"""Set in hooks, maybe for another repository than the one that we stand in."""

_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    "SSH_ASKPASS_REQUIRE": "never",
}
_NO_PROGRAMS = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "gc.auto=0",
    "maintenance.auto=false",
)
_EXHAUSTED = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_PIECE_BYTES = 1 << 16
_LAST_WORD_S = 1.0  # for what Git says of its end

_running: set[subprocess.Popen[bytes]] = set()
_starting = threading.Lock()
_is_over = threading.Event()
"""Set when this process ends: what starts after that would outlive it."""


class Answer:
    """What one call of Git printed."""

    def __init__(self, out: bytes, err: bytes) -> None:
        self.out = out
        self.err = err


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    given: str = "",
    codes: Iterable[int] = (0,),
    protocols: str | None = None,
    silent_s: float = SILENT_S,
) -> Answer:
    """Run Git to its end.

    Args:
        command: The program and its arguments.
        cwd: Where it runs: the repository, or a folder of it.
        given: What it reads from its standard input.
        codes: Its exit codes that are no failure.
        protocols: By which it may fetch; None for none.
        silent_s: The longest that it may take, in seconds.

    Raises:
        UnreadableRepoError: It failed, or did not end in time.
        LocalDiskError: The system does not let it run.
    """
    what = os.fspath(cwd)
    process = start(command, cwd=cwd, protocols=protocols)
    is_done = False
    try:
        out, err = process.communicate(os.fsencode(given), silent_s)
        is_done = True
    except subprocess.TimeoutExpired:
        raise UnreadableRepoError(what, _silence(silent_s)) from None
    finally:
        end(process, is_done=is_done)
    if process.returncode not in codes:
        raise UnreadableRepoError(what, reason_of(err))
    return Answer(out, err)


def start(
    command: Sequence[str], *, cwd: Path, protocols: str | None
) -> subprocess.Popen[bytes]:
    """Start Git, see :func:`run`; the caller ends it.

    Raises:
        UnreadableRepoError: It does not start, as in a folder that is closed to us, or
            this process is about to end.
        LocalDiskError: The system has no more processes, files or memory.
    """
    settings = [word for setting in _NO_PROGRAMS for word in ("-c", setting)]
    environment = {k: v for k, v in os.environ.items() if k not in _PLACES}
    allowed = {"GIT_ALLOW_PROTOCOL": protocols or "none"}
    with _starting:
        if _is_over.is_set():
            raise UnreadableRepoError(os.fspath(cwd), "this process is exiting")
        try:
            process = subprocess.Popen(  # noqa: S603 - the arguments are our own
                [command[0], *settings, *command[1:]],
                cwd=cwd,
                env={**environment, **_ENVIRONMENT, **allowed},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # In a session of its own it cannot wait for a terminal, and is ended
                # with the programs that it runs.
                start_new_session=True,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if error.errno in _EXHAUSTED:
                raise LocalDiskError(command[0], reason, action="run") from None
            raise UnreadableRepoError(os.fspath(cwd), reason) from None
        _running.add(process)
    return process


def end(process: subprocess.Popen[bytes], *, is_done: bool = False) -> None:
    """End Git.

    Args:
        process: As :func:`start` returned it.
        is_done: Whether it said all that it had to say. Otherwise what it runs is ended
            too, which may hold its pipes when it has ended itself.
    """
    if not is_done:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):  # what it has not read is lost
            if pipe:
                pipe.close()
    process.wait()
    _running.discard(process)


@atexit.register
def _end_all() -> None:
    """End what threads of a server have left running, and let them start no more."""
    with _starting:
        _is_over.set()
        for process in list(_running):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


class RunningObjects:
    """One running ``git cat-file --batch``."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        what: str,
        silent_s: float,
        is_partial: bool,
    ) -> None:
        """Ask nothing yet.

        Args:
            process: With pipes for what is asked, answered and said of failures.
            what: The repository, for errors.
            silent_s: The longest silence, in seconds.
            is_partial: Whether objects may be missing that a remote has promised.
        """
        self._process = process
        self._said = b""
        self._what = what
        self._silent_s = silent_s
        self._error = ObjectMissingError if is_partial else UnreadableRepoError
        self._buffer = b""
        self._failure: UnreadableRepoError | None = None
        assert process.stdout  # noqa: S101 - it is a pipe
        assert process.stderr  # noqa: S101 - so is that
        self._answers = process.stdout.fileno()
        self._failures = process.stderr.fileno()
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._poll.register(self._failures, select.POLLIN)

    def read(self, oid: str) -> GitObject | None:
        """Read an object."""
        if self._failure:  # what it might still answer is not what is asked now
            raise self._failure
        try:
            head = self._ask(oid)
            if head.endswith(b" missing"):
                return None
            _, kind, size = head.decode(errors="replace").split(" ")
            content = self._take(int(size) + 1)
        except UnreadableRepoError as error:
            self._failure = error
            raise
        if len(content) <= int(size):
            reason = f"object {oid} is larger than {MAX_OBJECT_BYTES >> 20} MiB"
            raise ObjectTooLargeError(self._what, reason)
        return GitObject(kind, content[:-1])

    def _ask(self, oid: str) -> bytes:
        """Ask for an object, and return the line that comes before its content."""
        assert self._process.stdin  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(f"{oid}\n".encode())
            self._process.stdin.flush()
        except OSError:  # it ended, and says why when it is listened to
            self._receive()
        while b"\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\n")
        return head

    def _take(self, count: int) -> bytes:
        """Receive so many bytes; of more than we keep, none are returned."""
        is_kept = count <= MAX_OBJECT_BYTES
        pieces = []
        while True:
            piece, self._buffer = self._buffer[:count], self._buffer[count:]
            count -= len(piece)
            if is_kept:
                pieces.append(piece)
            if not count:
                return b"".join(pieces)
            self._receive()

    def _receive(self) -> None:
        """Take in more of the answer; what Git says of failures is put aside."""
        piece = None
        deadline = time.monotonic() + self._silent_s
        while piece is None:
            ready = self._ready(deadline - time.monotonic())
            if not ready or time.monotonic() > deadline:
                raise self._error(self._what, _silence(self._silent_s))
            if self._failures in ready:  # read at once, or Git would wait for it
                self._hear()
            if self._answers in ready:
                piece = os.read(self._answers, _PIECE_BYTES)
        if not piece:
            while self._failures in self._ready(_LAST_WORD_S):
                self._hear()
            raise self._error(self._what, reason_of(self._said))
        self._buffer += piece

    def _ready(self, seconds: float) -> set[int]:
        ready = self._poll.poll(max(0.0, seconds) * 1000)
        return {number for number, _ in ready}

    def _hear(self) -> None:
        said = os.read(self._failures, _PIECE_BYTES)
        self._said = (self._said + said)[-_PIECE_BYTES:]
        if not said:
            self._poll.unregister(self._failures)


def _silence(seconds: float) -> str:
    return f"git did not answer within {seconds:.0f} s"


def reason_of(err: bytes) -> str:
    """Return the last failure that Git names, without an address, which is a secret."""
    lines = err.decode(errors="backslashreplace").splitlines()
    named = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    reason = (named or lines or ["git failed without a message"])[-1]
    if reason.endswith(":"):  # what it is about stands below
        reason = f"{reason} {' '.join(lines[lines.index(reason) + 1 :]).strip()}"
    return re.sub(r"\S+://\S+", "its address", reason.partition(": ")[2] or reason)
