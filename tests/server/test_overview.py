"""The listing of all repos that a caller may see: scopes, pages, repos that fail."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
import requests
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    copy_project,
    git,
    serving,
    serving_config,
    serving_site,
)

from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    TokenConfig,
)
from dvc_studio_models.server.site.site import Site
from tests.server.api import TIMEOUT_S, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = "/api/model-registry/models"
NAMES = ["bert", "churn", "services/fraud:fraud"]
REPO, TEAM = "git.example.com/acme/models", "git.example.com/acme/team"


def ask(
    url: str, name: str = "", *, token: str | None = TOKEN, **query: str
) -> requests.Response:
    headers = {"Authorization": f"token {token}"} if token else {}
    at = f"{url}{API}/{name}" if name else url + API
    return requests.get(at, params=query, headers=headers, timeout=TIMEOUT_S)


def pages(url: str, **query: str) -> Iterator[dict[str, Any]]:
    """Follow ``next`` to the last page."""
    after: dict[str, str] = {}
    while True:
        reply = ask(url, **query, **after)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        yield page
        if page["next"] is None:
            return
        after = {"after": page["next"]}


def found(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["repo"], each["name"]) for each in page["models"]]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Two repos with the same models, of which one has another model too."""
    root = tmp_path_factory.mktemp("overview")
    template = tmp_path_factory.getbasetemp() / "template"
    models = copy_project(template, root / "models")
    team = copy_project(template, root / "team")
    git(team.repo, "remote", "set-url", "origin", ORIGIN_URL.replace("models", "team"))
    team.tag("only@v0.1.0")
    team.tag("only#Prod-EU#1", "only@v0.1.0")
    return models, team


@contextlib.contextmanager
def serving_both(projects: tuple[Project, Project]) -> Iterator[str]:
    tokens = {
        TOKEN: ("*",),
        "of-team": ("team",),
        "of-nobody": ("other-*",),
    }
    config = ServeConfig(
        tuple(RepoConfig(os.fspath(each.repo)) for each in projects),
        tuple(
            TokenConfig("", hashlib.sha256(token.encode()).hexdigest(), repos)
            for token, repos in tokens.items()
        ),
    )
    with serving_config(config) as url:
        yield url


@pytest.fixture(scope="module")
def both(projects: tuple[Project, Project]) -> Iterator[str]:
    with serving_both(projects) as url:
        yield url


def test_the_models_of_all_repos_are_listed(both: str) -> None:
    page = ask(both).json()

    assert found(page) == [
        *((REPO, name) for name in NAMES),
        (TEAM, "bert"),
        (TEAM, "churn"),
        (TEAM, "only"),
        (TEAM, "services/fraud:fraud"),
    ]
    assert (page["next"], page["unavailable"]) == (None, [])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_pages_have_each_model_once_and_in_order(both: str, limit: int) -> None:
    whole = found(ask(both).json())
    read = list(pages(both, limit=str(limit)))

    assert [each for page in read for each in found(page)] == whole
    assert all(len(page["models"]) <= limit for page in read)
    assert len(read) == -(-len(whole) // limit)


def test_a_page_goes_on_where_it_ended_though_models_come_and_go(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, tmp_path / "project")
    with serving(project.repo) as url:
        first = ask(url, repo=ORIGIN_URL, limit="2").json()
        project.tag("churn@deprecated")
        project.tag("alpha@v1.0.0")
        project.tag("zeta@v1.0.0")
        rest = ask(url, repo=ORIGIN_URL, after=first["next"]).json()

    assert [name for _, name in found(first)] == ["bert", "churn"]
    assert [name for _, name in found(rest)] == ["services/fraud:fraud", "zeta"]


def test_the_models_of_one_repo_are_paged_too(both: str) -> None:
    assert len(ask(both, repo=ORIGIN_URL).json()["models"]) == 3
    read = list(pages(both, repo=ORIGIN_URL, limit="2"))

    assert [found(page) for page in read] == [
        [(REPO, "bert"), (REPO, "churn")],
        [(REPO, "services/fraud:fraud")],
    ]


def test_a_search_finds_parts_of_the_names_of_models_and_repos(both: str) -> None:
    assert found(ask(both, search="ONLY").json()) == [(TEAM, "only")]
    assert len(found(ask(both, search="acme/team").json())) == 4
    assert found(ask(both, search="nothing").json()) == []
    assert found(ask(both, repo=ORIGIN_URL, search="bert").json()) == [(REPO, "bert")]


def test_only_models_in_a_stage_are_listed_on_request(both: str) -> None:
    assert found(ask(both, stage="Prod-EU").json()) == [(TEAM, "only")]
    assert found(ask(both, stage="prod").json()) == [(REPO, "churn"), (TEAM, "churn")]
    assert found(ask(both, stage="prod-eu").json()) == []


def test_a_token_lists_and_finds_only_the_repos_of_its_scope(both: str) -> None:
    page = ask(both, token="of-team").json()
    assert {repo for repo, _ in found(page)} == {TEAM}
    # The name is unique for whoever sees one of the two repos.
    assert ask(both, "churn", token="of-team").json()["repo"] == TEAM
    after = ask(both, limit="1").json()["next"]
    assert {
        repo for repo, _ in found(ask(both, token="of-team", after=after).json())
    } == {TEAM}

    assert found(ask(both, token="of-nobody").json()) == []


def test_what_a_token_may_not_see_is_as_if_it_were_not_there(both: str) -> None:
    hidden = refusal(ask(both, token="of-team", repo=ORIGIN_URL))
    absent = refusal(
        ask(both, token="of-team", repo=ORIGIN_URL.replace("models", "no"))
    )

    assert hidden[0] == absent[0] == 404
    assert hidden[1].replace("models", "no") == absent[1].replace("models", "no")
    name = refusal(ask(both, "only", token="of-nobody"))
    assert name == (404, "model 'only' is not registered in any repo")
    assert ask(both, "only", token=None).status_code == 401
    assert ask(both, token="wrong").status_code == 401


def test_a_model_is_described_without_its_repo_if_only_one_has_it(both: str) -> None:
    only = ask(both, "only").json()

    assert (only["repo"], only["version"]) == (TEAM, "v0.1.0")
    status, detail = refusal(ask(both, "churn"))
    assert status == 400
    assert f"{REPO}, {TEAM}" in detail
    assert ask(both, "churn", repo=REPO).json()["repo"] == REPO
    assert ask(both, "nothing").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": "\u0665"},
        {"limit": "9" * 900},
        {"after": "x"},
        {"after": "bnVsbA"},
        {"after": "WzEsMl0"},
        {"after": "WyJhIl0"},
        {"after": "\ud83d"},
        {"after": "W" * 1001},
        {"search": "s" * 1001},
    ],
    ids=lambda query: str(query)[:30].encode("ascii", "replace").decode(),
)
def test_invalid_parameters_of_a_list_are_refused(
    both: str, query: dict[str, str]
) -> None:
    query = {k: v.encode("utf-8", "replace").decode() for k, v in query.items()}
    status, detail = refusal(ask(both, **query))

    assert status == 400
    assert next(iter(query)) in detail


def test_a_repo_that_git_cannot_read_is_named_and_hides_no_other(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, tmp_path / "bad")
    good = copy_project(template, tmp_path / "good")
    git(good.repo, "remote", "set-url", "origin", ORIGIN_URL.replace("models", "z"))
    with serving_both((project, good)) as url:
        (project.repo / ".git/HEAD").rename(tmp_path / "HEAD")
        page = ask(url).json()
        alone = ask(url, "nothing")
        of_repo = ask(url, repo=ORIGIN_URL, limit="5")

    assert [name for _, name in found(page)] == NAMES
    (bad,) = page["unavailable"]
    assert bad["repo"] == REPO
    assert "cannot read its copy" in bad["detail"]
    assert os.fspath(tmp_path) not in bad["detail"]
    # "Could not read" is not "there is none".
    assert alone.status_code == 503
    assert of_repo.status_code == 503


def test_a_known_answer_is_not_sent_again(both: str) -> None:
    for at, query in (("", {}), ("", {"repo": ORIGIN_URL}), ("only", {})):
        reply = ask(both, at, **query)
        etag = reply.headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = requests.get(
                f"{both}{API}/{at}".rstrip("/"),
                params=query,
                headers={"Authorization": f"token {TOKEN}", "If-None-Match": known},
                timeout=TIMEOUT_S,
            )
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == etag
        changed = requests.get(
            f"{both}{API}/{at}".rstrip("/"),
            params=query,
            headers={"Authorization": f"token {TOKEN}", "If-None-Match": '"other"'},
            timeout=TIMEOUT_S,
        )
        assert changed.content == reply.content


def test_a_repo_that_is_left_out_is_named_to_who_may_see_it(
    projects: tuple[Project, Project], tmp_path: Path
) -> None:
    repos = (
        RepoConfig(os.fspath(projects[0].repo), name="models"),
        RepoConfig(os.fspath(tmp_path / "nothing"), name="other-1"),
    )
    tokens = tuple(
        TokenConfig("", hashlib.sha256(token.encode()).hexdigest(), seen)
        for token, seen in ((TOKEN, ("*",)), ("of-models", ("models",)))
    )
    site = Site(ServeConfig(repos, tokens), must_open=False)
    with serving_site(site) as url:
        page = ask(url).json()
        (left_out,) = page["unavailable"]
        assert left_out["repo"] == "other-1"
        assert os.fspath(tmp_path) not in left_out["detail"]
        assert [name for _, name in found(page)] == NAMES
        assert ask(url, "nobody").status_code == 503
        assert ask(url, "churn").status_code == 200

        assert ask(url, token="of-models").json()["unavailable"] == []
        assert ask(url, "nobody", token="of-models").status_code == 404


def test_each_listed_repo_is_found_by_the_name_that_is_listed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = tmp_path_factory.getbasetemp() / "template"
    plain = copy_project(template, tmp_path / "plain")
    git(plain.repo, "remote", "remove", "origin")
    one, two = (copy_project(template, tmp_path / name) for name in ("one", "two"))
    two.tag("two@v1.0.0")
    with serving(plain.repo, one.repo, two.repo) as url:
        listed = found(ask(url).json())
        repos = list(dict.fromkeys(repo for repo, _ in listed))
        again = [entry for repo in repos for entry in found(ask(url, repo=repo).json())]

    assert len(repos) == 3
    assert again == listed
