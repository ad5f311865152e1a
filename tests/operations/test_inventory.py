"""What the clone has got, told from real tags, real DVC projects and real files."""

from __future__ import annotations

import contextlib
import cProfile
import hashlib
import json
import logging
import os
import pstats
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from dvc_objects.fs import localfs
from projects import (
    BERT,
    CHURN,
    FRAUD,
    Project,
    commit_all,
    copy_project,
    git,
    init_project,
    track,
    write,
)

from dvc_studio_models.files.receipts import Receipt, Receipts
from dvc_studio_models.model import Digest
from dvc_studio_models.operations.inventory import (
    Inventory,
    ListedModel,
    WorkspaceState,
)

if TYPE_CHECKING:
    from pathlib import Path

ABSENT = WorkspaceState("absent")
MODIFIED = WorkspaceState("modified")
PRESENT = WorkspaceState("present")
V1 = WorkspaceState("registered", "v1.0.0")
TEXT = b"one\ntwo\n"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def clone(project: Project, tmp_path: Path) -> Path:
    """A clone with tags and without a model in it."""
    return project.clone(tmp_path / "clone")


def entries(folder: Path) -> dict[str, ListedModel]:
    with contextlib.closing(Inventory(folder)) as inventory:
        return {entry.name: entry for entry in inventory.list_models()}


def holding(folder: Path, name: str) -> WorkspaceState:
    return entries(folder)[name].workspace


def version(number: str) -> WorkspaceState:
    return WorkspaceState("registered", number)


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def leave_receipt(
    clone: Path, model: str, files: dict[str, bytes], **facts: str
) -> None:
    digests = {path: Digest("md5", md5_of(content)) for path, content in files.items()}
    receipt = Receipt(
        model,
        str(clone),
        facts.get("version"),
        facts.get("commit"),
        digests,
    )
    Receipts(clone / ".dvc/tmp/models/receipts").save(receipt)


# -- what there is


def test_a_fresh_clone_has_every_registered_model_and_no_content(clone: Path) -> None:
    two = ("v2.0.0", "v1.0.0")
    stages = {"dev": "v1.0.0", "prod": "v2.0.0"}
    fraud = "services/fraud:fraud"

    found = entries(clone)

    assert found == {
        "bert": ListedModel("bert", "models/bert", ABSENT, "v2.0.0", {}, two),
        "churn": ListedModel(
            "churn", "models/churn.pkl", ABSENT, "v2.0.0", stages, two
        ),
        fraud: ListedModel(
            fraud, "services/fraud/model.bin", ABSENT, "v1.0.0", {}, ("v1.0.0",)
        ),
    }


def test_a_model_that_the_working_tree_does_not_annotate_has_its_recorded_path(
    clone: Path,
) -> None:
    git(clone, "rm", "--quiet", "dvc.yaml")

    assert entries(clone)["churn"].path == "models/churn.pkl"


def test_a_stage_without_a_version_is_told_by_its_commit(
    project: Project, tmp_path: Path
) -> None:
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "unregistered")
    project.tag("churn#canary#4")
    clone = project.clone(tmp_path / "clone")

    assert entries(clone)["churn"].stages["canary"] == project.commit("main")


def test_every_folder_of_the_clone_has_the_same_inventory(clone: Path) -> None:
    assert entries(clone / "services/fraud") == entries(clone)


def test_an_annotated_model_is_listed_before_it_is_registered(clone: Path) -> None:
    annotation = b"artifacts:\n  m:\n    path: ../out/m.bin\n    type: model\n"
    write(clone, {"team/dvc.yaml": annotation})

    assert entries(clone)["team:m"] == ListedModel("team:m", "out/m.bin", ABSENT)


@pytest.mark.parametrize("kind", ["dataset", "parameters"])
def test_an_annotated_artifact_of_another_type_is_no_model(
    clone: Path, kind: str
) -> None:
    annotation = f"artifacts:\n  m:\n    path: m.bin\n    type: {kind}\n"
    write(clone, {"team/dvc.yaml": annotation.encode()})

    assert "team:m" not in entries(clone)


@pytest.mark.parametrize("path", ["../outside.bin", "/etc/passwd", "s3://bucket/m"])
def test_a_path_outside_the_clone_is_none(clone: Path, path: str) -> None:
    annotation = f"artifacts:\n  m:\n    path: {path}\n"
    write(clone, {"dvc.yaml": annotation.encode()})

    assert entries(clone)["m"] == ListedModel("m", None, ABSENT)


def test_a_path_that_is_empty_is_none(clone: Path) -> None:
    write(clone, {"team/dvc.yaml": b"artifacts:\n  m:\n    path: ''\n"})

    assert entries(clone)["team:m"] == ListedModel("team:m", None, ABSENT)


def test_what_git_ignores_is_not_searched(
    clone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(clone, {"scratch/deep/dvc.yaml": annotation, ".gitignore": b"scratch/\n"})

    with caplog.at_level(logging.WARNING, "dvc"):
        found = entries(clone)

    assert "scratch/deep:m" not in found
    assert caplog.text == ""


def test_a_clone_inside_has_an_inventory_of_its_own(clone: Path) -> None:
    write(clone, {"inner/dvc.yaml": b"artifacts:\n  m:\n    path: m.bin\n"})
    git(clone / "inner", "init", "--quiet")

    assert "inner:m" not in entries(clone)
    assert list(entries(clone / "inner")) == ["m"]


def test_a_broken_dvc_yaml_hides_no_other_model(
    clone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(clone, {"services/fraud/dvc.yaml": b"artifacts: [\n"})

    with caplog.at_level(logging.WARNING, "dvc"):
        found = entries(clone)

    assert sorted(found) == ["bert", "churn", "services/fraud:fraud"]
    assert "services/fraud/dvc.yaml" in caplog.text


# -- what lies in the workspace


@pytest.mark.parametrize("number", CHURN)
def test_a_file_is_recognised_by_its_content_however_it_came(
    clone: Path, number: str
) -> None:
    write(clone, {"models/churn.pkl": CHURN[number]})

    assert holding(clone, "churn") == version(number)


@pytest.mark.parametrize("number", BERT)
def test_a_directory_is_recognised_by_its_content(clone: Path, number: str) -> None:
    write(clone / "models/bert", BERT[number])

    assert holding(clone, "bert") == version(number)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CHURN["v1.0.0"] + b"x", id="longer"),
        pytest.param(CHURN["v1.0.0"][:-1] + b"x", id="of the same size"),
        pytest.param(b"", id="empty"),
    ],
)
def test_other_content_is_modified(clone: Path, content: bytes) -> None:
    write(clone, {"models/churn.pkl": content})

    assert holding(clone, "churn") == MODIFIED


@pytest.mark.parametrize(
    ("files", "gone"),
    [
        pytest.param({"config.json": b"{}"}, None, id="a changed file"),
        pytest.param({"more.txt": b""}, None, id="one more"),
        pytest.param({}, "vocab.txt", id="one less"),
    ],
)
def test_a_directory_with_one_difference_is_modified(
    clone: Path, files: dict[str, bytes], gone: str | None
) -> None:
    write(clone / "models/bert", BERT["v1.0.0"])
    write(clone / "models/bert", files)
    if gone:
        (clone / "models/bert" / gone).unlink()

    assert holding(clone, "bert") == MODIFIED


def test_what_dvc_ignores_makes_no_difference(clone: Path) -> None:
    write(clone / "models/bert", {**BERT["v2.0.0"], "notes.tmp": b"mine"})
    write(clone, {".dvcignore": b"*.tmp\n"})

    assert holding(clone, "bert") == version("v2.0.0")


@pytest.mark.parametrize(
    ("name", "path"), [("bert", "models/bert"), ("churn", "models/churn.pkl")]
)
def test_a_file_and_a_directory_are_never_taken_for_each_other(
    clone: Path, name: str, path: str
) -> None:
    write(clone, {path if name == "bert" else f"{path}/inside": b"x"})

    assert holding(clone, name) == MODIFIED


def test_a_pipe_is_not_read(clone: Path) -> None:
    (clone / "models").mkdir(exist_ok=True)
    os.mkfifo(clone / "models/churn.pkl")

    assert holding(clone, "churn") == MODIFIED


def test_a_directory_that_dvc_cannot_hash_is_modified(clone: Path) -> None:
    write(clone / "models/bert", {**BERT["v2.0.0"], ".dvcignore": b"*.tmp"})
    ignoring = holding(clone, "bert")
    (clone / "models/bert/.dvcignore").unlink()
    (clone / "models/bert/lost").symlink_to(clone / "collected")

    assert (ignoring, holding(clone, "bert")) == (MODIFIED, MODIFIED)


def test_a_link_to_nothing_is_absent(clone: Path) -> None:
    (clone / "models").mkdir(exist_ok=True)
    (clone / "models/churn.pkl").symlink_to(clone / "collected")

    assert holding(clone, "churn") == ABSENT


def test_a_link_to_the_content_is_that_content(clone: Path, tmp_path: Path) -> None:
    write(tmp_path, {"object": CHURN["v1.0.0"]})
    (clone / "models").mkdir(exist_ok=True)
    (clone / "models/churn.pkl").symlink_to(tmp_path / "object")

    assert holding(clone, "churn") == version("v1.0.0")


def test_the_edit_of_a_file_that_was_recognised_is_seen(clone: Path) -> None:
    target = clone / "models/churn.pkl"
    write(clone, {"models/churn.pkl": CHURN["v1.0.0"]})
    before = holding(clone, "churn")
    target.write_bytes(CHURN["v1.0.0"].replace(b"first", b"fIRST"))

    assert (before, holding(clone, "churn")) == (version("v1.0.0"), MODIFIED)


def test_an_older_version_is_found_where_it_lay_then(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    for path in ("old/m", "new/m"):
        annotation = f"artifacts:\n  m:\n    path: {path}\n".encode()
        write(project.repo, {"dvc.yaml": annotation, f"{path}/a": path.encode()})
        track(project.repo, path)
        commit_all(project, "Train")
        project.tag("m@v1.0.0" if path == "old/m" else "m@v2.0.0")
    clone = project.clone(tmp_path / "clone")
    write(clone, {"old/m/a": b"old/m"})
    leave_receipt(clone, "m", {"old/m/a": b"old/m"}, version="v1.0.0")

    found = entries(clone)["m"]

    assert (found.path, found.workspace) == ("old/m", version("v1.0.0"))


def test_the_content_of_a_stage_without_a_version_is_told_by_its_commit(
    project: Project, tmp_path: Path
) -> None:
    write(project.repo, {"models/churn.pkl": b"canary"})
    track(project.repo, "models/churn.pkl")
    commit_all(project, "Try")
    project.tag("churn#canary#4")
    clone = project.clone(tmp_path / "clone")
    write(clone, {"models/churn.pkl": b"canary"})

    assert holding(clone, "churn") == version(project.commit("main"))


def test_of_two_versions_with_one_content_the_newer_is_named(
    project: Project, tmp_path: Path
) -> None:
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "the same")
    project.tag("churn@v2.0.1")
    clone = project.clone(tmp_path / "clone")
    write(clone, {"models/churn.pkl": CHURN["v2.0.0"]})

    assert holding(clone, "churn") == version("v2.0.1")


def test_of_two_versions_with_one_content_the_one_that_was_pulled_is_named(
    project: Project, tmp_path: Path
) -> None:
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "the same")
    project.tag("churn@v2.0.1")
    clone = project.clone(tmp_path / "clone")
    files = {"models/churn.pkl": CHURN["v2.0.0"]}
    write(clone, files)
    commit = project.commit("churn@v2.0.0")
    leave_receipt(clone, "churn", files, version="v2.0.0", commit=commit)

    assert holding(clone, "churn") == version("v2.0.0")


def test_a_receipt_proves_nothing_about_changed_content(clone: Path) -> None:
    leave_receipt(
        clone,
        "churn",
        {"models/churn.pkl": CHURN["v2.0.0"]},
        version="v2.0.0",
        commit=git(clone, "rev-parse", "churn@v2.0.0^{commit}").strip(),
    )
    write(clone, {"models/churn.pkl": b"edited"})

    assert holding(clone, "churn") == MODIFIED


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, WorkspaceState("partial", "v2.0.0"), id="just that"),
        pytest.param({"mine.txt": b""}, MODIFIED, id="and another file"),
    ],
)
def test_files_that_were_pulled_by_a_glob_are_a_part(
    clone: Path, more: dict[str, bytes], expected: WorkspaceState
) -> None:
    part = {"models/bert/config.json": BERT["v2.0.0"]["config.json"]}
    write(clone, part)
    write(clone / "models/bert", more)
    leave_receipt(clone, "bert", part, version="v2.0.0")

    assert holding(clone, "bert") == expected


def test_a_file_that_cannot_be_any_version_is_not_hashed(clone: Path) -> None:
    write(clone, {"models/churn.pkl": b"of another size"})

    assert holding(clone, "churn") == MODIFIED
    with Repo(str(clone)) as repo:
        hashed = repo.state.get(str(clone / "models/churn.pkl"), localfs)
    assert hashed == (None, None)


# -- what the tags do not know


def test_a_pulled_model_without_local_tags_is_listed_from_its_receipt(
    clone: Path,
) -> None:
    files = {"x/config.json": b"{}", "x/weights.bin": b"w"}
    write(clone, files)
    leave_receipt(clone, "remote-only", files)

    assert entries(clone)["remote-only"] == ListedModel("remote-only", "x", PRESENT)


def test_a_pulled_model_without_local_tags_is_modified_when_a_file_is(
    clone: Path,
) -> None:
    files = {"x/config.json": b"{}", "x/weights.bin": b"w"}
    write(clone, {**files, "x/weights.bin": b"W"})
    leave_receipt(clone, "remote-only", files)

    assert holding(clone, "remote-only") == MODIFIED


def test_a_version_that_was_deregistered_since_is_still_named(
    project: Project, tmp_path: Path
) -> None:
    project.tag("churn@v1.0.0!#4", "churn@v1.0.0")
    clone = project.clone(tmp_path / "clone")
    files = {"models/churn.pkl": CHURN["v1.0.0"]}
    write(clone, files)
    leave_receipt(clone, "churn", files, version="v1.0.0")

    assert entries(clone)["churn"] == ListedModel(
        "churn",
        "models/churn.pkl",
        WorkspaceState("present", "v1.0.0"),
        "v2.0.0",
        {"prod": "v2.0.0"},
        ("v2.0.0",),
    )


def test_content_that_nothing_can_tell_a_version_of_is_present(clone: Path) -> None:
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(clone, {"team/dvc.yaml": annotation, "team/m.bin": b"trained"})

    assert holding(clone, "team:m") == PRESENT


def test_a_broken_receipt_counts_as_none(clone: Path) -> None:
    folder = clone / ".dvc/tmp/models/receipts"
    folder.mkdir(parents=True)
    (folder / "broken.json").write_text("{")

    assert holding(clone, "churn") == ABSENT


# -- other houses


def test_a_worktree_has_content_of_its_own(clone: Path, tmp_path: Path) -> None:
    git(clone, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    write(clone, {"models/churn.pkl": CHURN["v2.0.0"]})
    write(tmp_path / "tree", {"models/churn.pkl": CHURN["v1.0.0"]})

    assert holding(tmp_path / "tree", "churn") == version("v1.0.0")
    assert holding(clone, "churn") == version("v2.0.0")


@pytest.mark.parametrize("inner", ["", "ml", "ml/deep"])
def test_a_dvc_project_in_a_subfolder_recognises_its_models(
    tmp_path: Path, inner: str
) -> None:
    project = init_project(tmp_path / "project", subdir="ml")
    annotation = b"artifacts:\n  m:\n    path: out/m\n    type: model\n"
    write(project.repo, {"ml/deep/dvc.yaml": annotation, "ml/deep/out/m/a": b"a"})
    track(project.repo / "ml", "deep/out/m")
    commit_all(project, "Train")
    project.tag("ml/deep=m@v1.0.0")

    found = entries(project.repo / inner)

    assert found["ml/deep:m"].path == "ml/deep/out/m"
    assert found["ml/deep:m"].workspace == version("v1.0.0")


def test_the_projects_of_a_monorepo_are_listed_together(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project", subdir="a")
    (project.repo / "b").mkdir()
    Repo.init(str(project.repo / "b"), subdir=True).close()
    for name in ("a", "b"):
        annotation = b"artifacts:\n  m:\n    path: m.bin\n"
        write(project.repo / name, {"dvc.yaml": annotation, "m.bin": name.encode()})
        with Repo(str(project.repo / name)) as repo:
            repo.add([str(project.repo / name / "m.bin")])
    commit_all(project, "Train")
    project.tag("a=m@v1.0.0")
    project.tag("b=m@v2.0.0")
    write(project.repo, {"b/m.bin": b"edited"})

    found = entries(project.repo)

    assert found["a:m"].workspace == version("v1.0.0")
    assert found["b:m"].workspace == MODIFIED


def test_a_git_repo_without_dvc_has_an_inventory(tmp_path: Path) -> None:
    project = Project(tmp_path / "plain")
    annotation = b"artifacts:\n  m:\n    path: m.bin\n  n:\n    path: n.bin\n"
    write(project.repo, {"dvc.yaml": annotation, "m.bin": b"m"})
    git(project.repo, "init", "--quiet", "--initial-branch", "main")
    commit_all(project, "Train")
    project.tag("m@v1.0.0")

    assert entries(project.repo) == {
        "m": ListedModel("m", "m.bin", V1, "v1.0.0", {}, ("v1.0.0",)),
        "n": ListedModel("n", "n.bin", ABSENT),
    }
    assert git(project.repo, "status", "--porcelain") == ""


def test_the_project_around_the_clone_is_left_alone(tmp_path: Path) -> None:
    outer = init_project(tmp_path / "outer").repo
    inner = Project(outer / "inner")
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(inner.repo, {"dvc.yaml": annotation, "m.bin": b"m"})
    git(inner.repo, "init", "--quiet", "--initial-branch", "main")
    commit_all(inner, "Train")
    inner.tag("m@v1.0.0")

    assert holding(inner.repo, "m") == V1
    assert not (outer / ".dvc/tmp/models").exists()


@pytest.mark.parametrize("name", ["churn", "bert"])
def test_a_tagged_version_is_recognised_on_a_branch_without_dvc(
    project: Project, tmp_path: Path, name: str
) -> None:
    clone = project.clone(tmp_path / "clone")
    git(clone, "rm", "--quiet", "-r", ".")
    shutil.rmtree(clone / ".dvc", ignore_errors=True)
    write(clone, {"models/churn.pkl": CHURN["v1.0.0"]})
    write(clone / "models/bert", BERT["v1.0.0"])

    assert holding(clone, name) == version("v1.0.0")


@pytest.mark.parametrize("crlf", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_file_of_dvc_2_is_recognised_by_its_own_kind_of_hash(
    tmp_path: Path, crlf: bytes
) -> None:
    project = init_project(tmp_path / "project")
    legacy = f"outs:\n- md5: {md5_of(TEXT)}\n  size: {len(TEXT)}\n  path: m.txt\n"
    annotation = b"artifacts:\n  m:\n    path: m.txt\n"
    write(project.repo, {"dvc.yaml": annotation, "m.txt.dvc": legacy.encode()})
    commit_all(project, "Train")
    project.tag("m@v1.0.0")
    write(project.repo, {"m.txt": TEXT.replace(b"\n", crlf)})

    assert holding(project.repo, "m") == version("v1.0.0")


def test_a_directory_of_dvc_2_is_recognised(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    tree = json.dumps([{"md5": md5_of(TEXT), "relpath": "a.txt"}])
    legacy = f"outs:\n- md5: {md5_of(tree.encode())}.dir\n  path: m\n"
    annotation = b"artifacts:\n  m:\n    path: m\n"
    write(project.repo, {"dvc.yaml": annotation, "m.dvc": legacy.encode()})
    commit_all(project, "Train")
    project.tag("m@v1.0.0")
    write(project.repo, {"m/a.txt": TEXT.replace(b"\n", b"\r\n")})

    assert holding(project.repo, "m") == version("v1.0.0")


def test_taking_the_inventory_changes_only_caches(clone: Path) -> None:
    write(clone / "models/bert", BERT["v2.0.0"])
    write(clone, {"services/fraud/model.bin": FRAUD})

    def everything() -> dict[str, int]:
        return {
            str(at): at.stat().st_mtime_ns
            for at in clone.rglob("*")
            if at.is_file()
            and ".dvc/tmp" not in str(at)
            and ".git/dvc-models" not in str(at)
        }

    before = everything()
    entries(clone)

    assert everything() == before


@pytest.mark.parametrize("package", ["gto", "pygit2"])
def test_an_inventory_loads_no_second_reader_of_git(clone: Path, package: str) -> None:
    code = (
        "import sys, pathlib;"
        "from dvc_studio_models.operations.inventory import Inventory;"
        "Inventory(pathlib.Path.cwd()).list_models();"
        f"print({package!r} in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.check_output(command, cwd=clone, text=True)

    assert said == "False\n"


def test_a_dvc_yaml_is_parsed_once_for_all_its_models_and_commits(
    tmp_path: Path,
) -> None:
    project = init_project(tmp_path / "many")
    names = [f"m{number}" for number in range(4)]
    lines = "".join(f"  {name}:\n    path: {name}.bin\n" for name in names)
    write(project.repo, {"dvc.yaml": f"artifacts:\n{lines}".encode()})
    for name in names:  # each has a commit of its own
        write(project.repo, {f"{name}.bin": name.encode()})
        track(project.repo, f"{name}.bin")
        commit_all(project, name)
        project.tag(f"{name}@v1.0.0")
    calls = cProfile.Profile()

    with calls:
        found = entries(project.repo)

    assert {entry.workspace for entry in found.values()} == {version("v1.0.0")}
    stats = pstats.Stats(calls).stats  # type: ignore[attr-defined]
    parsed = [stat[0] for at, stat in stats.items() if at[2] == "resolve_artifacts"]
    assert parsed == [1]  # that of the working tree; commits have no templates
