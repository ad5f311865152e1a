"""``dvc models diff`` as users run it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from projects import BERT, CHURN, ORIGIN_URL, commit_all, track, write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry


def diff(run_dvc: RunDvc, cwd: Path, *args: str, **options: Any) -> dict[str, Any]:
    done = run_dvc("models", "diff", *args, "--json", cwd=cwd, **options)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def paths(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["path"] for entry in entries]


@pytest.mark.cold
def test_a_folder_s_files_are_listed_by_the_dvc_remote(
    run_dvc: RunDvc, registry: Registry
) -> None:
    clone = registry.project.clone(registry.project.root / "fresh")  # sees the remote

    done = run_dvc("models", "diff", "bert@v1.0.0", "bert", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if line]
    assert lines == [
        "bert v1.0.0, 5 files -> bert v2.0.0, 4 files",
        "Deleted:",
        "models/bert/vocab.txt",
        "Modified:",
        "models/bert/config.json",
        "models/bert/weights/größe-模型.bin",
        "files summary: 0 added, 1 deleted, 0 renamed, 2 modified",
    ]
    shutil.rmtree(clone)


def test_sizes_are_those_of_git_and_of_the_cache(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    for version in BERT:
        pull = ("models", "pull", f"bert@{version}")
        assert run_dvc(*pull, cwd=clone, env=registry.environ).returncode == 0

    bert = diff(run_dvc, clone, "bert@v1.0.0", "bert@v2.0.0")
    churn = diff(run_dvc, clone, "churn#dev", "churn#prod")

    sizes = [sum(map(len, files.values())) for files in BERT.values()]
    assert [bert["old"]["size"], bert["new"]["size"]] == sizes
    assert bert["deleted"][0]["size"] == 26
    (modified,) = churn["modified"]
    assert modified["path"] == "models/churn.pkl"
    assert list(modified["size"].values()) == list(map(len, CHURN.values()))
    assert churn["new"]["requested"] == {"stage": "prod"}
    assert churn["new"]["version"] == "v2.0.0"


def test_a_file_that_has_moved_is_renamed(
    run_dvc: RunDvc, own_registry: Registry
) -> None:
    project = own_registry.project
    bert = project.repo / "models/bert"
    (bert / "config.json").rename(bert / "settings.json")
    write(bert, {"new.txt": b"new"})
    track(project.repo, "models/bert")
    commit_all(project, "Rename")
    project.tag("bert@v3.0.0")

    found = diff(run_dvc, project.repo, "bert@v2.0.0", "bert")

    assert found["renamed"][0]["path"] == {
        "old": "models/bert/config.json",
        "new": "models/bert/settings.json",
    }
    assert paths(found["added"]) == ["models/bert/new.txt"]
    assert (found["deleted"], found["modified"]) == ([], [])


def test_one_name_is_compared_with_the_workspace(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", "churn#dev", cwd=clone, env=registry.environ)
    (clone / "models/bert/config.json").write_bytes(b"edited")
    write(clone, {"models/bert/notes.txt": b"mine"})
    (clone / "models/bert/empty.txt").unlink()

    bert = diff(run_dvc, clone, "bert")
    churn = diff(run_dvc, clone, "churn@v1.0.0")
    absent = diff(run_dvc, clone, "services/fraud:fraud")

    assert bert["new"]["workspace"]
    assert paths(bert["added"]) == ["models/bert/notes.txt"]
    assert paths(bert["deleted"]) == ["models/bert/empty.txt"]
    assert paths(bert["modified"]) == ["models/bert/config.json"]
    assert bert["modified"][0]["size"]["new"] == len(b"edited")
    text = run_dvc("models", "diff", "churn@v1.0.0", cwd=clone).stdout
    assert "-> workspace (churn), 1 file, 1.7 KiB\nfiles summary: no changes" in text
    assert [churn[key] for key in ("added", "deleted", "modified")] == [[], [], []]
    assert paths(absent["deleted"]) == ["services/fraud/model.bin"]


def test_models_of_another_repo_are_compared_by_what_studio_serves(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    args = ("bert@v1.0.0", "bert", "--repo", ORIGIN_URL)

    found = diff(run_dvc, tmp_path, *args, env=registry.environ)

    assert found["repo"] == ORIGIN_URL
    assert found["new"]["version"] == "v2.0.0"
    assert paths(found["deleted"]) == ["models/bert/vocab.txt"]
    alone = ("models", "diff", "bert", "--repo", ORIGIN_URL)
    done = run_dvc(*alone, cwd=tmp_path, env=registry.environ)
    assert done.returncode == 254
    assert "name two versions" in done.stderr


def test_a_list_of_files_that_is_nowhere_is_an_error_that_says_what_to_do(
    run_dvc: RunDvc, clone: Path
) -> None:
    done = run_dvc("models", "diff", "bert@v1.0.0", "bert", cwd=clone)

    assert (done.returncode, done.stdout) == (5, "")
    assert "The list of the files in 'models/bert' is not in the DVC cache" in (
        done.stderr
    )


def test_an_unknown_model_is_an_error_that_names_what_there_is(
    run_dvc: RunDvc, clone: Path
) -> None:
    for args, code, text in (
        (("nobody", "churn"), 4, "registered models: bert, churn"),
        (("churn", "churn@v9.0.0"), 4, "known versions: v2.0.0, v1.0.0"),
        (("*", "churn"), 254, "'*' matches 3 models: name one"),
    ):
        done = run_dvc("models", "diff", *args, cwd=clone)

        assert (done.returncode, done.stdout) == (code, "")
        assert text in done.stderr
