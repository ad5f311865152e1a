"""Tokens of a Git host's users: what they may clone there, they may pull here."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from projects import Project, copy_project, git, serving_config, serving_site
from servers import Behaviour, Redirect, StudioServer, json_reply, wait_until
from servers.git_host import GITHUB_TOKEN, GITLAB_TOKEN, GitHostServer

from dvc_studio_models.server.access.access import Access
from dvc_studio_models.server.access.git_hosts import (
    PARTLY_S,
    REFUSED_PER_MINUTE,
    REMEMBERED_S,
    GitHost,
    projects_on,
)
from dvc_studio_models.server.config.values import (
    GitHostConfig,
    RepoConfig,
    ServeConfig,
    TokenConfig,
)
from dvc_studio_models.server.errors.requests import (
    TokenRefusedError,
    TokenUncheckedError,
)
from dvc_studio_models.server.site.site import Site
from tests.server.api import API, TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dvc_studio_models.server.access.principal import Principal

MODELS_API = "/api/model-registry/models"
MODELS = {"models": "acme/models"}
KINDS = {"github": GITHUB_TOKEN, "gitlab": GITLAB_TOKEN}


@pytest.fixture
def host() -> Iterator[GitHostServer]:
    """A host where both tokens are Ada's, and may clone ``acme/models``."""
    with GitHostServer() as server:
        server.users = dict.fromkeys(KINDS.values(), "ada")
        server.private = {"acme/models": set(KINDS.values()), "acme/secret": set()}
        yield server


def make(host: GitHostServer, kind: str = "github", **options: Any) -> GitHost:
    return GitHost(GitHostConfig(host.url, kind), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_sees_the_repos_that_the_token_may_clone(
    host: GitHostServer, kind: str
) -> None:
    projects = {**MODELS, "secret": "acme/secret", "gone": "acme/gone"}

    found = make(host, kind).check(KINDS[kind], "hash", projects)

    assert found
    assert found.name == "ada@127.0.0.1"
    assert found.repos == ("models",)
    assert found.ends is None
    # All are asked about, so that the time reveals nothing of what is served.
    assert host.cloned(KINDS[kind]) == ["acme/gone", "acme/models", "acme/secret"]


def test_a_token_without_the_permission_to_say_whose_it_is_counts_too(
    host: GitHostServer,
) -> None:
    host.users[GITLAB_TOKEN] = None

    found = make(host, "gitlab").check(GITLAB_TOKEN, "hash", MODELS)

    assert found
    assert (found.name, found.repos) == ("somebody@127.0.0.1", ("models",))


def test_a_token_that_the_host_does_not_know_is_refused(host: GitHostServer) -> None:
    del host.users[GITHUB_TOKEN]

    assert make(host).check(GITHUB_TOKEN, "hash", MODELS) is None
    assert len(host.requests) == 1


def test_a_repo_that_everybody_may_clone_is_not_opened_by_a_token(
    host: GitHostServer,
) -> None:
    host.public = {"acme/models"}

    found = make(host).check(GITHUB_TOKEN, "hash", MODELS)

    assert found
    assert found.repos == ()


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=200, reply=b"<html>", headers={"Content-Type": "text/html"}),
        json_reply({}),
    ],
)
def test_a_page_to_sign_in_is_no_permission(
    host: GitHostServer, behaviour: Behaviour
) -> None:
    host.behaviours["/acme/models.git/info/refs"] = behaviour

    found = make(host).check(GITHUB_TOKEN, "hash", MODELS)

    assert found
    assert found.repos == ()


@pytest.mark.parametrize("path", ["/api/v3/user", "/acme/models.git/info/refs"])
@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=500),
        Behaviour(status=429),
        Behaviour(status=403, headers={"X-RateLimit-Remaining": "0"}),
        Behaviour(status=403, headers={"Retry-After": "60"}),
        Behaviour(close_before_answer=True),
    ],
)
def test_a_host_that_does_not_respond_neither_allows_nor_refuses(
    host: GitHostServer,
    path: str,
    behaviour: Behaviour,
    caplog: pytest.LogCaptureFixture,
) -> None:
    host.behaviours[path] = behaviour
    one = make(host)

    with pytest.raises(TokenUncheckedError) as unchecked:
        one.check(GITHUB_TOKEN, "hash", MODELS)

    assert unchecked.value.status == 503
    assert one.recall("hash") is None  # tried again by the next request
    assert "cannot check a token: 'http://127.0.0.1" in caplog.text
    assert GITHUB_TOKEN not in caplog.text


def test_a_redirect_takes_the_token_nowhere_else(host: GitHostServer) -> None:
    with StudioServer() as other:
        redirect = Redirect(302, location=f"{other.origin()}/user")
        host.behaviours["/api/v3/user"] = Behaviour(redirect=redirect)

        with pytest.raises(TokenUncheckedError):
            make(host).check(GITHUB_TOKEN, "hash", MODELS)

        assert other.requests == []


@pytest.mark.parametrize(
    ("kind", "token"),
    [
        ("github", GITLAB_TOKEN),
        ("gitlab", GITHUB_TOKEN),
        ("github", "6b1f0e9a2c" * 4),
        ("gitlab", "6b1f0e9a2c" * 4),
        ("github", f"{GITHUB_TOKEN}\r\nX: y"),
        ("github", "ghp_short"),
        ("gitlab", f"glpat-{'ü' * 20}"),
    ],
)
def test_a_token_of_another_form_is_never_sent(
    host: GitHostServer, kind: str, token: str
) -> None:
    config = ServeConfig((), (), git_hosts=(GitHostConfig(host.url, kind),))

    with pytest.raises(TokenRefusedError):
        asyncio.run(Access(config).authenticate_token(token))

    assert host.requests == []


# -- what is remembered


def test_what_a_host_says_is_remembered_for_minutes(host: GitHostServer) -> None:
    now = [0.0]
    one = make(host, clock=lambda: now[0])
    found = one.check(GITHUB_TOKEN, "hash", MODELS)

    now[0] = REMEMBERED_S - 1
    verdict = one.recall("hash")
    assert verdict
    assert verdict.principal is found

    now[0] = REMEMBERED_S + 1
    assert one.recall("hash") is None
    assert one.recall("other") is None


def test_a_repo_that_became_private_is_seen_after_minutes(host: GitHostServer) -> None:
    now = [0.0]
    one = make(host, clock=lambda: now[0])
    host.public = {"acme/models"}
    one.check(GITHUB_TOKEN, "hash", MODELS)
    host.public, now[0] = set(), REMEMBERED_S + 1

    found = one.check(GITHUB_TOKEN, "hash", MODELS)

    assert found
    assert found.repos == ("models",)


def test_a_host_is_not_asked_about_ever_more_wrong_tokens(host: GitHostServer) -> None:
    now = [0.0]
    one = make(host, clock=lambda: now[0])
    assert one.check(GITHUB_TOKEN, "good", MODELS)
    wrong = GITHUB_TOKEN + "x"
    for number in range(REFUSED_PER_MINUTE):
        assert one.check(wrong, str(number), MODELS) is None
    count = len(host.requests)

    with pytest.raises(TokenUncheckedError, match="too many were refused"):
        one.check(wrong, "one more", MODELS)
    assert len(host.requests) == count

    assert one.check(GITHUB_TOKEN, "good", MODELS)  # known before
    now[0] = 61
    assert one.check(wrong, "one more", MODELS) is None


def test_requests_with_one_new_token_wait_for_one_check(host: GitHostServer) -> None:
    host.behaviours["/api/v3/user"] = Behaviour(delay_s=0.2)
    config = ServeConfig((), (), git_hosts=(GitHostConfig(host.url, "github"),))
    access = Access(config, lambda: [("models", [("127.0.0.1", "acme/models")])])

    async def ask() -> list[Principal]:
        every = [access.authenticate_token(GITHUB_TOKEN) for _ in range(20)]
        return await asyncio.gather(*every)

    assert len(set(map(id, asyncio.run(ask())))) == 1
    assert [request.path for request in host.requests].count("/api/v3/user") == 1


def test_a_host_that_stays_in_the_config_is_not_asked_again(
    host: GitHostServer,
) -> None:
    config = ServeConfig((), (), git_hosts=(GitHostConfig(host.url, "github"),))
    access = Access(config)
    asyncio.run(access.authenticate_token(GITHUB_TOKEN))
    count = len(host.requests)

    asyncio.run(Access(config, previous=access).authenticate_token(GITHUB_TOKEN))

    assert len(host.requests) == count


def test_what_a_host_said_is_forgotten_when_repos_change(host: GitHostServer) -> None:
    one = make(host)
    one.check(GITHUB_TOKEN, "hash", MODELS)
    assert one.recall("hash")

    one.forget()

    assert one.recall("hash") is None


def test_an_answer_of_before_is_not_remembered_after_repos_have_changed(
    host: GitHostServer,
) -> None:
    host.behaviours["/api/v3/user"] = Behaviour(delay_s=0.5)
    one = make(host)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(one.check, GITHUB_TOKEN, "hash", MODELS)
        wait_until(lambda: host.requests, timeout_s=TIMEOUT_S)
        one.forget()
        assert asking.result()

    assert one.recall("hash") is None


# -- which project of the host a repo is


def test_only_the_most_reliable_url_on_the_host_counts(host: GitHostServer) -> None:
    homes = [
        ("fork", [("other.example.com", "x/y"), ("127.0.0.1", "me/fork")]),
        ("moved", [("127.0.0.1", "acme/new"), ("127.0.0.1", "acme/old")]),
        ("local", []),
    ]

    assert projects_on(make(host), homes) == {"fork": "me/fork", "moved": "acme/new"}


def test_only_repos_in_the_scope_of_the_host_are_asked_about(
    host: GitHostServer,
) -> None:
    homes = [(name, [("127.0.0.1", name)]) for name in ("team-a", "team-b", "other")]
    one = GitHost(GitHostConfig(host.url, "github", ("team-*",)))

    assert set(projects_on(one, homes)) == {"team-a", "team-b"}


# -- a host that answers for some repos only


@pytest.mark.parametrize("status", [404, 410, 451])
def test_a_repo_that_is_gone_for_good_is_none_that_the_token_may_clone(
    host: GitHostServer, status: int
) -> None:
    host.behaviours["/acme/gone.git/info/refs"] = Behaviour(status=status)

    found = make(host).check(GITHUB_TOKEN, "hash", {**MODELS, "gone": "acme/gone"})

    assert found
    assert (found.repos, found.unchecked) == (("models",), "")


def test_what_a_host_says_of_some_repos_is_asked_again_soon(
    host: GitHostServer,
) -> None:
    now = [0.0]
    one = make(host, clock=lambda: now[0])
    host.behaviours["/acme/secret.git/info/refs"] = Behaviour(status=500)
    projects = {**MODELS, "secret": "acme/secret"}
    found = one.check(GITHUB_TOKEN, "hash", projects)
    assert found
    assert (found.repos, found.unchecked) == (("models",), "127.0.0.1")

    now[0] = PARTLY_S + 1
    assert one.recall("hash") is None
    del host.behaviours["/acme/secret.git/info/refs"]
    whole = one.check(GITHUB_TOKEN, "hash", projects)

    assert whole
    assert (whole.repos, whole.unchecked) == (("models",), "")


# -- through the server


def config_of(host: GitHostServer, *repos: RepoConfig) -> ServeConfig:
    token = TokenConfig.of("the server's own", "ci")
    hosts = (GitHostConfig(host.url, "github"),)
    return ServeConfig(repos, (token,), git_hosts=hosts)


def ask(url: str, token: str, repo: str) -> requests.Response:
    headers = {"Authorization": f"token {token}"}
    query = {"repo": repo, "name": "churn"}
    return requests.get(url + API, query, headers=headers, timeout=TIMEOUT_S)


def test_a_user_pulls_what_he_may_clone_and_sees_nothing_else(
    host: GitHostServer, project: Project, tmp_path: Path
) -> None:
    secret = copy_project(project.root, tmp_path / "secret")
    config = config_of(
        host,
        RepoConfig(str(project.repo), "models", (f"{host.url}/acme/models.git",)),
        RepoConfig(str(secret.repo), "secret", (f"{host.url}/acme/secret.git",)),
    )
    with serving_config(config) as url:
        good = ask(url, GITHUB_TOKEN, "acme/models")
        hidden = ask(url, GITHUB_TOKEN, "acme/secret")
        missing = ask(url, GITHUB_TOKEN, "acme/nothing")
        own = ask(url, "the server's own", "acme/secret")

    assert (good.status_code, own.status_code) == (200, 200)
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("secret", "nothing") == missing.text


def test_a_repo_that_the_host_cannot_serve_locks_nobody_out_of_others(
    host: GitHostServer, project: Project, tmp_path: Path
) -> None:
    secret = copy_project(project.root, tmp_path / "secret")
    config = config_of(
        host,
        RepoConfig(str(project.repo), "models", (f"{host.url}/acme/models.git",)),
        RepoConfig(str(secret.repo), "secret", (f"{host.url}/acme/secret.git",)),
    )
    host.private["acme/secret"] = {GITHUB_TOKEN}
    host.behaviours["/acme/secret.git/info/refs"] = Behaviour(status=500)
    headers = {"Authorization": f"token {GITHUB_TOKEN}", "Accept": "application/json"}

    def get(url: str, path: str) -> requests.Response:
        return requests.get(f"{url}{path}", headers=headers, timeout=TIMEOUT_S)

    with serving_config(config) as url:
        good = ask(url, GITHUB_TOKEN, "acme/models")
        hidden = ask(url, GITHUB_TOKEN, "acme/secret")
        missing = ask(url, GITHUB_TOKEN, "acme/nothing")
        listed = get(url, MODELS_API).json()
        one = get(url, f"{MODELS_API}/nothing")
        session = requests.Session()
        session.post(f"{url}/sign-in", {"token": GITHUB_TOKEN}, timeout=TIMEOUT_S)
        page = session.get(f"{url}/", timeout=TIMEOUT_S)
        other_page = session.get(f"{url}/models/secret/churn", timeout=TIMEOUT_S)

    assert good.status_code == 200
    assert hidden.status_code == missing.status_code == one.status_code == 503
    assert hidden.text == missing.text
    assert {model["repo"] for model in listed["models"]} == {"127.0.0.1/acme/models"}
    (unavailable,) = listed["unavailable"]
    assert unavailable["repo"] == "127.0.0.1"
    assert "did not answer for some repos" in unavailable["detail"]
    assert page.status_code == 200
    assert "did not answer for some repos" in page.text
    assert other_page.status_code == 503


def test_a_name_that_another_repo_has_now_shows_nothing_of_it(
    host: GitHostServer, project: Project, tmp_path: Path
) -> None:
    secret = copy_project(project.root, tmp_path / "secret")
    public = RepoConfig(str(project.repo), "models", (f"{host.url}/acme/models.git",))
    hidden = RepoConfig(str(secret.repo), "secret", (f"{host.url}/acme/secret.git",))
    site = Site(config_of(host, public, hidden))
    with serving_site(site) as url:
        assert ask(url, GITHUB_TOKEN, "models").status_code == 200

        moved, named = replace(public, name="public"), replace(hidden, name="models")
        site.apply(config_of(host, moved, named))

        assert ask(url, GITHUB_TOKEN, "models").status_code == 404
        assert ask(url, GITHUB_TOKEN, "public").status_code == 200


def test_a_repo_that_is_served_late_is_asked_about(
    host: GitHostServer, project: Project
) -> None:
    away = project.bare.rename(project.root / "away")
    late = RepoConfig(str(project.bare), "models", (f"{host.url}/acme/models.git",))
    site = Site(config_of(host, RepoConfig(str(project.repo), "other"), late))
    with serving_site(site) as url:
        assert ask(url, GITHUB_TOKEN, "models").status_code == 404
        away.rename(project.bare)

        def status() -> int:
            return ask(url, GITHUB_TOKEN, "models").status_code

        wait_until(lambda: status() == 200, timeout_s=TIMEOUT_S)


def test_another_remote_of_a_fork_opens_nothing(
    host: GitHostServer, project: Project
) -> None:
    """Who may clone its parent, may not see what the fork has."""
    git(project.repo, "remote", "set-url", "origin", f"{host.url}/acme/secret.git")
    git(project.repo, "remote", "add", "parent", f"{host.url}/acme/models.git")
    with serving_config(config_of(host, RepoConfig(str(project.repo)))) as url:
        reply = ask(url, GITHUB_TOKEN, "acme/secret")

    assert reply.status_code == 404
    assert host.cloned(GITHUB_TOKEN) == ["acme/secret"]


def test_a_silent_host_delays_no_request_with_another_token(
    host: GitHostServer, project: Project
) -> None:
    host.behaviours["/api/v3/user"] = Behaviour(delay_s=2)
    with serving_config(config_of(host, RepoConfig(str(project.repo)))) as url:
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(ask, url, GITHUB_TOKEN, str(project.repo))
            for _ in range(5):
                own = ask(url, "the server's own", str(project.repo))
                assert own.status_code == 200
            assert not slow.done()
        assert slow.result().status_code in {200, 404}
