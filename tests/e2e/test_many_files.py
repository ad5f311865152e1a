"""Output for a model of many files: short, unless every file is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from projects import git

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

COUNT = 300
PATHS = [f"models/bert/{n:03}.bin" for n in range(COUNT)]
PULL = ("models", "pull", "bert")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.fixture
def environ(studio: StudioServer, file_server: FileServer) -> dict[str, str]:
    """A Studio with one model of many files of 1 KiB."""
    contents = {path: path.encode().ljust(1024) for path in PATHS}
    studio.serve("bert", file_server.publish(contents))
    return {**studio.environ, "DVC_STUDIO_REPO_URL": "acme/models"}


def test_a_folder_is_one_line(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path
) -> None:
    first = run_dvc(*PULL, "--no-cache", cwd=folder, env=environ)
    for path in PATHS[12:]:
        (folder / path).unlink()
    status = run_dvc("models", "status", "bert", cwd=folder, env=environ)
    second = run_dvc(*PULL, "--no-cache", cwd=folder, env=environ)

    assert first.stdout.splitlines()[1] == (
        "  models/bert/   300 files, 300.0 KiB  downloaded"
    )
    assert status.stdout.splitlines()[1] == ("  download  models/bert/  288 files")
    assert second.stdout.splitlines()[1] == (
        "  models/bert/   300 files, 300.0 KiB  downloaded (12 unchanged)"
    )


@pytest.mark.parametrize("option", ["--files", "-v"])
@pytest.mark.parametrize("command", ["pull", "status"])
def test_each_file_is_a_line_on_request(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path, command: str, option: str
) -> None:
    done = run_dvc("models", command, "bert", option, cwd=folder, env=environ)

    assert all(path in done.stdout for path in PATHS)


@pytest.fixture
def conflicts(folder: Path) -> Path:
    """A file of the user at each path."""
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("mine")
    return folder


@pytest.mark.parametrize("mode", [(), ("--dry-run",)], ids=["pull", "dry run"])
def test_many_conflicts_are_few_lines(
    run_dvc: RunDvc, environ: dict[str, str], conflicts: Path, mode: tuple[str, ...]
) -> None:
    short = run_dvc(*PULL, *mode, cwd=conflicts, env=environ)
    full = run_dvc(*PULL, *mode, "-v", cwd=conflicts, env=environ)

    assert (short.returncode, full.returncode) == (7, 7)
    assert short.stderr.splitlines()[1:] == [
        *(f"  {path}" for path in PATHS[:10]),
        "  ... and 290 more (all with -v)",
        "Move them, or replace them with '--force'",
    ]
    assert all(f"  {path}\n" in full.stderr for path in PATHS)


def test_a_dry_run_shows_all_and_fails_as_the_pull_would(
    run_dvc: RunDvc, environ: dict[str, str], conflicts: Path
) -> None:
    (conflicts / PATHS[0]).unlink()
    text = run_dvc(*PULL, "--dry-run", cwd=conflicts, env=environ)
    document = run_dvc(*PULL, "--dry-run", "--json", cwd=conflicts, env=environ)
    check = run_dvc(*PULL, "--check", cwd=conflicts, env=environ)

    assert "300 files, 1.0 KiB  conflict (1 download)" in text.stdout
    assert "300 files, 1.0 KiB; nothing was changed" in text.stdout
    [model] = json.loads(document.stdout)["models"]
    assert [file["action"] for file in model["files"][:2]] == ["download", "conflict"]
    assert (text.returncode, document.returncode, check.returncode) == (7, 7, 1)
    assert (check.stdout, check.stderr) == ("", "")


def test_a_size_that_nobody_knows_is_left_out(
    run_dvc: RunDvc, environ: dict[str, str], conflicts: Path
) -> None:
    done = run_dvc(*PULL, "--dry-run", cwd=conflicts, env=environ)

    assert "\n300 files; nothing was changed\n" in done.stdout


def test_quiet_prints_errors_and_nothing_else(
    run_dvc: RunDvc, environ: dict[str, str], conflicts: Path
) -> None:
    for command in ("pull", "status"):
        args = ("models", command, "nobody", "--quiet")
        done = run_dvc(*args, cwd=conflicts, env=environ)

        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith("ERROR: 'nobody' not found")
