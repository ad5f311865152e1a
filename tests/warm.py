"""A process that has ``dvc`` loaded, and runs it in children: in 0.2 s, and killed.

    python warm.py < orders

Each line is a JSON order: ``argv`` for ``dvc``, ``cwd``, ``env``, ``output`` (a file
for what it prints) and ``trace``, the arguments of ``strace``, or null, and ``limits``,
as the module ``resource`` names them. The answer to each is a line with the exit code,
or null where strace was asked: its log tells it.
Nothing is patched: the child calls what the script ``dvc`` calls.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ATTACH_S = 20.0
SHARED = (
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.lock",
    "dvc.repo",
    "dvc_studio_models.operations.pull",
    "dvc_studio_models.cli.serve",
    "platformdirs.unix",
    "psutil",
    "scmrepo.git",
    "zc.lockfile",
)
"""What every pull loads; a child loads the rest."""


@dataclass(frozen=True)
class Warm:
    """The process, from the side that gives the orders."""

    process: subprocess.Popen[str]

    def run(
        self,
        *argv: str,
        cwd: Path,
        env: Mapping[str, str],
        output: Path,
        trace: Sequence[str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> int | None:
        """Run ``dvc`` with ``argv``, and tell its exit code."""
        order = {
            "argv": argv,
            "cwd": str(cwd),
            "env": dict(env),
            "output": str(output),
            "trace": trace,
            "limits": dict(limits or {}),
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()
        code: int | None = json.loads(self.process.stdout.readline())
        return code


@contextlib.contextmanager
def warm() -> Iterator[Warm]:
    """Start the process."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_untraced(),
    ) as process:
        yield Warm(process)


def _untraced() -> dict[str, str]:
    """Leave coverage out: a killed process saves none, and a slow one takes minutes."""
    left_out = "COVERAGE_PROCESS_"
    return {k: v for k, v in os.environ.items() if not k.startswith(left_out)}


def _serve() -> None:
    for module in SHARED:
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _begin(order)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps(None if order["trace"] else status), flush=True)  # noqa: T201


def _begin(order: dict[str, Any]) -> None:
    """Run ``dvc`` in this child, or in a child of this one, which becomes strace."""
    if order["trace"]:
        traced = os.fork()
        if traced:
            os.execvp("strace", ["strace", *order["trace"], "-p", str(traced)])
        _wait_for_tracer()
    status = 99
    try:
        status = _dvc(order)
    finally:
        os._exit(status)


def _wait_for_tracer() -> None:
    with Path("/proc/self/status").open("rb", buffering=0) as status:
        until = time.monotonic() + ATTACH_S
        while b"TracerPid:\t0\n" in os.pread(status.fileno(), 4096, 0):
            if time.monotonic() > until:
                os._exit(98)


def _dvc(order: dict[str, Any]) -> int:
    from dvc.cli import main

    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    status = int(main(order["argv"]))
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    _serve()
