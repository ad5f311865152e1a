"""The examples for CI and pre-commit, run as CI and pre-commit run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from projects import CHURN
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

EXAMPLES = Path(__file__).parents[2] / "examples"
INSTALL = "pip install git+https://git.example.com/dvc-studio-models"
BIN = Path(sys.executable).parent


def read(name: str) -> Any:
    return YAML(typ="safe").load((EXAMPLES / name).read_text("utf-8"))


def github_lines() -> list[str]:
    steps = read("github-actions.yml")["jobs"]["predict"]["steps"]
    return [step["run"] for step in steps if "run" in step]


def gitlab_lines() -> list[str]:
    return list(read("gitlab-ci.yml")["predict"]["script"])


def run(
    *command: str | Path, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "lines", [github_lines, gitlab_lines], ids=lambda f: f.__name__
)
def test_a_job_pulls_the_model_and_its_log_is_plain(
    registry: Registry, clone: Path, lines: Callable[[], list[str]]
) -> None:
    first, *rest = lines()
    assert first == INSTALL  # which the environment of the tests has done
    env = {**registry.environ, "CI": "true"}

    done = run("bash", "-euo", "pipefail", "-c", "\n".join(rest), cwd=clone, **env)

    assert (done.returncode, done.stderr) == (0, "")
    assert "verified against Git" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_the_secret_is_asked_of_the_ci_s_own_store() -> None:
    (step,) = [
        step
        for step in read("github-actions.yml")["jobs"]["predict"]["steps"]
        if "dvc models pull" in step.get("run", "")
    ]

    assert step["env"] == {"DVC_STUDIO_TOKEN": "${{ secrets.DVC_STUDIO_TOKEN }}"}


def test_pre_commit_lets_pass_what_production_has_and_nothing_else(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    config = clone / ".pre-commit-config.yaml"
    shutil.copy(EXAMPLES / "pre-commit-config.yaml", config)
    env = registry.environ
    hook = (BIN / "pre-commit", "run", "--all-files", "--hook-stage", "pre-push")

    run_dvc("models", "pull", "churn#dev", cwd=clone, env=env)
    refused = run(*hook, cwd=clone, **env)
    run_dvc("models", "pull", "churn#prod", cwd=clone, env=env)
    passed = run(*hook, cwd=clone, **env)

    assert refused.returncode == 1, refused.stderr
    assert "models/churn.pkl" in refused.stdout
    assert passed.returncode == 0, passed.stdout
    assert "models are the ones in production" in passed.stdout
