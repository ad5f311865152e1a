"""``examples/Makefile``: builds once, then builds again only if the stage moves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from projects import git

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "Makefile"


@pytest.fixture
def clone(own_registry: Registry, tmp_path: Path) -> Path:
    clone = own_registry.project.clone(tmp_path / "clone")
    shutil.copy(EXAMPLE, clone / "Makefile")
    return clone


def make(
    folder: Path, env: Mapping[str, str], *args: str
) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", *args],
        cwd=folder,
        env={**os.environ, **env, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def move_stage(registry: Registry, version: str) -> None:
    repo = registry.project.repo
    git(repo, "tag", "-a", "-m", "x", "churn#prod#9", f"churn@{version}^{{commit}}")


@pytest.mark.parametrize("link", ["reflink,copy", "hardlink", "symlink"])
def test_make_pulls_only_when_the_stage_has_moved(
    run_dvc: RunDvc, own_registry: Registry, clone: Path, link: str
) -> None:
    env = own_registry.environ
    run_dvc("config", "cache.type", link, cwd=clone)
    run_dvc("models", "pull", "churn@v1.0.0", cwd=clone, env=env)  # a link of today

    first, second = make(clone, env), make(clone, env)
    move_stage(own_registry, "v1.0.0")
    third, fourth = make(clone, env), make(clone, env)

    assert [done.returncode for done in (first, second, third, fourth)] == [0] * 4
    assert "predicting" in first.stdout
    assert "predicting" in third.stdout
    assert first.stdout != third.stdout
    assert (second.stdout, fourth.stdout) == ("", "")


def test_make_takes_a_model_that_is_there_already(
    run_dvc: RunDvc, own_registry: Registry, clone: Path
) -> None:
    env = own_registry.environ
    run_dvc("models", "pull", "churn#prod", cwd=clone, env=env)

    first, second = make(clone, env), make(clone, env)

    assert "predicting" in first.stdout
    assert (second.returncode, second.stdout) == (0, "")


def test_make_brings_back_a_model_that_was_deleted(
    own_registry: Registry, clone: Path
) -> None:
    make(clone, own_registry.environ)
    (clone / "models/churn.pkl").unlink()

    done = make(clone, own_registry.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / "models/churn.pkl").exists()


def test_make_without_studio_fails_and_goes_on_when_told_that_the_model_is_old(
    own_registry: Registry, clone: Path
) -> None:
    nobody = {**own_registry.environ, "DVC_STUDIO_URL": "http://127.0.0.1:1"}
    make(clone, own_registry.environ)
    (clone / "predictions.txt").unlink()

    failed = make(clone, nobody)
    went_on = make(clone, nobody, "--old-file=.dvc/tmp/churn.stamp")

    assert failed.returncode == 2
    assert "cannot reach Studio" in failed.stderr
    assert (went_on.returncode, went_on.stderr) == (0, "")
    assert "predicting" in went_on.stdout


def test_what_make_leaves_is_ignored_by_git(
    own_registry: Registry, clone: Path
) -> None:
    make(clone, own_registry.environ)

    untracked = git(clone, "status", "--porcelain")

    assert untracked.split() == ["??", "Makefile", "??", "predictions.txt"]
