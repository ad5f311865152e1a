"""The pages for people, as HTTP: who sees what, cookies, headers, forms, errors."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from projects import TOKEN, Project, git, serving, serving_config, serving_site

from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    TokenConfig,
)
from dvc_studio_models.server.links.signing_key import KEY_VARIABLE
from dvc_studio_models.server.site.site import Site
from dvc_studio_models.server.web.rendering import ago
from dvc_studio_models.server.web.sessions import COOKIE, SESSION_S, Sessions, cookie_of
from tests.server.api import TIMEOUT_S

ROUTES = ("/", "/models/models/churn")
CHURN = "/models/models/churn"


def get(session: requests.Session, url: str, **headers: str) -> requests.Response:
    return session.get(url, headers=headers, timeout=TIMEOUT_S)


def post(
    session: requests.Session, url: str, data: object, **headers: str
) -> requests.Response:
    return session.post(
        url, data=data, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
    )


def signed_in(url: str, token: str = TOKEN, **headers: str) -> requests.Session:
    session = requests.Session()
    sign_in(session, url, token, **headers)
    return session


def sign_in(
    session: requests.Session, url: str, token: str = TOKEN, **headers: str
) -> None:
    reply = post(session, f"{url}/sign-in", {"token": token}, **headers)
    assert reply.status_code == 303


def page_of(session: requests.Session, url: str) -> str:
    reply = get(session, url)
    assert reply.status_code == 200, reply.text
    return reply.text


def config_of(project: Project, *tokens: TokenConfig) -> ServeConfig:
    repos = (
        RepoConfig(str(project.repo), "models"),
        RepoConfig(str(project.bare), "secret"),
    )
    return ServeConfig(repos, tokens)


# The list of models


def test_the_list_shows_each_model_with_its_latest_version_and_stages(
    server: str,
) -> None:
    page = page_of(signed_in(server), f"{server}/")

    assert "3 models" in page
    for name in ("churn", "bert"):
        assert f'href="./models/models/{name}">{name}</a>' in page
    assert '<span class="folder">services/fraud:</span>fraud</a>' in page
    assert re.search(r"prod</bdi> <bdi class=.version.>v2.0.0<", page)
    assert "years ago" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=CHU", ["churn"]),
        ("q=fraud+serv", ["fraud"]),
        ("q=acme", ["bert", "churn", "fraud"]),
        ("stage=prod", ["churn"]),
        ("stage=dev&q=bert", []),
        ("repo=models", ["bert", "churn", "fraud"]),
        ("repo=other", []),
        ("page=7", ["bert", "churn", "fraud"]),
        ("page=-1&sort=odd", ["bert", "churn", "fraud"]),
    ],
)
def test_the_list_is_searched_and_filtered(
    server: str, query: str, names: list[str]
) -> None:
    page = page_of(signed_in(server), f"{server}/?{query}")

    assert re.findall(r'([a-z]+)</a></td>|([a-z]+)</a><span class="repo"', page) == [
        (name, "") for name in names
    ]


def test_a_long_list_has_pages(project: Project) -> None:
    for number in range(60):
        git(project.repo, "tag", "-a", "-m", "x", f"many-{number:02}@v1.0.0")
    with serving(project.repo) as url:
        session = signed_in(url)
        first, second = (page_of(session, f"{url}/?page={each}") for each in (1, 2))

    assert first.count('class="name"') == 50
    assert second.count('class="name"') == 13
    assert "Page 1 of 2" in first
    assert 'rel="next" href="?page=2"' in first


def test_newest_registrations_come_first_if_wanted(project: Project) -> None:
    project.tag("aaa@v1.0.0")
    project.tag("zzz@v1.0.0")
    with serving(project.repo) as url:
        page = page_of(signed_in(url), f"{url}/?sort=updated")

    assert re.findall(r"models/models/([^\"]+)", page)[:2] == ["zzz", "aaa"]


def test_an_empty_registry_says_how_to_register(project: Project) -> None:
    git(project.repo, "tag", "--delete", *git(project.repo, "tag").split())
    with serving(project.repo) as url:
        page = page_of(signed_in(url), f"{url}/")

    assert "No models yet" in page
    assert "gto register NAME" in page


# One model


def test_a_model_shows_its_files_versions_and_history(server: str) -> None:
    page = page_of(signed_in(server), server + CHURN)

    assert "models/churn.pkl" in page
    assert "Ada" in page
    assert 'href="?version=v1.0.0"' in page
    assert page.count('<li class="assignment') == 3
    assert page.count('<li class="registration') == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "dvc models pull churn<"),
        ("?stage=dev", "dvc models pull churn --stage dev<"),
        ("?version=v1.0.0", "dvc models pull churn --version v1.0.0<"),
    ],
)
def test_commands_are_of_the_version_that_is_shown(
    server: str, query: str, expected: str
) -> None:
    page = page_of(signed_in(server), server + CHURN + query)

    assert expected in page
    assert ("This is not the latest version" in page) == bool(query)


def test_the_plugin_is_installed_from_a_clone_as_the_readme_says(server: str) -> None:
    page = page_of(signed_in(server), server + CHURN)
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")

    (command,) = re.findall("<code>(pip install [^<]*)</code>", page)
    assert f"$ {command} " in readme


def test_a_model_in_a_folder_has_a_page(server: str) -> None:
    page = page_of(signed_in(server), f"{server}/models/models/services/fraud:fraud")

    assert 'href="../../../static/page.css?v=' in page
    assert "services/fraud/model.bin" in page
    assert ">Size</th>" in page


def test_all_files_of_a_folder_are_listed(server: str) -> None:
    page = page_of(signed_in(server), f"{server}/models/models/bert")

    assert page.count('<td class="path">') == 4
    assert ">Size</th>" not in page  # DVC records it for the folder only
    assert "models/bert/weights/größe-模型.bin" in page


def test_files_that_cannot_be_listed_are_explained(project: Project) -> None:
    project.storage.rename(project.root / "gone")
    with serving(project.repo) as url:
        page = page_of(signed_in(url), f"{url}/models/models/bert")

    assert "The files cannot be listed: " in page


def test_text_of_a_repo_is_shown_as_text(project: Project) -> None:
    evil = "<script>alert(1)</script>"
    git(project.repo, "tag", "-a", "-m", evil, "churn@v3.0.0")
    with serving(project.repo) as url:
        page = page_of(signed_in(url), url + CHURN)

    assert "&lt;script&gt;alert(1)" in page
    assert evil not in page


# Repos that are not served, and mirrors


def test_a_repo_that_is_left_out_is_named_to_who_may_see_it(project: Project) -> None:
    token = TokenConfig.of(TOKEN)
    config = config_of(project, token, replace(TokenConfig.of("b"), repos=("models",)))
    broken = RepoConfig(str(project.root / "gone"), "secret")
    config = replace(config, repos=(config.repos[0], broken))
    with serving_config(config) as url:
        seen, unseen = (
            page_of(signed_in(url, each), f"{url}/") for each in (TOKEN, "b")
        )

    assert "<bdi>secret</bdi></strong> cannot be shown: " in seen
    assert str(project.root) not in seen
    assert "secret" not in unseen


def test_a_stale_mirror_is_named_with_its_age(project: Project) -> None:
    data = project.root / "data"
    data.mkdir()
    repo = RepoConfig("", "models", url=project.bare.as_uri(), fetch_s=3600)
    config = ServeConfig((repo,), (TokenConfig.of(TOKEN),), data=data)
    site = Site(config)
    with serving_site(site) as url:
        session = signed_in(url)
        deadline = time.monotonic() + TIMEOUT_S
        while get(session, url + CHURN).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        fresh = page_of(session, url + CHURN)
    (state,) = data.glob("**/*.json")
    content = json.loads(state.read_text())
    content["fetched"] -= 5 * 3600
    state.write_text(json.dumps(content))
    project.bare.rename(project.root / "away.git")
    with serving_config(config) as url:
        session = signed_in(url)
        pages = [page_of(session, url + path) for path in ROUTES]

    assert "Repo fetched" in fresh
    assert "newer versions may be missing" not in fresh
    for page in pages:
        assert re.search(
            r"<bdi>models</bdi></strong> was last fetched <time[^>]*>5 h", page
        )
        assert project.bare.name not in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (9, "just now"),
        (42, "42 seconds ago"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86400 * 400, "1 year ago"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    assert ago(1_000_000_000 - seconds, now=1_000_000_000) == text


# Who sees what


@pytest.mark.parametrize("path", ROUTES)
def test_without_a_session_a_page_asks_to_sign_in(server: str, path: str) -> None:
    reply = get(requests.Session(), server + path)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"].startswith("token ")
    assert 'name="token"' in reply.text
    assert "churn</" not in reply.text


@pytest.mark.parametrize(
    ("query", "path"), [("", "/"), ("?next=models/a", "/models/a")]
)
def test_who_has_signed_in_is_not_asked_again(
    server: str, query: str, path: str
) -> None:
    session = signed_in(server)

    reply = session.get(
        f"{server}/sign-in{query}", timeout=TIMEOUT_S, allow_redirects=False
    )

    assert reply.status_code == 303
    assert urljoin(f"{server}/sign-in", reply.headers["Location"]) == server + path
    assert "Set-Cookie" not in reply.headers
    page_of(session, f"{server}/")


def test_without_tokens_nobody_has_to_sign_in(project: Project) -> None:
    with serving(project.repo, no_auth=True) as url:
        session = requests.Session()
        pages = [page_of(session, url + path) for path in ROUTES]

    assert all("churn" in page for page in pages)
    assert not any("sign-out" in page for page in pages)
    assert "Authorization" not in pages[1]


def test_what_a_token_may_not_see_is_as_if_it_were_not_there(
    project: Project,
) -> None:
    token = TokenConfig("ada", TokenConfig.of(TOKEN).sha256, ("models",))
    with serving_config(config_of(project, token)) as url:
        session = signed_in(url)
        page = page_of(session, f"{url}/")
        hidden = get(session, f"{url}/models/secret/churn")
        absent = get(session, f"{url}/models/absent/churn")

    assert "secret" not in page
    assert hidden.status_code == absent.status_code == 404
    assert hidden.content == absent.content


def test_who_may_see_nothing_is_told_so(project: Project) -> None:
    token = TokenConfig("ada", TokenConfig.of(TOKEN).sha256, ("none",))
    with serving_config(config_of(project, token)) as url:
        page = page_of(signed_in(url), f"{url}/")

    assert "Your token gives access to none of the repos" in page


# Sessions


@pytest.mark.parametrize("token", ["wrong", "", "é\x00\n", "x" * 5000], ids=len)
def test_a_wrong_token_signs_nobody_in(server: str, token: str) -> None:
    reply = post(requests.Session(), f"{server}/sign-in", {"token": token})

    assert reply.status_code == 401
    assert not reply.cookies
    assert 'role="alert"' in reply.text


def test_the_cookie_hides_the_token_and_is_only_for_this_site(server: str) -> None:
    reply = post(requests.Session(), f"{server}/sign-in", {"token": TOKEN})

    cookie = reply.headers["Set-Cookie"]
    assert TOKEN not in cookie
    for each in ("HttpOnly", "SameSite=strict", f"Max-Age={SESSION_S}", "Path=/"):
        assert each in cookie
    assert "Secure" not in cookie


def test_two_servers_on_one_host_keep_their_own_sessions(project: Project) -> None:
    """A browser shares cookies among the ports of a host."""
    with serving(project.repo) as first, serving(project.repo) as second:
        session = requests.Session()
        for url in (first, second):
            sign_in(session, url)
        both = [get(session, f"{url}/").status_code for url in (first, second)]
        post(session, f"{second}/sign-out", {})
        one = [get(session, f"{url}/").status_code for url in (first, second, first)]

    assert both == [200, 200]
    assert one == [200, 401, 200]


@pytest.mark.parametrize("is_removed", [False, True], ids=["kept", "removed"])
def test_two_prefixes_of_one_host_keep_their_own_sessions(
    project: Project, is_removed: bool
) -> None:
    config = ServeConfig(
        (RepoConfig(str(project.repo), "models"),),
        (TokenConfig.of(TOKEN),),
        behind_proxy=True,
    )
    prefixes = ("/prod", "/staging", "")
    with serving_config(config) as url:
        replies = []
        for prefix in prefixes:
            headers = {"X-Forwarded-Prefix": prefix} if is_removed else {}
            path = "" if is_removed else prefix
            reply = post(
                requests.Session(), f"{url}{path}/sign-in", {"token": TOKEN}, **headers
            )
            replies.append(reply.headers["Set-Cookie"])

    paths = [re.findall("Path=([^;]*)", cookie)[0] for cookie in replies]
    assert paths == ["/prod/", "/staging/", "/"]
    names = {cookie.partition("=")[0] for cookie in replies}
    assert len(names) == len(prefixes)
    assert all(name.startswith(f"{COOKIE}_") for name in names)


def test_a_session_below_a_prefix_ends_there(server: str) -> None:
    session = requests.Session()
    for prefix in ("/prod", ""):
        sign_in(session, f"{server}{prefix}")
    post(session, f"{server}/sign-out", {})

    codes = [
        get(session, f"{server}{prefix}{CHURN}").status_code
        for prefix in ("/prod", "", "/staging")
    ]
    post(session, f"{server}/prod/sign-out", {})

    assert codes == [200, 401, 401]
    assert get(session, f"{server}/prod/").status_code == 401
    assert not session.cookies


def test_the_cookie_is_secure_behind_tls(server: str) -> None:
    headers = {"X-Forwarded-Proto": "https"}
    reply = post(requests.Session(), f"{server}/sign-in", {"token": TOKEN}, **headers)

    assert "; Secure" in reply.headers["Set-Cookie"]


@pytest.mark.parametrize("change", ["revoked", "ended", "narrowed"])
def test_a_session_ends_with_its_token(project: Project, change: str) -> None:
    token = TokenConfig.of(TOKEN, "ada")
    site = Site(config_of(project, token))
    after = {
        "revoked": (),
        "ended": (replace(token, until=date(2020, 1, 1)),),
        "narrowed": (replace(token, repos=("secret",)),),
    }[change]
    with serving_site(site) as url:
        session = signed_in(url)
        assert get(session, url + CHURN).status_code == 200

        site.apply(config_of(project, *after))
        reply = get(session, url + CHURN)

    assert reply.status_code == (404 if change == "narrowed" else 401)
    assert ("Your session has ended" in reply.text) == (change != "narrowed")


def test_a_session_ends_after_its_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "the key of all processes, say 1234")
    ages = (SESSION_S - 60, SESSION_S + 60)
    old = [
        Sessions(
            b"the key of all processes, say 1234", now=lambda age=age: time.time() - age
        )
        for age in ages
    ]
    with serving(project.repo) as url:
        replies = [
            requests.get(
                url + CHURN,
                cookies={cookie_of(url): each.seal(TOKEN)},
                timeout=TIMEOUT_S,
            )
            for each in old
        ]

    assert [reply.status_code for reply in replies] == [200, 401]


def test_a_cookie_lives_no_longer_than_its_token(project: Project) -> None:
    last_day = (datetime.now(timezone.utc) + timedelta(minutes=1)).date()
    token = replace(TokenConfig.of(TOKEN), until=last_day)
    with serving_config(config_of(project, token)) as url:
        reply = post(requests.Session(), f"{url}/sign-in", {"token": TOKEN})

    (life,) = re.findall(r"Max-Age=(\d+)", reply.headers["Set-Cookie"])
    end = datetime.fromisoformat(f"{last_day + timedelta(days=1)}T00:00:00+00:00")
    left = (end - datetime.now(timezone.utc)).total_seconds()
    assert int(life) <= min(SESSION_S, left + 60)


@pytest.mark.parametrize("value", ["", "x", "gAAAAA", "\x7f", "ä"])
def test_a_forged_cookie_is_no_session(server: str, value: str) -> None:
    headers = {"Cookie": f"{cookie_of(server)}={value}".encode().decode("latin-1")}
    reply = requests.get(f"{server}/", headers=headers, timeout=TIMEOUT_S)

    assert reply.status_code == 401


def test_signing_out_removes_the_cookie(server: str) -> None:
    session = signed_in(server)

    reply = post(session, f"{server}/sign-out", {})

    assert reply.status_code == 303
    assert not session.cookies
    assert get(session, f"{server}/").status_code == 401


# Forms


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_a_form_of_another_site_is_refused(
    server: str, path: str, headers: dict[str, str]
) -> None:
    session = signed_in(server)
    reply = post(session, server + path, {"token": TOKEN}, **headers)

    assert reply.status_code == 403
    assert "Set-Cookie" not in reply.headers


def test_our_own_forms_are_accepted_from_any_browser(server: str) -> None:
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": server}):
        reply = post(
            requests.Session(), f"{server}/sign-in", {"token": TOKEN}, **headers
        )
        assert reply.status_code == 303


@pytest.mark.parametrize(
    ("following", "location"),
    [
        ("models/models/churn?stage=prod", "./models/models/churn?stage=prod"),
        ("?q=x", "./?q=x"),
        ("https://evil.example.com", "./"),
        ("//evil.example.com", "./"),
        ("/models/x", "./"),
        ("javascript:alert(1)", "./"),
        ("models/x\r\nSet-Cookie: a=b", "./"),
        ("models/\\evil", "./"),
    ],
)
def test_after_signing_in_only_our_own_pages_are_opened(
    server: str, following: str, location: str
) -> None:
    form = {"token": TOKEN, "next": following}
    reply = post(requests.Session(), f"{server}/sign-in", form)

    assert reply.headers["Location"] == location


def test_a_form_that_is_too_long_or_cannot_be_read_is_refused(server: str) -> None:
    session = requests.Session()
    bodies = {b"token=" + b"x" * 10_000: 413, b"token=\xff\xfe%ff": 400}
    bodies[b"&".join(b"a=b" for _ in range(99))] = 400
    for body, status in bodies.items():
        assert post(session, f"{server}/sign-in", body).status_code == status


# Headers, assets, prefixes


@pytest.mark.parametrize("path", ["/", CHURN, "/models/a/b", "/sign-in"])
def test_pages_allow_nothing_of_other_sites(server: str, path: str) -> None:
    headers = get(signed_in(server), server + path).headers

    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_pages_have_no_inline_scripts_and_styles(server: str) -> None:
    session = signed_in(server)
    for path in ROUTES:
        page = page_of(session, server + path)
        assert not re.search(r"<style|<script>|\sstyle=|\son[a-z]+=|javascript:", page)
        assert not re.findall(r'(?:src|action)="(?:https?:)?//', page)


def test_assets_are_kept_for_ever_by_their_version(server: str) -> None:
    page = get(requests.Session(), f"{server}/sign-in").text
    for href in re.findall(r'(?:href|src)="\./(static/[^"]+)', page):
        reply = requests.get(f"{server}/{href}", timeout=TIMEOUT_S)
        assert reply.status_code == 200
        assert "immutable" in reply.headers["Cache-Control"]

        plain = f"{server}/{href.partition('?')[0]}"
        again = requests.get(
            plain, headers={"If-None-Match": reply.headers["ETag"]}, timeout=TIMEOUT_S
        )
        assert again.status_code == 304
        assert "no-cache" in again.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/static/none.css", "/static/..%2fpages.py", "/api/"])
def test_what_is_no_page_is_answered_in_json(server: str, path: str) -> None:
    reply = requests.get(server + path, timeout=TIMEOUT_S)

    assert reply.status_code == HTTPStatus.NOT_FOUND
    assert "detail" in reply.json()


def test_links_are_right_below_a_prefix(server: str) -> None:
    base = f"{server}/team/studio"
    session = signed_in(base)
    page = page_of(session, f"{base}/models/models/churn")

    assert f"{base}/api/model-registry/get-download-uris?" in page
    assert 'href="../../static/page.css?v=' in page
    assert get(session, f"{base}/static/page.css").status_code == 200


@pytest.mark.parametrize("prefix", ["", "/team/studio"])
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/models", "/"),
        ("/models/", "/"),
        ("/models/models", "/?repo=models"),
        ("/models/models/", "/?repo=models"),
        ("/models/a%26b", "/?repo=a%26b"),
    ],
)
def test_an_address_without_a_model_leads_to_the_list(
    server: str, prefix: str, path: str, location: str
) -> None:
    reply = get(signed_in(f"{server}{prefix}"), f"{server}{prefix}{path}")

    assert reply.status_code == 200
    assert reply.url == f"{server}{prefix}{location}"
    assert 'href="./static/page.css?v=' in reply.text


@pytest.mark.parametrize("path", ["/nix", "/team/nix"])
def test_a_browser_gets_a_page_about_an_unknown_address(server: str, path: str) -> None:
    reply = get(requests.Session(), server + path, Accept="text/html,*/*;q=0.8")

    assert reply.status_code == HTTPStatus.NOT_FOUND
    assert "There is no page at this address." in reply.text
    (style,) = re.findall(r'href="\./(static/page.css[^"]*)"', reply.text)
    folder = reply.url.rpartition("/")[0]
    assert get(requests.Session(), f"{folder}/{style}").status_code == 200


@pytest.mark.parametrize("path", ["/api/nix", "/static/nix", "/team/api/models/nix"])
def test_a_browser_gets_json_where_there_are_no_pages(server: str, path: str) -> None:
    reply = get(requests.Session(), server + path, Accept="text/html")

    assert reply.status_code == HTTPStatus.NOT_FOUND
    assert "detail" in reply.json()


@pytest.mark.parametrize(
    ("given", "path", "prefix"),
    [
        ("/studio", "", "/studio"),
        ("/models/", "", "/models"),
        ("/studio", "/studio", "/studio"),
        ("/outer", "/inner", "/outer/inner"),
        ("//evil.example.com", "", ""),
        ("/../x", "", ""),
        ("/a b", "", ""),
        ("/'><script>", "", ""),
        ("", "", ""),
    ],
)
def test_links_have_the_prefix_that_a_proxy_has_removed(
    project: Project, given: str, path: str, prefix: str
) -> None:
    config = ServeConfig(
        (RepoConfig(str(project.repo), "models"),),
        (TokenConfig.of(TOKEN),),
        behind_proxy=True,
    )
    with serving_config(config) as url:
        prefixed = {"X-Forwarded-Prefix": given}
        session = signed_in(f"{url}{path}", **prefixed)
        (cookie,) = session.cookies  # of another path than this test requests
        session = requests.Session()
        headers = {
            **prefixed,
            "Authorization": f"token {TOKEN}",
            "Cookie": f"{cookie.name}={cookie.value}",
        }
        page = get(session, f"{url}{path}{CHURN}", **headers).text
        api = f"{path}/api/model-registry/get-download-uris"
        query = "repo=models&name=churn"
        links = get(session, f"{url}{api}?{query}", **headers).json()

    assert f"DVC_STUDIO_URL={url}{prefix}\n" in html.unescape(page)
    assert f"{url}{prefix}/api/model-registry/" in html.unescape(page)
    assert all(link.startswith(f"{url}{prefix}/objects/") for link in links.values()), (
        links
    )


def test_a_prefix_is_only_taken_from_a_proxy(server: str) -> None:
    page = get(signed_in(server), server + CHURN, **{"X-Forwarded-Prefix": "/x"}).text

    assert f"DVC_STUDIO_URL={server}\n" in page


def test_a_link_on_another_site_loads_the_page_again(server: str) -> None:
    """Browsers leave out a strict cookie there."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    reply = get(requests.Session(), server + CHURN, **headers)

    assert '<meta http-equiv="refresh" content="0">' in reply.text


# Commands


def test_the_commands_of_a_page_work(project: Project, tmp_path: Path) -> None:
    clone = project.clone(tmp_path / "clone")
    with serving(project.repo) as url:
        page = page_of(signed_in(url), f"{url}{CHURN}?stage=dev")
        codes = [
            html.unescape(c) for c in re.findall("<code>([^<]*)</code></pre>", page)
        ]
        pull, python, curl, set_up = codes
        (options,) = re.findall("<code>(--repo [^<]*)</code>", page)
        (arguments,) = re.findall("<code>(repo=[^<]*)</code>", page)
        programs = os.fspath(Path(sys.executable).parent)
        env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        first = set_up.replace("TOKEN=...", f"TOKEN={TOKEN}")

        def run(command: str, folder: Path) -> str:
            return subprocess.run(
                ["bash", "-ec", f"{first}\n{command}"],
                cwd=folder, env=env, check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip

        model = clone / "models" / "churn.pkl"
        run(pull, clone)
        first_content = model.read_bytes()
        shutil.rmtree(clone / "models")
        run(f"python -c '{python}'", clone)
        assert model.read_bytes() == first_content == b"churn, the first\n" * 100
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        run(f"{pull} {options}", elsewhere)
        assert (elsewhere / "models" / "churn.pkl").read_bytes() == first_content
        other = tmp_path / "other"
        other.mkdir()
        call = python.replace(")", f", {html.unescape(arguments)})")
        run(f"python -c '{call}'", other)
        assert (other / "models" / "churn.pkl").read_bytes() == first_content
        assert "models/churn.pkl" in run(curl, elsewhere)
