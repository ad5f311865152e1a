"""The example that opens pull requests, run as GitHub runs it but for ``gh`` itself."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dvc.utils.serialize import loads_yaml
from projects import ORIGIN_URL, git, init_project
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from conftest import RunDvc

    from tests.e2e.conftest import Registry

pytestmark = pytest.mark.slow  # many starts of real programs

EXAMPLE = Path(__file__).parents[2] / "examples/update-models.yml"
BIN = Path(sys.executable).parent
GH = """#!/bin/sh
echo "$@" >> "$GH_LOG"
case "$*" in
  *"--state all"*) cat "$GH_KNOWN" 2>/dev/null ;;
  *"--state open"*) cat "$GH_OPEN" 2>/dev/null ;;
esac
exit 0
"""


def read_steps() -> list[dict[str, Any]]:
    workflow = YAML(typ="safe").load(EXAMPLE.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "write", "pull-requests": "write"}
    (job,) = workflow["jobs"].values()
    return job["steps"]


def scripts() -> list[str]:
    """Return what the steps run after the installation, in their order."""
    install, *rest = [step["run"] for step in read_steps() if "run" in step]
    assert install.startswith("pip install ")
    return rest


class App:
    """A checkout of an app whose lock file pins churn#dev, and its bare origin."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.origin = folder.parent / "origin.git"
        self.log = folder.parent / "gh.log"
        self.known = folder.parent / "known"
        self.open = folder.parent / "open"
        tools = folder.parent / "tools"
        tools.mkdir()
        gh = tools / "gh"
        gh.write_text(GH)
        gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
        temporary = folder.parent / "tmp"
        temporary.mkdir()
        self._env = {
            **os.environ,
            **env,
            "PATH": f"{tools}:{BIN}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(temporary),
            "GH_LOG": str(self.log),
            "GH_KNOWN": str(self.known),
            "GH_OPEN": str(self.open),
        }

    def run(self) -> str:
        """Run the job in a new checkout, and return what ``gh`` was called with."""
        self.log.write_text("")
        git(self.folder, "checkout", "--quiet", "--force", "main")
        for script in scripts():
            done = subprocess.run(
                ["bash", "-e", "-c", script],
                cwd=self.folder,
                env=self._env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
        return self.log.read_text()

    def pushed(self) -> str | None:
        """Return the version in the lock file of the pushed branch."""
        if not git(self.origin, "branch", "--list", "update-models"):
            return None
        text = git(self.origin, "show", "update-models:models.lock")
        version: str = loads_yaml(text)["models"]["churn"]["version"]
        return version

    def head(self) -> str:
        return git(self.origin, "rev-parse", "update-models")


@pytest.fixture
def app(run_dvc: RunDvc, own_registry: Registry, tmp_path: Path) -> App:
    folder = init_project(tmp_path / "app").repo
    app = App(folder, own_registry.environ)
    git(tmp_path, "init", "--quiet", "--bare", str(app.origin))
    git(folder, "remote", "set-url", "origin", str(app.origin))
    pull = ("models", "pull", "churn#dev", "--lock", "--repo", ORIGIN_URL)
    done = run_dvc(*pull, cwd=folder, env=own_registry.environ)
    assert done.returncode == 0, done.stderr
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Pin")
    git(folder, "push", "--quiet", "origin", "main")
    return app


def test_nothing_is_pushed_while_nothing_has_moved(app: App) -> None:
    calls = app.run()

    assert calls.count("\n") == 1
    assert calls.startswith("pr list --head update-models --state open")
    assert app.pushed() is None


def test_a_stage_that_moves_back_closes_the_pull_request(
    app: App, own_registry: Registry
) -> None:
    project = own_registry.project
    project.tag("churn#dev#9", "churn@v2.0.0")
    app.run()
    app.open.write_text("7\n")
    project.tag("churn#dev#10", "churn@v1.0.0")

    again = app.run()

    assert "pr close 7 --delete-branch" in again
    assert "pr edit" not in again


def test_a_moved_stage_becomes_a_pull_request_once(
    app: App, own_registry: Registry
) -> None:
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")

    first = app.run()
    head = app.head()
    app.known.write_text(head)
    app.open.write_text("7\n")
    again = app.run()

    assert "pr create --head update-models --title Update models.lock" in first
    assert app.pushed() == "v2.0.0"
    assert app.head() == head
    assert "pr create" not in again
    assert "pr edit 7 --body-file" in again


def test_a_pull_request_that_was_closed_stays_closed(
    app: App, own_registry: Registry
) -> None:
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    app.run()
    app.known.write_text(app.head())

    again = app.run()

    assert "pr create" not in again
    assert "pr edit" not in again


def test_a_job_that_ended_after_the_push_opens_the_pull_request_the_next_time(
    app: App, own_registry: Registry
) -> None:
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    app.run()

    again = app.run()

    assert "pr create" in again


def test_a_later_move_replaces_the_branch(app: App, own_registry: Registry) -> None:
    project = own_registry.project
    project.tag("churn#dev#9", "churn@v2.0.0")
    app.run()
    project.tag("churn@v3.0.0", "churn@v1.0.0")
    project.tag("churn#dev#10", "churn@v3.0.0")

    app.run()

    assert app.pushed() == "v3.0.0"
    assert git(app.origin, "rev-list", "--count", "main..update-models") == "1\n"
