"""``dvc models which`` as users run it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from projects import BERT, CHURN, ORIGIN_URL, git, write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry


def which(run_dvc: RunDvc, cwd: Path, *files: str, code: int = 0) -> dict[str, Any]:
    done = run_dvc("models", "which", *files, "--json", cwd=cwd)
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


def versions(file: dict[str, Any]) -> list[str]:
    return [f"{m['model']} {m['version']}" for m in file["matches"]]


@pytest.mark.cold
def test_files_are_identified_wherever_they_are(
    run_dvc: RunDvc, registry: Registry, clone: Path, tmp_path: Path
) -> None:
    for names in (["churn#dev", "bert@v1.0.0"], ["bert"]):
        run_dvc("models", "pull", *names, cwd=clone, env=registry.environ)
    copy = tmp_path / "copy.bin"
    shutil.copy(clone / "models/churn.pkl", copy)
    write(clone, {"models/bert/config.json": b"edited", "notes.txt": b"mine"})

    files = ("models/churn.pkl", str(copy), "models/bert/config.json")
    done = run_dvc("models", "which", *files, cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["models/churn.pkl", "churn", "v1.0.0", "(dev)"],
        [str(copy), "churn", "v1.0.0", "(dev)"],
        ["models/bert/config.json", "bert", "modified"],
    ]
    done = run_dvc("models", "which", "notes.txt", cwd=clone)
    assert done.returncode == 1
    assert done.stdout.split() == ["notes.txt", "not", "a", "model"]


def test_which_as_json_has_all_versions_of_a_content(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    for version in BERT:
        pull = ("models", "pull", f"bert@{version}")
        run_dvc(*pull, cwd=clone, env=registry.environ)

    files = ("weights/part one.bin", "config.json", "../bert")
    found = which(run_dvc, clone / "models/bert", *files)

    same, config, folder = found["files"]
    assert versions(same) == ["bert v2.0.0", "bert v1.0.0"]
    assert (versions(config), versions(folder)) == (["bert v2.0.0"], ["bert v2.0.0"])
    assert config["matches"] == [
        {
            "model": "bert",
            "version": "v2.0.0",
            "commit": registry.project.commit("bert@v2.0.0"),
            "path": "models/bert/config.json",
            "stages": [],
            "repo": None,
        }
    ]
    assert (config["modified"], config["model"]) == (False, "bert")
    assert found["unread"] == []


def test_another_version_at_a_model_s_path_is_not_modified(
    run_dvc: RunDvc, clone: Path
) -> None:
    write(clone, {"models/churn.pkl": CHURN["v1.0.0"]})

    (file,) = which(run_dvc, clone, "models/churn.pkl")["files"]

    assert versions(file) == ["churn v1.0.0"]
    assert file["matches"][0]["stages"] == ["dev"]
    assert not file["modified"]


def test_files_of_a_folder_whose_list_is_missing_are_said_to_be_unknown(
    run_dvc: RunDvc, clone: Path
) -> None:
    write(clone, {"x.json": BERT["v1.0.0"]["config.json"], "y": CHURN["v2.0.0"]})

    done = run_dvc("models", "which", "x.json", cwd=clone)
    known = run_dvc("models", "which", "y", cwd=clone)

    assert done.returncode == 1
    assert "not compared with the files of these versions" in done.stderr
    assert "bert@v2.0.0, bert@v1.0.0" in done.stderr
    assert (known.returncode, known.stderr) == (0, "")
    unread = which(run_dvc, clone, "x.json", code=1)["unread"]
    assert unread == ["bert@v2.0.0", "bert@v1.0.0"]


def test_the_lock_file_knows_versions_without_tags(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", "--lock", cwd=clone, env=registry.environ)
    git(clone, "tag", "--delete", *git(clone, "tag").split())
    shutil.rmtree(clone / ".dvc/tmp")
    shutil.rmtree(clone / ".dvc/cache")

    (file,) = which(run_dvc, clone, "models/bert/config.json")["files"]

    assert versions(file) == ["bert v2.0.0"]


def test_models_of_another_repo_are_named_with_it(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    git(app, "init", "--quiet")
    pull = ("models", "pull", "churn", "--repo", ORIGIN_URL)
    done = run_dvc(*pull, cwd=app, env=registry.environ)
    assert done.returncode == 0, done.stderr

    done = run_dvc("models", "which", "models/churn.pkl", cwd=app)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        *("models/churn.pkl", "churn", "v2.0.0", "from", ORIGIN_URL),
    ]


def test_outside_of_git_the_user_s_cache_knows_what_was_pulled(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    pull = ("models", "pull", "bert", "--repo", ORIGIN_URL, "--out", "o")
    done = run_dvc(*pull, cwd=tmp_path, env=registry.environ)
    assert done.returncode == 0, done.stderr
    write(tmp_path, {"o/models/bert/empty.txt": b"no more"})

    files = ("o/models/bert/config.json", "o/models/bert/empty.txt")
    config, edited = which(run_dvc, tmp_path, *files)["files"]

    assert versions(config) == ["bert v2.0.0"]
    assert config["matches"][0]["repo"] == ORIGIN_URL
    assert (edited["modified"], edited["model"]) == (True, "bert")


def test_a_file_that_is_not_there_is_an_error(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc("models", "which", "nofile", cwd=clone)

    assert (done.returncode, done.stdout) == (8, "")
    assert "cannot read 'nofile': no such file or directory" in done.stderr
    assert run_dvc("models", "which", cwd=clone).returncode == 254


def test_a_folder_that_dvc_refuses_to_hash_is_not_a_model(
    run_dvc: RunDvc, clone: Path
) -> None:
    write(clone, {"data/.dvcignore": b"", "data/x": b"x"})

    for folder in ("data", "."):
        (file,) = which(run_dvc, clone, folder, code=1)["files"]

        assert (file["md5"], file["matches"]) == (None, [])
