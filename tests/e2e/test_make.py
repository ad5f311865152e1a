"""``examples/Makefile``: built once, left alone, built again when the stage moves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from projects import git

if TYPE_CHECKING:
    from tests.e2e.conftest import Registry

EXAMPLE = Path(__file__).parents[2] / "examples" / "Makefile"


def make(folder: Path, registry: Registry) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["make"],
        cwd=folder,
        env={**os.environ, **registry.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_pulls_only_when_the_stage_has_moved(
    own_registry: Registry, tmp_path: Path
) -> None:
    project = own_registry.project
    clone = project.clone(tmp_path / "clone")
    shutil.copy(EXAMPLE, clone / "Makefile")

    first = make(clone, own_registry)
    second = make(clone, own_registry)
    git(project.repo, "tag", "-a", "-m", "x", "churn#prod#9", "churn@v1.0.0^{commit}")
    third = make(clone, own_registry)
    fourth = make(clone, own_registry)

    assert "predicting" in first
    assert "predicting" not in second
    assert "predicting" in third
    assert third != first
    assert "predicting" not in fourth
