"""What a commit records of a model: as DVC wrote it, out of Git's objects alone."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest
import ruamel.yaml
from dvc.repo import Repo
from projects import (
    ORIGIN_URL,
    Project,
    commit_all,
    copy_project,
    git,
    init_project,
    track,
    write,
)

from dvc_studio_models.errors import RecordUnreadableError, UnreadableRepoError
from dvc_studio_models.model import Digest
from dvc_studio_models.registry.git.reader import open_reader
from dvc_studio_models.registry.recorded import GitFile, Record, RecordedOutput
from dvc_studio_models.registry.records import Records

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    return init_project(tmp_path / "project")


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def record_of(folder: Path, commit: str, name: str) -> Record | None:
    with contextlib.closing(Records(open_reader(folder))) as records:
        return records.read(commit, name)


def file_record(path: str, digest: Digest | None, size: int | None) -> Record:
    """Give the record of a model that is one file of the root's project."""
    return Record(path, outputs=(RecordedOutput(path, digest, size),))


@pytest.mark.parametrize("which", ["repo", "bare"])
@pytest.mark.parametrize(
    ("tag", "name", "path"),
    [
        ("churn@v1.0.0", "churn", "models/churn.pkl"),
        ("churn@v2.0.0", "churn", "models/churn.pkl"),
        ("bert@v2.0.0", "bert", "models/bert"),
        (
            "services/fraud=fraud@v1.0.0",
            "services/fraud:fraud",
            "services/fraud/model.bin",
        ),
    ],
    ids=["old file", "file", "directory", "monorepo"],
)
def test_a_record_is_what_dvc_wrote_at_that_commit(
    project: Project, which: str, tag: str, name: str, path: str
) -> None:
    written = ruamel.yaml.YAML(typ="safe").load(
        git(project.repo, "show", f"{tag}:{path}.dvc")
    )["outs"][0]
    folder = getattr(project, which)

    record = record_of(folder, project.commit(tag), name)

    assert record == Record(path, Digest("md5", written["md5"]), written["size"])


def test_a_model_that_the_commit_does_not_annotate_has_no_record(
    project: Project,
) -> None:
    commit = project.commit("main")

    assert record_of(project.repo, commit, "nothing") is None
    assert record_of(project.repo, commit, "no/such/folder:churn") is None


def test_an_unknown_commit_has_no_record(project: Project) -> None:
    assert record_of(project.repo, "0" * 40, "churn") is None


def test_a_project_in_a_subfolder_gives_paths_from_the_git_root(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project", subdir="ml")
    annotation = b"artifacts:\n  m:\n    path: out/m.bin\n"
    write(project.repo / "ml", {"deep/dvc.yaml": annotation, "deep/out/m.bin": b"m"})
    track(project.repo / "ml", "deep/out/m.bin")
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "ml/deep:m")

    assert record == Record("ml/deep/out/m.bin", Digest("md5", md5_of(b"m")), 1)


def test_a_model_may_lie_in_another_project_than_its_annotation(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project", subdir="ml")
    annotation = b"artifacts:\n  m:\n    path: ../ml/m.bin\n"
    write(project.repo, {"deploy/dvc.yaml": annotation, "ml/m.bin": b"m"})
    track(project.repo / "ml", "m.bin")
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "deploy:m")

    assert record == Record("ml/m.bin", Digest("md5", md5_of(b"m")), 1)


@pytest.mark.parametrize("folder", ["", "train"], ids=["at the root", "elsewhere"])
def test_the_output_of_a_pipeline_is_found_in_dvc_lock(
    tmp_path: Path, folder: str
) -> None:
    project = init_project(tmp_path / "project")
    write(project.repo, {"dvc.yaml": b"artifacts:\n  m:\n    path: out/m.bin\n"})
    (project.repo / folder).mkdir(exist_ok=True)
    stage = (
        "stages:\n  train:\n    wdir: ${root}\n    cmd: echo m > out/m.bin\n"
        "    outs: [out/m.bin]\nvars:\n  - root: " + (".." if folder else ".") + "\n"
    )
    with (project.repo / folder / "dvc.yaml").open("a") as file:
        file.write(stage)
    (project.repo / "out").mkdir()
    with Repo(str(project.repo)) as repo:
        repo.reproduce(all_pipelines=True)
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == Record("out/m.bin", Digest("md5", md5_of(b"m\n")), 2)


def test_a_file_of_dvc_2_is_known_by_its_dos2unix_hash(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    legacy = (
        b"outs:\n- md5: 6f8f57715090da2632453988d9a1501b\n  size: 1\n  path: m.bin\n"
    )
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(project.repo, {"dvc.yaml": annotation, "m.bin.dvc": legacy})
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == Record(
        "m.bin", Digest("md5-dos2unix", "6f8f57715090da2632453988d9a1501b"), 1
    )


@pytest.mark.parametrize(
    "path",
    ["models/bert/config.json", "models", "dvc.yaml", "no/such/file"],
    ids=["inside a tracked directory", "above it", "in Git", "nowhere"],
)
def test_a_path_that_dvc_does_not_track_itself_has_no_digest(
    project: Project, path: str
) -> None:
    annotation = f"artifacts:\n  m:\n    path: ./{path}\n"
    write(project.repo, {"dvc.yaml": annotation.encode()})
    commit_all(project, "Annotate")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == Record(path, None, None)


@pytest.mark.parametrize(
    "path", ["../outside.bin", "/etc/passwd", "s3://bucket/m.bin", "."]
)
def test_a_path_outside_the_repo_is_no_record(project: Project, path: str) -> None:
    annotation = f"artifacts:\n  m:\n    path: {path}\n"
    write(project.repo, {"dvc.yaml": annotation.encode()})
    commit_all(project, "Annotate")

    assert record_of(project.repo, project.commit("main"), "m") is None


def test_a_git_repo_without_dvc_has_records_without_digests(history: Project) -> None:
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(history.repo, {"dvc.yaml": annotation, "m.bin": b"m"})
    commit_all(history, "Annotate")

    record = record_of(history.repo, history.commit("main"), "m")

    assert record == Record("m.bin", None, None)


def test_a_broken_dvc_yaml_is_no_record(project: Project) -> None:
    write(project.repo, {"dvc.yaml": b"artifacts: [\n"})
    commit_all(project, "Break it")

    assert record_of(project.repo, project.commit("main"), "churn") is None


def test_a_hash_that_names_no_content_is_no_digest(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    strange = f"outs:\n- etag: {md5_of(b'm')}\n  hash: etag\n  path: m.bin\n".encode()
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(project.repo, {"dvc.yaml": annotation, "m.bin.dvc": strange})
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == Record("m.bin", None, None)
