"""Outputs with their own DVC remote, in a project without a default remote."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import (
    TOKEN,
    Project,
    commit_all,
    git,
    init_project,
    read_tree,
    serving,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

PULL = ("models", "pull", "--source", "remote")
DVC_YAML = b"""\
artifacts:
  one: {path: models/one.bin, type: model}
  folder: {path: models/folder, type: model}
  parts: {path: models/parts, type: model}
  inside: {path: models/folder/in/b.bin, type: model}
  staged: {path: models/staged.bin, type: model}
  unpushed: {path: models/unpushed.bin, type: model}
stages:
  train:
    cmd: mkdir -p models && cp src.txt models/staged.bin
    deps: [src.txt]
    outs:
      - models/staged.bin: {remote: c}
"""
FILES = {
    "models/one.bin": b"one\n" * 100,
    "models/folder/a.bin": b"of the folder\n",
    "models/folder/in/b.bin": b"deeper\n" * 50,
    "models/parts/x.bin": b"part x\n",
    "models/parts/y/z.bin": b"part y\n",
    "models/unpushed.bin": b"for nobody else\n",
}
REMOTES = {
    "models/one.bin": "a",
    "models/folder": "b",
    "models/parts/x.bin": "a",
    "models/parts/y": "b",
}


@pytest.fixture
def project(tmp_path: Path, run_dvc: RunDvc) -> Project:
    """Models on three remotes, none of which is the default remote."""
    project = init_project(tmp_path / "project")
    lines = "".join(
        f"['remote \"{name}\"']\n    url = {tmp_path}/{name}\n" for name in "abc"
    )
    (project.repo / ".dvc/config").write_text(f"[core]\n    analytics = false\n{lines}")
    write(
        project.repo, {**FILES, "dvc.yaml": DVC_YAML, "src.txt": b"for the stage\n" * 9}
    )
    (project.repo / ".gitignore").write_text("")
    for path in [*REMOTES, "models/unpushed.bin"]:
        assert run_dvc("add", path, cwd=project.repo).returncode == 0
        dvc_file = project.repo / f"{path}.dvc"
        remote = REMOTES.get(path)
        extra = f"  remote: {remote}\n" if remote else "  remote: a\n  push: false\n"
        dvc_file.write_text(dvc_file.read_text() + extra)
    assert run_dvc("repro", cwd=project.repo).returncode == 0
    pushed = run_dvc("push", cwd=project.repo)
    assert pushed.returncode == 0, pushed.stderr
    commit_all(project, "Train")
    for name in ("one", "folder", "parts", "inside", "staged", "unpushed"):
        project.tag(f"{name}@v1.0.0")
    return project


@pytest.fixture
def clone(project: Project, tmp_path: Path) -> Path:
    return project.clone(tmp_path / "clone")


@pytest.mark.cold
def test_each_output_comes_from_its_own_remote(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc(*PULL, "one", "folder", "parts", "staged", cwd=clone)

    assert done.returncode == 0, done.stderr
    there = read_tree(clone / "models")
    wanted = {
        path.removeprefix("models/"): content
        for path, content in FILES.items()
        if "unpushed" not in path
    }
    assert {path: there[path] for path in wanted} == wanted
    assert there["staged.bin"] == b"for the stage\n" * 9
    for name in ("one", "folder", "parts", "staged"):
        again = run_dvc("models", "status", name, "--source", "cache", cwd=clone)
        assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("one", "models/one.bin"),
        ("folder", "models/folder"),
        ("parts", "models/parts"),
        ("inside", "models/folder/in/b.bin"),
        ("staged", "models/staged.bin"),
    ],
)
def test_each_is_locked_listed_and_served(
    run_dvc: RunDvc, project: Project, clone: Path, model: str, path: str
) -> None:
    locked = run_dvc(*PULL, model, "--lock", cwd=clone)
    listed = json.loads(run_dvc("models", "list", "--json", cwd=clone).stdout)
    before = read_tree(clone / "models")
    shutil.rmtree(clone / "models")
    git(clone, "checkout", "--", "models")
    shutil.rmtree(clone / ".dvc/cache")
    again = run_dvc(*PULL, "--locked", cwd=clone)
    with serving(project.repo, no_auth=True) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        served = run_dvc("models", "pull", model, "-o", "../o", cwd=clone, env=env)

    assert locked.returncode == 0, locked.stderr
    states = {each["name"]: each["workspace"]["state"] for each in listed}
    assert states[model] == "registered"
    assert again.returncode == 0, again.stderr
    assert read_tree(clone / "models") == before
    assert served.returncode == 0, served.stderr
    assert (clone.parent / "o" / path).exists()


@pytest.mark.parametrize(
    ("models", "who"),
    [
        (["one"], "The DVC remote 'a' may have one@v1.0.0"),
        (["folder"], "The DVC remote 'b' may have folder@v1.0.0"),
        (["parts"], "The DVC remotes 'a', 'b' may have parts@v1.0.0"),
        (["one", "staged"], "The DVC remotes 'a', 'c' may have one@v1.0.0, staged@v1"),
    ],
    ids=["one", "folder", "parts", "several"],
)
def test_a_failing_studio_points_to_the_remotes_that_are_named(
    run_dvc: RunDvc, clone: Path, models: list[str], who: str
) -> None:
    hint = run_dvc("models", "pull", *models, cwd=clone)
    done = run_dvc(*PULL, *models, cwd=clone)

    assert hint.returncode == 3
    assert who in hint.stderr
    assert done.returncode == 0, done.stderr


def test_an_output_without_a_remote_of_its_own_is_told_where_there_is_no_default(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    dvc_file = project.repo / "models/parts/x.bin.dvc"
    dvc_file.write_text(dvc_file.read_text().replace("  remote: a\n", ""))
    commit_all(project, "Keep x nowhere")
    project.tag("parts@v2.0.0")
    clone = project.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "parts", cwd=clone)
    others = run_dvc(*PULL, "one", cwd=clone)

    assert done.returncode == 251, done.stderr
    assert "no default remote, and 'models/parts/x.bin' names none" in done.stderr
    assert not (clone / "models/parts/y").exists()
    assert others.returncode == 0, others.stderr


def test_a_remote_that_the_config_does_not_have_is_told_by_name(
    run_dvc: RunDvc, clone: Path
) -> None:
    config = clone / ".dvc/config"
    config.write_text(config.read_text().replace('"b"', '"other"'))

    done = run_dvc(*PULL, "folder", cwd=clone)

    assert done.returncode == 251, done.stderr
    assert "remote 'b' doesn't exist" in done.stderr


def test_what_is_not_to_be_pushed_is_told_as_that(
    run_dvc: RunDvc, project: Project, clone: Path
) -> None:
    done = run_dvc(*PULL, "unpushed", cwd=clone)
    cache = clone / ".dvc/cache"
    shutil.copytree(project.repo / ".dvc/cache", cache, dirs_exist_ok=True)
    cached = run_dvc("models", "pull", "unpushed", "--source=cache", cwd=clone)

    assert done.returncode == 5, done.stderr
    assert "models/unpushed.bin: it is not there; DVC does not push it" in done.stderr
    assert "push: false" in done.stderr
    assert "was it pushed" not in done.stderr
    assert cached.returncode == 0, cached.stderr


def test_what_is_not_to_be_pushed_comes_where_the_remote_has_it(
    run_dvc: RunDvc, project: Project, clone: Path, tmp_path: Path
) -> None:
    shutil.copytree(project.repo / ".dvc/cache", tmp_path / "a", dirs_exist_ok=True)

    done = run_dvc(*PULL, "unpushed", cwd=clone)

    assert done.returncode == 0, done.stderr
