"""What a token may not see is, on every route, as if it were not there."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
import requests
from projects import copy_project, serving_config

from dvc_studio_models.server.config.values import RepoConfig, ServeConfig, TokenConfig
from tests.server.api import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/api/model-registry"
TODAY = datetime.now(timezone.utc).date()
TOKENS = (
    TokenConfig.of("all", "ops"),
    TokenConfig(
        "team", TokenConfig.of("team").sha256, ("team-*",), TODAY + timedelta(days=1)
    ),
    TokenConfig("none", TokenConfig.of("none").sha256, ("other",)),
    TokenConfig("old", TokenConfig.of("old").sha256, until=TODAY - timedelta(days=1)),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve ``team-a`` and ``secret``."""
    root = tmp_path_factory.mktemp("scopes")
    template = tmp_path_factory.getbasetemp() / "template"
    repos = tuple(
        RepoConfig(
            str(copy_project(template, root / name).repo), name, (f"acme/{name}",)
        )
        for name in ("team-a", "secret")
    )
    with serving_config(ServeConfig(repos, TOKENS)) as served:
        yield served


def get(
    url: str, token: str | None, path: str, scheme: str = "token", **query: str
) -> requests.Response:
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    return requests.get(f"{url}{path}", query, headers=headers, timeout=TIMEOUT_S)


ROUTES = [
    (f"{API}/get-download-uris", {"name": "churn"}),
    (f"{API}/models", {}),
    (f"{API}/models/churn", {}),
]


@pytest.mark.parametrize(("path", "query"), ROUTES)
@pytest.mark.parametrize("repo", ["{}", "acme/{}", "git@example.com:acme/{}.git"])
def test_a_repo_out_of_scope_is_answered_as_one_that_is_not_served(
    url: str, path: str, query: dict[str, str], repo: str
) -> None:
    replies = [
        get(url, "team", path, repo=repo.format(name), **query)
        for name in ("secret", "absent")
    ]

    hidden, missing = replies
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("secret", "absent") == missing.text
    assert set(hidden.headers) == set(missing.headers)
    seen = get(url, "all", path, repo=repo.format("secret"), **query)
    assert seen.status_code == 200


@pytest.mark.parametrize(("path", "query"), ROUTES)
def test_a_repo_in_scope_is_answered(
    url: str, path: str, query: dict[str, str]
) -> None:
    for scheme in ("token", "Bearer", "TOKEN", "bearer"):
        reply = get(url, "team", path, scheme, repo="acme/team-a", **query)

        assert reply.status_code == 200


def test_the_listing_of_all_has_what_is_in_scope(url: str) -> None:
    def repos(token: str) -> set[str]:
        reply = get(url, token, f"{API}/models")
        assert reply.status_code == 200, reply.text
        return {word for word in ("team-a", "secret") if word in reply.text}

    assert repos("all") == {"team-a", "secret"}
    assert repos("team") == {"team-a"}
    assert repos("none") == set()


def test_a_short_name_is_not_ambiguous_because_of_what_is_hidden(url: str) -> None:
    """Both repos have the same remote; only one of them is in scope."""
    reply = get(url, "team", f"{API}/models", repo="acme/models")

    assert reply.status_code == 200


@pytest.mark.parametrize("token", ["old", "wrong", None])
@pytest.mark.parametrize(("path", "query"), ROUTES)
def test_a_token_that_has_ended_is_refused_as_an_unknown_one(
    url: str, token: str | None, path: str, query: dict[str, str]
) -> None:
    reply = get(url, token, path, repo="acme/team-a", **query)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"].startswith('token realm="models", Bearer')
    if token:
        assert reply.json() == {"detail": "invalid token"}


def test_a_link_of_a_repo_works_without_a_token_and_names_no_other(
    url: str,
) -> None:
    links = get(
        url, "team", f"{API}/get-download-uris", repo="acme/team-a", name="churn"
    ).json()
    (link,) = links.values()

    assert requests.get(link, timeout=TIMEOUT_S).status_code == 200
    moved = link.replace("/objects/team-a/", "/objects/secret/")
    assert moved != link
    assert requests.get(moved, timeout=TIMEOUT_S).status_code == 403
