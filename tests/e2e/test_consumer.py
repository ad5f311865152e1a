"""An app that uses models of other repos: each command knows where they are from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from dvc.utils.serialize import load_yaml
from projects import CHURN, ORIGIN_URL, git, init_project

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

PATH = "models/churn.pkl"
APP_URL = "git@git.example.com:acme/app.git"
REPO = ("--repo", ORIGIN_URL)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A DVC project of its own, whose remote is not the models' repo."""
    folder = init_project(tmp_path / "app").repo
    git(folder, "remote", "set-url", "origin", APP_URL)
    return folder


@pytest.mark.parametrize("selector", ["churn@v1.0.0", "churn#dev", "churn"])
def test_a_lock_names_the_repo_and_what_the_server_says_it_is(
    run_dvc: RunDvc, registry: Registry, app: Path, selector: str
) -> None:
    done = run_dvc(
        *("models", "pull", selector, "--lock", "--json", *REPO),
        cwd=app,
        env=registry.environ,
    )

    assert done.returncode == 0, done.stderr
    version = "v2.0.0" if selector == "churn" else "v1.0.0"
    commit = registry.project.commit(f"churn@{version}")
    result = json.loads(done.stdout)
    (model,) = result["models"]
    assert (result["repo"], "repo" in model) == (ORIGIN_URL, False)
    assert (model["version"], model["commit"]) == (version, commit)
    assert model["files"][0]["verified_by"] == "url"
    pin = load_yaml(app / "models.lock")["models"]["churn"]
    assert (pin["repo"], pin["version"], pin["commit"]) == (ORIGIN_URL, version, commit)


def test_a_fresh_clone_of_the_app_pulls_what_is_locked_without_repo(
    run_dvc: RunDvc, registry: Registry, app: Path, tmp_path: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=env)
    commit_all(app)
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(app), str(fresh))
    git(fresh, "remote", "set-url", "origin", APP_URL)

    done = run_dvc("models", "pull", "--locked", "--json", cwd=fresh, env=env)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["repo"] == ORIGIN_URL
    assert result["models"][0]["version"] == "v1.0.0"
    assert result["models"][0]["files"][0]["verified_by"] == "lock"
    assert (fresh / PATH).read_bytes() == CHURN["v1.0.0"]


def commit_all(folder: Path) -> None:
    git(folder, "add", ".dvc", "models.lock")
    git(folder, "commit", "--quiet", "--message", "All")


def test_status_asks_the_repo_that_a_model_was_pulled_from(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=env)

    fresh = run_dvc("models", "status", cwd=app, env=env)
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    moved = run_dvc("models", "status", "--json", cwd=app, env=env)

    commit = own_registry.project.commit("churn@v1.0.0")[:7]
    assert (fresh.returncode, fresh.stdout) == (
        0,
        f"churn#dev = v1.0.0 ({commit}): up to date\n",
    )
    assert moved.returncode == 1, moved.stderr
    assert json.loads(moved.stdout)["models"][0]["version"] == "v2.0.0"
