"""The listing of models: what a client gets, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from projects import BERT, ORIGIN_URL, TOKEN, Project, commit_all, git, serving, write

from tests.server.api import TIMEOUT_S, annotate, refusal

if TYPE_CHECKING:
    from pathlib import Path

API = "/api/model-registry/models"


def ask(
    url: str, name: str = "", *, token: str | None = TOKEN, **query: str
) -> requests.Response:
    headers = {"Authorization": f"token {token}"} if token else {}
    query = {"repo": ORIGIN_URL, **query}
    at = f"{url}{API}/{name}" if name else url + API
    return requests.get(at, params=query, headers=headers, timeout=TIMEOUT_S)


def model(url: str, name: str, **query: str) -> dict[str, Any]:
    reply = ask(url, name, **query)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_all_models_are_listed_with_versions_and_stages(server: str) -> None:
    reply = ask(server)

    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert (reply.json()["next"], reply.json()["unavailable"]) == (None, [])
    assert reply.headers["Content-Type"] == "application/json"
    bert, churn, fraud = reply.json()["models"]
    assert bert == {
        "name": "bert",
        "repo": "git.example.com/acme/models",
        "latest": "v2.0.0",
        "date": model(server, "bert")["versions"][0]["date"],
        "versions": ["v2.0.0", "v1.0.0"],
        "stages": {},
    }
    assert churn["stages"] == {"dev": "v1.0.0", "prod": "v2.0.0"}
    assert fraud["name"] == "services/fraud:fraud"


def test_a_model_is_described_with_versions_history_and_size(server: str) -> None:
    churn = model(server, "churn")

    assert [v["version"] for v in churn["versions"]] == ["v2.0.0", "v1.0.0"]
    assert churn["versions"][0]["stages"] == ["prod"]
    assert churn["versions"][0]["author"] == "Ada"
    assert [e["event"] for e in churn["history"]].count("assignment") == 3
    assert churn["history"][0]["tag"] == "churn#prod#3"
    assert (churn["path"], churn["type"]) == ("models/churn.pkl", "model")
    assert (churn["version"], churn["nfiles"]) == ("v2.0.0", 1)


def test_a_version_or_stage_is_described_on_request(server: str) -> None:
    size = sum(map(len, BERT["v1.0.0"].values()))
    bert = model(server, "bert", version="v1.0.0")

    assert (bert["version"], bert["size"], bert["nfiles"]) == ("v1.0.0", size, 5)
    assert model(server, "churn", stage="dev")["version"] == "v1.0.0"


def test_a_model_in_a_folder_has_its_own_address(server: str) -> None:
    for name in ("services/fraud:fraud", "services%2Ffraud%3Afraud"):
        assert model(server, name)["name"] == "services/fraud:fraud"


def test_a_listing_needs_the_token(server: str) -> None:
    for name in ("", "churn"):
        assert ask(server, name, token=None).status_code == 401
        assert ask(server, name, token="wrong").status_code == 401


def test_an_unknown_model_version_or_repo_is_not_found(server: str) -> None:
    status, detail = refusal(ask(server, "nobody"))
    assert status == 404
    assert "registered models: bert, churn, services/fraud:fraud" in detail

    status, detail = refusal(ask(server, "churn", version="v9.0.0"))
    assert status == 404
    assert "known versions: v2.0.0, v1.0.0" in detail

    assert ask(server, repo="git@git.example.com:acme/other.git").status_code == 404
    assert ask(server, "churn", repo="").status_code == 400
    assert ask(server, "churn@v1.0.0").status_code == 400
    assert ask(server, "c" * 1001).status_code == 400


def test_a_new_tag_is_listed_at_once(project: Project, own_server: str) -> None:
    assert model(own_server, "churn")["stages"]["prod"] == "v2.0.0"
    before = ask(own_server).content

    project.tag("churn#prod#4", "churn@v1.0.0")
    project.tag("bert@v3.0.0")

    assert model(own_server, "churn")["stages"]["prod"] == "v1.0.0"
    assert model(own_server, "bert")["version"] == "v3.0.0"
    assert ask(own_server).content != before


def test_a_commit_that_dvc_cannot_read_hides_only_its_own_facts(
    project: Project, own_server: str
) -> None:
    write(project.repo, {"dvc.yaml": b"artifacts: ["})
    commit_all(project, "Break")
    project.tag("churn@v3.0.0")

    churn = model(own_server, "churn")

    assert (churn["version"], churn["path"], churn["size"]) == ("v3.0.0", None, None)
    assert len(churn["versions"]) == 3


def test_the_size_of_a_model_that_dvc_does_not_track_is_not_known(
    project: Project, own_server: str
) -> None:
    annotate(project, "nowhere.bin")

    found = model(own_server, "m")

    assert (found["path"], found["size"], found["nfiles"]) == (
        "nowhere.bin",
        None,
        None,
    )


def test_a_deprecated_model_is_described_but_not_listed(
    project: Project, own_server: str
) -> None:
    project.tag("bert@deprecated")

    names = [each["name"] for each in ask(own_server).json()["models"]]
    assert names == ["churn", "services/fraud:fraud"]
    bert = model(own_server, "bert")
    assert (bert["version"], bert["versions"]) == (None, [])
    assert bert["history"][0]["event"] == "deprecation"


@pytest.mark.parametrize("name", ["", "churn"])
def test_a_repo_that_git_cannot_read_is_an_error_of_the_server(
    tmp_path: Path, project: Project, name: str
) -> None:
    with serving(project.repo) as url:
        (project.repo / ".git/HEAD").rename(tmp_path / "HEAD")
        status, detail = refusal(ask(url, name))

    assert status == 503
    assert str(project.root) not in detail
    (tmp_path / "HEAD").rename(project.repo / ".git/HEAD")
    assert git(project.repo, "status", "--short") == ""
