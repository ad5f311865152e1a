"""Pulls outside of DVC projects: contents are kept in a cache of the user's."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from projects import git, init_project, read_tree

from dvc_studio_models.store.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

    from conftest import RunDvc
    from servers import FileServer, StudioServer

    Pull = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.reliability("Through `dvc`: a user's cache")

FILES = {
    "models/churn.pkl": b"churn" * 1000,
    "models/bert/config.json": b"{}",
    "models/bert/part.bin": b"\x00\xff" * 50_000,
    "models/bert/same.bin": b"\x00\xff" * 50_000,
    "models/empty.txt": b"",
}
NEWER = {**FILES, "models/churn.pkl": b"newer" * 1000}
REPO = "git@git.example.com:acme/models.git"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "of the user"


@pytest.fixture
def env(
    studio: StudioServer, file_server: FileServer, cache: Path
) -> dict[str, str | None]:
    studio.serve("churn", file_server.publish(FILES), stage="prod")
    studio.serve("churn", file_server.publish(NEWER), version="v2.0.0")
    return {**studio.environ, "DVC_STUDIO_MODELS_CACHE": str(cache)}


@pytest.fixture
def pull(run_dvc: RunDvc, tmp_path: Path, env: Mapping[str, str | None]) -> Pull:
    """Pulls to a folder outside of any project."""

    def run(
        *args: str | Path, env: Mapping[str, str | None] = env, name: str = "churn#prod"
    ) -> CompletedProcess[str]:
        options = ("--repo", REPO, "--out", *args)
        return run_dvc("models", "pull", name, *options, cwd=tmp_path, env=env)

    return run


def actions(done: CompletedProcess[str]) -> set[str]:
    (model,) = json.loads(done.stdout)["models"]
    return {file["action"] for file in model["files"]}


def objects(cache: Path) -> dict[str, bytes]:
    return read_tree(cache / "files" / "md5")


def placed(folder: Path) -> dict[str, bytes]:
    """Return the files of the model; those of a clone are added to ``.gitignore``."""
    found = read_tree(folder)
    return {path: found[path] for path in found if not path.endswith(".gitignore")}


# The second pull


def test_the_second_pull_to_a_fresh_folder_sends_no_request_to_storage(
    pull: Pull, tmp_path: Path, file_server: FileServer
) -> None:
    first = pull("one", "--json")
    before = len(file_server.requests)

    second = pull("two", "--json")

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert (actions(first), actions(second)) == ({"downloaded"}, {"linked"})
    assert (before > 0, len(file_server.requests)) == (True, before)
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two") == FILES
    assert second.stderr == ""


def test_a_git_repo_without_dvc_uses_the_users_cache(
    run_dvc: RunDvc, env: Mapping[str, str | None], tmp_path: Path, cache: Path
) -> None:
    for name in ("one", "two"):
        git(tmp_path, "init", "--quiet", name)
        run = ("models", "pull", "churn#prod", "--repo", REPO, "--json")
        done = run_dvc(*run, cwd=tmp_path / name, env=env)

    assert actions(done) == {"linked"}
    assert read_tree(tmp_path / "two" / "models") == {
        path.removeprefix("models/"): content for path, content in FILES.items()
    }
    assert set(objects(cache).values()) == set(FILES.values())


def test_the_out_folder_of_a_project_is_filled_from_its_cache(
    run_dvc: RunDvc,
    env: Mapping[str, str | None],
    tmp_path: Path,
    cache: Path,
    file_server: FileServer,
) -> None:
    project = init_project(tmp_path / "project").repo
    run_dvc("models", "pull", "churn#prod", cwd=project, env=env)
    before = len(file_server.requests)

    for out in ("app", "deep/er/app"):
        run = ("models", "pull", "churn#prod", "--out", out)
        done = run_dvc(*run, cwd=project, env=env)
        assert done.returncode == 0, done.stderr
        assert placed(project / out) == FILES

    assert len(file_server.requests) == before
    assert not cache.exists()


def test_a_project_that_anybody_can_have_made_is_not_used(
    pull: Pull, tmp_path: Path, cache: Path
) -> None:
    shared = init_project(tmp_path / "shared").repo
    shared.chmod(0o1777)

    done = pull(shared / "mine")

    assert (done.returncode, placed(shared / "mine")) == (0, FILES)
    assert set(objects(cache).values()) == set(FILES.values())


# Which folder


@pytest.mark.parametrize("way", ["option", "variable", "global", "system", "default"])
def test_the_folder_is_chosen_by_the_first_setting(
    pull: Pull,
    env: dict[str, str | None],
    home: Path,
    tmp_path: Path,
    run_dvc: RunDvc,
    way: str,
) -> None:
    ways = ["option", "variable", "global", "system", "default"]
    folders = {each: tmp_path / each for each in ways}
    folders["default"] = home / "cache" / "dvc-studio-models"
    env.pop("DVC_STUDIO_MODELS_CACHE")
    args = []
    for each in ways[ways.index(way) :]:
        if each == "option":
            args = ["--cache-dir", "option"]
        elif each == "variable":
            env["DVC_STUDIO_MODELS_CACHE"] = "variable"
        elif each != "default":
            run_dvc("config", f"--{each}", "cache.dir", folders[each], cwd=tmp_path)

    done = pull("one", *args, env=env)

    assert (done.returncode, done.stderr) == (0, "")
    assert set(objects(folders[way]).values()) == set(FILES.values())
    assert [each for each in ways if (folders[each]).exists()] == [way]


def test_an_empty_option_is_as_none(pull: Pull, tmp_path: Path, cache: Path) -> None:
    pull("one", "--cache-dir", "")

    assert set(objects(cache).values()) == set(FILES.values())
    assert not (tmp_path / "files").exists()


def test_a_new_cache_is_the_users_own_and_git_does_not_show_it(
    pull: Pull, tmp_path: Path, cache: Path
) -> None:
    git(tmp_path, "init", "--quiet", "repo")
    inside = tmp_path / "repo" / "cache"

    pull("one")
    pull("two", "--cache-dir", inside)

    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert git(tmp_path / "repo", "status", "--porcelain") == ""


@pytest.mark.parametrize("link", ["hardlink", "symlink", "copy"])
def test_files_are_linked_by_dvcs_global_rules(
    pull: Pull, run_dvc: RunDvc, tmp_path: Path, cache: Path, link: str
) -> None:
    run_dvc("config", "--global", "cache.type", link, cwd=tmp_path)

    pull("one")

    placed = tmp_path / "one" / "models" / "churn.pkl"
    md5 = hashlib.md5(FILES["models/churn.pkl"]).hexdigest()
    stored = cache / "files" / "md5" / md5[:2] / md5[2:]
    assert placed.is_symlink() == (link == "symlink")
    assert placed.samefile(stored) == (link != "copy")
    assert stat.S_IMODE(stored.stat().st_mode) == 0o444
    assert os.access(placed, os.W_OK) or link != "copy"


def test_a_project_has_its_own_cache(
    run_dvc: RunDvc, env: Mapping[str, str | None], tmp_path: Path
) -> None:
    project = init_project(tmp_path / "project").repo
    run = ("models", "pull", "churn#prod", "--cache-dir", tmp_path / "other")

    done = run_dvc(*run, cwd=project, env=env)

    assert done.returncode == 254
    assert "leave out '--cache-dir', or change that with 'dvc cache dir'" in done.stderr
    assert not (tmp_path / "other").exists()


def test_without_a_cache_none_is_made(pull: Pull, tmp_path: Path, cache: Path) -> None:
    done = pull("one", "--no-cache")

    assert (done.returncode, done.stderr) == (0, "")
    assert read_tree(tmp_path / "one") == FILES
    assert not cache.exists()


# Receipts and records


def test_a_later_version_replaces_files_without_force(
    pull: Pull, tmp_path: Path
) -> None:
    pull("one")

    done = pull("one", name="churn@v2.0.0")

    assert (done.returncode, done.stderr) == (0, "")
    assert read_tree(tmp_path / "one") == NEWER


def test_a_file_that_was_edited_is_not_replaced(pull: Pull, tmp_path: Path) -> None:
    pull("one")
    edited = tmp_path / "one" / "models" / "churn.pkl"
    edited.write_bytes(b"mine")

    done = pull("one", name="churn@v2.0.0")

    assert done.returncode == 7
    assert edited.read_bytes() == b"mine"


def test_a_git_repo_without_dvc_knows_what_was_pulled(
    run_dvc: RunDvc, env: Mapping[str, str | None], tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "app")
    app = tmp_path / "app"
    run_dvc("models", "pull", "churn#prod", "--repo", REPO, cwd=app, env=env)

    status = run_dvc("models", "status", cwd=app, env=env)
    (app / "models" / "churn.pkl").unlink()
    missing = run_dvc("models", "status", cwd=app, env=env)

    assert (status.returncode, status.stderr) == (0, "")
    assert "churn#prod" in status.stdout
    assert missing.returncode == 1


def test_each_version_is_recorded_with_its_last_use(pull: Pull, cache: Path) -> None:
    pull("one")
    pull("one", name="churn@v2.0.0")
    (newer, older), broken = read_usage(cache)
    os.utime(older.path, (1, 1))

    pull("one")
    records, _ = read_usage(cache)

    assert broken == []
    assert (older.model, older.repo, older.selector) == ("churn", REPO, "#prod")
    assert {path: digest.value for path, digest in older.files.items()} == {
        path: hashlib.md5(content).hexdigest() for path, content in FILES.items()
    }
    assert older.sizes == {path: len(content) for path, content in FILES.items()}
    assert newer.used > older.used
    assert records == [older, newer]
    assert records[0].used > newer.used
