"""``--all`` and globs: the models that a command is for, by the tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from projects import CHURN, ORIGIN_URL, git

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry


def names(stdout: str) -> list[str]:
    return [model["name"] for model in json.loads(stdout)["models"]]


def test_all_pulls_every_model_that_has_a_version(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "--all", "--json", cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert names(done.stdout) == ["bert", "churn", "services/fraud:fraud"]
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_all_with_a_stage_leaves_out_models_without_it(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    everything = ("models", "pull", "--all", "--stage", "dev")

    done = run_dvc(*everything, cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert "churn#dev = v1.0.0" in done.stdout
    note = "left out 2 models without stage 'dev': bert, services/fraud:fraud"
    assert done.stdout.startswith(note)
    as_json = run_dvc(*everything, "--json", cwd=clone, env=registry.environ)
    assert names(as_json.stdout) == ["churn"]
    assert note in as_json.stderr
    quiet = run_dvc(*everything, "-q", cwd=clone, env=registry.environ)
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_a_glob_selects_by_the_full_name_and_may_have_a_selector(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    def pulled(*globs: str) -> list[str]:
        command = ("models", "pull", *globs, "--dry-run", "--json")
        done = run_dvc(*command, cwd=clone, env=registry.environ)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["models"]
        return [f"{model['name']} {model['version']}" for model in found]

    assert pulled("services/*") == ["services/fraud:fraud v1.0.0"]
    assert pulled("services/fraud/dvc.yaml:*") == ["services/fraud:fraud v1.0.0"]
    assert pulled("[bc]*@v1.0.0") == ["bert v1.0.0", "churn v1.0.0"]
    assert pulled("?h*#dev", "bert") == ["churn v1.0.0", "bert v2.0.0"]


def test_a_glob_that_matches_nothing_is_an_error_that_names_what_there_is(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    def fails(*args: str) -> str:
        done = run_dvc("models", "pull", *args, cwd=clone, env=registry.environ)
        assert (done.returncode, done.stdout) == (4, ""), done.stderr
        return done.stderr

    known = "registered models: bert, churn, services/fraud:fraud"
    assert f"no model matches 'team-*'; {known}" in fails("team-*")
    assert f"no model matches 'b*' and has stage 'prod'; {known}" in fails("b*#prod")
    assert f"no model has stage 'test'; {known}" in fails("--all", "--stage", "test")


def test_all_without_tags_and_without_a_server_says_how_to_get_them(
    run_dvc: RunDvc, clone: Path
) -> None:
    git(clone, "tag", "--delete", *git(clone, "tag").split())

    done = run_dvc("models", "status", "--all", cwd=clone)

    assert done.returncode == 4
    assert "no model is registered; registered models: none" in done.stderr
    assert "Run 'git fetch --tags --force'" in done.stderr


def test_all_and_names_cannot_be_combined(run_dvc: RunDvc, clone: Path) -> None:
    for command in ("pull", "status"):
        done = run_dvc("models", command, "--all", "churn", cwd=clone)

        assert done.returncode == 254
        assert "'--all' selects every model: leave out NAMEs" in done.stderr


def test_status_of_all_includes_what_was_never_pulled(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    done = run_dvc(
        "models", "status", "--all", "--json", cwd=clone, env=registry.environ
    )

    assert done.returncode == 1
    found = {m["name"]: m["up_to_date"] for m in json.loads(done.stdout)["models"]}
    assert found == {"bert": False, "churn": True, "services/fraud:fraud": False}


def test_a_glob_of_locked_models_is_matched_with_the_lock_file(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn#dev", "bert", "--lock", cwd=clone, env=env)
    git(clone, "tag", "--delete", *git(clone, "tag").split())

    done = run_dvc("models", "pull", "c*", "--locked", "--json", cwd=clone, env=env)
    every = run_dvc("models", "pull", "--all", "--locked", "--json", cwd=clone, env=env)
    none = run_dvc("models", "pull", "x*", "--locked", cwd=clone, env=env)

    assert names(done.stdout) == ["churn"], done.stderr
    assert names(every.stdout) == ["bert", "churn"]
    assert none.returncode == 4
    assert "'x*' is not in 'models.lock', which has bert, churn" in none.stderr


# -- without tags


def test_a_clone_without_tags_asks_the_server_for_all_models(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    git(clone, "tag", "--delete", *git(clone, "tag").split())
    env = registry.environ

    done = run_dvc("models", "pull", "--all", "--stage", "prod", cwd=clone, env=env)
    status = run_dvc("models", "status", "c*", "--json", cwd=clone, env=env)
    shown = run_dvc("models", "show", "churn", cwd=clone, env=env)
    of_server = ("models", "show", "churn", "--repo", ORIGIN_URL)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert names(status.stdout) == ["churn"]
    assert "this clone has no tag of it; 'git fetch --tags' may bring some" in (
        shown.stdout
    )
    assert "churn v2.0.0" in run_dvc(*of_server, cwd=clone, env=env).stdout


def test_all_in_an_app_are_the_models_that_it_locks_or_has_pulled(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    git(app, "init", "--quiet")
    env = registry.environ
    pull = ("models", "pull", "churn#dev", "bert", "--repo", ORIGIN_URL)
    done = run_dvc(*pull, "--lock", cwd=app, env=env)
    assert done.returncode == 0, done.stderr

    status = run_dvc("models", "status", "--all", "--json", cwd=app, env=env)
    shown = run_dvc("models", "show", "b*", "--json", cwd=app, env=env)
    unknown = run_dvc("models", "show", "x*", cwd=app, env=env)

    assert names(status.stdout) == ["bert", "churn"]
    assert names(shown.stdout) == ["bert"]
    assert unknown.returncode == 4
    assert "no model matches 'x*'; known models: bert, churn" in unknown.stderr
    assert "name the models' repo with '--repo URL'" in unknown.stderr
