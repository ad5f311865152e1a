"""``dvc models show`` as users run it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from environments import DVC
from projects import (
    BERT,
    CHURN,
    MAIN_DVC_YAML,
    ORIGIN_URL,
    commit_all,
    git,
    track,
    write,
)
from terminals import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project
    from servers import StudioServer

    from tests.e2e.conftest import Registry

ANNOTATED = MAIN_DVC_YAML.replace(
    "    type: model\n",
    "    type: model\n    desc: Predicts churn\n    labels: [tabular, xgboost]\n",
    1,
)

METRICS = "metrics: [m.json, cached.json, bad.json]\n"


def one(run_dvc: RunDvc, cwd: Path, *args: str) -> dict[str, Any]:
    """Return the JSON of one model."""
    done = run_dvc("models", "show", *args, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    return dict(model)


def measured(project: Project) -> Project:
    """Add metrics, params and a description, as v3.0.0 of churn."""
    write(
        project.repo,
        {
            "dvc.yaml": (ANNOTATED + METRICS).encode(),
            "m.json": b'{"acc": 0.91, "f1": {"a": 1}}',
            "cached.json": b'{"auc": 0.5}',
            "bad.json": b"{",
            "params.yaml": b"lr: 0.1\nmodel:\n  depth: 3\n",
        },
    )
    track(project.repo, "cached.json")
    commit_all(project, "Measure")
    project.tag("churn@v3.0.0")
    return project


@pytest.mark.cold
def test_show_has_versions_history_and_what_is_here(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", cwd=clone, env=registry.environ)

    done = run_dvc("models", "show", "churn", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    commit = {v: registry.project.commit(f"churn@{v}")[:7] for v in CHURN}
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    day = "2023-11-14 22:1"
    assert lines[:5] == [
        f"churn v2.0.0 ({commit['v2.0.0']})",
        "repo: git@git.example.com:acme/models.git",
        "path: models/churn.pkl",
        "type: model",
        "size: 371.1 KiB, 1 file",
    ]
    assert lines[5:8] == ["workspace: v1.0.0", "cache: nothing", ""]
    assert lines[8] == "Versions:"
    assert lines[9].startswith(f"v2.0.0 {commit['v2.0.0']} {day}")
    assert lines[9].endswith("Ada prod churn@v2.0.0")
    assert lines[10].endswith("Ada dev churn@v1.0.0")
    assert lines[12] == "History:"
    assert [line.partition(" ")[2][6:] for line in lines[13:]] == [
        "prod assigned to v2.0.0 Ada churn#prod#3",
        "prod assigned to v1.0.0 Ada churn#prod#2",
        "dev assigned to v1.0.0 Ada churn#dev#1",
    ]


def test_show_as_json_describes_the_version_that_is_named(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    shown = one(run_dvc, clone, "bert@v1.0.0")

    size = sum(map(len, BERT["v1.0.0"].values()))
    commit = registry.project.commit("bert@v1.0.0")
    facts = ("requested", "version", "commit", "path", "size", "nfiles", "stages")
    assert {key: shown[key] for key in facts} == {
        "requested": {"version": "v1.0.0"},
        "version": "v1.0.0",
        "commit": commit,
        "path": "models/bert",
        "size": size,
        "nfiles": 5,
        "stages": {},
    }
    assert [v["version"] for v in shown["versions"]] == ["v2.0.0", "v1.0.0"]
    assert shown["versions"][1]["email"] == "ada@example.com"
    assert shown["versions"][1]["date"].startswith("2023-11-14T22:1")
    assert shown["history"][0]["tag"] == "bert@v2.0.0"
    assert shown["workspace"] == {"state": "absent", "version": None}
    assert shown["cache"] == {"files": None, "size": None}  # no list of its files


def test_show_counts_what_the_cache_has(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", cwd=clone, env=registry.environ)

    shown = one(run_dvc, clone, "bert")

    size = sum(map(len, BERT["v2.0.0"].values()))
    assert shown["cache"] == {"files": 4, "size": size}
    assert shown["workspace"] == {"state": "registered", "version": "v2.0.0"}


def test_show_reads_metrics_and_params_of_the_version_s_commit(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    clone = measured(own_registry.project).clone(tmp_path / "clone")

    shown = one(run_dvc, clone, "churn")
    before = one(run_dvc, clone, "churn@v2.0.0")
    in_origin = one(run_dvc, own_registry.project.repo, "churn")

    assert shown["description"] == "Predicts churn"
    assert shown["labels"] == ["tabular", "xgboost"]
    assert shown["metrics"] == {"m.json": {"acc": 0.91, "f1.a": 1}}
    assert shown["params"] == {"params.yaml": {"lr": 0.1, "model.depth": 3}}
    bad, cached = shown["notes"]
    assert bad.startswith("cannot read metrics in 'bad.json': ")
    assert cached == "cannot read metrics in 'cached.json': it is not in this clone"
    assert (before["metrics"], before["params"], before["notes"]) == ({}, {}, [])
    assert in_origin["metrics"]["cached.json"] == {"auc": 0.5}
    text = run_dvc("models", "show", "churn", cwd=clone).stdout
    assert "Metrics:\n  m.json\n    acc   0.91\n    f1.a  1\n" in text


def test_show_of_an_unknown_model_or_version_names_what_there_is(
    run_dvc: RunDvc, clone: Path
) -> None:
    for name, known in (
        ("nobody", "registered models: bert, churn, services/fraud:fraud"),
        ("churn@v9.0.0", "known versions: v2.0.0, v1.0.0"),
        ("churn#test", "known stages: dev, prod"),
    ):
        done = run_dvc("models", "show", name, cwd=clone)

        assert (done.returncode, done.stdout) == (4, "")
        assert known in done.stderr


def test_show_of_models_without_a_version(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    project = own_registry.project
    write(project.repo, {"team/dvc.yaml": b"artifacts:\n  m:\n    path: m.bin\n"})
    commit_all(project, "Annotate")
    project.tag("bert@deprecated")
    project.tag("churn@v2.0.0!#4", "churn@v2.0.0")
    clone = project.clone(tmp_path / "clone")

    annotated = one(run_dvc, clone, "team:m")
    deprecated = one(run_dvc, clone, "bert")
    deregistered = one(run_dvc, clone, "churn")

    assert (annotated["path"], annotated["versions"]) == ("team/m.bin", [])
    assert (deprecated["versions"], deprecated["version"]) == ([], None)
    assert deprecated["history"][0]["event"] == "deprecation"
    assert [v["version"] for v in deregistered["versions"]] == ["v1.0.0"]
    assert deregistered["history"][0]["event"] == "deregistration"
    text = run_dvc("models", "show", "bert", cwd=clone).stdout
    assert text.startswith("bert (no version in the tags)\n")


def test_show_of_all_is_one_object(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc("models", "show", "--all", "--json", cwd=clone)

    names = [model["name"] for model in json.loads(done.stdout)["models"]]
    assert names == ["bert", "churn", "services/fraud:fraud"]
    assert run_dvc("models", "show", cwd=clone).returncode == 254


def test_a_tag_s_message_cannot_control_the_terminal(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    repo = own_registry.project.repo
    git(repo, "tag", "-a", "-m", "red\x1b[31m\rgone", "churn@v5.0.0", "HEAD")
    clone = own_registry.project.clone(tmp_path / "clone")

    done = run_dvc("models", "show", "churn", cwd=clone)

    assert "\x1b" not in done.stdout
    assert "red [31m gone" in done.stdout


def test_show_fits_the_terminal(own_registry: Registry, tmp_path: Path) -> None:
    repo = own_registry.project.repo
    git(repo, "tag", "-a", "-m", "words " * 50, "churn@v5.0.0", "HEAD")
    clone = own_registry.project.clone(tmp_path / "clone")
    command = [DVC, "models", "show", "churn"]

    shown = on_terminal(command, cwd=clone, columns=60).stdout

    assert max(len(line) for line in shown.splitlines()) == 60
    assert "…" in shown


def test_many_versions_are_shortened_unless_all_are_wanted(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    for number in range(12):
        own_registry.project.tag(f"churn@v3.{number}.0")
    clone = own_registry.project.clone(tmp_path / "clone")

    few = run_dvc("models", "show", "churn", cwd=clone).stdout
    every = run_dvc("models", "show", "churn", "-v", cwd=clone).stdout

    assert "  ... and 4 more (-v shows all)" in few
    assert few.count("churn@v") == 10
    assert every.count("Ada ") >= 14


# -- of another repo


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def test_show_of_another_repo_asks_its_server(
    run_dvc: RunDvc, registry: Registry, outside: Path, clone: Path
) -> None:
    show = ("models", "show", "churn", "--repo", ORIGIN_URL)

    done = run_dvc(*show, "--json", cwd=outside, env=registry.environ)

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    (model,) = shown["models"]
    assert shown["repo"] == ORIGIN_URL
    absent = ("workspace", "cache", "metrics", "params")
    assert [model.pop(key) for key in absent] == [None] * 4
    here = one(run_dvc, clone, "churn")
    assert model == {key: value for key, value in here.items() if key in model}
    text = run_dvc(*show, cwd=outside, env=registry.environ).stdout
    assert "prod  assigned to v2.0.0" in text


def test_all_and_globs_of_another_repo_are_those_of_its_server(
    run_dvc: RunDvc, registry: Registry, outside: Path
) -> None:
    def names(*args: str) -> list[str]:
        command = ("models", *args, "--repo", ORIGIN_URL, "--json")
        done = run_dvc(*command, cwd=outside, env=registry.environ)
        assert done.returncode == 0, done.stderr
        return [model["name"] for model in json.loads(done.stdout)["models"]]

    assert names("show", "--all") == ["bert", "churn", "services/fraud:fraud"]
    assert names("pull", "c*#dev", "--out", "o") == ["churn"]
    assert names("pull", "--all", "--stage", "prod", "--out", "p") == ["churn"]
    assert (outside / "p/models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_show_of_an_unknown_model_of_another_repo_names_what_there_is(
    run_dvc: RunDvc, registry: Registry, outside: Path
) -> None:
    for args, known in (
        (("nobody",), "registered models: bert, churn, services/fraud:fraud"),
        (("churn@v9.0.0",), "known versions: v2.0.0, v1.0.0"),
        (("x*",), "no model matches 'x*'; registered models: bert, churn"),
    ):
        show = ("models", "show", *args, "--repo", ORIGIN_URL)
        done = run_dvc(*show, cwd=outside, env=registry.environ)

        assert (done.returncode, done.stdout) == (4, "")
        assert known in done.stderr


def test_a_studio_without_a_listing_is_one_clear_sentence(
    run_dvc: RunDvc, studio: StudioServer, outside: Path
) -> None:
    env = {"DVC_STUDIO_URL": studio.url, "DVC_STUDIO_TOKEN": studio.token}

    for command in (("show", "churn"), ("show", "--all"), ("pull", "c*", "-o", "o")):
        args = ("models", *command, "--repo", ORIGIN_URL)
        done = run_dvc(*args, cwd=outside, env=env)

        assert (done.returncode, done.stdout) == (4, "")
        assert "cannot list models; only 'dvc models serve' can" in done.stderr


def test_a_model_that_was_pulled_from_another_repo_needs_no_option(
    run_dvc: RunDvc, registry: Registry, outside: Path
) -> None:
    git(outside, "init", "--quiet")
    pull = ("models", "pull", "churn#dev", "--repo", ORIGIN_URL, "--lock")
    done = run_dvc(*pull, cwd=outside, env=registry.environ)
    assert done.returncode == 0, done.stderr

    show = ("models", "show", "churn", "--json")
    done = run_dvc(*show, cwd=outside, env=registry.environ)

    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert (model["repo"], model["version"]) == (ORIGIN_URL, "v2.0.0")
    assert model["workspace"] == {"state": "registered", "version": "v1.0.0"}
    diff = ("models", "diff", "churn@v1.0.0", "churn", "--json")
    done = run_dvc(*diff, cwd=outside, env=registry.environ)
    assert done.returncode == 0, done.stderr
    assert [f["path"] for f in json.loads(done.stdout)["modified"]] == [
        "models/churn.pkl"
    ]
