"""An app that uses models of other repos: each command knows where they are from."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from dvc.utils.serialize import load_yaml
from projects import (
    CHURN,
    ORIGIN_URL,
    Project,
    copy_project,
    git,
    init_project,
    serving,
    track,
    write,
)
from projects import TOKEN as SERVED_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

    from tests.e2e.conftest import Registry

PATH = "models/churn.pkl"
OTHER_URL = "git@git.example.com:acme/other.git"
APP_URL = "git@git.example.com:acme/app.git"
REPO = ("--repo", ORIGIN_URL)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A DVC project of its own, whose remote is not the models' repo."""
    folder = init_project(tmp_path / "app").repo
    git(folder, "remote", "set-url", "origin", APP_URL)
    return folder


@pytest.mark.parametrize("selector", ["churn@v1.0.0", "churn#dev", "churn"])
def test_a_lock_names_the_repo_and_what_the_server_says_it_is(
    run_dvc: RunDvc, registry: Registry, app: Path, selector: str
) -> None:
    done = run_dvc(
        *("models", "pull", selector, "--lock", "--json", *REPO),
        cwd=app,
        env=registry.environ,
    )

    assert done.returncode == 0, done.stderr
    version = "v2.0.0" if selector == "churn" else "v1.0.0"
    commit = registry.project.commit(f"churn@{version}")
    result = json.loads(done.stdout)
    (model,) = result["models"]
    assert (result["repo"], "repo" in model) == (ORIGIN_URL, False)
    assert (model["version"], model["commit"]) == (version, commit)
    assert model["files"][0]["verified_by"] == "url"
    pin = load_yaml(app / "models.lock")["models"]["churn"]
    assert (pin["repo"], pin["version"], pin["commit"]) == (ORIGIN_URL, version, commit)


def test_a_fresh_clone_of_the_app_pulls_what_is_locked_without_repo(
    run_dvc: RunDvc, registry: Registry, app: Path, tmp_path: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=env)
    commit_all(app)
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(app), str(fresh))
    git(fresh, "remote", "set-url", "origin", APP_URL)

    done = run_dvc("models", "pull", "--locked", "--json", cwd=fresh, env=env)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["repo"] == ORIGIN_URL
    assert result["models"][0]["version"] == "v1.0.0"
    assert result["models"][0]["files"][0]["verified_by"] == "lock"
    assert (fresh / PATH).read_bytes() == CHURN["v1.0.0"]


def commit_all(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All")


def test_status_asks_the_repo_that_a_model_was_pulled_from(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=env)

    fresh = run_dvc("models", "status", cwd=app, env=env)
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    moved = run_dvc("models", "status", "--json", cwd=app, env=env)

    commit = own_registry.project.commit("churn@v1.0.0")[:7]
    assert (fresh.returncode, fresh.stdout) == (
        0,
        f"churn#dev = v1.0.0 ({commit}): up to date\n",
    )
    assert moved.returncode == 1, moved.stderr
    assert json.loads(moved.stdout)["models"][0]["version"] == "v2.0.0"


def test_status_of_a_model_by_its_name_asks_that_repo_too(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=env)

    done = run_dvc("models", "status", "churn#prod", cwd=app, env=env)

    assert done.returncode == 1, done.stderr
    hint = f"dvc models pull 'churn#prod' --repo {ORIGIN_URL}"
    assert f'(use "{hint}" to update)' in done.stdout
    pulled = run_dvc(*shlex.split(hint)[1:], cwd=app, env=env)
    assert pulled.returncode == 0
    assert (app / PATH).read_bytes() == CHURN["v2.0.0"]


def test_status_of_a_lock_sees_that_a_stage_of_the_other_repo_has_moved(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=env)
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")

    done = run_dvc("models", "status", cwd=app, env=env)

    assert done.returncode == 0
    assert done.stdout.startswith("churn: v1.0.0 locked, #dev is now v2.0.0\n")


def test_list_shows_the_model_its_version_and_its_repo(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    pull = ("models", "pull", *REPO)
    run_dvc(*pull, "churn#dev", cwd=app, env=registry.environ)
    pulled = run_dvc("models", "list", cwd=app)
    run_dvc(*pull, "churn#dev", "--lock", cwd=app, env=registry.environ)
    locked = run_dvc("models", "list", "--json", cwd=app)
    (app / PATH).write_bytes(b"mine")
    modified = run_dvc("models", "list", "--json", cwd=app)
    (app / PATH).unlink()
    absent = run_dvc("models", "list", cwd=app)

    head, row = pulled.stdout.splitlines()
    assert head.split()[-2:] == ["Locked", "Repo"]
    assert row.split() == ["churn", "-", "-", "v1.0.0", PATH, "-", ORIGIN_URL]
    (model,) = json.loads(locked.stdout)
    assert (model["repo"], model["locked"]) == (ORIGIN_URL, "v1.0.0")
    assert model["workspace"] == {"state": "registered", "version": "v1.0.0"}
    assert json.loads(modified.stdout)[0]["workspace"]["state"] == "modified"
    assert absent.stdout.splitlines()[1].split() == [
        *("churn", "-", "-", "-", PATH, "v1.0.0", ORIGIN_URL)
    ]


def test_list_of_another_repo_comes_from_its_server(
    run_dvc: RunDvc, registry: Registry, app: Path, tmp_path: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=registry.environ)
    outside = tmp_path / "outside"
    outside.mkdir()

    done = run_dvc("models", "list", *REPO, cwd=app, env=registry.environ)
    assert done.returncode == 0, done.stderr
    head, bert, churn, fraud = (line.split() for line in done.stdout.splitlines())
    assert head == ["Name", "Latest", "Stages", "Workspace", "Path"]
    assert bert == ["bert", "v2.0.0", "-", "-", "-"]
    stages = ["dev:", "v1.0.0,", "prod:", "v2.0.0"]
    assert churn == ["churn", "v2.0.0", *stages, "v1.0.0", PATH]
    assert fraud[:2] == ["services/fraud:fraud", "v1.0.0"]

    command = ("models", "list", *REPO, "--json")
    done = run_dvc(*command, cwd=outside, env=registry.environ)
    assert done.returncode == 0, done.stderr
    models = {model.pop("name"): model for model in json.loads(done.stdout)}
    assert models["churn"] == {
        "repo": ORIGIN_URL,
        "path": None,
        "latest": "v2.0.0",
        "stages": {"dev": "v1.0.0", "prod": "v2.0.0"},
        "versions": ["v2.0.0", "v1.0.0"],
        "locked": None,
        "workspace": {"state": "absent", "version": None},
    }
    assert len(models) == 3


def test_list_of_the_repo_of_the_clone_uses_its_tags(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    nobody = {"DVC_STUDIO_URL": "http://127.0.0.1:9", "DVC_STUDIO_TOKEN": "x"}

    here = run_dvc("models", "list", "--json", cwd=clone)
    named = run_dvc("models", "list", *REPO, "--json", cwd=clone, env=nobody)

    assert named.returncode == 0, named.stderr
    assert named.stdout == here.stdout
    # A CI system may have cloned without tags; the server knows them.
    git(clone, "tag", "--delete", *git(clone, "tag").split())
    done = run_dvc("models", "list", *REPO, cwd=clone, env=registry.environ)
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["bert", "v2.0.0"],
        ["churn", "v2.0.0"],
        ["services/fraud:fraud", "v1.0.0"],
    ]


def test_list_of_a_repo_that_is_not_served_is_not_found(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    command = ("models", "list", "--repo", OTHER_URL)
    done = run_dvc(*command, cwd=app, env=registry.environ)

    assert (done.returncode, done.stdout) == (4, "")
    assert f"repo '{OTHER_URL}' is not served" in done.stderr
    empty = run_dvc("models", "list", "--repo", "", cwd=app, env=registry.environ)
    assert empty.returncode == 254
    assert "'--repo' is empty" in empty.stderr


def test_a_fresh_clone_of_the_app_lists_what_is_locked(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    run_dvc(*("models", "update", "churn#dev", *REPO), cwd=app, env=registry.environ)

    done = run_dvc("models", "list", "--json", cwd=app)

    (model,) = json.loads(done.stdout)
    assert (model["name"], model["path"]) == ("churn", PATH)
    assert (model["repo"], model["locked"]) == (ORIGIN_URL, "v1.0.0")
    assert model["workspace"] == {"state": "absent", "version": None}


def test_a_model_of_the_same_name_as_one_of_this_repo_is_listed_beside_it(
    run_dvc: RunDvc, two_repos: dict[str, str], app: Path
) -> None:
    write(app, {"dvc.yaml": b"artifacts:\n  spam:\n    path: own.bin\n"})
    run_dvc(*("models", "pull", "spam", "--repo", OTHER_URL), cwd=app, env=two_repos)

    done = run_dvc("models", "list", "--json", cwd=app)

    found = [(m["name"], m["path"], m.get("repo")) for m in json.loads(done.stdout)]
    assert found == [("spam", "own.bin", None), ("spam", "spam.bin", OTHER_URL)]


def test_offline_what_is_locked_is_compared_with_the_lock(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = {**registry.environ, "DVC_STUDIO_OFFLINE": "true"}
    pull = ("models", "pull", "churn#dev", "--lock", *REPO)
    run_dvc(*pull, cwd=app, env=registry.environ)

    done = run_dvc("models", "status", cwd=app, env=env)

    assert done.returncode == 0, done.stderr
    assert "cannot tell whether these have moved: churn#dev\n" in done.stdout
    assert "churn: v1.0.0 locked: up to date\n" in done.stdout


# -- several repos


@pytest.fixture
def two_repos(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Serve the models' repo, and another one with a model of its own."""
    template = tmp_path_factory.getbasetemp() / "template"
    first = copy_project(template, tmp_path / "first")
    second = init_project(tmp_path / "second")
    git(second.repo, "remote", "set-url", "origin", OTHER_URL)
    dvc_yaml = b"artifacts:\n  spam:\n    path: spam.bin\n    type: model\n"
    write(second.repo, {"spam.bin": b"spam", "dvc.yaml": dvc_yaml})
    track(second.repo, "spam.bin")
    git(second.repo, "add", "--all")
    git(second.repo, "commit", "--quiet", "--message", "Model")
    second.tag("spam@v0.1.0")
    with serving(first.repo, second.repo) as url:
        yield {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": SERVED_TOKEN}


def test_models_of_several_repos_are_pulled_and_compared_together(
    run_dvc: RunDvc, two_repos: dict[str, str], app: Path
) -> None:
    other = ("--repo", OTHER_URL)
    run_dvc("models", "pull", "churn#prod", "--lock", *REPO, cwd=app, env=two_repos)
    run_dvc("models", "pull", "spam", "--lock", *other, cwd=app, env=two_repos)
    for path in (PATH, "spam.bin"):
        (app / path).unlink()

    pulled = run_dvc("models", "pull", "--locked", "--json", cwd=app, env=two_repos)
    as_text = run_dvc("models", "pull", "--locked", cwd=app, env=two_repos)
    status = run_dvc("models", "status", "--json", cwd=app, env=two_repos)

    assert pulled.returncode == 0, pulled.stderr
    result = json.loads(pulled.stdout)
    assert result["repo"] == ORIGIN_URL
    repos = {model["name"]: model.get("repo") for model in result["models"]}
    assert repos == {"churn": None, "spam": OTHER_URL}
    assert (
        f"spam@v0.1.0 ({commit_of(result, 'spam')}) from {OTHER_URL}\n"
        in as_text.stdout
    )
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["up_to_date"]


def commit_of(result: dict[str, Any], name: str) -> str:
    return next(m["commit"][:7] for m in result["models"] if m["name"] == name)


def test_a_model_of_the_clone_and_one_of_another_repo_are_locked_together(
    run_dvc: RunDvc, two_repos: dict[str, str], tmp_path: Path
) -> None:
    """Only Git of the clone's own repo verifies, and only its own model."""
    clone = Project(tmp_path / "first").clone(tmp_path / "clone")
    run_dvc("models", "pull", "churn", "--lock", cwd=clone, env=two_repos)
    run_dvc(
        *("models", "pull", "spam", "--lock", "--repo", OTHER_URL),
        cwd=clone,
        env=two_repos,
    )

    done = run_dvc("models", "pull", "--locked", "--json", cwd=clone, env=two_repos)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["repo"] == ORIGIN_URL
    found = {
        model["name"]: (model.get("repo"), model["files"][0]["verified_by"])
        for model in result["models"]
    }
    assert found == {"churn": (None, "git"), "spam": (OTHER_URL, "lock")}


@pytest.fixture
def twins(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Serve two repos that both have a model named churn, at different paths."""
    template = tmp_path_factory.getbasetemp() / "template"
    first = copy_project(template, tmp_path / "first")
    second = init_project(tmp_path / "second")
    git(second.repo, "remote", "set-url", "origin", OTHER_URL)
    dvc_yaml = b"artifacts:\n  churn:\n    path: other.bin\n    type: model\n"
    write(second.repo, {"other.bin": b"other", "dvc.yaml": dvc_yaml})
    track(second.repo, "other.bin")
    git(second.repo, "add", "--all")
    git(second.repo, "commit", "--quiet", "--message", "Model")
    second.tag("churn@v0.1.0")
    with serving(first.repo, second.repo) as url:
        yield {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": SERVED_TOKEN}


def test_models_of_one_name_of_two_repos_are_two_models(
    run_dvc: RunDvc, twins: dict[str, str], app: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=twins)
    run_dvc("models", "pull", "churn", "--repo", OTHER_URL, cwd=app, env=twins)
    status = run_dvc("models", "status", "--json", cwd=app, env=twins)
    listed = run_dvc("models", "list", "--json", cwd=app)

    assert (app / PATH).read_bytes() == CHURN["v1.0.0"]
    assert (app / "other.bin").read_bytes() == b"other"
    assert status.returncode == 0, status.stderr
    versions = [model["version"] for model in json.loads(status.stdout)["models"]]
    assert sorted(versions) == ["v0.1.0", "v1.0.0"]
    repos = {model["repo"]: model["path"] for model in json.loads(listed.stdout)}
    assert repos == {ORIGIN_URL: PATH, OTHER_URL: "other.bin"}


def test_a_repo_by_another_url_is_the_same_repo(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ
    https = ("--repo", "https://git.example.com/acme/models")
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=env)
    run_dvc("models", "pull", "churn#prod", *https, cwd=app, env=env)

    status = run_dvc("models", "status", cwd=app, env=env)
    listed = run_dvc("models", "list", "--json", cwd=app)

    assert status.returncode == 0, status.stdout
    (model,) = json.loads(listed.stdout)
    assert model["workspace"]["version"] == "v2.0.0"


def test_a_file_of_another_repo_that_is_replaced_is_claimed_no_more(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    app: Path,
) -> None:
    offer(studio, file_server, "v1.0.0")
    env = studio.environ
    run_dvc("models", "pull", "churn#prod", *REPO, cwd=app, env=env)
    offer(studio, file_server, "v2.0.0")
    other = ("--repo", OTHER_URL)

    done = run_dvc("models", "pull", "churn#prod", *other, cwd=app, env=env)
    status = run_dvc("models", "status", cwd=app, env=env)
    listed = run_dvc("models", "list", "--json", cwd=app)

    assert done.returncode == 0, done.stderr
    assert (app / PATH).read_bytes() == CHURN["v2.0.0"]
    assert status.returncode == 0, status.stdout
    assert [model["repo"] for model in json.loads(listed.stdout)] == [OTHER_URL]


def test_a_name_of_two_repos_needs_one_to_be_named(
    run_dvc: RunDvc, twins: dict[str, str], app: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", *REPO, cwd=app, env=twins)
    run_dvc("models", "pull", "churn", "--repo", OTHER_URL, cwd=app, env=twins)

    unclear = run_dvc("models", "update", "churn@latest", cwd=app, env=twins)
    clear = run_dvc("models", "update", "churn@latest", *REPO, cwd=app, env=twins)

    assert unclear.returncode == 254
    assert "name one with '--repo'" in unclear.stderr
    assert ORIGIN_URL in unclear.stderr
    assert clear.returncode == 0, clear.stderr
    assert load_yaml(app / "models.lock")["models"]["churn"]["repo"] == ORIGIN_URL


@pytest.mark.parametrize(
    "command",
    [
        ("pull", "churn", "--lock"),
        ("pull", "churn", "--locked"),
        ("update", "churn@v0.1.0"),
        ("update", "churn"),
    ],
)
def test_a_pin_is_not_taken_over_by_a_model_of_the_same_name_of_another_repo(
    run_dvc: RunDvc, twins: dict[str, str], app: Path, command: tuple[str, ...]
) -> None:
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=twins)
    before = (app / "models.lock").read_text()

    done = run_dvc("models", *command, "--repo", OTHER_URL, cwd=app, env=twins)

    assert done.returncode == 7
    assert f"'models.lock' has 'churn' of '{ORIGIN_URL}'" in done.stderr
    assert (app / "models.lock").read_text() == before
    assert not (app / "other.bin").exists()


def test_status_of_a_repo_does_not_compare_it_with_the_lock_of_another(
    run_dvc: RunDvc, twins: dict[str, str], app: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=twins)

    done = run_dvc(
        *("models", "status", "churn", "--repo", OTHER_URL), cwd=app, env=twins
    )

    assert done.returncode == 1
    assert "locked" not in done.stdout
    assert done.stdout.startswith("churn = v0.1.0")


def test_the_same_repo_by_another_url_may_renew_its_pin(
    run_dvc: RunDvc, twins: dict[str, str], app: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=twins)
    url = "https://git.example.com/acme/models"

    done = run_dvc(
        *("models", "pull", "churn#prod", "--lock", "--repo", url), cwd=app, env=twins
    )

    assert done.returncode == 0, done.stderr
    assert load_yaml(app / "models.lock")["models"]["churn"]["repo"] == url


def test_a_locked_version_that_is_gone_is_to_be_locked_anew(
    run_dvc: RunDvc, own_registry: Registry, app: Path
) -> None:
    env = own_registry.environ
    run_dvc(
        "models", "pull", "churn#dev", "--lock", "--no-cache", *REPO, cwd=app, env=env
    )
    (app / PATH).unlink()
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    git(own_registry.project.repo, "tag", "--delete", "churn@v1.0.0")

    refused = run_dvc("models", "pull", "--locked", cwd=app, env=env)
    hint = refused.stderr.rpartition("with '")[2].strip().removesuffix("'")
    renewed = run_dvc(*shlex.split(hint)[1:], cwd=app, env=env)
    done = run_dvc("models", "pull", "--locked", cwd=app, env=env)

    assert refused.returncode == 4
    assert "--repo" not in refused.stderr
    assert hint == "dvc models update churn"
    assert renewed.returncode == 0, renewed.stderr
    assert done.returncode == 0, done.stderr


# -- hosted Studio, which states no version


@pytest.fixture
def hosted(studio: StudioServer, file_server: FileServer) -> StudioServer:
    offer(studio, file_server, "v1.0.0")
    return studio


def offer(studio: StudioServer, files: FileServer, version: str) -> None:
    """Serve churn as prod, and as this version."""
    links = files.publish({PATH: CHURN[version]})
    studio.serve("churn", links, stage="prod", version=version)


def test_without_a_statement_a_pin_has_the_hashes_alone_and_says_so(
    run_dvc: RunDvc, hosted: StudioServer, app: Path
) -> None:
    env = hosted.environ

    done = run_dvc("models", "pull", "churn#prod", "--lock", *REPO, cwd=app, env=env)
    again = run_dvc("models", "pull", "--locked", cwd=app, env=env)
    status = run_dvc("models", "status", cwd=app, env=env)

    assert done.returncode == 0, done.stderr
    assert "'churn#prod': pinned by the hashes of the files alone" in done.stdout
    pin = load_yaml(app / "models.lock")["models"]["churn"]
    assert sorted(pin) == ["files", "repo", "requested"]
    assert again.returncode == 0, again.stderr
    assert status.stdout == "churn: #prod locked: up to date\n"


def test_an_explicit_version_is_the_version_without_any_statement(
    run_dvc: RunDvc, hosted: StudioServer, app: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "churn", "--version", "1.0.0", "--lock", "--json", *REPO),
        cwd=app,
        env=hosted.environ,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"][0]["version"] == "v1.0.0"
    assert load_yaml(app / "models.lock")["models"]["churn"]["version"] == "v1.0.0"


def test_a_pin_of_hashes_whose_stage_has_moved_is_refused_and_placed_from_the_cache(
    run_dvc: RunDvc, hosted: StudioServer, file_server: FileServer, app: Path
) -> None:
    env = hosted.environ
    run_dvc("models", "pull", "churn#prod", "--lock", *REPO, cwd=app, env=env)
    (app / PATH).unlink()
    offer(hosted, file_server, "v2.0.0")

    refused = run_dvc("models", "pull", "--locked", cwd=app, env=env)
    cached = run_dvc(
        "models", "pull", "--locked", "--source", "cache", cwd=app, env=env
    )

    assert refused.returncode == 1
    assert "'churn#prod' has moved" in refused.stderr
    assert (
        "All locked files are in the DVC cache: use '--source cache'" in refused.stderr
    )
    assert cached.returncode == 0, cached.stderr
    assert (app / PATH).read_bytes() == CHURN["v1.0.0"]


def test_status_of_a_moved_pin_of_hashes_names_only_what_helps(
    run_dvc: RunDvc, hosted: StudioServer, file_server: FileServer, app: Path
) -> None:
    env = hosted.environ
    pull = ("models", "pull", "churn#prod", "--lock")
    run_dvc(*pull, *REPO, cwd=app, env=env)
    (app / PATH).unlink()
    offer(hosted, file_server, "v2.0.0")
    cached = run_dvc("models", "status", cwd=app, env=env)
    shutil.rmtree(app / ".dvc/cache")

    lost = run_dvc("models", "status", cwd=app, env=env)

    assert "pull churn --locked --source cache" in cached.stdout
    assert "pull churn" not in lost.stdout
    assert "dvc models update churn" in lost.stdout


def test_a_server_that_states_no_version_takes_none_from_the_lock(
    run_dvc: RunDvc, registry: Registry, hosted: StudioServer, app: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn#dev", "--lock", *REPO, cwd=app, env=env)
    run_dvc("models", "update", "churn#prod", cwd=app, env=env)
    run_dvc("models", "update", "churn@v1.0.0", cwd=app, env=env)
    lock = app / "models.lock"
    text = lock.read_text().replace("'@v1.0.0'", "'#prod'")
    lock.write_text(text)

    checked = run_dvc("models", "update", "--check", cwd=app, env=hosted.environ)
    pulled = run_dvc(
        *("models", "pull", "churn#prod", "--lock", *REPO), cwd=app, env=hosted.environ
    )

    assert (checked.returncode, checked.stdout) == (0, "models.lock is up to date\n")
    assert pulled.returncode == 0
    assert lock.read_text() == text


# -- which repo


def test_a_model_that_this_repo_lacks_may_be_of_another_one_which_the_error_says(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ
    refused = run_dvc("models", "pull", "churn", cwd=app, env=env)
    run_dvc("config", "studio.repo_url", ORIGIN_URL, cwd=app)
    found = run_dvc("models", "pull", "churn", "--lock", cwd=app, env=env)
    as_json = run_dvc("models", "status", "--json", cwd=app, env=env)

    assert refused.returncode == 4
    assert "--repo URL" in refused.stderr
    assert "dvc config studio.repo_url URL" in refused.stderr
    assert found.returncode == 0, found.stderr
    assert load_yaml(app / "models.lock")["models"]["churn"]["repo"] == ORIGIN_URL
    assert json.loads(as_json.stdout)["repo"] == ORIGIN_URL


def test_the_error_names_the_repo_that_the_lock_file_has(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn", "--lock", *REPO, cwd=app, env=env)

    refused = run_dvc("models", "pull", "churn", cwd=app, env=env)

    assert refused.returncode == 4
    assert f"add --repo {ORIGIN_URL}\n" in refused.stderr


def test_a_repo_in_a_lock_file_is_quoted_for_the_shell(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn", "--lock", *REPO, cwd=app, env=env)
    lock = app / "models.lock"
    lock.write_text(lock.read_text().replace(ORIGIN_URL, '"x; touch evil"'))

    refused = run_dvc("models", "pull", "churn", cwd=app, env=env)
    status = run_dvc("models", "status", cwd=app, env=env)

    assert "add --repo 'x; touch evil'\n" in refused.stderr
    assert status.returncode == 4
    assert "--repo" not in status.stderr


def test_an_empty_repo_is_a_usage_error(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    done = run_dvc(
        "models", "pull", "churn", "--repo", "", cwd=app, env=registry.environ
    )

    assert done.returncode == 254
    assert "'--repo' is empty" in done.stderr


def test_a_setting_that_names_this_clones_repo_by_another_url_is_no_other_repo(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    """The origin is a mirror, whose URL Studio does not know."""
    mirror = "git@mirror.example.com:copies/models-copy.git"
    clone = registry.project.clone(tmp_path / "clone", origin=mirror)
    run_dvc("config", "studio.repo_url", ORIGIN_URL, cwd=clone)

    done = run_dvc(
        "models", "pull", "churn", "--lock", "--json", cwd=clone, env=registry.environ
    )

    assert done.returncode == 0, done.stderr
    file = json.loads(done.stdout)["models"][0]["files"][0]
    assert file["verified_by"] == "git"
    assert "repo" not in load_yaml(clone / "models.lock")["models"]["churn"]


@pytest.mark.parametrize("setting", ["config", "environment"])
def test_a_git_remote_that_is_set_takes_precedence_over_a_repo_url(
    run_dvc: RunDvc, registry: Registry, clone: Path, setting: str
) -> None:
    env = registry.environ
    run_dvc("config", "studio.repo_url", OTHER_URL, cwd=clone)
    if setting == "config":
        run_dvc("config", "exp.git_remote", "origin", cwd=clone)
    else:
        env = {**env, "DVC_EXP_GIT_REMOTE": "origin"}

    done = run_dvc("models", "pull", "churn", "--json", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["repo"] == ORIGIN_URL


# -- beside a lock file


def test_a_plain_pull_says_that_a_lock_file_pins_the_model(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn@v1.0.0", "--lock", cwd=clone, env=env)

    plain = run_dvc("models", "pull", "churn", cwd=clone, env=env)
    as_json = run_dvc("models", "pull", "churn", "--json", cwd=clone, env=env)
    explicit = run_dvc("models", "pull", "churn@v2.0.0", cwd=clone, env=env)
    locked = run_dvc("models", "pull", "churn", "--locked", cwd=clone, env=env)

    note = "models.lock pins 'churn@v1.0.0', which this pull does not use"
    assert plain.returncode == 0
    assert note in plain.stdout
    assert note in as_json.stderr
    assert json.loads(as_json.stdout)
    assert "pins" not in explicit.stdout + locked.stdout


def test_a_lock_file_that_cannot_be_read_does_not_matter_to_a_plain_pull(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    (clone / "models.lock").write_text("<<<<<<< HEAD\n")

    done = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr


# -- .gitignore


def test_placed_files_are_ignored_by_git_as_dvc_add_does(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ

    done = run_dvc("models", "pull", "churn", "bert", *REPO, cwd=app, env=env)
    again = run_dvc("models", "pull", "churn", "bert", *REPO, cwd=app, env=env)

    assert done.returncode == 0, done.stderr
    assert (app / "models/.gitignore").read_text() == "/churn.pkl\n/bert\n"
    assert done.stdout.endswith(
        "\nTo track the changes with git, run:\n\n\tgit add models/.gitignore\n"
    )
    assert "git add" not in again.stdout
    assert untracked(app) == {"models/.gitignore"}


def untracked(clone: Path) -> set[str]:
    listed = git(clone, "ls-files", "--others", "--exclude-standard")
    return set(listed.splitlines())


def test_the_hint_is_relative_to_the_users_folder_and_in_json(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    (app / "src").mkdir()

    done = run_dvc(
        *("models", "pull", "churn", "--json", *REPO),
        cwd=app / "src",
        env=registry.environ,
    )

    (changed,) = json.loads(done.stdout)["gitignore"]
    git(app / "src", "add", changed)
    assert "models/.gitignore\n" in git(app, "diff", "--cached", "--name-only")


def test_a_folder_that_has_other_files_is_not_ignored_as_a_whole(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    write(app, {"models/bert/app.py": b"print()\n", "models/.gitignore": b"*.tmp"})
    git(app, "add", "models/bert/app.py")

    run_dvc(
        *("models", "pull", "bert", "--include", "*.json", "--include", "*.txt", *REPO),
        cwd=app,
        env=registry.environ,
    )

    ignored = (app / "models/bert/.gitignore").read_text()
    assert ignored == "/config.json\n/empty.txt\n"
    assert (app / "models/.gitignore").read_text() == "*.tmp"


def test_files_that_are_there_already_are_added_if_they_are_not_ignored(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    env = registry.environ
    run_dvc("models", "pull", "churn", *REPO, cwd=app, env=env)
    (app / "models/.gitignore").unlink()

    done = run_dvc("models", "pull", "churn", *REPO, cwd=app, env=env)

    assert (app / "models/.gitignore").read_text() == "/churn.pkl\n"
    assert "git add models/.gitignore" in done.stdout


def test_what_git_ignores_already_is_not_added_again(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    write(app, {".gitignore": b"*.pkl\n"})

    done = run_dvc("models", "pull", "churn", *REPO, cwd=app, env=registry.environ)

    assert done.returncode == 0
    assert "git add" not in done.stdout
    assert not (app / "models/.gitignore").exists()


@pytest.mark.parametrize("wanted", [False, True])
def test_a_repo_without_dvc_gets_a_gitignore_only_on_request(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path, *, wanted: bool
) -> None:
    app = tmp_path / "plain"
    git(tmp_path, "init", "--quiet", str(app))
    option = ["--gitignore"] if wanted else []

    done = run_dvc(
        *("models", "pull", "churn", *option, *REPO), cwd=app, env=registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert (app / "models/.gitignore").exists() == wanted
    assert ("git add models/.gitignore" in done.stdout) == wanted


def test_a_gitignore_that_cannot_be_written_is_a_warning(
    run_dvc: RunDvc, registry: Registry, app: Path
) -> None:
    write(app, {"elsewhere": b"kept\n"})
    (app / "models").mkdir()
    (app / "models/.gitignore").symlink_to("../elsewhere")

    done = run_dvc("models", "pull", "churn", *REPO, cwd=app, env=registry.environ)

    assert done.returncode == 0
    assert "cannot add the files to '.gitignore'" in done.stderr
    assert "is a symlink" in done.stderr
    assert (app / "elsewhere").read_bytes() == b"kept\n"
    assert (app / PATH).read_bytes() == CHURN["v2.0.0"]


def test_the_clones_own_models_have_their_gitignore_from_dvc_add(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    assert done.returncode == 0
    assert "git add" not in done.stdout
    assert git(clone, "status", "--porcelain") == ""


def test_files_that_go_elsewhere_in_the_project_are_ignored_there(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "churn", "-o", "serving", cwd=clone, env=registry.environ
    )

    assert done.returncode == 0
    assert (clone / "serving/models/.gitignore").read_text() == "/churn.pkl\n"
