"""Tokens, and the access log."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

import pytest
import requests
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    serving,
)

from tests.server.api import (
    API,
    TIMEOUT_S,
    ask,
    fetch,
    links,
    read_log,
    refusal,
)


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "authentication credentials were not provided"),
        ("", "authentication credentials were not provided"),
        ("token", "authentication credentials were not provided"),
        (f"Basic {TOKEN}", "authentication credentials were not provided"),
        ("token wrong", "invalid token"),
        (f"token {TOKEN}x", "invalid token"),
        ("token b\xe4d", "invalid token"),
    ],
    ids=["none", "empty", "half", "basic", "wrong", "longer", "not ASCII"],
)
def test_a_request_without_a_good_token_is_refused(
    server: str, header: str | None, detail: str
) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}

    reply = requests.get(
        server + API,
        params={"repo": "no/such", "name": "churn"},
        headers=headers,
        timeout=TIMEOUT_S,
    )

    status, said = refusal(reply)
    assert (status, said.startswith(detail)) == (401, True)
    assert "acme" not in said


def test_each_of_several_tokens_is_good(project: Project) -> None:
    with serving(project.repo, tokens={"one": "ci", "two": ""}) as url:
        for token in ("one", "two"):
            reply = ask(url, token=token, repo=ORIGIN_URL, name="churn")

            assert reply.status_code == 200


def test_without_auth_no_token_is_asked_for(project: Project) -> None:
    with serving(project.repo, no_auth=True) as url:
        reply = ask(url, token=None, repo=ORIGIN_URL, name="churn")

    assert reply.status_code == 200


def test_health_is_told_to_everybody(server: str) -> None:
    reply = requests.get(f"{server}/healthz", timeout=TIMEOUT_S)

    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_the_access_log_shows_who_did_what_and_no_secret(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(project.repo, tokens={TOKEN: "ci runner"}) as url:
        link = links(url, "churn", stage="prod")["models/churn.pkl"]
        fetch(link)
        fetch(f"{url}/x%0aGET%20/forged")

    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name == "dvc.dvc_studio_models.server"
    ]
    # A line is written when its reply is out, so two may change places.
    by_path = {read_log(line)["path"]: read_log(line) for line in lines}
    asked = by_path[API]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", asked.pop("time"))
    assert float(asked.pop("ms")) > 0
    assert asked == {
        "client": "127.0.0.1",
        "method": "GET",
        "path": API,
        "status": "200",
        "user": "ci runner",
        "repo": "models",
        "model": "churn#prod",
        "version": "v2.0.0",
        "commit": project.commit("churn@v2.0.0"),
        "files": "1",
    }
    downloaded = by_path[urlsplit(link).path]
    assert (downloaded["status"], downloaded["user"]) == ("200", "ci runner")
    assert by_path["/x%0AGET%20/forged"]["status"] == "404"
    secrets = (TOKEN, "signature", link.partition("signature=")[2], "acme")
    assert not [secret for secret in secrets if secret in "".join(lines)]
