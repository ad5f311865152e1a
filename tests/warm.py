"""Runs ``dvc`` in 0.1 s instead of 0.3 s: in children of a process that has it loaded.

Nothing is patched. A child has the arguments, environment, folder, umask and standard
streams of its order, and calls what the script ``dvc`` calls. It differs from a new
process in three things: its streams are files, not pipes; the modules of ``SHARED`` are
loaded; and Python ends without clearing its modules. ``Warm.can_run`` returns False for
an environment that differs in what Python or a library reads only when it is loaded.

The process reads orders from a socket: for each one byte, and as open files the order
as JSON, the three streams, and a socket for the answer, which is the number of the
child's process and, when it has ended, its exit code, a line each.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import dvc_studio_models as project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DVC = Path(sys.executable).parent / "dvc"
COVERAGE = "COVERAGE_PROCESS_"
ATTACH_S = 20.0
RUN_S = 120.0
SHARED = (
    "dvc._debug",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.daemon",
    "dvc.data_cloud",
    "dvc.lock",
    "dvc.repo.artifacts",
    "dvc.repo.metrics",
    "dvc.repo.open_repo",
    "dvc.repo.params",
    "dvc.repo.plots",
    "dvc.repo.stage",
    "dvc_data.hashfile.db.local",
    "platformdirs.unix",
    "psutil",
    "scmrepo.git",
    "zc.lockfile",
)
"""What every pull loads, besides this project's modules; a child loads the rest."""

READ_WHEN_LOADED = re.compile(
    r"(FSSPEC|LC|LD|MALLOC|PYTHON|SSL)_?.*|LANG.*|TZ"
    r"|DVC_SHOW_TRACEBACK|DVC_STUDIO_MODELS_NO_PLUGIN"
)


@dataclass(frozen=True)
class Warm:
    """The process, from the side that sends the orders."""

    process: subprocess.Popen[bytes]
    orders: socket.socket
    loaded_with: Mapping[str, str]

    def can_run(self, env: Mapping[str, str]) -> bool:
        """Whether a child with this environment does what a new process does."""
        return _when_loaded(env) == self.loaded_with

    def run(
        self,
        *argv: str,
        cwd: Path,
        env: Mapping[str, str],
        output: Path,
        trace: Sequence[str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> int | None:
        """Run ``dvc`` and return its exit code, or None where its end is in the trace.

        Args:
            argv: Arguments of ``dvc``.
            cwd: Folder that it runs in.
            env: Its whole environment.
            output: File for all that it prints.
            trace: Arguments of ``strace``, which runs it.
            limits: Values by the names that the module ``resource`` has for them.
        """
        order = {
            "argv": argv,
            "cwd": str(cwd),
            "env": dict(env),
            "trace": trace,
            "limits": dict(limits or {}),
        }
        with Path(os.devnull).open("rb") as nothing, output.open("wb") as printed:
            code = self._order(order, (nothing, printed, printed), RUN_S)
        return None if trace else code

    def capture(
        self,
        *argv: str,
        cwd: Path,
        env: Mapping[str, str],
        stdin: str,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``dvc`` as ``subprocess.run`` does with ``capture_output`` and UTF-8.

        Raises:
            subprocess.TimeoutExpired: The child was killed.
        """
        order = {"argv": argv, "cwd": str(cwd), "env": dict(env), "limits": {}}
        command = [str(DVC), *argv]
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            streams[0].write(stdin.encode())
            streams[0].seek(0)
            try:
                code = self._order(order, streams, timeout)
            except TimeoutError:
                stdout, stderr = map(_text, streams[1:])
                raise subprocess.TimeoutExpired(
                    command, timeout, stdout, stderr
                ) from None
            stdout, stderr = map(_text, streams[1:])
            return subprocess.CompletedProcess(command, code, stdout, stderr)

    def _order(
        self, order: Mapping[str, Any], streams: Sequence[IO[bytes]], timeout: float
    ) -> int:
        umask = os.umask(0o077)
        os.umask(umask)
        answer, answering = socket.socketpair()
        with answer, tempfile.TemporaryFile() as text:
            text.write(json.dumps({**order, "umask": umask}).encode())
            text.seek(0)
            with answering:
                files = [file.fileno() for file in (text, *streams, answering)]
                socket.send_fds(self.orders, [b"!"], files)
            answer.settimeout(timeout)
            with answer.makefile("rb") as lines:
                child = int(lines.readline() or self._died())
                try:
                    return int(lines.readline())
                except TimeoutError:
                    os.kill(child, signal.SIGKILL)
                    raise

    def _died(self) -> int:
        _, stderr = self.process.communicate(timeout=RUN_S)
        raise ChildProcessError(stderr.decode())


@contextlib.contextmanager
def warm(*, measured: bool = False) -> Iterator[Warm]:
    """Start the process.

    Args:
        measured: Let coverage measure it where it measures the tests. A process that
            is killed saves nothing, and one under strace takes minutes with it.
    """
    env = {k: v for k, v in os.environ.items() if measured or COVERAGE not in k}
    ours, its = socket.socketpair()
    with (
        ours,
        subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[its.fileno()],
            env=env,
        ) as process,
    ):
        its.close()
        yield Warm(process, ours, _when_loaded(env))
        ours.close()


def _when_loaded(env: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if READ_WHEN_LOADED.fullmatch(k)}


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    text = file.read().decode("utf-8", "backslashreplace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# -- the process


def _serve(orders: socket.socket) -> int:
    """Start a child for each order until there are no more; return the exit code."""
    sys.path[0] = str(DVC.parent)
    for module in (*SHARED, *_of_the_client()):
        importlib.import_module(module)
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(orders, 1, 5)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not message:
            return 0
        if os.fork() == 0:
            orders.close()
            return _begin(*files)
        for file in files:
            os.close(file)


def _of_the_client() -> Iterator[str]:
    for module in pkgutil.walk_packages(project.__path__, f"{project.__name__}."):
        if not re.search(r"\.(__main__|server)\b", module.name):
            yield module.name


def _begin(text: int, stdin: int, stdout: int, stderr: int, answer: int) -> int:
    """Run ``dvc`` in a child; return its exit code there, and wait for it here."""
    with os.fdopen(text, "rb") as file:
        order = json.load(file)
    child = os.fork()
    if child:
        os.write(answer, f"{child}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(answer, f"{code}\n".encode())
        os._exit(0)
    os.close(answer)
    for number, stream in enumerate((stdin, stdout, stderr)):
        os.dup2(stream, number)
    os.closerange(min(stdin, stdout, stderr), max(stdin, stdout, stderr) + 1)
    if order.get("trace"):
        _become_strace(order["trace"])
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    os.umask(order["umask"])
    read_git_settings_again()
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    return _dvc(order["argv"])


def _become_strace(arguments: Sequence[str]) -> None:
    """Go on in a child of this process, which becomes its strace."""
    traced = os.fork()
    if traced:
        os.execvp("strace", ["strace", *arguments, "-p", str(traced)])
    with Path("/proc/self/status").open("rb", buffering=0) as status:
        until = time.monotonic() + ATTACH_S
        while b"TracerPid:\t0\n" in os.pread(status.fileno(), 4096, 0):
            if time.monotonic() > until:
                os._exit(98)


def read_git_settings_again() -> None:
    """Let libgit2 find the user's settings by the environment, as when it is loaded."""
    import pygit2
    from pygit2.enums import ConfigLevel

    for level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        pygit2.settings.search_path[level] = None  # type: ignore[assignment]


def _dvc(argv: list[str]) -> int:
    """Run ``dvc``, and end as Python does, but without clearing the modules."""
    from dvc.cli import main

    sys.argv = [str(DVC), *argv]
    try:
        code = main()
    except SystemExit as ending:  # as argparse ends after help
        code = ending.code
    if not isinstance(code, int):
        return code
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
