"""How every command ends: its exit code, its message, one JSON document."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace

import dvc.cli
import pytest
from dvc.config import ConfigError
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.fs import AuthError
from dvc.lock import LockError
from dvc.scm import SCMError

from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.errors import UsageError


class Looking(CmdModels):
    """A command that looks how often garbage is collected while it runs."""

    threshold = 0

    def run(self) -> int:
        self.threshold = gc.get_threshold()[0]
        return 0


def test_garbage_is_collected_rarely_while_a_command_runs_and_as_before_after() -> None:
    before = gc.get_threshold()
    command = Looking(Namespace(cd="."))

    assert command.do_run() == 0

    assert command.threshold > 10 * before[0]
    assert gc.get_threshold() == before


# -- signals

LOST = """
import argparse, os, sys, time, weakref
from dvc_studio_models.cli.base import CmdModels

class Command(CmdModels):
    def run(self):
        held = Command(self.args)
        ref = weakref.ref(held, lambda _: os.kill(os.getpid(), int(sys.argv[1])))
        del held
        time.sleep(60)

Command(argparse.Namespace(cd=".", json=True)).do_run()
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 252), (signal.SIGTERM, 143)],
    ids=["INT", "TERM"],
)
def test_a_signal_whose_exception_python_ignores_ends_the_command(
    number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-c", LOST, str(int(number))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )

    assert json.loads(done.stdout)["error"]["exit_code"] == code
    assert "Exception ignored" not in done.stderr


# -- one JSON document, however a command ends


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        pytest.param(UsageError("no name"), 254, "no name", id="ours"),
        pytest.param(SCMError("bad ref"), 253, "bad ref", id="scmrepo"),
        pytest.param(NotDvcRepoError("no .dvc"), 253, "no .dvc", id="no project"),
        pytest.param(ConfigError("bad"), 251, "config file error: bad", id="config"),
        pytest.param(AuthError("denied"), 251, "denied", id="remote"),
        pytest.param(LockError("locked"), 255, "locked", id="lock"),
        pytest.param(DvcException("failed"), 255, "failed", id="DVC"),
        pytest.param(
            OSError(errno.EIO, "no luck"), 255, "[Errno 5] no luck", id="system"
        ),
        pytest.param(BrokenPipeError(), 141, "BrokenPipeError()", id="pipe"),
        pytest.param(
            KeyboardInterrupt(), 252, "interrupted by the user", id="interrupt"
        ),
    ],
)
def test_an_error_of_any_kind_is_one_json_object(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    class Failing(CmdModels):
        def run(self) -> int:
            raise error

    args = Namespace(func=Failing, cd=".", json=True, quiet=0, verbose=0)
    monkeypatch.setattr("dvc.cli.parse_args", lambda _: args)
    with contextlib.closing(os.fdopen(os.dup(1), "w")) as stdout:
        monkeypatch.setattr("sys.stdout", stdout)  # DVC replaces one that is broken
        ended = dvc.cli.main([])

    assert ended == code
    assert json.loads(capfd.readouterr().out)["error"] == {
        "kind": type(error).__name__,
        "message": message,
        "exit_code": code,
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError()], ids=repr)
def test_an_error_after_the_result_prints_no_second_object(
    capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    class Failing(CmdModels):
        def run(self) -> int:
            self.print_json({"done": True})
            raise error

    with pytest.raises(type(error)):
        Failing(Namespace(cd=".", json=True)).do_run()

    assert json.loads(capfd.readouterr().out) == {"done": True}
