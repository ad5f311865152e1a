from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import gto.api
import pytest
import ruamel.yaml
from dvc.repo import Repo
from projects import (
    Project,
    commit_all,
    copy_project,
    git,
    init_project,
    track,
    write,
)
from scmrepo.git import Git

from dvc_studio_models import records, registry
from dvc_studio_models.model import Digest, ModelRef, ModelVersion, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHURN = ModelRef("churn")
PROD = ModelRef("churn", stage="prod")


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def history(tmp_path: Path) -> Project:
    """Three empty commits on main, nothing else."""
    project = Project(tmp_path / "history")
    project.repo.mkdir(parents=True)
    git(project.repo, "init", "--quiet", "--initial-branch", "main")
    for message in ("one", "two", "three"):
        git(project.repo, "commit", "--quiet", "--allow-empty", "--message", message)
    return project


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Git]:
    with contextlib.closing(Git(str(path))) as scm:
        yield scm


def resolve(scm: Git, ref: ModelRef, memo: Path | None = None) -> ModelVersion | None:
    return registry.select(registry.known(scm, memo=memo), ref)


def read_record(
    scm: Git, commit: str, name: str, memo: Path | None = None
) -> Record | None:
    with contextlib.closing(records.Records(scm, memo=memo)) as read:
        return read.read(commit, name)


def resolved(project: Project, ref: ModelRef, memo: Path | None = None) -> str | None:
    with opened(project.repo) as scm:
        found = resolve(scm, ref, memo)
    return found.version if found else None


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def record_of(folder: Path, commit: str, name: str) -> Record | None:
    with opened(folder) as scm:
        return read_record(scm, commit, name)


# -- versions and stages


def test_latest_is_the_greatest_semver_and_not_the_newest_tag(history: Project) -> None:
    history.tag("churn@v10.0.0", "main~2")
    history.tag("churn@v9.0.0", "main~1")
    history.tag("churn@v10.0.0-rc.1", "main")

    assert resolved(history, CHURN) == "v10.0.0"


def test_a_version_is_found_with_the_commit_it_was_registered_on(
    history: Project,
) -> None:
    history.tag("churn@v1.0.0", "main~1")

    with opened(history.repo) as scm:
        found = resolve(scm, ModelRef("churn", version="v1.0.0"))

    assert found == ModelVersion("v1.0.0", history.commit("main~1"))


def test_a_stage_is_where_it_was_assigned_last(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main")
    history.tag("churn#prod#2", "main~1")

    assert resolved(history, PROD) == "v1.0.0"


def test_an_unassigned_stage_falls_back_to_the_version_it_still_has(
    history: Project,
) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main~1")
    history.tag("churn#prod#2", "main")
    history.tag("churn#prod!#3", "main")

    assert resolved(history, PROD) == "v1.0.0"


def test_an_unassigned_stage_does_not_count(history: Project) -> None:
    history.tag("churn@v1.0.0")
    history.tag("churn#prod#1")
    history.tag("churn#prod!#2")

    assert resolved(history, PROD) is None


@pytest.mark.parametrize(
    "ref",
    [ModelRef("churn", version="v2.0.0"), PROD],
    ids=["by version", "by its stage"],
)
def test_a_deregistered_version_does_not_count(history: Project, ref: ModelRef) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main")
    history.tag("churn@v2.0.0!", "main")

    assert resolved(history, ref) is None
    assert resolved(history, CHURN) == "v1.0.0"


def test_a_deprecated_model_does_not_count(history: Project) -> None:
    history.tag("churn@v1.0.0")
    history.tag("churn#prod#1")
    history.tag("churn@deprecated")

    with opened(history.repo) as scm:
        assert registry.known(scm) == ()


def test_a_model_that_was_registered_again_counts(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@deprecated", "main~1")
    history.tag("churn@v2.0.0", "main")

    assert resolved(history, CHURN) == "v2.0.0"


def test_a_model_in_a_folder_has_its_folder_in_its_name(history: Project) -> None:
    history.tag("services/fraud=fraud@v1.0.0")

    assert resolved(history, ModelRef("services/fraud:fraud")) == "v1.0.0"
    assert resolved(history, ModelRef("fraud")) is None


def test_a_lightweight_tag_does_not_count(history: Project) -> None:
    git(history.repo, "tag", "churn@v1.0.0")

    assert resolved(history, CHURN) is None


def test_a_tag_of_a_tag_means_the_commit_behind_it(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    git(history.repo, "tag", "-a", "-m", "nested", "churn#prod#1", "churn@v1.0.0")

    assert resolved(history, PROD) == "v1.0.0"


def test_a_stage_may_lie_on_a_commit_without_a_version(history: Project) -> None:
    history.tag("churn#prod#1", "main~1")

    with opened(history.repo) as scm:
        found = resolve(scm, PROD)

    assert found == ModelVersion(history.commit("main~1"), history.commit("main~1"))


def test_a_repo_without_tags_knows_no_models(history: Project) -> None:
    with opened(history.repo) as scm:
        assert registry.known(scm) == ()


def test_tags_that_are_not_of_gto_are_passed_over(history: Project) -> None:
    for name in ("v1.0.0", "release/2024", "churn@created", "churn@1.0"):
        history.tag(name)

    with opened(history.repo) as scm:
        assert registry.known(scm) == ()


def test_a_tag_that_gto_cannot_count_spoils_no_other(
    history: Project, caplog: pytest.LogCaptureFixture
) -> None:
    history.tag("churn@v1.0.0")
    history.tag("churn@v2.0.0")
    history.tag("churn#prod#1")
    history.tag("bert@v1.0.0")

    assert resolved(history, PROD) is None
    assert resolved(history, CHURN) == "v2.0.0"
    assert resolved(history, ModelRef("bert")) == "v1.0.0"
    assert "ignored Git tags that GTO cannot count: churn#prod#1\n" in caplog.text


def test_packed_tags_are_seen(history: Project) -> None:
    history.tag("churn@v1.0.0")
    git(history.repo, "pack-refs", "--all")

    assert resolved(history, CHURN) == "v1.0.0"


def test_it_counts_as_gto_itself(project: Project) -> None:
    state = gto.api.show(str(project.repo))

    with opened(project.repo) as scm:
        known = registry.known(scm)

    assert {m.name: m.versions[0].version for m in known} == {
        name: model["version"] for name, model in state.items()
    }
    assert {
        f"{m.name}#{stage}": v.version for m in known for stage, v in m.stages.items()
    } == {
        f"{name}#{stage}": version
        for name, model in state.items()
        for stage, version in model["stage"].items()
        if version
    }


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        (
            ModelRef("chrn"),
            (
                "model 'chrn' is not registered; registered models: bert, churn, "
                "services/fraud:fraud"
            ),
        ),
        (
            ModelRef("churn", stage="test"),
            "stage 'test' is not assigned; known stages: dev, prod",
        ),
        (
            ModelRef("bert", stage="prod"),
            "stage 'prod' is not assigned; known stages: none",
        ),
        (
            ModelRef("churn", version="v3.0.0"),
            "version 'v3.0.0' is not registered; known versions: v2.0.0, v1.0.0",
        ),
    ],
    ids=["model", "stage", "stage of none", "version"],
)
def test_what_is_missing_is_said_with_what_there_is(
    project: Project, ref: ModelRef, sentence: str
) -> None:
    with opened(project.repo) as scm:
        assert registry.explain(registry.known(scm), ref) == sentence


def test_a_model_with_stages_only_has_no_latest_version(history: Project) -> None:
    history.tag("churn#prod#1")

    with opened(history.repo) as scm:
        models = registry.known(scm)

    assert registry.select(models, CHURN) is None
    assert registry.explain(models, CHURN) == (
        "no version of 'churn' is registered; known versions: none"
    )


def test_a_long_list_is_cut(history: Project) -> None:
    for minor in range(12):
        history.tag(f"churn@v1.{minor}.0", f"main~{minor % 3}")

    with opened(history.repo) as scm:
        said = registry.explain(
            registry.known(scm), ModelRef("churn", version="v3.0.0")
        )

    assert said.endswith("v1.3.0, v1.2.0 and 2 more")


# -- the memo


def test_with_a_memo_gto_is_not_imported(project: Project, tmp_path: Path) -> None:
    memo = tmp_path / "memo" / "registry.json"
    resolved(project, PROD, memo)
    script = """if True:
        import sys
        from pathlib import Path
        from scmrepo.git import Git
        from dvc_studio_models import registry
        from dvc_studio_models.model import ModelRef
        scm, memo = Git(sys.argv[1]), Path(sys.argv[2])
        found = registry.select(
            registry.known(scm, memo=memo), ModelRef("churn", stage="prod")
        )
        print(found.version, "gto" in sys.modules, "pygit2" in sys.modules)
    """

    done = subprocess.run(
        [sys.executable, "-c", script, str(project.repo), str(memo)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == ["v2.0.0", "False", "False"]


def test_a_memo_answers_like_the_tags(project: Project, tmp_path: Path) -> None:
    memo = tmp_path / "registry.json"
    with opened(project.repo) as scm:
        fresh = registry.known(scm)
        registry.known(scm, memo=memo)

        assert registry.known(scm, memo=memo) == fresh


def test_a_new_tag_outdates_the_memo(project: Project, tmp_path: Path) -> None:
    memo = tmp_path / "registry.json"
    resolved(project, PROD, memo)

    project.tag("churn#prod#4", "churn@v1.0.0")

    assert resolved(project, PROD, memo) == "v1.0.0"


def test_a_moved_tag_outdates_the_memo(history: Project, tmp_path: Path) -> None:
    memo = tmp_path / "registry.json"
    history.tag("churn@v1.0.0", "main~1")
    resolved(history, CHURN, memo)

    git(history.repo, "tag", "--delete", "churn@v1.0.0")
    history.tag("churn@v1.0.0", "main")

    with opened(history.repo) as scm:
        found = resolve(scm, CHURN, memo)
    assert found == ModelVersion("v1.0.0", history.commit("main"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\x00\xff",
        lambda _: b"[]",
        lambda memo: json.dumps({**memo, "format": 99, "models": []}).encode(),
        lambda memo: json.dumps({**memo, "models": 3, "records": 3}).encode(),
        lambda memo: json.dumps({**memo, "models": [{}], "records": {}}).encode(),
        lambda memo: json.dumps(
            {**memo, "records": {key: {"path": 1} for key in memo["records"]}}
        ).encode(),
    ],
    ids=["empty", "binary", "list", "format", "models", "model", "record"],
)
def test_a_broken_memo_is_ignored_and_mended(
    project: Project, tmp_path: Path, damage
) -> None:
    memo = tmp_path / "registry.json"
    commit = project.commit("churn@v2.0.0")
    with opened(project.repo) as scm:
        models = registry.known(scm, memo=memo)
        record = read_record(scm, commit, "churn", memo)
        whole = json.loads(memo.read_bytes())
        memo.write_bytes(damage(whole))

        assert registry.known(scm, memo=memo) == models
        assert read_record(scm, commit, "churn", memo) == record
    assert json.loads(memo.read_bytes()) == whole


def test_a_memo_leaves_no_other_file_behind(project: Project, tmp_path: Path) -> None:
    memo = tmp_path / "memo" / "registry.json"
    resolved(project, PROD, memo)

    assert [path.name for path in memo.parent.iterdir()] == ["registry.json"]


def test_a_memo_that_cannot_be_saved_does_not_matter(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    assert resolved(project, PROD, tmp_path / "file" / "registry.json") == "v2.0.0"


def test_a_record_is_read_from_the_memo(project: Project, tmp_path: Path) -> None:
    memo = tmp_path / "registry.json"
    commit = project.commit("churn@v1.0.0")
    with opened(project.repo) as scm:
        record = read_record(scm, commit, "churn", memo)
    shutil.rmtree(project.repo / ".git" / "objects")
    (project.repo / ".git" / "objects").mkdir()

    with opened(project.repo) as scm:
        assert read_record(scm, commit, "churn", memo) == record


def test_what_could_not_be_read_is_not_memoised(
    project: Project, tmp_path: Path
) -> None:
    memo = tmp_path / "registry.json"
    commit = project.commit("churn@v1.0.0")
    objects = project.repo / ".git" / "objects"
    objects.rename(tmp_path / "objects")
    objects.mkdir()
    with opened(project.repo) as scm:
        assert read_record(scm, commit, "churn", memo) is None
    objects.rmdir()
    (tmp_path / "objects").rename(objects)

    with opened(project.repo) as scm:
        assert read_record(scm, commit, "churn", memo) is not None


# -- records


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
