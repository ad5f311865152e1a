"""A system that lacks the calls for safe changes of files, as Windows does.

A ``sitecustomize`` takes them away from Python before anything else is imported.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from environments import DVC, ROOT, run
from needs import need_full_device
from projects import init_project

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.cold

OWN_SCRIPT = DVC.with_name("dvc-models")
TAKE_AWAY = {
    "O_DIRECTORY": "del os.O_DIRECTORY",
    "O_NOFOLLOW": "del os.O_NOFOLLOW",
    "dir_fd": "os.supports_dir_fd.clear()",
    "link": "os.supports_dir_fd.discard(os.link); del os.link",
    "fcntl": "sys.modules['fcntl'] = None",
}


class Machine:
    """Runs programs without some calls."""

    def __init__(self, folder: Path, *names: str) -> None:
        lines = ["import os, sys", *map(TAKE_AWAY.__getitem__, names)]
        (folder / "sitecustomize.py").write_text("\n".join(lines))
        self.path = str(folder)
        self.message = (
            "dvc-studio-models cannot place files safely on this system, where Python "
            f"has no {', '.join(names)}: use Linux or macOS, or WSL on Windows"
        )

    def run(
        self, *command: str | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run(*command, cwd=cwd, PYTHONPATH=self.path)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "O_DIRECTORY", "O_NOFOLLOW", "dir_fd")


@pytest.mark.parametrize("name", list(TAKE_AWAY))
def test_an_import_says_which_call_is_missing(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, name)

    done = machine.run(sys.executable, "-c", "import dvc_studio_models")

    assert done.returncode == 1
    assert done.stderr.endswith(f"\nImportError: {machine.message}\n")


def test_the_documents_show_the_sentence(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *(each for each in TAKE_AWAY if each != "link"))

    text = (ROOT / "docs" / "platforms.md").read_text("utf-8")

    assert f"\nERROR: {machine.message}\n" in text


def test_a_program_can_go_on_without_the_package(machine: Machine) -> None:
    program = (
        "try:\n    from dvc_studio_models import pull\n"
        "except ImportError as error:\n    print(error.name, error)"
    )

    done = machine.run(sys.executable, "-c", program)

    assert done.stdout == f"dvc_studio_models {machine.message}\n"


@pytest.mark.parametrize(
    "command",
    [
        (DVC, "models"),
        (DVC, "models", "--help"),
        (DVC, "--cd", ".", "models", "pull", "churn", "--stage", "prod"),
        (OWN_SCRIPT, "serve", "--no-auth"),
        (sys.executable, "-m", "dvc_studio_models"),
        (sys.executable, "-mdvc_studio_models", "--version"),
        (sys.executable, "-sm", "dvc_studio_models", "list"),
        (sys.executable, "-s", "-m", "dvc_studio_models", "pull", "a", "--", "--json"),
    ],
    ids=[
        "none",
        "help",
        "pull",
        "own script",
        "own module",
        "-mNAME",
        "-sm NAME",
        "its arguments",
    ],
)
def test_every_command_ends_with_one_sentence(
    machine: Machine, command: tuple[str | Path, ...]
) -> None:
    done = machine.run(*command)

    assert (done.returncode, done.stdout) == (255, "")
    assert done.stderr == f"ERROR: {machine.message}\n"


@pytest.mark.parametrize(
    "command",
    [
        (DVC, "models", "pull", "churn", "--json"),
        (OWN_SCRIPT, "list", "--js"),
        (sys.executable, "-m", "dvc_studio_models", "--cd", ".", "list", "--json"),
    ],
    ids=["dvc", "own script", "own module"],
)
def test_the_sentence_is_json_if_that_was_asked_for(
    machine: Machine, command: tuple[str | Path, ...]
) -> None:
    done = machine.run(*command)

    assert (done.returncode, done.stderr) == (255, f"ERROR: {machine.message}\n")
    assert json.loads(done.stdout) == {
        "error": {"kind": "ImportError", "message": machine.message, "exit_code": 255}
    }


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "2>&-", "| true"])
@pytest.mark.parametrize("command", [f"{DVC} models", OWN_SCRIPT], ids=["dvc", "own"])
def test_the_code_is_the_same_where_output_cannot_be_written(
    machine: Machine, command: str, redirection: str
) -> None:
    if "full" in redirection:
        need_full_device()
    line = f"set -o pipefail; {command} pull churn --json {redirection}"

    done = machine.run("bash", "-c", line)

    assert done.returncode == 255
    assert done.stderr == ("" if "2>" in redirection else f"ERROR: {machine.message}\n")


def test_another_module_that_imports_the_package_gets_the_error(
    machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text("import dvc_studio_models\n")

    done = machine.run(sys.executable, "-m", "other", "dvc_studio_models")

    assert done.returncode == 1
    assert done.stderr.endswith(f"\nImportError: {machine.message}\n")


@pytest.mark.parametrize(
    "command",
    [("--help",), ("status",), ("add", "--help"), ("nothing",)],
    ids=" ".join,
)
def test_commands_of_dvc_are_undisturbed(
    machine: Machine, tmp_path: Path, command: tuple[str, ...]
) -> None:
    project = init_project(tmp_path / "project").repo
    expected = run(DVC, *command, cwd=project)

    done = machine.run(DVC, *command, cwd=project)

    assert (done.returncode, done.stdout, done.stderr) == (
        expected.returncode,
        expected.stdout,
        expected.stderr,
    )


def test_an_error_of_an_import_that_the_package_makes_is_shown(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules['dvc_studio_models.interrupts'] = None"
    )

    done = run(OWN_SCRIPT, "list", PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    assert "dvc_studio_models.interrupts" in done.stderr.splitlines()[-1]
