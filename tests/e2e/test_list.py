"""``dvc models list`` and ``dvc models status`` as users run them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import CHURN, FRAUD, commit_all, git, track, write
from terminals import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from servers import StudioServer

    from tests.e2e.conftest import Registry


SECRET = "PLANTED_SECRET_KEY"
FRAUD_PATH = "services/fraud/model.bin"


def rows(table: str) -> list[list[str]]:
    """Split a table of DVC's into columns, which are separated by two spaces."""
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in table.splitlines()
    ]


# -- list


@pytest.mark.cold
def test_list_shows_what_there_is_and_what_is_here(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", cwd=clone, env=registry.environ)
    write(clone, {"services/fraud/model.bin": b"trained anew"})
    write(clone, {"team/dvc.yaml": b"artifacts:\n  m:\n    path: m.bin\n"})

    done = run_dvc("models", "list", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    assert rows(done.stdout) == [
        ["Name", "Latest", "Stages", "Workspace", "Path"],
        ["bert", "v2.0.0", "-", "-", "models/bert"],
        ["churn", "v2.0.0", "dev: v1.0.0, prod: v2.0.0", "v1.0.0", "models/churn.pkl"],
        ["services/fraud:fraud", "v1.0.0", "-", "modified", "services/fraud/model.bin"],
        ["team:m", "-", "-", "-", "team/m.bin"],
    ]


@pytest.mark.cold
def test_list_as_json_is_one_document_that_a_subfolder_has_too(
    run_dvc: RunDvc, clone: Path
) -> None:
    write(clone, {"models/churn.pkl": CHURN["v2.0.0"]})
    (clone / "models/bert").mkdir(parents=True)

    at_root = run_dvc("models", "list", "--json", "-v", cwd=clone)
    in_folder = run_dvc("models", "list", "--json", "-q", cwd=clone / "services")

    assert in_folder.stdout == at_root.stdout
    assert json.loads(at_root.stdout)[:2] == [
        {
            "name": "bert",
            "path": "models/bert",
            "latest": "v2.0.0",
            "stages": {},
            "versions": ["v2.0.0", "v1.0.0"],
            "workspace": {"state": "modified", "version": None},
        },
        {
            "name": "churn",
            "path": "models/churn.pkl",
            "latest": "v2.0.0",
            "stages": {"dev": "v1.0.0", "prod": "v2.0.0"},
            "versions": ["v2.0.0", "v1.0.0"],
            "workspace": {"state": "registered", "version": "v2.0.0"},
        },
    ]


def test_list_names_a_part_and_a_stage_s_commit(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    project = own_registry.project
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "unregistered")
    project.tag("bert#canary#9")
    clone = project.clone(tmp_path / "clone")
    part = ("bert", "--include", "**/config.json")
    run_dvc("models", "pull", *part, cwd=clone, env=own_registry.environ)

    done = run_dvc("models", "list", cwd=clone)

    commit = project.commit("main")[:7]
    bert = ["bert", "v2.0.0", f"canary: {commit}", "part of v2.0.0", "models/bert"]
    assert rows(done.stdout)[1] == bert


def test_list_takes_parts_of_two_versions_for_none(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    def pull(version: str, *include: str) -> str:
        globs = [f"--include={name}" for name in include]
        part = ("models", "pull", f"bert@{version}", *globs)
        done = run_dvc(*part, cwd=clone, env=registry.environ)
        assert done.returncode == 0, done.stderr
        return rows(run_dvc("models", "list", cwd=clone).stdout)[1][3]

    assert pull("v1.0.0", "vocab.txt", "config.json") == "part of v1.0.0"
    assert pull("v2.0.0", "empty.txt") == "present"
    assert pull("v2.0.0", "config.json") == "present"
    assert pull("v2.0.0") == "v2.0.0"
    assert pull("v1.0.0", "config.json", "empty.txt", "*.bin") == "part of v1.0.0"


def test_list_asks_nobody_and_is_quiet_when_told(
    run_dvc: RunDvc, studio: StudioServer, clone: Path
) -> None:
    env = {"DVC_STUDIO_URL": studio.url, "DVC_STUDIO_TOKEN": "t"}

    done = run_dvc("models", "list", "--quiet", cwd=clone, env=env)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert studio.requests == []


@pytest.fixture(params=["config", "config.local"])
def broken(request: pytest.FixtureRequest, clone: Path) -> Path:
    """A clone with fraud in a DVC project of its own, whose config cannot be read."""
    folder = clone / "services/fraud/.dvc"
    write(folder, {request.param: f"[studio]\n    token {SECRET}\n".encode()})
    write(clone, {FRAUD_PATH: FRAUD})
    return clone


@pytest.mark.parametrize("folder", [".", "services/fraud"], ids=["above", "within"])
def test_list_leaves_out_a_project_whose_config_cannot_be_read(
    run_dvc: RunDvc, broken: Path, folder: str
) -> None:
    done = run_dvc("models", "list", "--json", "-v", cwd=broken / folder)

    assert done.returncode == 0, done.stderr
    names = [model["name"] for model in json.loads(done.stdout)]
    assert names == ["bert", "churn", "services/fraud:fraud"]
    assert "ignored the DVC project" in done.stderr
    assert "DVC cannot read its config" in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("folder", [".", "services/fraud"], ids=["above", "within"])
def test_a_config_that_cannot_be_read_is_told_without_its_lines(
    run_dvc: RunDvc, registry: Registry, broken: Path, folder: str
) -> None:
    pull = ("models", "pull", "services/fraud:fraud", "--json", "-v")

    done = run_dvc(*pull, cwd=broken / folder, env=registry.environ)

    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"]) == (251, "StudioConfigError")
    assert error["message"].startswith("DVC cannot read its config")
    assert SECRET not in done.stdout + done.stderr


def test_list_in_a_repo_without_models_says_so(run_dvc: RunDvc, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")

    done = run_dvc("models", "list", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No models")


def test_list_outside_a_repo_is_refused(run_dvc: RunDvc, tmp_path: Path) -> None:
    done = run_dvc("models", "list", "--json", cwd=tmp_path)

    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["exit_code"]) == (253, 253)
    assert error["message"] in done.stderr


def test_on_a_terminal_each_stage_has_a_line(clone: Path) -> None:
    done = on_terminal([DVC, "models", "list"], cwd=clone)

    assert done.returncode == 0
    assert done.stdout.removesuffix("\x1b[0m").splitlines() == [
        "Name                  Latest    Stages        Workspace    Path",
        "bert                  v2.0.0    -             -            models/bert",
        "churn                 v2.0.0    dev: v1.0.0   -            models/churn.pkl",
        "                                prod: v2.0.0",
        f"services/fraud:fraud  v1.0.0    -             -            {FRAUD_PATH}",
    ]


def test_list_needs_no_network_at_all(run_dvc: RunDvc, clone: Path) -> None:
    """The proxy does not respond, and Studio's host name is unknown."""
    env = {
        "DVC_STUDIO_URL": "https://studio.invalid",
        "https_proxy": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "no_proxy": "",
        "NO_PROXY": "",
    }

    done = run_dvc("models", "list", cwd=clone, env=env)

    assert (done.returncode, done.stderr) == (0, "")
    assert [row[0] for row in rows(done.stdout)] == [
        *("Name", "bert", "churn", "services/fraud:fraud"),
    ]


# -- status


def test_status_is_up_to_date_until_the_stage_moves(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    project, env = own_registry.project, own_registry.environ
    clone = project.clone(tmp_path / "clone")
    run_dvc("models", "pull", "churn#dev", cwd=clone, env=env)
    before = (clone / "models/churn.pkl").stat()

    first = run_dvc("models", "status", "churn#dev", cwd=clone, env=env)
    project.tag("churn#dev#9", "churn@v2.0.0")
    git(clone, "fetch", "--quiet", "--tags", str(project.repo))
    second = run_dvc("models", "status", "churn", "--stage", "dev", cwd=clone, env=env)

    one, two = (project.commit(f"churn@{v}")[:7] for v in ("v1.0.0", "v2.0.0"))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"churn#dev = v1.0.0 ({one}): up to date\n"
    assert (second.returncode, second.stderr) == (1, "")
    assert second.stdout == (
        f"churn#dev = v2.0.0 ({two}):\n"
        "  download  models/churn.pkl  371.1 KiB\n"
        "  (use \"dvc models pull 'churn#dev'\" to update)\n"
    )
    after = (clone / "models/churn.pkl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_status_without_a_name_is_about_what_was_pulled(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    names = ("churn", "services/fraud:fraud")
    run_dvc("models", "pull", *names, cwd=clone, env=registry.environ)
    (clone / "services/fraud/model.bin").unlink()

    done = run_dvc("models", "status", "--json", cwd=clone, env=registry.environ)

    result = json.loads(done.stdout)
    shown = {m["name"]: (m["version"], m["up_to_date"]) for m in result["models"]}
    assert shown == {
        "churn": ("v2.0.0", True),
        "services/fraud:fraud": ("v1.0.0", False),
    }
    assert result["models"][1]["files"][0]["action"] == "link"
    assert (done.returncode, result["up_to_date"]) == (1, False)


def test_status_without_a_name_keeps_each_model_s_selector(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    names = ("churn#dev", "bert@v1.0.0")
    run_dvc("models", "pull", *names, cwd=clone, env=registry.environ)

    done = run_dvc("models", "status", cwd=clone, env=registry.environ)

    one = registry.project.commit("churn@v1.0.0")[:7]
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"bert@v1.0.0 ({one}): up to date",
        f"churn#dev = v1.0.0 ({one}): up to date",
    ]


def test_status_asks_by_the_options_for_every_model_that_was_pulled(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn#prod", cwd=clone, env=registry.environ)

    done = run_dvc(
        "models", "status", "--stage", "dev", cwd=clone, env=registry.environ
    )

    assert done.returncode == 1
    assert done.stdout.startswith("churn#dev = v1.0.0 (")


def test_status_tells_of_a_modified_file_and_leaves_it(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)
    path = clone / "models/churn.pkl"
    path.unlink()
    path.write_bytes(b"trained anew")

    done = run_dvc("models", "status", cwd=clone, env=registry.environ)

    assert (done.returncode, done.stderr) == (1, "")
    assert rows(done.stdout)[1][:2] == ["conflict", "models/churn.pkl"]
    assert done.stdout.splitlines()[2:] == [
        '  (use "dvc models pull churn" to update)',
        "  (move conflicting files first, or add --force)",
    ]
    assert path.read_bytes() == b"trained anew"


@pytest.mark.parametrize(("edited", "code"), [(False, 0), (True, 1)])
def test_a_quiet_status_answers_by_its_exit_code(
    run_dvc: RunDvc, registry: Registry, clone: Path, edited: bool, code: int
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=registry.environ)
    if edited:
        (clone / "models/bert/empty.txt").unlink()

    done = run_dvc("models", "status", "-q", cwd=clone, env=registry.environ)

    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_status_where_nothing_was_pulled_is_about_all_models(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "status", cwd=clone, env=registry.environ)

    heads = [line.split()[0] for line in done.stdout.splitlines() if line[0] != " "]
    assert heads == ["bert", "churn", "services/fraud:fraud"]
    assert done.returncode == 1
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / "models/churn.pkl").exists()


def test_status_compares_two_models_of_one_path(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    """This happens when an artifact is renamed."""
    project, env = own_registry.project, own_registry.environ
    dvc_yaml = project.repo / "dvc.yaml"
    dvc_yaml.write_text(dvc_yaml.read_text().replace("churn:", "attrition:"))
    commit_all(project, "Rename churn")
    project.tag("attrition@v1.0.0")
    clone = project.clone(tmp_path / "clone")
    run_dvc("models", "pull", "churn@v1.0.0", cwd=clone, env=env)
    run_dvc("models", "pull", "attrition", cwd=clone, env=env)

    done = run_dvc("models", "status", "--json", cwd=clone, env=env)

    assert (done.returncode, done.stderr) == (1, "")
    shown = {m["name"]: m["up_to_date"] for m in json.loads(done.stdout)["models"]}
    assert shown == {"attrition": True, "churn": False}


def test_status_tells_of_a_file_too_many_with_its_own_model(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    project, env = own_registry.project, own_registry.environ
    (project.repo / "models/bert/empty.txt").unlink()
    track(project.repo, "models/bert")
    commit_all(project, "Leave out an empty file")
    clone = project.clone(tmp_path / "clone")
    run_dvc("models", "pull", "bert", "churn", cwd=clone, env=env)
    project.tag("bert@v3.0.0")

    done = run_dvc("models", "status", cwd=clone, env=env)

    assert done.returncode == 1
    assert done.stdout.startswith("bert = v3.0.0 (")
    assert rows(done.stdout)[1] == ["remove", "models/bert/empty.txt"]
    assert "remove" not in done.stdout.partition("churn")[2]


def test_status_of_a_model_that_studio_does_not_know_is_an_error(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "status", "nobody", cwd=clone, env=registry.environ)

    assert (done.returncode, done.stdout) == (4, "")
    assert "nobody" in done.stderr


def test_status_in_a_repo_without_models_is_up_to_date(
    run_dvc: RunDvc, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")

    done = run_dvc("models", "status", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No models")
