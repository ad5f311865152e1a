"""Models that are not one DVC output: a file in a folder, a folder with files in Git.

``shapes`` is a project with both, each in two versions, served by ``dvc models serve``.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import ORIGIN_URL, commit_all, git, init_project, read_tree, track, write

from tests.e2e.conftest import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project

    from tests.e2e.conftest import Registry

DVC_YAML = b"""\
artifacts:
  best: {path: run/ckpt/best.ckpt, type: model}
  epoch: {path: run/ckpt/epoch, type: model}
  bert: {path: bert, type: model}
"""
CKPT = {
    "v1.0.0": {"best.ckpt": b"best 1", "last.ckpt": b"last 1", "epoch/1": b"epoch 1"},
    "v2.0.0": {"best.ckpt": b"best 2!", "last.ckpt": b"last 2", "epoch/1": b"epoch 2"},
}
CONFIG = {"v1.0.0": b'{"layers": 1}\n', "v2.0.0": b'{"layers": 22}\n'}
WEIGHTS = {"v1.0.0": b"weights 1", "v2.0.0": b"weights 2"}
TOKENIZER = {"v1.0.0": {"vocab.txt": b"a"}, "v2.0.0": {"vocab.txt": b"a b"}}
BEST, EPOCH = "run/ckpt/best.ckpt", "run/ckpt/epoch"


def bert_of(version: str) -> dict[str, bytes]:
    """Return the files in the folder of ``bert``, from Git and DVC."""
    return {
        "config.json": CONFIG[version],
        "nested/run.sh": b"#!/bin/sh\n",
        "tokenizer/vocab.txt": TOKENIZER[version]["vocab.txt"],
        "weights": WEIGHTS[version],
    }


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    project = init_project(tmp_path_factory.mktemp("shapes") / "project")
    write(project.repo, {"dvc.yaml": DVC_YAML})
    for version, config in CONFIG.items():
        shutil.rmtree(project.repo / "run", ignore_errors=True)
        write(project.repo / "run/ckpt", CKPT[version])
        write(
            project.repo / "bert",
            {
                "config.json": config,
                "nested/run.sh": b"#!/bin/sh\n",
                "weights": WEIGHTS[version],
                "tokenizer/vocab.txt": TOKENIZER[version]["vocab.txt"],
            },
        )
        (project.repo / "bert/nested/run.sh").chmod(0o755)
        track(project.repo, "run/ckpt", "bert/weights", "bert/tokenizer")
        commit_all(project, f"Train for {version}")
        for name in ("best", "epoch", "bert"):
            project.tag(f"{name}@{version}")
    project.tag("best#prod#1", "best@v1.0.0")
    with serve(project, tmp_path_factory.mktemp("serve-shapes")) as served:
        yield served


@pytest.fixture
def clone(shapes: Registry, tmp_path: Path) -> Path:
    """A clone without a cache, whose DVC remote is unreachable."""
    return shapes.project.clone(tmp_path / "far" / "clone")


@pytest.fixture
def near(shapes: Registry, tmp_path: Path) -> Path:
    """A clone without a cache, whose DVC remote is reachable."""
    return point_at(shapes.project, shapes.project.clone(tmp_path / "near"))


def point_at(project: Project, clone: Path) -> Path:
    (clone / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\n    url = {project.storage}\n"
    )
    return clone


def contents(folder: Path) -> dict[str, bytes]:
    """Read a model's folder, without Git's and DVC's own files."""
    own = (".gitignore", ".dvc")
    return {p: c for p, c in read_tree(folder).items() if not p.endswith(own)}


# -- a file in a folder that DVC tracks


@pytest.mark.parametrize("name", ["best", "best@v1.0.0", "best#prod"])
@pytest.mark.cold
def test_a_file_in_a_folder_is_verified_against_git_by_the_remotes_listing(
    run_dvc: RunDvc, shapes: Registry, near: Path, name: str
) -> None:
    done = run_dvc("models", "pull", name, cwd=near, env=shapes.environ)

    version = "v2.0.0" if name == "best" else "v1.0.0"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")
    assert read_tree(near / "run/ckpt") == {"best.ckpt": CKPT[version]["best.ckpt"]}


def test_a_file_in_a_folder_is_verified_against_git_by_the_caches_listing(
    run_dvc: RunDvc, shapes: Registry, near: Path
) -> None:
    run_dvc("models", "pull", "best@v1.0.0", cwd=near, env=shapes.environ)
    (near / ".dvc/config.local").unlink()
    (near / BEST).unlink()

    done = run_dvc("models", "pull", "best@v1.0.0", cwd=near, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")


def test_a_file_whose_folder_nobody_lists_is_verified_by_its_url(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "best", cwd=clone, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified by the hash in the URL\n")
    assert (clone / BEST).read_bytes() == CKPT["v2.0.0"]["best.ckpt"]


def test_a_folder_in_a_folder_is_pulled_alone(
    run_dvc: RunDvc, shapes: Registry, near: Path
) -> None:
    done = run_dvc("models", "pull", "epoch", cwd=near, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")
    assert read_tree(near / "run/ckpt") == {"epoch/1": b"epoch 2"}


@pytest.mark.parametrize("source", ["studio", "remote"])
def test_other_files_of_the_folder_are_not_touched(
    run_dvc: RunDvc, shapes: Registry, near: Path, source: str
) -> None:
    mine = {"best.ckpt": CKPT["v1.0.0"]["best.ckpt"], "last.ckpt": b"my last"}
    write(near / "run/ckpt", mine)
    before = (near / "run/ckpt/last.ckpt").stat().st_mtime_ns
    run_dvc("models", "pull", "best@v1.0.0", cwd=near, env=shapes.environ)

    pull = ("models", "pull", "best", "--source", source)
    done = run_dvc(*pull, cwd=near, env=shapes.environ)

    assert done.returncode == 0, done.stderr
    assert read_tree(near / "run/ckpt") == {
        "best.ckpt": CKPT["v2.0.0"]["best.ckpt"],
        "last.ckpt": b"my last",
    }
    assert (near / "run/ckpt/last.ckpt").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["best", "epoch"])
def test_part_of_a_folder_comes_from_the_remote_and_then_from_the_cache(
    run_dvc: RunDvc, near: Path, name: str
) -> None:
    first = run_dvc("models", "pull", name, "--source", "remote", cwd=near)
    placed = read_tree(near / "run/ckpt")
    shutil.rmtree(near / "run/ckpt")
    second = run_dvc("models", "pull", name, "--source", "cache", cwd=near)

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert second.stdout.endswith("verified against Git\n")
    assert read_tree(near / "run/ckpt") == placed
    assert set(placed) == {"best.ckpt" if name == "best" else "epoch/1"}


def test_list_and_status_know_the_version_of_part_of_a_folder(
    run_dvc: RunDvc, shapes: Registry, near: Path
) -> None:
    run_dvc("models", "pull", "best@v1.0.0", "epoch", cwd=near, env=shapes.environ)

    listed = run_dvc("models", "list", "--json", cwd=near)
    status = run_dvc("models", "status", cwd=near, env=shapes.environ)

    found = {entry["name"]: entry["workspace"] for entry in json.loads(listed.stdout)}
    assert found["best"] == {"state": "registered", "version": "v1.0.0"}
    assert found["epoch"] == {"state": "registered", "version": "v2.0.0"}
    assert status.returncode == 0, status.stderr

    write(near, {BEST: b"edited"})
    listed = run_dvc("models", "list", "--json", cwd=near)
    found = {entry["name"]: entry["workspace"] for entry in json.loads(listed.stdout)}
    assert found["best"] == {"state": "modified", "version": None}


@pytest.mark.parametrize("source", ["studio", "remote"])
@pytest.mark.parametrize("name", ["best#prod", "epoch@v1.0.0"])
def test_part_of_a_folder_is_locked_and_pulled_again(
    run_dvc: RunDvc,
    shapes: Registry,
    near: Path,
    tmp_path: Path,
    source: str,
    name: str,
) -> None:
    lock = ("models", "pull", name, "--lock", "--source", source)
    done = run_dvc(*lock, cwd=near, env=shapes.environ)
    fresh = shapes.project.clone(tmp_path / "ci" / "fresh")
    shutil.copy(near / "models.lock", fresh)

    again = run_dvc("models", "pull", "--locked", cwd=fresh, env=shapes.environ)

    assert done.returncode == 0, done.stderr
    assert again.returncode == 0, again.stderr
    assert read_tree(fresh / "run") == read_tree(near / "run")


def test_a_stage_is_not_locked_while_nobody_can_say_which_version_it_is(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    lock = ("models", "pull", "best#prod", "--lock")
    done = run_dvc(*lock, cwd=clone, env=shapes.environ)

    assert done.returncode == 4
    assert "Specify the version, as in 'best@v1.0.0'" in done.stderr
    assert not (clone / BEST).exists()

    done = run_dvc(
        "models", "pull", "best@v1.0.0", "--lock", cwd=clone, env=shapes.environ
    )
    assert done.returncode == 0, done.stderr


def test_another_content_than_the_listing_says_is_refused(
    run_dvc: RunDvc, shapes: Registry, near: Path
) -> None:
    """The clone's tag v1.0.0 is moved to the commit of v2.0.0."""
    git(near, "tag", "--delete", "best@v1.0.0")
    git(near, "tag", "-a", "-m", "m", "best@v1.0.0", "best@v2.0.0^{commit}")

    done = run_dvc("models", "pull", "best@v1.0.0", cwd=near, env=shapes.environ)

    assert done.returncode == 6
    assert "run 'git fetch --prune --prune-tags --force --tags'" in done.stderr
    assert not (near / BEST).exists()


# -- a folder with files of Git and outputs of DVC


@pytest.mark.parametrize("source", ["studio", "remote"])
@pytest.mark.parametrize("version", CONFIG)
def test_a_mixed_folder_is_pulled_whole_to_another_place(
    run_dvc: RunDvc,
    shapes: Registry,
    near: Path,
    tmp_path: Path,
    version: str,
    source: str,
) -> None:
    pull = ("models", "pull", f"bert@{version}", "--source", source)
    done = run_dvc(*pull, "-o", tmp_path / "deploy", cwd=near, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")
    assert read_tree(tmp_path / "deploy/bert") == bert_of(version)
    assert (tmp_path / "deploy/bert/nested/run.sh").stat().st_mode & 0o111


def test_a_mixed_folder_is_pulled_whole_beside_what_git_has_checked_out(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "bert", cwd=clone, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")
    assert contents(clone / "bert") == bert_of("v2.0.0")
    assert git(clone, "status", "--porcelain") == ""


def test_another_versions_files_of_git_are_never_replaced_and_the_hint_helps(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    pull = ("models", "pull", "bert@v1.0.0")
    before = contents(clone / "bert")
    for force in ([], ["--force"]):
        done = run_dvc(*pull, *force, cwd=clone, env=shapes.environ)

        assert done.returncode == 7
        assert "stored in Git and differ here:\n  bert/config.json\n" in done.stderr
        assert contents(clone / "bert") == before

    hint = done.stderr.partition("Run '")[2].partition("'")[0].split()
    assert hint[:2] == ["git", "checkout"]
    git(clone, *hint[1:])
    done = run_dvc(*pull, cwd=clone, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert contents(clone / "bert") == bert_of("v1.0.0")


def test_files_of_git_that_head_no_longer_has_are_placed_and_removed_again(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    git(clone, "rm", "-r", "--quiet", "bert/nested", "bert/config.json")
    git(clone, "commit", "--quiet", "-m", "Keep no config here")

    done = run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=shapes.environ)
    assert done.returncode == 0, done.stderr
    assert contents(clone / "bert") == bert_of("v1.0.0")

    done = run_dvc("models", "pull", "bert@v2.0.0", cwd=clone, env=shapes.environ)
    assert done.returncode == 0, done.stderr
    assert contents(clone / "bert") == bert_of("v2.0.0")


def test_a_dry_run_shows_what_git_would_have_to_change(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    pull = ("models", "pull", "bert@v1.0.0", "--dry-run", "--json")
    done = run_dvc(*pull, cwd=clone, env=shapes.environ)

    files = json.loads(done.stdout)["models"][0]["files"]
    assert {file["path"]: file["action"] for file in files} == {
        "bert/config.json": "conflict",
        "bert/nested/run.sh": "unchanged",
        "bert/tokenizer/vocab.txt": "download",
        "bert/weights": "download",
    }


def test_list_tells_the_version_of_a_mixed_folder(
    run_dvc: RunDvc, shapes: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", cwd=clone, env=shapes.environ)

    listed = run_dvc("models", "list", "--json", cwd=clone)
    status = run_dvc("models", "status", cwd=clone, env=shapes.environ)
    found = {entry["name"]: entry["workspace"] for entry in json.loads(listed.stdout)}
    assert found["bert"] == {"state": "registered", "version": "v2.0.0"}
    assert (status.returncode, status.stderr) == (0, "")

    write(clone, {"bert/config.json": CONFIG["v1.0.0"]})
    listed = run_dvc("models", "list", "--json", cwd=clone)
    found = {entry["name"]: entry["workspace"] for entry in json.loads(listed.stdout)}
    assert found["bert"] == {"state": "modified", "version": None}


@pytest.mark.parametrize("source", ["studio", "remote", "cache"])
def test_a_mixed_folder_is_locked_and_pulled_again(
    run_dvc: RunDvc, shapes: Registry, near: Path, tmp_path: Path, source: str
) -> None:
    done = run_dvc("models", "pull", "bert", "--lock", cwd=near, env=shapes.environ)
    assert done.returncode == 0, done.stderr

    pull = ("models", "pull", "--locked", "--source", source)
    out = tmp_path / "deploy"
    again = run_dvc(*pull, "-o", out, cwd=near, env=shapes.environ)
    status = run_dvc("models", "status", cwd=near, env=shapes.environ)

    assert again.returncode == 0, again.stderr
    assert read_tree(out / "bert") == bert_of("v2.0.0")
    assert status.returncode == 0, status.stderr


def test_a_locked_mixed_folder_needs_the_commit_for_what_git_keeps(
    run_dvc: RunDvc, shapes: Registry, near: Path, tmp_path: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", "--lock", cwd=near, env=shapes.environ)
    git(near, "checkout", "--quiet", "bert@v1.0.0^{commit}", "--", "bert/config.json")
    pull = ("models", "pull", "bert@v1.0.0", "--lock")
    assert run_dvc(*pull, cwd=near, env=shapes.environ).returncode == 0
    shallow = tmp_path / "shallow"
    source = f"file://{shapes.project.repo}"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", source, str(shallow))
    shutil.copy(near / "models.lock", shallow)
    locked = ("models", "pull", "--locked", "-o", tmp_path / "out")
    repo = {"DVC_STUDIO_REPO_URL": ORIGIN_URL}

    done = run_dvc(*locked, cwd=shallow, env=shapes.environ | repo)
    assert done.returncode == 4
    assert "'bert/config.json' is stored in Git" in done.stderr
    assert not (tmp_path / "out/bert").exists()

    hint = done.stderr.partition("Run '")[2].partition("'")[0].split()
    git(shallow, *hint[1:])
    done = run_dvc(*locked, cwd=shallow, env=shapes.environ | repo)
    assert done.returncode == 0, done.stderr
    assert read_tree(tmp_path / "out/bert") == bert_of("v1.0.0")


def test_git_may_check_out_text_with_other_line_ends(
    run_dvc: RunDvc, shapes: Registry, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--no-checkout", str(shapes.project.repo), "lap")
    clone = tmp_path / "lap"
    git(clone, "remote", "set-url", "origin", ORIGIN_URL)
    git(clone, "config", "core.autocrlf", "true")
    git(clone, "checkout", "--quiet", "main")
    assert b"\r\n" in (clone / "bert/config.json").read_bytes()

    done = run_dvc("models", "pull", "bert", cwd=clone, env=shapes.environ)
    listed = run_dvc("models", "list", "--json", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")
    found = {entry["name"]: entry["workspace"] for entry in json.loads(listed.stdout)}
    assert found["bert"]["version"] == "v2.0.0"


@pytest.mark.parametrize("index", ["--no-sparse-index", "--sparse-index"])
def test_a_sparse_clone_gets_the_whole_of_a_mixed_folder(
    run_dvc: RunDvc, shapes: Registry, clone: Path, index: str
) -> None:
    git(clone, "sparse-checkout", "set", "--cone", index, ".dvc")
    assert not (clone / "bert").exists()

    done = run_dvc("models", "pull", "bert@v2.0.0", cwd=clone, env=shapes.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert contents(clone / "bert") == bert_of("v2.0.0")
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["bert", "bert@v1.0.0"])
def test_files_of_git_are_named_where_no_tag_tells_the_version(
    run_dvc: RunDvc, shapes: Registry, tmp_path: Path, name: str
) -> None:
    git(tmp_path, "clone", "--no-tags", str(shapes.project.repo), "lap")
    clone = tmp_path / "lap"
    repo = {"DVC_STUDIO_REPO_URL": ORIGIN_URL}

    done = run_dvc("models", "pull", name, cwd=clone, env=shapes.environ | repo)

    assert done.returncode == 0
    assert "bert/config.json, bert/nested/run.sh" in done.stderr
    git(clone, *done.stderr.partition("Run 'git ")[2].partition("'")[0].split())
    done = run_dvc("models", "pull", "bert", cwd=clone, env=shapes.environ | repo)
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(clone / "bert") == bert_of("v2.0.0")


def test_a_locked_file_of_git_keeps_its_executable_bit(
    run_dvc: RunDvc, shapes: Registry, clone: Path, tmp_path: Path
) -> None:
    run_dvc("models", "pull", "bert", "--lock", cwd=clone, env=shapes.environ)

    pull = ("models", "pull", "--locked", "-o", tmp_path / "out")
    done = run_dvc(*pull, cwd=clone, env=shapes.environ)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/bert/nested/run.sh").stat().st_mode & 0o100


@pytest.mark.parametrize("count", [1, 300])
def test_links_in_a_mixed_folder_are_named(
    run_dvc: RunDvc, tmp_path: Path, count: int
) -> None:
    project = init_project(tmp_path / "project")
    write(project.repo, {"dvc.yaml": b"artifacts:\n  m: {path: m}\n", "m/w": b"w"})
    write(project.repo, {"shared.json": b"{}"})
    for number in range(count):
        (project.repo / f"m/{number:03}.json").symlink_to("../shared.json")
    track(project.repo, "m/w")
    commit_all(project, "Train")
    project.tag("m@v1.0.0")
    pull = ("models", "pull", "m", "--source", "remote", "-o", tmp_path / "out")

    done = run_dvc(*pull, cwd=project.repo)

    assert done.returncode == 0
    names, _, command = done.stderr.partition(". Run ")
    few = {1: "m/000.json", 300: "m/009.json and 290 more"}
    assert names.endswith(few[count])
    assert command.endswith({1: ":/m/000.json'\n", 300: ":/m'\n"}[count])
    assert read_tree(tmp_path / "out") == {"m/w": b"w"}


@pytest.mark.parametrize("params", [b"<<<<<<< HEAD\na: 1\n", b"\xff\xfe"])
def test_a_broken_file_of_parameters_is_no_part_of_a_model(
    run_dvc: RunDvc, tmp_path: Path, params: bytes
) -> None:
    project = init_project(tmp_path / "project")
    model = b"artifacts:\n  m: {path: m.bin}\n"
    write(project.repo, {"dvc.yaml": model, "m.bin": b"m"})
    track(project.repo, "m.bin")
    write(project.repo, {"params.yaml": params})
    commit_all(project, "Train")
    project.tag("m@v1.0.0")
    pull = ("models", "pull", "m", "--source", "remote", "-o", tmp_path / "out")

    done = run_dvc(*pull, cwd=project.repo)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/m.bin").read_bytes() == b"m"


@pytest.mark.parametrize("reachable", [True, False])
def test_list_works_in_a_sparse_and_partial_clone(
    run_dvc: RunDvc, shapes: Registry, tmp_path: Path, *, reachable: bool
) -> None:
    """Git also fetches the ``.gitignore`` files of folders that are not checked out."""
    source = shapes.project.repo
    git(source, "config", "uploadpack.allowFilter", "true")
    options = ("--filter=blob:none", "--sparse")
    git(tmp_path, "clone", "--quiet", *options, f"file://{source}", "lap")
    clone = tmp_path / "lap"
    git(clone, "sparse-checkout", "set", "--cone", ".dvc")
    repo = {"DVC_STUDIO_REPO_URL": ORIGIN_URL}
    pull = ("models", "pull", "best@v1.0.0")
    done = run_dvc(*pull, cwd=clone, env=shapes.environ | repo)
    assert done.returncode == 0, done.stderr
    write(clone, {"bert/mine": b"m"})
    if not reachable:
        git(clone, "remote", "set-url", "origin", f"file://{tmp_path}/nowhere")

    listed = run_dvc("models", "list", cwd=clone)

    assert listed.returncode == 0, listed.stderr
    assert "best" in listed.stdout
    assert "Traceback" not in listed.stderr
