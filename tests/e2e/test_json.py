"""``--json`` prints one JSON document, whatever happens, and whenever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from needs import need_full_device
from terminals import heed_ctrl_c

if TYPE_CHECKING:
    from conftest import RunDvc

    from tests.e2e.conftest import Registry

SCRIPT = Path(sys.executable).parent / "dvc-models"
SIGNAL_AT = """
import os, sys

class SignalAt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(SignalAt)
            os.kill(os.getpid(), {number:d})

sys.meta_path.insert(0, SignalAt)
"""
"""Sends a signal when a module is about to be imported."""


# -- usage errors


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(("models",), "the following arguments are required", id="none"),
        pytest.param(("models", "nope"), "argument command: invalid", id="unknown"),
        pytest.param(("models", "cache"), "the following arguments", id="inner"),
        pytest.param(
            ("--no-such", "models", "list"), "unrecognized arguments", id="before"
        ),
        pytest.param(
            ("models", "--no-such", "list"), "unrecognized arguments", id="between"
        ),
        pytest.param(
            ("models", "list", "--no-such"), "unrecognized arguments", id="after"
        ),
        pytest.param(("models", "pull", "-j", "x"), "argument -j", id="value"),
        pytest.param(("models", "pull"), "no model given", id="no name"),
        pytest.param(
            ("--cd", "no-such", "models", "list"), "cannot change to", id="folder"
        ),
    ],
)
@pytest.mark.parametrize("option", ["--json", "--js"])
def test_a_usage_error_is_one_object(
    run_dvc: RunDvc, tmp_path: Path, args: tuple[str, ...], message: str, option: str
) -> None:
    done = run_dvc(*args, option, cwd=tmp_path)

    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("UsageError", done.returncode)
    assert error["message"].startswith(message)
    assert done.stderr == f"ERROR: {error['message']}\n"


def test_other_commands_and_texts_stay_as_they_are(
    run_dvc: RunDvc, tmp_path: Path
) -> None:
    text = run_dvc("--no-such", "models", "list", cwd=tmp_path)
    native = run_dvc("status", "--json", "--no-such", cwd=tmp_path)
    name = run_dvc("models", "pull", "--no-such", "--", "--json", cwd=tmp_path)

    assert text.stdout.startswith("usage: dvc models list")
    assert native.stdout.startswith("usage: dvc status")
    assert name.stdout.startswith("usage: dvc models pull")
    assert {text.returncode, native.returncode, name.returncode} == {254}


@pytest.mark.parametrize("command", ["pull", "status", "list", "show"])
def test_a_broken_config_is_one_object(
    run_dvc: RunDvc, clone: Path, command: str
) -> None:
    (clone / ".dvc/config").write_text("[core\n")
    name = () if command == "list" else ("churn",)

    done = run_dvc("models", command, *name, "--json", cwd=clone)

    document = json.loads(done.stdout)
    if done.returncode:
        assert document["error"]["exit_code"] == done.returncode


# -- signals


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        pytest.param(signal.SIGINT, "KeyboardInterrupt", 252, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, "SystemExit", 143, id="SIGTERM"),
    ],
)
@pytest.mark.parametrize(
    "module",
    [
        pytest.param("dvc.commands.add", id="DVC's imports"),
        pytest.param("dvc_studio_models.cli.list", id="our imports"),
        pytest.param("dvc.ui", id="after the arguments"),
        pytest.param("dvc_studio_models.operations.inventory", id="the command"),
        pytest.param("dvc_studio_models.registry.git.open", id="in the middle"),
    ],
)
@pytest.mark.parametrize("program", [(DVC, "models"), (SCRIPT,)], ids=["dvc", "own"])
def test_an_interrupted_command_prints_one_object(
    clone: Path,
    tmp_path: Path,
    number: int,
    kind: str,
    code: int,
    module: str,
    program: tuple[Path | str, ...],
) -> None:
    text = SIGNAL_AT.format(module=module, number=number)
    (tmp_path / "sitecustomize.py").write_text(text)

    done = subprocess.run(
        [*program, "list", "--json"],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=heed_ctrl_c,
    )

    assert json.loads(done.stdout)["error"] == {
        "kind": kind,
        "message": {252: "interrupted by the user", 143: "terminated by SIGTERM"}[code],
        "exit_code": code,
    }
    assert done.returncode == code
    assert "Traceback" not in done.stderr


# -- stdout


@pytest.mark.parametrize("option", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("command", [("list",), ("pull", "bert")], ids=" ".join)
def test_a_full_disk_for_stdout_is_an_error_of_the_disk(
    registry: Registry, clone: Path, command: tuple[str, ...], option: tuple[str, ...]
) -> None:
    with need_full_device().open("w") as full:
        done = subprocess.run(
            [DVC, "models", *command, *option],
            cwd=clone,
            env={**os.environ, **registry.environ},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 8
    assert done.stderr == (
        "ERROR: cannot write 'standard output': no space left on device\n"
    )


def test_a_closed_stdout_is_no_error(clone: Path) -> None:
    command = f"exec {DVC} models list >&-"
    done = subprocess.run(
        command, shell=True, cwd=clone, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


# -- quiet


@pytest.mark.parametrize(
    "command",
    ["list", "status", "show a", "update", "which nothing", "diff a b", "pull a"],
)
def test_every_command_prints_its_error_under_quiet(
    run_dvc: RunDvc, tmp_path: Path, command: str
) -> None:
    done = run_dvc("models", *command.split(), "--quiet", cwd=tmp_path)

    assert (done.returncode > 0, done.stdout) == (True, "")
    assert done.stderr.startswith("ERROR: ")
