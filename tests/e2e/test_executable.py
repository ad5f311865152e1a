"""Files with ``isexec`` are executable after a pull, as after ``dvc checkout``."""

from __future__ import annotations

import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from needs import KNOWS_MODES
from projects import (
    Project,
    commit_all,
    git,
    init_project,
    track,
    write,
)

from tests.e2e.conftest import serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

SCRIPT = b"#!/bin/sh\necho hi\n"
DVC_YAML = b"""\
stages:
  build:
    cmd: cp -p bin/chat.llamafile tool.sh
    deps: [bin/chat.llamafile]
    outs: [tool.sh]
artifacts:
  chat: {path: bin/chat.llamafile, type: model}
  tool: {path: tool.sh, type: model}
  bundle: {path: bundle, type: model}
"""
PATHS = {"chat": "bin/chat.llamafile", "tool": "tool.sh"}
COPY, HARDLINK, SYMLINK, DEFAULT = "copy", "hardlink", "symlink", "reflink,copy"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Serve ``chat`` (a ``.dvc`` file), ``tool`` (in ``dvc.lock``) and a folder."""
    folder = tmp_path_factory.mktemp("programs")
    project = init_project(folder / "project")
    repo = project.repo
    write(
        repo, {"dvc.yaml": DVC_YAML, "bin/chat.llamafile": SCRIPT, "bundle/run": SCRIPT}
    )
    for path in ("bin/chat.llamafile", "bundle/run"):
        (repo / path).chmod(0o755)
    track(repo, "bin/chat.llamafile", "bundle")
    for command in ("repro", "push"):
        subprocess.run([DVC, command, "--quiet"], cwd=repo, check=True)
    commit_all(project, "Build")
    for name in (*PATHS, "bundle"):
        project.tag(f"{name}@v1.0.0")
    with serve(project, folder) as served:
        yield served


@pytest.fixture
def program_clone(programs: Registry, tmp_path: Path) -> Path:
    return clone_with_remote(programs.project, tmp_path / "clone")


def clone_with_remote(project: Project, folder: Path) -> Path:
    project.clone(folder)
    remote = f"['remote \"storage\"']\n    url = {project.storage}\n"
    (folder / ".dvc/config.local").write_text(remote)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pull_with_dvc(
    run_dvc: RunDvc, project: Project, folder: Path, cache_type: str
) -> Path:
    clone = clone_with_remote(project, folder)
    run_dvc("config", "--local", "cache.type", cache_type, cwd=clone)
    done = run_dvc("pull", "--quiet", cwd=clone)
    assert done.returncode == 0, done.stderr
    return clone


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("cache_type", [COPY, HARDLINK, SYMLINK, DEFAULT])
@pytest.mark.cold
def test_a_pulled_file_has_the_mode_that_dvc_gives_it(
    run_dvc: RunDvc,
    programs: Registry,
    program_clone: Path,
    tmp_path: Path,
    cache_type: str,
    name: str,
) -> None:
    path, clone = PATHS[name], program_clone
    theirs = pull_with_dvc(run_dvc, programs.project, tmp_path / "dvc", cache_type)
    run_dvc("config", "--local", "cache.type", cache_type, cwd=clone)

    done = run_dvc("models", "pull", name, cwd=clone, env=programs.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert mode(clone / path) == mode(theirs / path)
    assert subprocess.check_output([clone / path]) == b"hi\n"
    checkout = run_dvc("checkout", path, cwd=clone)
    shown = "" if KNOWS_MODES else f"M       {path}\n"
    assert (checkout.returncode, checkout.stdout) == (0, shown)


OPTIONS = [
    pytest.param((), id="from Studio"),
    pytest.param(("--no-cache",), id="without the cache"),
    pytest.param(("--source", "remote"), id="from the remote"),
    pytest.param(("--version", "v1.0.0"), id="an explicit version"),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_however_it_is_pulled_it_can_be_run(
    run_dvc: RunDvc, programs: Registry, program_clone: Path, options: Sequence[str]
) -> None:
    done = run_dvc(
        "models", "pull", "chat", *options, cwd=program_clone, env=programs.environ
    )

    assert done.returncode == 0, done.stderr
    assert mode(program_clone / PATHS["chat"]) & stat.S_IEXEC


def test_a_locked_file_can_be_run(
    run_dvc: RunDvc, programs: Registry, program_clone: Path, tmp_path: Path
) -> None:
    env = programs.environ
    run_dvc("models", "pull", "chat", "--lock", cwd=program_clone, env=env)
    other = programs.project.clone(tmp_path / "other")
    shutil.copy(program_clone / "models.lock", other)

    done = run_dvc("models", "pull", "--locked", cwd=other, env=env)

    assert done.returncode == 0, done.stderr
    assert mode(other / PATHS["chat"]) & stat.S_IEXEC


def test_a_file_outside_the_clone_can_be_run(
    run_dvc: RunDvc, programs: Registry, program_clone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    run_dvc(
        "models", "pull", "chat", "-o", out, cwd=program_clone, env=programs.environ
    )

    assert mode(out / PATHS["chat"]) & stat.S_IEXEC


@pytest.mark.parametrize("cache_type", [COPY, HARDLINK, SYMLINK])
def test_a_right_file_without_the_bit_gets_it_and_is_left_alone_otherwise(
    run_dvc: RunDvc, programs: Registry, program_clone: Path, cache_type: str
) -> None:
    target = program_clone / PATHS["chat"]
    run_dvc("config", "--local", "cache.type", cache_type, cwd=program_clone)
    pull = ("models", "pull", "chat")
    run_dvc(*pull, cwd=program_clone, env=programs.environ)
    target.chmod(0o444)
    before = target.lstat()

    done = run_dvc(*pull, cwd=program_clone, env=programs.environ)

    assert "unchanged" in done.stdout
    assert mode(target) == 0o544
    after = target.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    checkout = run_dvc("checkout", cwd=program_clone)
    assert ("chat.llamafile" not in checkout.stdout) == KNOWS_MODES


def test_dvc_status_is_clean_after_it(
    run_dvc: RunDvc, programs: Registry, program_clone: Path
) -> None:
    names = (*PATHS, "bundle")
    run_dvc("models", "pull", *names, cwd=program_clone, env=programs.environ)

    status = run_dvc("status", cwd=program_clone)
    checkout = run_dvc("checkout", cwd=program_clone)

    assert status.stdout == "Data and pipelines are up to date.\n"
    assert (checkout.returncode, not checkout.stdout) == (0, KNOWS_MODES)
    assert git(program_clone, "status", "--porcelain") == ""


def test_dvc_records_no_bit_for_a_file_in_a_folder(
    run_dvc: RunDvc, programs: Registry, program_clone: Path
) -> None:
    run_dvc("models", "pull", "bundle", cwd=program_clone, env=programs.environ)

    assert not mode(program_clone / "bundle/run") & stat.S_IEXEC


def test_a_dry_run_sets_no_bit(
    run_dvc: RunDvc, programs: Registry, program_clone: Path
) -> None:
    pull = ("models", "pull", "chat")
    run_dvc(*pull, cwd=program_clone, env=programs.environ)
    target = program_clone / PATHS["chat"]
    target.chmod(0o644)

    run_dvc(*pull, "--dry-run", cwd=program_clone, env=programs.environ)

    assert mode(target) == 0o644
