"""Tests and shared fixtures never see the user's own settings and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import git

TESTS = Path(__file__).parent
INNER = """
import json
import os
from pathlib import Path

import pytest
from projects import commit_all, init_project


@pytest.fixture(scope="session")
def seen(tmp_path_factory):
    project = init_project(tmp_path_factory.mktemp("shared") / "project")
    commit_all(project, "Begin")
    return {"commit": project.commit("main"), **os.environ}


def test_it(seen):
    Path(__file__).with_name("seen.json").write_text(json.dumps(seen))
"""


def test_a_session_fixture_commits_into_its_own_repo_when_git_runs_the_tests(
    tmp_path: Path,
) -> None:
    users = tmp_path / "users"
    users.mkdir()
    git(users, "init", "--quiet")
    before = sorted(users.rglob("*"))
    (tmp_path / "test_inner.py").write_text(INNER)
    theirs = {
        "GIT_DIR": str(users / ".git"),
        "GIT_INDEX_FILE": str(users / ".git/index"),
        "DVC_GLOBAL_CONFIG_DIR": str(users),
        "DVC_SITE_CACHE_DIR": str(users),
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "XDG_CONFIG_HOME": str(users),
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "test_inner.py"],
        cwd=tmp_path,
        env={**os.environ, **theirs, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["commit"]
    assert [name for name in theirs if seen.get(name) == theirs[name]] == []
    assert sorted(users.rglob("*")) == before


INTERRUPTS = """
import signal


def test_it():
    for number in (signal.SIGINT, signal.SIGQUIT):
        assert signal.getsignal(number) is not signal.SIG_IGN
"""


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one", "workers"])
def test_ctrl_c_ends_what_tests_start_also_if_they_run_in_the_background(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "test_inner.py").write_text(INTERRUPTS)
    command = (sys.executable, "-m", "pytest", "-p", "conftest", *options)
    shell = "trap '' INT QUIT; exec \"$@\""

    done = subprocess.run(
        ["sh", "-c", shell, "sh", *command, "test_inner.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_no_audit_hook_runs_in_the_process_of_the_tests() -> None:
    """It cannot be removed, and threads may fail to start, see ``counted_pull``."""
    hook = "sys.addaudithook" + "("
    with_hook = {file.name for file in TESTS.rglob("*.py") if hook in file.read_text()}

    assert with_hook == {"counted_pull.py"}
