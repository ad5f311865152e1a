"""The token of a job of GitHub Actions: when it is used, and where it goes."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

import jwt
import pytest
from servers import Behaviour, Redirect, StudioServer
from servers.issuer import REQUEST_TOKEN, IssuerServer

from dvc_studio_models.errors import StudioAuthError, TokenMissingError
from dvc_studio_models.http.hosts import job as jobs
from dvc_studio_models.http.hosts.client import HostFailed
from dvc_studio_models.http.studio.client import StudioClient
from dvc_studio_models.http.studio.request import StudioConnection
from dvc_studio_models.model import JobIdentity, ModelRef

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.reliability("Studio's replies")

OFFER = 'token, Bearer realm="models" issuer="https://issuer.example.com"'
CHURN = ModelRef("churn")
LINK = "https://storage.example.com/files/md5/86/bd02376ac675568ba2fac566169ef9"


@pytest.fixture
def issuer() -> Iterator[IssuerServer]:
    with IssuerServer() as server:
        yield server


@pytest.fixture
def studio(studio: StudioServer) -> StudioServer:
    """A Studio that accepts any token of a job whose audience is its own origin."""

    def accepts(token: str) -> bool:
        return audience(token) == studio.origin()

    studio.serve("churn", {"models/churn.pkl": LINK})
    studio.challenge, studio.accept_bearer = OFFER, accepts
    return studio


def audience(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["aud"])


def identity(issuer: IssuerServer) -> JobIdentity:
    names = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    return JobIdentity(*(issuer.environ[name] for name in names))


def find(studio: StudioServer, token: str | None, job: JobIdentity | None) -> int:
    """Ask for a model; return how many files it has."""
    connection = StudioConnection(studio.url, token, job=job, sleep=lambda _: None)
    with closing(connection):
        return len(StudioClient(connection).find("acme/models", CHURN).files)


def authorizations(server: StudioServer | IssuerServer) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.requests]


def test_a_job_without_a_token_gets_one_when_studio_offers_to_take_it(
    issuer: IssuerServer, studio: StudioServer
) -> None:
    assert find(studio, None, identity(issuer)) == 1

    first, second = authorizations(studio)
    assert first is None
    assert second
    assert audience(second.removeprefix("Bearer ")) == studio.origin()
    assert authorizations(issuer) == [f"bearer {REQUEST_TOKEN}"]


def test_the_audience_is_the_origin_without_the_prefix(
    issuer: IssuerServer, studio: StudioServer
) -> None:
    studio.prefix = "/corp/studio"

    assert find(studio, None, identity(issuer)) == 1
    assert issuer.requests[0].params["audience"] == studio.origin()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Models.example.com/studio", "https://models.example.com"),
        ("https://models.example.com:443", "https://models.example.com"),
        ("https://models.example.com:8443/x", "https://models.example.com:8443"),
        ("http://127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("http://[::1]:80/x", "http://[::1]"),
    ],
)
def test_an_audience_is_an_origin_in_one_spelling(url: str, expected: str) -> None:
    assert jobs.audience_of(url) == expected


def test_a_refused_token_is_replaced_by_that_of_the_job_with_a_warning(
    issuer: IssuerServer, studio: StudioServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert find(studio, "wrong", identity(issuer)) == 1

    assert authorizations(studio)[0] == "token wrong"
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["Studio refused the token; using the token of this job"]


def test_a_good_token_is_used_and_github_is_not_asked(
    issuer: IssuerServer, studio: StudioServer
) -> None:
    assert find(studio, studio.token, identity(issuer)) == 1

    assert authorizations(studio) == [f"token {studio.token}"]
    assert issuer.requests == []


@pytest.mark.parametrize("challenge", [None, "token", "Bearer", 'Basic issuer="x"'])
def test_a_server_that_does_not_offer_it_gets_no_token_of_the_job(
    issuer: IssuerServer, studio: StudioServer, challenge: str | None
) -> None:
    studio.challenge = challenge

    with pytest.raises(TokenMissingError):
        find(studio, None, identity(issuer))

    assert authorizations(studio) == [None]
    assert issuer.requests == []


def test_the_token_of_a_job_that_has_expired_is_replaced(
    issuer: IssuerServer, studio: StudioServer
) -> None:
    used: list[str] = []

    def accepts_each_once(token: str) -> bool:
        used.append(token)
        return used.count(token) == 1

    studio.accept_bearer = accepts_each_once
    issuer.claims["jti"] = "1"
    connection = StudioConnection(studio.url, None, job=identity(issuer))
    with closing(connection):
        client = StudioClient(connection)
        for number in range(3):
            issuer.claims["jti"] = str(number)
            assert client.find("acme/models", CHURN).files

    assert len(issuer.requests) == 3


def test_a_job_that_studio_refuses_is_told_that_it_was_its_own_token(
    issuer: IssuerServer, studio: StudioServer
) -> None:
    studio.accept_bearer = lambda _: False

    with pytest.raises(StudioAuthError, match="the token of this CI job") as refused:
        find(studio, None, identity(issuer))

    assert refused.value.exit_code == 3
    assert len(issuer.requests) == 1  # once for each request, and not for ever


@pytest.mark.parametrize(
    "url",
    ["http://models.example.com", "http://10.0.0.1:8501", "http://127.0.0.1.evil.com"],
)
def test_the_token_of_a_job_is_sent_unencrypted_to_loopback_only(url: str) -> None:
    assert not jobs.may_be_sent(url)
    assert jobs.may_be_sent(url.replace("http:", "https:"))
    assert jobs.may_be_sent("http://127.0.0.1:8501")


def test_a_server_without_tls_gets_no_token_of_the_job_whatever_it_offers(
    issuer: IssuerServer, studio: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("http_proxy", studio.origin())
    url = "http://models.example.com"
    connection = StudioConnection(url, None, job=identity(issuer))

    with closing(connection), pytest.raises(TokenMissingError):
        StudioClient(connection).find("acme/models", CHURN)

    assert [each.proxied_to for each in studio.requests] == ["models.example.com"]
    assert authorizations(studio) == [None]
    assert issuer.requests == []


def test_a_redirect_takes_the_request_for_a_token_nowhere_else(
    issuer: IssuerServer, studio: StudioServer
) -> None:
    with StudioServer() as other:
        redirect = Redirect(302, location=f"{other.origin()}/token")
        issuer.behaviours["/token"] = Behaviour(redirect=redirect)

        with pytest.raises(HostFailed, match="it redirects to"):
            jobs.request_token(identity(issuer), studio.origin())

        assert other.requests == []


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=500),
        Behaviour(status=403, reply=b"{}"),
        Behaviour(status=200, reply=b"<html>"),
        Behaviour(status=200, reply=b"[]"),
        Behaviour(status=200, reply=b'{"value": 7}'),
        Behaviour(status=200, reply=b'{"value": "a.b.c\\r\\nX: y"}'),
        Behaviour(status=200, reply=b"x" * (2 << 20)),
        Behaviour(close_before_answer=True),
    ],
)
def test_github_without_a_token_for_the_job_is_one_warning_without_secrets(
    issuer: IssuerServer,
    studio: StudioServer,
    behaviour: Behaviour,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    issuer.behaviours["/token"] = behaviour

    with pytest.raises(TokenMissingError):
        find(studio, None, identity(issuer))

    warnings = [each.getMessage() for each in caplog.records if each.levelno >= 30]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        f"cannot get the token of this job: '{issuer.url}/tok"
    )
    assert REQUEST_TOKEN not in caplog.text
    assert "api-version" not in caplog.text


def test_a_job_is_never_printed_with_its_secret() -> None:
    assert "secret" not in repr(JobIdentity("https://github.example.com", "secret"))
