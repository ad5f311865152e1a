"""What a commit records of a model: as DVC wrote it, out of Git's objects alone."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
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

from dvc_studio_models.errors import RecordUnreadableError, UnreadableRepoError
from dvc_studio_models.model import Digest
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.recorded import GitFile, RecordedModel, RecordedOutput
from dvc_studio_models.registry.records import RecordReader

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


def record_of(folder: Path, commit: str, name: str) -> RecordedModel | None:
    with contextlib.closing(RecordReader(open_reader(folder))) as records:
        return records.read(commit, name)


def open_paths() -> set[str]:
    return {each.path for each in psutil.Process().open_files()}


def test_metrics_and_params_leave_no_database_open(project: Project) -> None:
    (project.repo / "params.yaml").write_text("depth: 3\n")
    commit_all(project, "Add params")
    commit = git(project.repo, "rev-parse", "HEAD").strip()
    before = open_paths()

    with contextlib.closing(RecordReader(open_reader(project.repo))) as records:
        measures = records.read_measures(commit, "models", None)
        assert measures.params == {"params.yaml": {"depth": 3}}
        assert open_paths() == before


def annotate(project: Project, path: str) -> None:
    """Commit a ``dvc.yaml`` beside the others, whose model ``m`` is at a path."""
    with (project.repo / "dvc.yaml").open("a") as file:
        file.write(f"  m:\n    path: ./{path}\n")
    commit_all(project, "Annotate")


def git_file(repo: Path, path: str) -> GitFile:
    """Return the record of a file that only Git tracks, and that is not read."""
    return GitFile(path, git(repo, "rev-parse", f"main:{path}").strip())


def file_record(
    path: str, digest: Digest | None, size: int | None, nfiles: int | None = None
) -> RecordedModel:
    """Return the record of a model that is one output of the root's project."""
    output = RecordedOutput(path, digest, size, nfiles=nfiles)
    return RecordedModel(path, outputs=(output,))


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

    digest = Digest("md5", written["md5"])
    nfiles = written.get("nfiles")
    assert record == file_record(path, digest, written["size"], nfiles)


def test_a_model_that_the_commit_does_not_annotate_has_no_record(
    project: Project,
) -> None:
    commit = project.commit("main")

    assert record_of(project.repo, commit, "nothing") is None
    assert record_of(project.repo, commit, "no/such/folder:churn") is None


@pytest.mark.parametrize("kind", ["nothing", "a tree", "a tag", "a blob"])
def test_what_is_no_commit_is_an_error_and_no_missing_record(
    project: Project, kind: str
) -> None:
    revs = {"a tree": "main^{tree}", "a tag": "churn@v1.0.0", "a blob": "main:dvc.yaml"}
    rev = revs.get(kind)
    oid = git(project.repo, "rev-parse", rev).strip() if rev else "0" * 40

    with pytest.raises(UnreadableRepoError, match=f"it has no commit {oid}"):
        record_of(project.repo, oid, "churn")


def test_a_project_in_a_subfolder_gives_paths_from_the_git_root(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project", subdir="ml")
    annotation = b"artifacts:\n  m:\n    path: out/m.bin\n"
    write(project.repo / "ml", {"deep/dvc.yaml": annotation, "deep/out/m.bin": b"m"})
    track(project.repo / "ml", "deep/out/m.bin")
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "ml/deep:m")

    assert record == replace(
        file_record("ml/deep/out/m.bin", Digest("md5", md5_of(b"m")), 1), project="ml"
    )


def test_a_model_may_lie_in_another_project_than_its_annotation(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project", subdir="ml")
    annotation = b"artifacts:\n  m:\n    path: ../ml/m.bin\n"
    write(project.repo, {"deploy/dvc.yaml": annotation, "ml/m.bin": b"m"})
    track(project.repo / "ml", "m.bin")
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "deploy:m")

    assert record == replace(
        file_record("ml/m.bin", Digest("md5", md5_of(b"m")), 1), project="ml"
    )


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

    assert record == file_record("out/m.bin", Digest("md5", md5_of(b"m\n")), 2)


def test_a_file_of_dvc_2_is_known_by_its_dos2unix_hash(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    legacy = (
        b"outs:\n- md5: 6f8f57715090da2632453988d9a1501b\n  size: 1\n  path: m.bin\n"
    )
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(project.repo, {"dvc.yaml": annotation, "m.bin.dvc": legacy})
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == file_record(
        "m.bin", Digest("md5-dos2unix", "6f8f57715090da2632453988d9a1501b"), 1
    )


def test_a_file_in_a_folder_of_dvc_is_part_of_it(project: Project) -> None:
    annotate(project, "models/bert/config.json")
    bert = record_of(project.repo, project.commit("main"), "bert")
    assert bert

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == replace(bert, path="models/bert/config.json")
    assert record.outputs[0].is_folder
    assert (record.output, record.digest) == (None, None)


def test_a_folder_above_outputs_has_all_of_them(project: Project) -> None:
    annotate(project, "models")
    names = ("bert", "churn")
    each = [record_of(project.repo, project.commit("main"), name) for name in names]

    record = record_of(project.repo, project.commit("main"), "m")

    assert record
    assert {out.path: out for out in record.outputs} == {
        out.path: out for known in each if known for out in known.outputs
    }
    # Where the outputs are recorded is no part of the model.
    assert {f.path for f in record.git_files} <= {"models/.gitignore"}


def test_a_file_that_git_keeps_has_no_outputs(project: Project) -> None:
    write(project.repo, {"src/weights.txt": b"1 2 3\n"})
    annotate(project, "src/weights.txt")

    record = record_of(project.repo, project.commit("main"), "m")

    path = "src/weights.txt"
    assert record == RecordedModel(path, git_files=(git_file(project.repo, path),))
    assert (record.digest, record.size) == (None, None)


@pytest.mark.parametrize("path", ["dvc.yaml", ".dvc/config", "models/churn.pkl.dvc"])
def test_what_steers_dvc_is_no_models_file(project: Project, path: str) -> None:
    annotate(project, path)

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == RecordedModel(path, project=record.project if record else "")


def test_what_is_nowhere_has_neither_outputs_nor_files(project: Project) -> None:
    annotate(project, "no/such/file")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == RecordedModel("no/such/file")


@pytest.mark.parametrize(
    "path", ["../outside.bin", "/etc/passwd", "s3://bucket/m.bin", "."]
)
def test_a_path_outside_the_repo_is_no_record(project: Project, path: str) -> None:
    annotation = f"artifacts:\n  m:\n    path: {path}\n"
    write(project.repo, {"dvc.yaml": annotation.encode()})
    commit_all(project, "Annotate")

    assert record_of(project.repo, project.commit("main"), "m") is None


def test_a_git_repo_without_dvc_has_records_without_digests(empty: Project) -> None:
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    shutil.rmtree(empty.repo / ".dvc")
    write(empty.repo, {"dvc.yaml": annotation, "m.bin": b"m"})
    commit_all(empty, "Annotate")

    record = record_of(empty.repo, empty.commit("main"), "m")

    assert record == RecordedModel("m.bin", git_files=(git_file(empty.repo, "m.bin"),))


def test_a_broken_dvc_yaml_is_an_error_and_no_missing_record(project: Project) -> None:
    write(project.repo, {"dvc.yaml": b"artifacts: [\n"})
    commit_all(project, "Break it")

    with pytest.raises(RecordUnreadableError, match=r"'churn' at .*dvc\.yaml"):
        record_of(project.repo, project.commit("main"), "churn")


def test_a_hash_that_names_no_content_is_no_digest(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    strange = f"outs:\n- etag: {md5_of(b'm')}\n  hash: etag\n  path: m.bin\n".encode()
    annotation = b"artifacts:\n  m:\n    path: m.bin\n"
    write(project.repo, {"dvc.yaml": annotation, "m.bin.dvc": strange})
    commit_all(project, "Train")

    record = record_of(project.repo, project.commit("main"), "m")

    assert record == file_record("m.bin", None, None)


# -- how else a model may be recorded


MODEL = b"artifacts:\n  m:\n    path: %s\n"
MERGE = b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n"


def commit(project: Project, path: str, files: dict[str, bytes]) -> str:
    """Commit files beside an annotation of ``path`` as the model ``m``."""
    write(project.repo, {"dvc.yaml": MODEL % path.encode(), **files})
    git(project.repo, "add", "--all", "--force")
    git(project.repo, "commit", "--quiet", "--message", "one")
    return project.commit("main")


def read_m(project: Project) -> RecordedModel:
    record = record_of(project.repo, project.commit("main"), "m")
    assert record
    return record


def dvc_file(name: str, *lines: str, content: bytes = b"m") -> bytes:
    more = "".join(f"  {line}\n" for line in lines)
    head = f"outs:\n- path: {name}\n  hash: md5\n  md5: {md5_of(content)}\n"
    return (head + f"  size: {len(content)}\n" + more).encode()


def test_a_folder_may_have_files_of_dvc_and_of_git(empty: Project) -> None:
    write(empty.repo, {"llm/model.bin": b"weights", "llm/config.json": b"{}\n"})
    track(empty.repo, "llm/model.bin")
    write(empty.repo, {"dvc.yaml": MODEL % b"llm", "llm/run.sh": b"#!/bin/sh\n"})
    (empty.repo / "llm" / "run.sh").chmod(0o755)
    (empty.repo / "llm" / "link").symlink_to("config.json")
    commit_all(empty, "Train")

    record = read_m(empty)

    assert [(out.path, out.digest) for out in record.outputs] == [
        ("llm/model.bin", Digest("md5", md5_of(b"weights")))
    ]
    assert {f.path: (f.digest, f.size, f.is_executable) for f in record.git_files} == {
        "llm/config.json": (Digest("md5", md5_of(b"{}\n")), 3, False),
        "llm/link": (None, None, False),
        "llm/run.sh": (Digest("md5", md5_of(b"#!/bin/sh\n")), 10, True),
    }
    assert (record.output, record.digest, record.size) == (None, None, None)


def test_a_pointer_of_git_lfs_is_no_content(empty: Project) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    files = {"llm/a.dvc": dvc_file("a"), "llm/big.bin": pointer}
    commit(empty, "llm", files)

    assert [(f.path, f.digest, f.size) for f in read_m(empty).git_files] == [
        ("llm/big.bin", None, None)
    ]


def test_what_is_kept_without_a_cache_is_gits(empty: Project) -> None:
    stage = (
        b"stages:\n  train:\n    cmd: echo m > m.bin\n    outs:\n    - m.bin:\n"
        b"        cache: false\n"
    )
    write(empty.repo, {"dvc.yaml": MODEL % b"m.bin" + stage})
    with Repo(str(empty.repo)) as repo:
        repo.reproduce(all_pipelines=True)
    commit_all(empty, "Train")

    assert read_m(empty) == RecordedModel(
        "m.bin", git_files=(git_file(empty.repo, "m.bin"),)
    )


@pytest.mark.parametrize(
    "options", [{}, {"no_download": True}, {"no_exec": True}], ids=str
)
def test_an_import_says_where_it_is_from(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, bool],
) -> None:
    other = init_project(tmp_path / "other")
    monkeypatch.chdir(other.repo)
    with Repo(str(other.repo)) as repo:
        repo.imp(str(project.repo), "models/churn.pkl", "m.bin", **options)
    write(other.repo, {"dvc.yaml": MODEL % b"m.bin"})
    commit_all(other, "Import")

    record = read_m(other)

    assert record.output
    origin = record.output.origin
    assert origin
    assert (origin.url, origin.path) == (str(project.repo), "models/churn.pkl")
    assert origin.rev == (None if options.get("no_exec") else project.commit("main"))
    assert bool(record.digest) is not bool(options)


@pytest.mark.parametrize(
    "options", [{}, {"no_download": True}, {"no_exec": True}], ids=str
)
def test_an_import_of_a_url_says_where_it_is_from(
    empty: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, bool],
) -> None:
    monkeypatch.chdir(empty.repo)
    (tmp_path / "data").write_bytes(b"m")
    with Repo(str(empty.repo)) as repo:
        repo.imp_url(str(tmp_path / "data"), "m.bin", **options)
    write(empty.repo, {"dvc.yaml": MODEL % b"m.bin"})
    commit_all(empty, "Import")

    record = read_m(empty)

    assert record.output
    origin = record.output.origin
    assert origin
    assert (origin.path, origin.rev) == (None, None)
    assert origin.url.endswith("data")
    assert bool(record.digest) is not bool(options)


def test_a_working_folder_of_its_own_counts(empty: Project) -> None:
    file = b"wdir: ../deep\n" + dvc_file("m.bin")
    commit(empty, "deep/m.bin", {"elsewhere/x.dvc": file})

    assert read_m(empty).output == RecordedOutput(
        "deep/m.bin", Digest("md5", md5_of(b"m")), 1
    )


def test_an_absolute_path_is_none_of_the_clone(empty: Project) -> None:
    commit(empty, "srv/m.bin", {"x.dvc": dvc_file("/srv/m.bin")})

    assert read_m(empty) == RecordedModel("srv/m.bin")


def test_an_annotation_may_be_a_template(empty: Project) -> None:
    write(
        empty.repo,
        {
            "dvc.yaml": b"vars:\n- params.json\n" + MODEL % b"${where}/m.bin",
            "params.json": b'{"where": "out"}',
            "out/m.bin": b"m",
        },
    )
    track(empty.repo, "out/m.bin")
    commit_all(empty, "Train")
    first = read_m(empty)
    write(empty.repo, {"params.json": b'{"where": "other"}', "other/m.bin": b"n"})
    track(empty.repo, "other/m.bin")
    commit_all(empty, "Move")

    with contextlib.closing(RecordReader(open_reader(empty.repo))) as records:
        moved = [records.read(empty.commit(rev), "m") for rev in ("main~1", "main")]

    assert [record.path for record in moved if record] == ["out/m.bin", "other/m.bin"]
    assert moved[0] == first


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        pytest.param(
            b"  t:\n    foreach: [a, b]\n    do:\n"
            b"      cmd: echo ${item} > ${item}.bin\n      outs: ['${item}.bin']\n",
            "b.bin",
            id="foreach",
        ),
        pytest.param(
            b"  t:\n    matrix:\n      name: [a, b]\n      size: [1, 2]\n"
            b"    cmd: echo ${item.name} > ${item.name}${item.size}.bin\n"
            b"    outs: ['${item.name}${item.size}.bin']\n",
            "b2.bin",
            id="matrix",
        ),
    ],
)
def test_one_of_many_stages_made_by_a_template_is_found(
    empty: Project, stage: bytes, path: str
) -> None:
    write(empty.repo, {"dvc.yaml": MODEL % path.encode() + b"stages:\n" + stage})
    with Repo(str(empty.repo)) as repo:
        repo.reproduce(all_pipelines=True)
    commit_all(empty, "Train")

    assert read_m(empty) == file_record(path, Digest("md5", md5_of(b"b\n")), 2)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("isexec: true", {"is_executable": True}, id="executable"),
        pytest.param("remote: other", {"remote": "other"}, id="remote"),
        pytest.param("push: false", {"is_pushed": False}, id="not pushed"),
        pytest.param("desc: words", {}, id="description"),
    ],
)
def test_what_a_dvc_file_says_of_its_output_is_recorded(
    empty: Project, line: str, expected: dict[str, object]
) -> None:
    commit(empty, "m.bin", {"m.bin.dvc": dvc_file("m.bin", line)})

    plain = RecordedOutput("m.bin", Digest("md5", md5_of(b"m")), 1)
    assert read_m(empty).output == replace(plain, **expected)


def test_the_executable_bit_that_dvc_itself_records_is_recorded(empty: Project) -> None:
    write(empty.repo, {"run": b"#!/bin/sh\n"})
    (empty.repo / "run").chmod(0o755)
    track(empty.repo, "run")
    write(empty.repo, {"dvc.yaml": MODEL % b"run"})
    commit_all(empty, "Train")

    output = read_m(empty).output
    assert output
    assert output.is_executable


def test_a_listing_that_is_in_git_names_each_files_version(empty: Project) -> None:
    lines = ["outs:", "- path: out", "  hash: md5", "  files:"]
    for name, more in (("a.bin", "isexec: true"), ("in/b.bin", "size: 2")):
        lines += [f"  - relpath: {name}", f"    md5: {md5_of(name.encode())}"]
        lines += [f"    {more}", "    cloud:", "      s3:", "        etag: abcdef"]
        lines += [f"        version_id: v-{name}"]
    commit(empty, "out", {"out.dvc": "\n".join(lines).encode()})

    output = read_m(empty).output

    assert output
    assert [(f.path, f.digest, f.size, f.is_executable) for f in output.files] == [
        ("out/a.bin", Digest("md5", md5_of(b"a.bin")), None, True),
        ("out/in/b.bin", Digest("md5", md5_of(b"in/b.bin")), 2, False),
    ]
    assert [(f.version.remote, f.version.id) for f in output.files if f.version] == [
        ("s3", "v-a.bin"),
        ("s3", "v-in/b.bin"),
    ]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"sandbox/dvc.yaml": b"stages: ["}, id="half a dvc.yaml"),
        pytest.param(
            {"other/dvc.yaml": b"stages: {}\n", "other/dvc.lock": MERGE}, id="a lock"
        ),
        pytest.param({"other/x.dvc": MERGE}, id="merge markers"),
        pytest.param({"other/x.dvc": b"\xff\xfe"}, id="binary"),
        pytest.param({"other/x.dvc": b"outs:\n- path: x\n  md5: 1\n"}, id="a number"),
        pytest.param({"other/x.dvc": b"- a\n- b\n"}, id="a list"),
        pytest.param({"other/.dvc/config": b"[core\n"}, id="another project"),
        pytest.param(
            {"z.dvc": b"x: [", "a/dvc.yaml": b"vars: [no.json]"}, id="several"
        ),
    ],
)
@pytest.mark.parametrize("path", ["m.bin", "dir", "dir/inner/a", "up"])
def test_a_broken_file_of_something_else_does_not_matter(
    empty: Project, files: dict[str, bytes], path: str
) -> None:
    good = {
        "m.bin.dvc": dvc_file("m.bin"),
        "dir.dvc": dvc_file("dir").replace(b"\n  size", b".dir\n  size"),
        "up/b.bin.dvc": dvc_file("b.bin"),
        "up/config.json": b"{}",
    }
    commit(empty, path, {**good, **files})

    assert read_m(empty).outputs


@pytest.mark.parametrize(
    ("path", "files", "named"),
    [
        pytest.param("m.bin", {"m.bin.dvc": MERGE}, "m.bin.dvc", id="a file"),
        pytest.param("dir/a", {"dir.dvc": MERGE}, "dir.dvc", id="a folder around it"),
        pytest.param(
            "dir",
            {"dir/a.dvc": dvc_file("a"), "dir/b.dvc": MERGE, "dir/c.json": b"{}"},
            "b.dvc",
            id="one of several in a folder",
        ),
        pytest.param(
            "out/m.bin",
            {
                "out/dvc.yaml": b"stages:\n  t:\n    cmd: x\n    outs: [m.bin]\n",
                "out/dvc.lock": MERGE,
            },
            "dvc.lock",
            id="a lock",
        ),
        pytest.param(
            "m.bin", {"elsewhere/x.dvc": MERGE}, "x.dvc", id="nothing else is found"
        ),
        pytest.param(
            "m.bin",
            {"m.bin.dvc": b"outs:\n- path: m.bin\n  md5: 1\n"},
            "m.bin.dvc",
            id="what DVC stumbles over",
        ),
    ],
)
def test_a_broken_file_that_matters_is_an_error_that_names_it(
    empty: Project, path: str, files: dict[str, bytes], named: str
) -> None:
    commit(empty, path, files)

    with pytest.raises(RecordUnreadableError) as caught:
        read_m(empty)

    assert named in str(caught.value)


def test_what_dvc_ignores_is_not_found(empty: Project) -> None:
    files = {"dir/a.dvc": dvc_file("a"), "dir/old/b.dvc": dvc_file("b")}
    commit(empty, "dir", {".dvcignore": b"dir/old\n", **files})

    assert [out.path for out in read_m(empty).outputs] == ["dir/a"]


def test_a_file_that_dvc_ignores_records_nothing(empty: Project) -> None:
    files = {".dvcignore": b"m.bin.dvc\n", "m.bin.dvc": dvc_file("m.bin")}
    commit(empty, "m.bin", files)

    assert read_m(empty) == RecordedModel("m.bin")


def test_each_of_several_projects_in_one_repo_has_its_own_outputs(
    tmp_path: Path,
) -> None:
    project = init_project(tmp_path / "project", subdir="a")
    (project.repo / "b").mkdir()
    Repo.init(str(project.repo / "b"), subdir=True).close()
    for name in ("a", "b"):
        files = {f"{name}/dvc.yaml": MODEL % b"m.bin"}
        write(project.repo, {**files, f"{name}/m.bin.dvc": dvc_file("m.bin")})
    commit_all(project, "Two")

    records = [record_of(project.repo, project.commit("main"), f"{n}:m") for n in "ab"]

    assert [(r.path, r.project) for r in records if r] == [
        ("a/m.bin", "a"),
        ("b/m.bin", "b"),
    ]
    assert all(r.output for r in records if r)


@pytest.mark.parametrize(
    "name",
    [
        *("größe 模型.bin", "a b", " lead", "a#b", "a:b", "a;b&c|d", "$HOME", "~x"),
        *("'q' \"d\"", "a*?[b]", "-rf", "--", "%41", "a\\b", "@{u}"),
        *("!neg", "{x}", "(a)", "a,b", "a=b", "null", "123", "1e3", "true", "é", "é"),
    ],
)
@pytest.mark.parametrize("inner", [False, True], ids=["file", "folder"])
def test_a_path_may_hold_every_character_that_dvc_records(
    empty: Project, name: str, inner: bool
) -> None:
    path = f"dir {name}/m.bin" if inner else name
    write(empty.repo, {path: b"m"})
    with Repo(str(empty.repo)) as repo:
        repo.add([str(empty.repo / path)])
    dump_yaml(empty.repo / "dvc.yaml", {"artifacts": {"m": {"path": path}}})
    commit_all(empty, "Train")

    assert read_m(empty) == file_record(path, Digest("md5", md5_of(b"m")), 1)


def dump_yaml(path: Path, value: object) -> None:
    ruamel.yaml.YAML(typ="safe").dump(value, path)
