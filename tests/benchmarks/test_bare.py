"""The bare prototype does the work of a pull, so that their times can be compared."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from needs import SAVES_MANY
from projects import ORIGIN_URL, commit_all, git, init_project, read_tree, track, write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

FILES = {f"models/many/{n}.bin": bytes([n]) * 100 * (n + 1) for n in range(50)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    project = init_project(tmp_path / "project")
    write(project.repo, FILES)
    track(project.repo, "models/many")
    commit_all(project, "Train")
    return project.clone(tmp_path / "clone")


def run(clone: Path, studio: StudioServer, *options: str) -> int:
    command = [sys.executable, "-m", "benchmarks.bare", ORIGIN_URL, "many"]
    env = {**os.environ, **studio.environ}
    command += options
    return subprocess.run(command, cwd=clone, env=env, check=False).returncode


@pytest.mark.skipif(not SAVES_MANY, reason="this DVC's state saves hashes one by one")
@pytest.mark.parametrize("options", [(), ("--links",), ("--connections", "64")])
def test_it_places_the_model_and_fills_the_cache(
    clone: Path,
    studio: StudioServer,
    file_server: FileServer,
    run_dvc: RunDvc,
    options: tuple[str, ...],
) -> None:
    studio.serve("many", file_server.publish(FILES))

    code = run(clone, studio, *options)

    assert code == 0
    placed = {path: (clone / path).read_bytes() for path in FILES}
    assert placed == FILES
    cached = read_tree(clone / ".dvc/cache/files/md5")
    md5s = (hashlib.md5(body).hexdigest() for body in FILES.values())
    objects = {path for path in cached if not path.endswith(".dir")}
    assert objects == {f"{md5[:2]}/{md5[2:]}" for md5 in md5s}
    links = (clone / "models/many/1.bin").stat().st_nlink
    assert links == (2 if "--links" in options else 1)
    assert git(clone, "status", "--porcelain") == ""
    assert "up to date" in run_dvc("status", cwd=clone).stdout


def test_it_places_nothing_with_other_content(
    clone: Path, studio: StudioServer, file_server: FileServer
) -> None:
    files = file_server.publish(FILES)
    studio.serve("many", files)
    path = next(iter(file_server.objects))
    file_server.objects[path] = b"other"

    assert run(clone, studio) == 1
    assert sum(path.is_file() for path in (clone / ".dvc/cache").rglob("*")) < 50
    assert not (clone / "models/many").exists()
