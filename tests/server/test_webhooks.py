"""A Git host that knows the secret makes the server fetch at once."""

from __future__ import annotations

import hashlib
import hmac
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests
from projects import Project, git, serving_site

from dvc_studio_models.server.mirrors import mirrors
from dvc_studio_models.server.routes import webhooks
from dvc_studio_models.server.site.site import Site
from tests.server.test_mirrors import config_of, eventually, fetched, place_of, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "käse"
BODY = b'{"ref": "refs/tags/churn@v9.0.0"}'


def digest(body: bytes = BODY, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(
    url: str, name: str = "models", body: bytes = BODY, **headers: str
) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{url}/webhook/{name}", data=body, headers=sent, timeout=20)


@pytest.fixture
def hooked(project: Project) -> Iterator[tuple[str, Path]]:
    """Serve a mirror that is fetched once an hour, and by webhooks."""
    config = config_of(project)
    with running(config) as running_mirrors:
        eventually(fetched(running_mirrors))
    (repo,) = config.repos
    config = replace(
        config, repos=(replace(repo, fetch_s=3600, webhook_secret=SECRET),)
    )
    time.sleep(1)  # a fetch has just ended
    with serving_site(Site(config)) as url:
        yield url, place_of(config).repo


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Hub_Signature_256": f"sha256={digest()}"},
        {"X_Gitea_Signature": digest()},
        {"X_Gitlab_Token": SECRET.encode().decode("latin-1")},
        {"X_Hub_Signature": f"sha256={digest()}"},
    ],
    ids=["GitHub", "Gitea", "GitLab", "Bitbucket"],
)
def test_a_signed_webhook_fetches_at_once(
    project: Project, hooked: tuple[str, Path], headers: dict[str, str]
) -> None:
    url, mirror = hooked
    project.tag("churn@v9.0.0")

    reply = post(url, **headers)

    assert (reply.status_code, reply.json()) == (202, {"status": "accepted"})
    eventually(lambda: "churn@v9.0.0" in git(mirror, "tag"))


WRONG = [
    {},
    {"X_Hub_Signature_256": digest()},
    {"X_Hub_Signature_256": f"sha256={digest(secret='')}"},
    {"X_Hub_Signature_256": f"sha256={digest(b'other')}"},
    {"X_Hub_Signature_256": "sha256="},
    {"X_Gitea_Signature": ""},
    {"X_Gitlab_Token": ""},
    {"X_Gitlab_Token": "\xff"},
    {"Authorization": f"token {SECRET.encode().decode('latin-1')}"},
]


def test_other_webhooks_get_one_and_the_same_reply(
    project: Project, hooked: tuple[str, Path]
) -> None:
    url, mirror = hooked
    project.tag("churn@v9.0.0")

    replies = [post(url, **headers) for headers in WRONG]
    replies += [
        post(url, "other", X_Hub_Signature_256=f"sha256={digest()}"),
        post(url, "", X_Hub_Signature_256=f"sha256={digest()}"),
        post(url, "..%2Fmodels", X_Hub_Signature_256=f"sha256={digest()}"),
    ]

    assert {(r.status_code, r.text) for r in replies} == {(403, replies[0].text)}
    assert "the signature is wrong" in replies[0].json()["detail"]
    time.sleep(1)
    assert "churn@v9.0.0" not in git(mirror, "tag")


@pytest.mark.parametrize("secret", [None, ""])
def test_a_mirror_without_a_secret_accepts_no_webhook(
    project: Project, secret: str | None
) -> None:
    config = config_of(project)
    (repo,) = config.repos
    config = replace(config, repos=(replace(repo, webhook_secret=secret),))
    with running(config) as running_mirrors:
        eventually(fetched(running_mirrors))

    with serving_site(Site(config)) as url:
        signed = f"sha256={digest(secret='')}"
        assert post(url, X_Hub_Signature_256=signed).status_code == 403
        assert post(url, X_Gitlab_Token="").status_code == 403


def test_a_body_that_is_too_large_is_refused(
    hooked: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_BODY_BYTES", 1 << 20)
    url, _ = hooked
    large = bytes((1 << 20) + 1)

    reply = post(url, body=large, X_Hub_Signature_256=f"sha256={digest(large)}")

    assert reply.status_code == 413
    assert reply.json()["detail"] == "the body of the request is larger than 1 MiB"


def test_a_large_body_is_read_to_its_end(hooked: tuple[str, Path]) -> None:
    url, _ = hooked
    large = bytes(8 << 20)

    reply = post(url, body=large, X_Hub_Signature_256=f"sha256={digest(large)}")

    assert reply.status_code == 202


def test_a_body_that_does_not_come_is_not_waited_for(
    hooked: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BODY_S", 0.2)
    url, _ = hooked
    host, _, port = url.removeprefix("http://").partition(":")

    with socket.create_connection((host, int(port)), 20) as client:
        client.sendall(
            b"POST /webhook/models HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        )
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 408 ")


def test_many_webhooks_make_few_fetches(
    project: Project, hooked: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, mirror = hooked
    monkeypatch.setattr(mirrors, "ASKED_S", 3600)
    project.tag("churn@v9.0.0")
    for _ in range(5):
        post(url, X_Hub_Signature_256=f"sha256={digest()}")
    time.sleep(1)
    assert "churn@v9.0.0" not in git(mirror, "tag")

    monkeypatch.setattr(mirrors, "ASKED_S", 0)
    eventually(lambda: "churn@v9.0.0" in git(mirror, "tag"))
