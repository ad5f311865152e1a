"""Targets that are links: the content of the linked file counts."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import CHURN

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

MODEL = "models/churn.pkl"
SIZE = len(CHURN["v2.0.0"])


@pytest.fixture
def linked(run_dvc: RunDvc, registry: Registry, clone: Path) -> Path:
    """A clone whose models are links into its cache."""
    run_dvc("config", "--local", "cache.type", "symlink", cwd=clone)
    for name in ("churn", "bert"):
        run_dvc("models", "pull", name, cwd=clone, env=registry.environ)
    assert (clone / MODEL).is_symlink()
    return clone


def sizes(stdout: str) -> dict[str, int]:
    (model,) = json.loads(stdout)["models"]
    return {file["path"]: file["size"] for file in model["files"]}


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["pull", "dry run"])
def test_an_unchanged_link_has_the_size_of_its_content(
    run_dvc: RunDvc, registry: Registry, linked: Path, options: tuple[str, ...]
) -> None:
    pull = ("models", "pull", "churn", *options)

    done = run_dvc(*pull, "--json", cwd=linked, env=registry.environ)
    shown = run_dvc(*pull, cwd=linked, env=registry.environ)

    assert sizes(done.stdout) == {MODEL: SIZE}
    assert "371.1 KiB" in shown.stdout
    assert "unchanged" in shown.stdout


def test_status_tells_the_size_of_the_content(
    run_dvc: RunDvc, registry: Registry, linked: Path
) -> None:
    status = ("models", "status", "churn", "--json")

    done = run_dvc(*status, cwd=linked, env=registry.environ)

    assert sizes(done.stdout) == {MODEL: SIZE}


@pytest.mark.parametrize("name", ["churn", "bert"])
def test_what_is_locked_over_links_is_pulled_in_another_clone(
    run_dvc: RunDvc, registry: Registry, linked: Path, tmp_path: Path, name: str
) -> None:
    env = registry.environ
    run_dvc("models", "pull", name, "--lock", cwd=linked, env=env)
    other = registry.project.clone(tmp_path / "other")
    shutil.copy(linked / "models.lock", other)

    done = run_dvc("models", "pull", "--locked", cwd=other, env=env)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_link_of_the_users_own_has_the_size_of_its_content(
    run_dvc: RunDvc, registry: Registry, clone: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "shared.pkl"
    elsewhere.write_bytes(CHURN["v2.0.0"])
    (clone / "models").mkdir(exist_ok=True)
    (clone / MODEL).symlink_to(elsewhere)
    pull = ("models", "pull", "churn", "--json")

    done = run_dvc(*pull, cwd=clone, env=registry.environ)

    assert sizes(done.stdout) == {MODEL: SIZE}
    assert (clone / MODEL).is_symlink()
