"""``dvc models cache prune`` that is killed at a removal, and the next one."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from needs import need_program
from projects import BERT, Project, copy_project, git

if TYPE_CHECKING:
    from pathlib import Path

    from warm import Warm

pytestmark = [pytest.mark.slow]

MOST_REMOVALS = 60
"""More than one prune removes, with the temporary files of DVC's databases."""


def objects(repo: Path) -> set[str]:
    """Return the names of the objects in a cache."""
    found = (repo / ".dvc/cache/files/md5").glob("??/*")
    return {path.parent.name + path.name for path in found}


def test_killed_at_any_removal_no_folder_seems_complete_and_the_next_prune_ends_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, warm_dvc: Warm
) -> None:
    need_program("strace")
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, tmp_path / "whole")
    env = {**os.environ, "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    output, log = tmp_path / "output", tmp_path / "log"
    prune = ("models", "cache", "prune", "--force")
    warm_dvc.run(*prune, "--dry-run", "--json", cwd=project.repo, env=env,
                 output=output)  # fmt: skip
    count = json.loads(output.read_text())["objects"]
    before = objects(project.repo)
    assert count == 4

    outcomes: set[tuple[bool, int]] = set()
    for number in range(1, MOST_REMOVALS):
        root = tmp_path / str(number)
        shutil.copytree(project.root, root, symlinks=True)
        world = Project(root)
        inject = f"inject=unlink,unlinkat:signal=KILL:when={number}"
        trace = ["-f", "-q", "-o", str(log)]
        warm_dvc.run(*prune, cwd=world.repo, env=env, output=output,
                     trace=[*trace, "-e", "trace=unlink,unlinkat", "-e", inject],
                     )  # fmt: skip
        killed = "exited with" not in log.read_text().splitlines()[-1]
        left = objects(world.repo)
        gone = before - left
        outcomes.add((killed, len(gone)))
        assert len(gone) <= count
        if gone:
            assert any(name.endswith(".dir") for name in gone)

        assert warm_dvc.run(*prune, cwd=world.repo, env=env, output=output) == 0

        assert len(before - objects(world.repo)) == count
        assert not (world.repo / ".dvc/cache/models/removal.unfinished").exists()
        shutil.rmtree(world.repo / "models")
        git(world.repo, "checkout", "-q", "--", "models")
        assert warm_dvc.run("checkout", cwd=world.repo, env=env, output=output) == 0
        config = world.repo / "models/bert/config.json"
        assert config.read_bytes() == BERT["v2.0.0"]["config.json"]
        if not killed:
            break
    assert {(True, 1), (True, 2), (True, 3), (False, 4)} <= outcomes
