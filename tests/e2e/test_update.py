"""``dvc models update``: renews a lock file without downloading."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from dvc.utils.serialize import load_yaml
from projects import CHURN, ORIGIN_URL, git, init_project

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

    from tests.e2e.conftest import Registry

PATH = "models/churn.pkl"
APP_URL = "git@git.example.com:acme/app.git"
PULL = ("models", "pull", "--repo", ORIGIN_URL)


@pytest.fixture
def app(tmp_path: Path, run_dvc: RunDvc, own_registry: Registry) -> Path:
    """An app that has locked churn#dev as v1.0.0, and bert@v1.0.0 by its version."""
    folder = new_app(tmp_path)
    locked = ("churn#dev", "bert@v1.0.0", "--lock")
    done = run_dvc(*PULL, *locked, cwd=folder, env=own_registry.environ)
    assert done.returncode == 0, done.stderr
    return folder


def new_app(parent: Path) -> Path:
    folder = init_project(parent / "app").repo
    git(folder, "remote", "set-url", "origin", APP_URL)
    return folder


def pins(app: Path, name: str = "models.lock") -> dict[str, str]:
    models = load_yaml(app / name)["models"]
    return {name: f"{m['requested']} {m.get('version')}" for name, m in models.items()}


def test_a_stage_that_has_moved_is_locked_anew_and_nothing_is_downloaded(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")

    done = run_dvc("models", "update", cwd=app, env=own_registry.environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "churn#dev v1.0.0 -> v2.0.0\n"
        '  (use "dvc models pull --locked" to pull the locked versions)\n'
    )
    assert pins(app) == {"bert": "@v1.0.0 v1.0.0", "churn": "#dev v2.0.0"}
    assert (app / PATH).read_bytes() == CHURN["v1.0.0"]


def test_the_renewed_lock_is_the_one_that_a_pull_writes(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    run_dvc("models", "update", cwd=app, env=env)
    updated = (app / "models.lock").read_text()

    done = run_dvc(*PULL, "churn#dev", "--lock", cwd=app, env=env)

    assert done.returncode == 0
    assert (app / "models.lock").read_text() == updated
    assert (app / PATH).read_bytes() == CHURN["v2.0.0"]


def test_check_writes_nothing_and_exits_with_1_if_anything_has_moved(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    before = (app / "models.lock").read_text()
    same = run_dvc("models", "update", "--check", cwd=app, env=env)
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")

    moved = run_dvc("models", "update", "--check", cwd=app, env=env)

    assert (same.returncode, same.stdout) == (0, "models.lock is up to date\n")
    assert moved.returncode == 1
    assert moved.stdout == (
        "churn#dev v1.0.0 -> v2.0.0\n"
        '  (use "dvc models update" to update models.lock)\n'
    )
    assert (app / "models.lock").read_text() == before


def test_a_pinned_version_changes_only_if_another_one_is_named(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ

    same = run_dvc("models", "update", "bert", cwd=app, env=env)
    other = run_dvc("models", "update", "bert@v2.0.0", cwd=app, env=env)
    latest = run_dvc("models", "update", "churn@latest", cwd=app, env=env)

    assert (same.returncode, same.stdout) == (0, "models.lock is up to date\n")
    assert other.stdout.startswith("bert@v2.0.0 v1.0.0 -> v2.0.0 (was @v1.0.0)\n")
    assert latest.stdout.startswith("churn v1.0.0 -> v2.0.0 (was #dev)\n")
    assert pins(app) == {"bert": "@v2.0.0 v2.0.0", "churn": "@latest v2.0.0"}


def test_a_name_with_a_stage_adds_a_pin_and_a_name_alone_does_not(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    own_registry.project.tag(
        "services/fraud=fraud#prod#1", "services/fraud=fraud@v1.0.0"
    )
    fraud = "services/fraud:fraud"

    unknown = run_dvc("models", "update", fraud, cwd=app, env=env)
    elsewhere = run_dvc("models", "update", f"{fraud}#prod", cwd=app, env=env)
    added = run_dvc(
        *("models", "update", f"{fraud}#prod", "--repo", ORIGIN_URL), cwd=app, env=env
    )

    assert unknown.returncode == 4
    assert "is not in 'models.lock'" in unknown.stderr
    assert elsewhere.returncode == 4
    assert "--repo URL" in elsewhere.stderr
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith(f"{fraud}#prod -> v1.0.0 (new)\n")
    assert pins(app)[fraud] == "#prod v1.0.0"
    pulled = run_dvc("models", "pull", "--locked", cwd=app, env=env)
    assert pulled.returncode == 0, pulled.stderr


def test_json_has_what_was_locked_before_and_what_is_locked_now(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    project = own_registry.project
    project.tag("churn#dev#9", "churn@v2.0.0")

    done = run_dvc(
        "models", "update", "--json", "--check", cwd=app, env=own_registry.environ
    )

    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert (result["repo"], result["lock"]) == (ORIGIN_URL, "models.lock")
    assert result["up_to_date"] is False
    (churn,) = result["models"]
    assert (churn["name"], churn["requested"], churn["moved"]) == (
        "churn",
        {"stage": "dev"},
        True,
    )
    assert (churn["from"]["version"], churn["to"]["version"]) == ("v1.0.0", "v2.0.0")
    assert churn["to"]["commit"] == project.commit("churn@v2.0.0")


def test_another_lock_file_is_named_in_the_hints(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    run_dvc(*PULL, "churn#prod", "--lock", "eu.lock", cwd=app, env=env)
    own_registry.project.tag("churn#prod#9", "churn@v1.0.0")
    update = ("models", "update", "--lock", "eu.lock")

    check = run_dvc(*update, "--check", cwd=app, env=env)
    done = run_dvc(*update, cwd=app, env=env)

    assert '(use "dvc models update --lock eu.lock" to update eu.lock)' in check.stdout
    assert '(use "dvc models pull --locked eu.lock" to' in done.stdout
    assert pins(app, "eu.lock") == {"churn": "#prod v1.0.0"}


def test_all_keeps_what_is_locked_as_it_was_locked(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    env = own_registry.environ
    clone = own_registry.project.clone(tmp_path / "clone")
    update = ("models", "update")
    run_dvc(*update, "churn#dev", "bert@v1.0.0", cwd=clone, env=env)

    done = run_dvc(*update, "--all", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("services/fraud:fraud -> v1.0.0 (new)\n")
    assert pins(clone) == {
        "bert": "@v1.0.0 v1.0.0",
        "churn": "#dev v1.0.0",
        "services/fraud:fraud": "@latest v1.0.0",
    }


def test_all_in_an_app_is_all_that_is_locked(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")

    done = run_dvc("models", "update", "--all", cwd=app, env=own_registry.environ)

    assert done.returncode == 0, done.stderr
    assert pins(app) == {"bert": "@v1.0.0 v1.0.0", "churn": "#dev v2.0.0"}


def test_models_without_the_stage_are_left_out_and_counted_once(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    clone = own_registry.project.clone(tmp_path / "clone")
    update = ("models", "update", "--all", "--stage", "prod")

    check = run_dvc(*update, "--check", cwd=clone, env=own_registry.environ)
    done = run_dvc(*update, cwd=clone, env=own_registry.environ)

    assert check.returncode == 1
    assert '(use "dvc models update --all --stage prod" to update' in check.stdout
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left out") == 1


def test_the_same_content_by_another_selector_is_one_line_without_an_arrow(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ

    done = run_dvc("models", "update", "churn@v1.0.0", cwd=app, env=env)

    assert done.stdout.startswith("churn@v1.0.0 v1.0.0 (was #dev)\n")
    assert pins(app)["churn"] == "@v1.0.0 v1.0.0"


def test_without_a_lock_file_there_is_nothing_to_update(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    none = run_dvc("models", "update", cwd=clone, env=registry.environ)
    added = run_dvc("models", "update", "churn#prod", cwd=clone, env=registry.environ)

    assert none.returncode == 251
    assert "no such file" in none.stderr
    assert added.returncode == 0, added.stderr
    assert pins(clone) == {"churn": "#prod v2.0.0"}
    assert not (clone / PATH).exists()


def test_a_repo_of_which_nothing_is_locked_is_an_error(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    done = run_dvc(
        *(
            "models",
            "update",
            "--check",
            "--repo",
            "git@git.example.com:acme/other.git",
        ),
        cwd=app,
        env=own_registry.environ,
    )

    assert done.returncode == 251
    assert "it has no models of that repo" in done.stderr


@pytest.fixture
def gone(run_dvc: RunDvc, own_registry: Registry, app: Path) -> Path:
    """The app; of two locked stages one has moved, and the other is unassigned."""
    project = own_registry.project
    project.tag("bert#blue#1", "bert@v1.0.0")
    run_dvc(*PULL, "bert#blue", "--lock", cwd=app, env=own_registry.environ)
    project.tag("churn#dev#9", "churn@v2.0.0")
    project.tag("bert#blue!#2", "bert@v1.0.0")
    return app


def test_a_model_that_is_gone_keeps_its_pin_and_does_not_hold_up_the_others(
    run_dvc: RunDvc, own_registry: Registry, gone: Path
) -> None:
    done = run_dvc("models", "update", "--json", cwd=gone, env=own_registry.environ)

    assert done.returncode == 4
    assert "left out 'bert#blue'" in done.stderr
    assert json.loads(done.stdout)["left_out"] == ["bert#blue"]
    assert pins(gone) == {"bert": "#blue v1.0.0", "churn": "#dev v2.0.0"}


def test_models_that_are_named_are_locked_together_or_not_at_all(
    run_dvc: RunDvc, own_registry: Registry, gone: Path
) -> None:
    before = (gone / "models.lock").read_text()

    done = run_dvc(
        "models", "update", "bert", "churn", cwd=gone, env=own_registry.environ
    )

    assert done.returncode == 4
    assert "bert#blue" in done.stderr
    assert (gone / "models.lock").read_text() == before


# -- hosted Studio


def offer(studio: StudioServer, files: FileServer, version: str) -> None:
    studio.serve("churn", files.publish({PATH: CHURN[version]}), stage="prod")


def test_without_versions_the_hashes_are_shown_and_sizes_asked_of_storage(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, tmp_path: Path
) -> None:
    app = new_app(tmp_path)
    offer(studio, file_server, "v1.0.0")
    run_dvc(*PULL, "churn#prod", "--lock", cwd=app, env=studio.environ)
    offer(studio, file_server, "v2.0.0")

    done = run_dvc("models", "update", cwd=app, env=studio.environ)

    assert done.returncode == 0, done.stderr
    assert "churn#prod 9b62f1c -> 663716d\n" in done.stdout
    assert "pinned by the hashes of the files alone" in done.stdout
    (file,) = load_yaml(app / "models.lock")["models"]["churn"]["files"]
    assert file["size"] == len(CHURN["v2.0.0"])


def test_a_content_whose_hash_only_a_download_tells_is_refused(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, tmp_path: Path
) -> None:
    app = new_app(tmp_path)
    file_server.objects["/churn.pkl"] = CHURN["v1.0.0"]
    links = {PATH: file_server.sign("/churn.pkl")}
    studio.serve("churn", links, stage="prod")

    done = run_dvc(
        *("models", "update", "churn#prod", "--repo", ORIGIN_URL),
        cwd=app,
        env=studio.environ,
    )

    assert done.returncode == 5
    assert f"Run 'dvc models pull churn#prod --lock --repo {ORIGIN_URL}'" in done.stderr
    assert not (app / "models.lock").exists()


# -- the clone of the models


def test_in_the_models_clone_git_says_the_sizes_and_no_storage_is_asked(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    clone = own_registry.project.clone(tmp_path / "clone")

    done = run_dvc(
        "models", "update", "--all", "--json", cwd=clone, env=own_registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert {
        model["name"]: model["to"]["version"]
        for model in json.loads(done.stdout)["models"]
    } == {
        "bert": "v2.0.0",
        "churn": "v2.0.0",
        "services/fraud:fraud": "v1.0.0",
    }
    locked = run_dvc("models", "pull", "--locked", cwd=clone, env=own_registry.environ)
    assert locked.returncode == 0, locked.stderr
    assert "verified against Git" in locked.stdout


def test_what_is_cached_is_updated_from_local_tags_without_studio(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    clone = own_registry.project.clone(tmp_path / "clone")
    env = own_registry.environ
    run_dvc("models", "pull", "churn@v2.0.0", cwd=clone, env=env)
    run_dvc("models", "pull", "churn#dev", "--lock", cwd=clone, env=env)
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    git(clone, "fetch", "--quiet", "--tags", str(own_registry.project.repo))

    done = run_dvc("models", "update", "--source", "cache", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("churn#dev v1.0.0 -> v2.0.0\n")
