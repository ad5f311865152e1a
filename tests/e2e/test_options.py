"""The options of ``dvc models pull`` that choose files, or ask instead of pulling."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from projects import BERT, CHURN, git

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

CONFIG = "models/bert/config.json"


def names(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        pytest.param(["--include=*.json"], {"config.json"}, id="in every folder"),
        pytest.param(
            [
                "--include=models/bert/**",
                "--exclude=weights/",
                "--exclude=/models/*.pkl",
            ],
            {"config.json", "empty.txt"},
            id="excludes are stronger",
        ),
        pytest.param(
            ["--exclude=*.bin"], {"config.json", "empty.txt"}, id="all but these"
        ),
    ],
)
def test_globs_choose_the_files(
    run_dvc: RunDvc, registry: Registry, clone: Path, globs: list[str], left: set[str]
) -> None:
    done = run_dvc("models", "pull", "bert", *globs, cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert names(clone / "models/bert") == left
    assert "verified against Git" in done.stdout


def test_globs_that_match_nothing_are_an_error(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "bert", "--include=*.onnx", cwd=clone, env=registry.environ
    )

    assert done.returncode == 254
    assert "no file matches --include *.onnx" in done.stderr


def test_a_partial_pull_removes_nothing_of_the_whole(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=registry.environ)
    run_dvc(
        *("models", "pull", "bert@v2.0.0", "--include=*.json"),
        cwd=clone,
        env=registry.environ,
    )
    partly = names(clone / "models/bert")

    run_dvc("models", "pull", "bert@v2.0.0", cwd=clone, env=registry.environ)

    assert partly == set(BERT["v1.0.0"])
    assert names(clone / "models/bert") == set(BERT["v2.0.0"])


def test_check_is_silent_and_tells_by_its_exit_code(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    pull = ("models", "pull", "churn")
    before = run_dvc(*pull, "--check", cwd=clone, env=registry.environ)
    absent = not (clone / "models/churn.pkl").exists()
    run_dvc(*pull, cwd=clone, env=registry.environ)

    after = run_dvc(*pull, "--check", cwd=clone, env=registry.environ)

    assert absent
    assert (before.returncode, before.stdout, before.stderr) == (1, "", "")
    assert (after.returncode, after.stdout, after.stderr) == (0, "", "")


def test_check_tells_of_a_conflict(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    (clone / "models/churn.pkl").write_bytes(b"mine")

    done = run_dvc(
        "models", "pull", "churn", "--check", cwd=clone, env=registry.environ
    )

    assert done.returncode == 1
    assert (clone / "models/churn.pkl").read_bytes() == b"mine"


def test_urls_can_be_fetched_with_curl(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "churn", "--urls", cwd=clone, env=registry.environ)

    path, url = done.stdout.rstrip("\n").split("\t")
    fetched = subprocess.run(
        ["curl", "--silent", "--fail", url], check=True, capture_output=True
    )
    assert path == "models/churn.pkl"
    assert fetched.stdout == CHURN["v2.0.0"]
    assert git(clone, "status", "--porcelain") == ""


def test_urls_come_as_json_too(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "bert", "--urls", "--json", f"--include={CONFIG}"),
        cwd=clone,
        env=registry.environ,
    )

    urls = json.loads(done.stdout)
    assert list(urls) == [CONFIG]
    assert urls[CONFIG].startswith(registry.url)


def test_asking_in_two_ways_at_once_is_refused(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc("models", "pull", "churn", "--urls", "--check", cwd=clone)

    assert done.returncode == 254
