"""Runs the ``git`` program with a time limit, without a terminal, and stops it with us.

Promises that Git runs no hook, no file system monitor and no maintenance, and opens no
connection unless the caller allows its protocol.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    LocalDiskError,
    ObjectMissingError,
    ObjectTooLargeError,
    UnreadableRepoError,
)
from dvc_studio_models.registry.git.parsing import reason_of
from dvc_studio_models.registry.git.reader import MAX_OBJECT_BYTES, GitObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SILENT_S = 60.0
"""The longest, in seconds, without output of Git, which may read from a cold network
file system."""

FETCH_S = 8.0
"""The same for an object of a partial clone, which is fetched from its remote."""

FETCH_PROTOCOLS = "file:git:http:https:ssh"
"""By which Git may fetch, where a caller lets it."""

_LOCATIONS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE"}
"""Set in hooks, maybe for another repository than that of the current folder."""

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
_OWN_SESSION: dict[str, Any] = {"start_new_session": True}
"""Without a terminal, so that no program can ask there for a password."""

_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else _OWN_SESSION
)
"""Killed together with the programs that it runs, and not by Ctrl-C in a terminal.

Linux shares a core among sessions (``man 7 sched``, autogroup), and a new one may have
to wait there for seconds if a server keeps the core busy.
"""

_EXHAUSTED = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_CHUNK_BYTES = 1 << 16
_LAST_ERRORS_S = 1.0  # for error messages after the output has ended

_running: set[subprocess.Popen[bytes]] = set()
_starting = threading.Lock()
_exiting = threading.Event()
"""Set when this process ends: Git started after that would outlive it."""


class Output:
    """The output of one call of Git."""

    def __init__(self, out: bytes, err: bytes, code: int = 0) -> None:
        self.out = out
        self.err = err
        self.code = code


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    stdin: str = "",
    codes: Iterable[int] = (0,),
    protocols: str | None = None,
    silent_s: float = SILENT_S,
) -> Output:
    """Run Git and wait for its end.

    Args:
        command: The program and its arguments.
        cwd: Where it runs: the repository, or a folder of it.
        stdin: Its standard input.
        codes: The exit codes that count as success.
        protocols: By which it may fetch, separated by ``:``; None for none.
        silent_s: The longest run, in seconds.

    Raises:
        UnreadableRepoError: It failed, or did not end in time.
        LocalDiskError: The system does not let it run.
    """
    process = start(command, cwd=cwd, protocols=protocols)
    is_done = False
    try:
        out, err = process.communicate(os.fsencode(stdin), silent_s)
        is_done = True
    except subprocess.TimeoutExpired:
        raise UnreadableRepoError(os.fspath(cwd), _timeout_reason(silent_s)) from None
    finally:
        stop(process, is_done=is_done)
    if process.returncode not in codes:
        raise UnreadableRepoError(os.fspath(cwd), reason_of(err))
    return Output(out, err, process.returncode)


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    protocols: str | None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Start Git, see :func:`run`; the caller stops it.

    Args:
        command: The program and its arguments.
        cwd: Where it runs.
        protocols: By which it may fetch.
        variables: Added to its environment.

    Raises:
        UnreadableRepoError: It cannot start, as in a folder without permission, or
            this process is ending.
        LocalDiskError: The system has no more processes, files or memory.
    """
    settings = [word for setting in _NO_PROGRAMS for word in ("-c", setting)]
    environment = {k: v for k, v in os.environ.items() if k not in _LOCATIONS}
    allowed = {"GIT_ALLOW_PROTOCOL": protocols or "none"}
    with _starting:
        if _exiting.is_set():
            raise UnreadableRepoError(os.fspath(cwd), "this process is exiting")
        try:
            process = subprocess.Popen(  # noqa: S603 - the arguments are our own
                [command[0], *settings, *command[1:]],
                cwd=cwd,
                env={**environment, **_ENVIRONMENT, **allowed, **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **(_OWN_SESSION if protocols else _OWN_GROUP),
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if error.errno in _EXHAUSTED:
                raise LocalDiskError(command[0], reason, action="run") from None
            raise UnreadableRepoError(os.fspath(cwd), reason) from None
        _running.add(process)
    return process


def stop(process: subprocess.Popen[bytes], *, is_done: bool = False) -> None:
    """Stop Git.

    Args:
        process: As :func:`start` returned it.
        is_done: Whether all its output was read. Otherwise the programs that it runs
            are killed too: they may keep its pipes open after its end.
    """
    if not is_done:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):  # input that it has not read is lost
            if pipe:
                pipe.close()
    process.wait()
    _running.discard(process)


@atexit.register
def _stop_all() -> None:
    """Kill the processes that are still running, and prevent new ones."""
    with _starting:
        _exiting.set()
        for process in list(_running):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


class RunningObjects:
    """One running ``git cat-file --batch``."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        repo: str,
        silent_s: float,
        is_partial: bool,
    ) -> None:
        """Store the running process and its limits.

        Args:
            process: With pipes for its input, output and errors.
            repo: The repository, for errors.
            silent_s: The longest time without output, in seconds.
            is_partial: Whether this is a partial clone, whose remote has more objects.
        """
        self._process = process
        self._errors = b""
        self._repo = repo
        self._silent_s = silent_s
        self._error = ObjectMissingError if is_partial else UnreadableRepoError
        self._buffer = b""
        self._failure: UnreadableRepoError | None = None
        assert process.stdout  # noqa: S101 - it is a pipe
        assert process.stderr  # noqa: S101 - so is that
        self._stdout = process.stdout.fileno()
        self._stderr = process.stderr.fileno()
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)
        self._poll.register(self._stderr, select.POLLIN)

    def read(self, oid: str) -> GitObject | None:
        """Read an object."""
        if self._failure:  # later output would be of an earlier request
            raise self._failure
        try:
            head = self._request(oid)
            if head.endswith(b" missing"):
                return None
            _, kind, size = head.decode(errors="replace").split(" ")
            content = self._receive_bytes(int(size) + 1)
        except UnreadableRepoError as error:
            self._failure = error
            raise
        if len(content) <= int(size):
            reason = f"object {oid} is larger than {MAX_OBJECT_BYTES >> 20} MiB"
            raise ObjectTooLargeError(self._repo, reason)
        return GitObject(kind, content[:-1])

    def _request(self, oid: str) -> bytes:
        """Request an object, and return the line that comes before its content."""
        assert self._process.stdin  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(f"{oid}\n".encode())
            self._process.stdin.flush()
        except OSError:  # it has ended; the errors that it printed say why
            self._receive()
        while b"\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\n")
        return head

    def _receive_bytes(self, count: int) -> bytes:
        """Receive ``count`` bytes; if they are too many, skip them."""
        is_small = count <= MAX_OBJECT_BYTES
        pieces = []
        while True:
            piece, self._buffer = self._buffer[:count], self._buffer[count:]
            count -= len(piece)
            if is_small:
                pieces.append(piece)
            if not count:
                return b"".join(pieces)
            self._receive()

    def _receive(self) -> None:
        """Read more output; errors are stored for later."""
        piece = None
        deadline = time.monotonic() + self._silent_s
        while piece is None:
            ready = self._ready(deadline - time.monotonic())
            if not ready or time.monotonic() > deadline:
                raise self._error(self._repo, _timeout_reason(self._silent_s))
            if self._stderr in ready:  # else Git would wait until they are read
                self._read_errors()
            if self._stdout in ready:
                piece = os.read(self._stdout, _CHUNK_BYTES)
        if not piece:
            while self._stderr in self._ready(_LAST_ERRORS_S):
                self._read_errors()
            raise self._error(self._repo, reason_of(self._errors))
        self._buffer += piece

    def _ready(self, seconds: float) -> set[int]:
        ready = self._poll.poll(max(0.0, seconds) * 1000)
        return {number for number, _ in ready}

    def _read_errors(self) -> None:
        errors = os.read(self._stderr, _CHUNK_BYTES)
        self._errors = (self._errors + errors)[-_CHUNK_BYTES:]
        if not errors:
            self._poll.unregister(self._stderr)


def _timeout_reason(seconds: float) -> str:
    return f"git did not answer within {seconds:.0f} s"
