"""A child of the warm process does what a new process does."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pygit2
import pytest
from environments import DVC
from projects import git
from pygit2.enums import ConfigLevel
from warm import read_git_settings_again

if TYPE_CHECKING:
    from pathlib import Path

    from warm import Warm


@pytest.mark.parametrize(
    ("argv", "stdin"),
    [
        pytest.param(["--version"], "", id="an answer"),
        pytest.param(["models", "pull", "--help"], "", id="help"),
        pytest.param(["models", "no-such"], "", id="a usage error"),
        pytest.param(["models", "list", "--json"], "", id="no models"),
        pytest.param(["models", "pull", "größe\udcff"], "", id="no token"),
        pytest.param(["models", "pull", "--names", "-"], "a b\n#\n", id="names"),
        pytest.param(["-v", "status"], "", id="a command of DVC"),
        pytest.param(["--cd", "no-such", "status"], "", id="no such folder"),
    ],
)
def test_it_ends_as_a_new_process_does(
    argv: list[str], stdin: str, tmp_path: Path, warm_dvc: Warm
) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "https://git.example.com/acme/models.git")
    env = {**os.environ, "DVC_STUDIO_URL": "http://127.0.0.1:1", "COLUMNS": "70"}
    assert warm_dvc.can_run(env)

    warm = warm_dvc.capture(*argv, cwd=tmp_path, env=env, stdin=stdin, timeout=60)

    cold = subprocess.run(
        [DVC, *argv],
        cwd=tmp_path,
        env=env,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
    )
    assert warm.returncode == cold.returncode
    assert warm.stdout == cold.stdout
    assert warm.stderr == cold.stderr


def test_libgit2_finds_the_home_of_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    before = pygit2.settings.search_path[ConfigLevel.GLOBAL]

    read_git_settings_again()

    assert before != str(tmp_path)
    assert pygit2.settings.search_path[ConfigLevel.GLOBAL] == str(tmp_path)


def test_a_child_that_hangs_is_killed(tmp_path: Path, warm_dvc: Warm) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {wait: {cmd: exec sleep 60}}\n")
    env = dict(os.environ)
    warm_dvc.capture(
        *("init", "--no-scm", "-q"), cwd=tmp_path, env=env, stdin="", timeout=60
    )

    with pytest.raises(subprocess.TimeoutExpired) as caught:
        warm_dvc.capture("repro", cwd=tmp_path, env=env, stdin="", timeout=3)

    assert "wait" in str(caught.value.stdout)


def test_the_number_of_a_signal_is_told(tmp_path: Path, warm_dvc: Warm) -> None:
    code = warm_dvc.run(
        "--version",
        cwd=tmp_path,
        env=os.environ,
        output=tmp_path / "output",
        limits={"RLIMIT_CPU": 0},
    )

    assert code in {-signal.SIGKILL, -signal.SIGXCPU}


@pytest.mark.parametrize(
    "name", ["PYTHONUTF8", "LC_ALL", "LANG", "DVC_STUDIO_MODELS_NO_PLUGIN", "TZ"]
)
def test_it_does_not_run_what_needs_a_new_process(name: str, warm_dvc: Warm) -> None:
    assert warm_dvc.can_run(os.environ)
    assert not warm_dvc.can_run({**os.environ, name: "1"})
