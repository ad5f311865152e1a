"""Tokens of CI jobs: which are accepted, by whose keys, and for which repos."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests
from projects import ORIGIN_URL, Project, serving_config
from servers import Behaviour, json_reply
from servers.issuer import IssuerServer, private_key

from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.server.access.access import Access
from dvc_studio_models.server.access.oidc import MAX_CHARS, Issuer, Jobs
from dvc_studio_models.server.access.tokens import utc_now
from dvc_studio_models.server.config.claims import find_audience_problem, find_problem
from dvc_studio_models.server.config.values import OidcConfig, RepoConfig, ServeConfig
from dvc_studio_models.server.errors.requests import (
    TokenRefusedError,
    TokenUncheckedError,
)
from dvc_studio_models.server.monitoring import metrics
from tests.server.api import API, TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc_studio_models.server.access.principal import Principal

AUDIENCE = "https://models.example.com"
MAIN = {"repository": ("acme/*",), "ref": ("refs/heads/main",)}


@pytest.fixture
def issuer() -> Iterator[IssuerServer]:
    with IssuerServer() as server:
        yield server


def rule(issuer: IssuerServer, **changed: Any) -> OidcConfig:
    return OidcConfig(
        **{"issuer": issuer.url, "audience": AUDIENCE, "claims": MAIN, **changed}
    )


def check(
    issuer: IssuerServer, token: str, *rules: OidcConfig, **options: Any
) -> Principal | None:
    chosen = rules or (rule(issuer),)
    issuers = {issuer.url: Issuer(issuer.url, **options)}
    return Jobs(chosen, issuers).check(token)


def test_a_job_is_accepted_under_its_subject_until_its_token_ends(
    issuer: IssuerServer,
) -> None:
    found = check(
        issuer, issuer.issue(AUDIENCE), rule(issuer, repos=("models", "team-*"))
    )

    assert found
    assert found.name == "repo:acme/models:ref:refs/heads/main"
    assert found.repos == ("models", "team-*")
    assert found.ends
    assert timedelta(seconds=290) < found.ends - utc_now() < timedelta(seconds=340)


def test_a_job_is_accepted_for_a_day_at_most(issuer: IssuerServer) -> None:
    found = check(issuer, issuer.issue(AUDIENCE, exp=10**400))

    assert found
    assert found.ends
    assert timedelta(hours=23) < found.ends - utc_now() <= timedelta(hours=24)


def test_a_long_subject_is_shortened_for_the_log(issuer: IssuerServer) -> None:
    found = check(issuer, issuer.issue(AUDIENCE, sub="x" * 3000))

    assert found
    assert found.name == "x" * 200 + "..."


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.com"},
        {"aud": None},
        {"aud": []},
        {"iss": "https://evil.example.com"},
        {"iss": None},
        {"iss": ["x"]},
        {"sub": None},
        {"sub": 7},
        {"exp": None},
        {"exp": int(time.time()) - 60},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"repository": "evil/models"},
        {"repository": "acme-evil/models"},
        {"repository": None},
        {"repository": {"a": "acme/models"}},
        {"ref": "refs/heads/main-2"},
        {"ref": "refs/pull/1/merge"},
    ],
    ids="".join,
)
def test_a_token_with_another_claim_is_refused(
    issuer: IssuerServer, claims: dict[str, Any]
) -> None:
    assert check(issuer, issuer.issue(AUDIENCE)) is not None
    assert check(issuer, issuer.issue(AUDIENCE, **claims)) is None


def refused_jobs() -> float:
    (family,) = metrics.refused_jobs.collect()
    return sum(each.value for each in family.samples if each.name.endswith("_total"))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "http://x\n"}, f'\'aud\' is "http://x\\n", not ["{AUDIENCE}"]'),
        ({"repository": "evil/x"}, '\'repository\' is "evil/x", not ["acme/*"]'),
        ({"ref": None}, "'ref' is missing, not [\"refs/heads/main\"]"),
        ({"ref": "\x1b[2J\u202e"}, "'ref' is \"\\u001b[2J\\u202e\", not "),
        ({"ref": "x" * 3000}, f"'ref' is \"{'x' * 199}..., not "),
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"sub": None}, '"sub" claim'),
    ],
    ids=["audience", "claims", "missing", "escapes", "long", "expired", "form"],
)
def test_the_log_says_why_a_signed_token_is_refused(
    issuer: IssuerServer,
    caplog: pytest.LogCaptureFixture,
    claims: dict[str, Any],
    reason: str,
) -> None:
    token = issuer.issue(AUDIENCE, **claims)
    before = refused_jobs()

    assert check(issuer, token) is None

    assert refused_jobs() == before + 1
    (line,) = [each.getMessage() for each in caplog.records if "dvc." in each.name]
    assert line.startswith("refused the token of a job: ")
    assert reason in line
    assert token not in line
    assert line.isascii()
    assert line.isprintable()


def test_the_log_says_nothing_of_a_token_that_anybody_can_have_made(
    issuer: IssuerServer, caplog: pytest.LogCaptureFixture
) -> None:
    for claims in ({"aud": "planted"}, {"ref": "planted"}, {"exp": 1}):
        good = issuer.issue(AUDIENCE, **claims).rpartition(".")[0]
        assert check(issuer, f"{good}.{'A' * 342}") is None

    assert "refused the token" not in caplog.text
    assert "planted" not in caplog.text


@pytest.mark.parametrize("audience", [AUDIENCE, ["x", AUDIENCE]])
def test_a_token_may_have_several_audiences(
    issuer: IssuerServer, audience: str | list[str]
) -> None:
    assert check(issuer, issuer.issue(audience))


def test_a_list_in_a_claim_matches_by_any_of_its_values(issuer: IssuerServer) -> None:
    wanted = rule(issuer, claims={**MAIN, "groups": ("ml-*", "ops")})

    assert check(issuer, issuer.issue(AUDIENCE, groups=["x", "ops"]), wanted)
    assert not check(issuer, issuer.issue(AUDIENCE, groups=["x", "y"]), wanted)
    assert not check(issuer, issuer.issue(AUDIENCE, groups=[]), wanted)


def test_numbers_and_booleans_match_as_json_writes_them(issuer: IssuerServer) -> None:
    wanted = rule(issuer, claims={**MAIN, "ref_protected": ("true",), "id": ("7",)})

    assert check(issuer, issuer.issue(AUDIENCE, ref_protected=True, id=7), wanted)
    assert not check(issuer, issuer.issue(AUDIENCE, ref_protected=False, id=7), wanted)


def test_a_job_sees_the_repos_of_all_rules_that_match_it(issuer: IssuerServer) -> None:
    rules = (
        rule(issuer, repos=("a",)),
        rule(issuer, repos=("b",), claims={"repository": ("other/*",)}),
        rule(issuer, repos=("c",), claims={"repository_owner": ("acme",)}),
        rule(issuer, repos=("d",), audience="https://other.example.com"),
        replace(rule(issuer, repos=("e",)), issuer="https://other.example.com"),
    )

    found = check(issuer, issuer.issue(AUDIENCE), *rules)

    assert found
    assert found.repos == ("a", "c")


def test_a_rule_without_claims_matches_no_job(issuer: IssuerServer) -> None:
    assert check(issuer, issuer.issue(AUDIENCE), rule(issuer, claims={})) is None


# -- signatures


def unsigned(token: str) -> str:
    _, payload, _ = token.split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"RS-1"}').decode().rstrip("=")
    return f"{head}.{payload}."


def signed_with_public_key(issuer: IssuerServer) -> str:
    """Sign with HMAC and the public key, as an attacker can."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives import serialization

    pem = (
        private_key("RS-1")
        .public_key()
        .public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
    _, payload, _ = issuer.issue(AUDIENCE).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"RS-1"}').decode()
    text = f"{head.rstrip('=')}.{payload}"
    mac = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda issuer: issuer.issue(AUDIENCE, key="RS-2"),
        lambda issuer: unsigned(issuer.issue(AUDIENCE)),
        signed_with_public_key,
        lambda issuer: issuer.issue(AUDIENCE)[:-8] + "AAAAAAAA",
        lambda issuer: jwt.encode(
            jwt.decode(issuer.issue(AUDIENCE), options={"verify_signature": False}),
            private_key("RS-2"),
            "RS256",
            {"kid": "RS-1"},
        ),
        lambda _: "eyJ.eyJ.eyJ",
        lambda _: "eyJ" + "." * 2,
        lambda _: "eyJhbGciOiJSUzI1NiJ9." + "A" * 9000 + ".",
        lambda issuer: issuer.issue(AUDIENCE, more="x" * MAX_CHARS),
    ],
    ids=[
        *("unknown key", "none", "hmac", "cut", "other key", "junk", "empty", "long"),
        "too long",
    ],
)
def test_a_forged_token_is_refused(
    issuer: IssuerServer, forge: Callable[[IssuerServer], str]
) -> None:
    assert check(issuer, forge(issuer)) is None


def test_an_elliptic_key_is_accepted_too(issuer: IssuerServer) -> None:
    issuer.keys, issuer.signs_with = ["RS-1", "EC-1"], "EC-1"

    assert check(issuer, issuer.issue(AUDIENCE))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.com"},
        {"jwks_uri": None},
        {"jwks_uri": "http://127.0.0.1:1/keys"},
    ],
)
def test_an_issuer_that_describes_another_is_not_believed(
    issuer: IssuerServer, document: dict[str, Any]
) -> None:
    issuer.document = document

    with pytest.raises(TokenUncheckedError):
        check(issuer, issuer.issue(AUDIENCE))


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(status=500),
        Behaviour(status=200, reply=b"<html>"),
        json_reply({"keys": "none"}),
        json_reply({"keys": []}),
        json_reply([]),
        Behaviour(status=200, reply=b"[" * 100_000),
        Behaviour(status=200, reply=b"x" * (2 << 20)),
        Behaviour(close_before_answer=True),
    ],
)
def test_without_keys_a_token_is_neither_accepted_nor_refused(
    issuer: IssuerServer, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.behaviours["/keys"] = behaviour

    with pytest.raises(TokenUncheckedError) as unchecked:
        check(issuer, issuer.issue(AUDIENCE))

    assert unchecked.value.status == 503
    assert "cannot fetch the keys of" in caplog.text


def test_a_secret_among_the_keys_is_no_key(issuer: IssuerServer) -> None:
    secret = {"kty": "oct", "k": "A" * 44, "kid": "RS-1"}
    issuer.behaviours["/keys"] = json_reply({"keys": [secret]})
    forged = jwt.encode(
        jwt.decode(issuer.issue(AUDIENCE), options={"verify_signature": False}),
        base64.b64decode("A" * 44),
        "HS256",
        {"kid": "RS-1"},
    )

    assert check(issuer, forged) is None
    assert check(issuer, issuer.issue(AUDIENCE)) is None


# -- keys


def test_keys_are_fetched_once_for_many_tokens(issuer: IssuerServer) -> None:
    jobs = Jobs([rule(issuer)], {issuer.url: Issuer(issuer.url)})

    assert all(jobs.check(issuer.issue(AUDIENCE, jti=str(n))) for n in range(5))
    assert len(issuer.requests) == 2


def test_a_new_key_is_fetched_but_not_for_every_token(issuer: IssuerServer) -> None:
    now = [0.0]
    one = Issuer(issuer.url, clock=lambda: now[0])
    jobs = Jobs([rule(issuer)], {issuer.url: one})
    assert jobs.check(issuer.issue(AUDIENCE))

    for _ in range(5):
        assert jobs.check(issuer.issue(AUDIENCE, key="RS-2")) is None
    assert len(issuer.requests) == 2

    issuer.keys, now[0] = ["RS-2"], 31
    assert jobs.check(issuer.issue(AUDIENCE, key="RS-2"))
    assert len(issuer.requests) == 4
    assert jobs.check(issuer.issue(AUDIENCE, key="RS-1")) is None


def test_known_keys_are_used_while_the_issuer_does_not_respond(
    issuer: IssuerServer,
) -> None:
    now = [0.0]
    one = Issuer(issuer.url, clock=lambda: now[0])
    jobs = Jobs([rule(issuer)], {issuer.url: one})
    assert jobs.check(issuer.issue(AUDIENCE))

    issuer.behaviour, now[0] = Behaviour(status=503), 4000

    assert jobs.check(issuer.issue(AUDIENCE))
    assert len(issuer.requests) == 3


# -- through the server


def ask(url: str, token: str, scheme: str = "Bearer") -> requests.Response:
    headers = {"Authorization": f"{scheme} {token}"}
    query = {"repo": ORIGIN_URL, "name": "churn"}
    return requests.get(url + API, query, headers=headers, timeout=TIMEOUT_S)


def test_a_job_gets_links_from_the_server_by_either_scheme(
    issuer: IssuerServer, project: Project
) -> None:
    config = ServeConfig((RepoConfig(str(project.repo)),), (), oidc=(rule(issuer),))
    with serving_config(config) as url:
        good = [ask(url, issuer.issue(AUDIENCE), each) for each in ("Bearer", "token")]
        bad = ask(url, issuer.issue("https://other.example.com"))
        none = requests.get(url + API, timeout=TIMEOUT_S)

    assert [reply.status_code for reply in good] == [200, 200]
    for reply in (bad, none):
        assert reply.status_code == 401
        offer = f'token realm="models", Bearer realm="models" issuer="{issuer.url}"'
        assert reply.headers["WWW-Authenticate"] == offer


def test_an_issuer_that_does_not_respond_is_a_fault_of_the_server(
    issuer: IssuerServer, project: Project
) -> None:
    issuer.behaviour = Behaviour(status=500)
    config = ServeConfig((RepoConfig(str(project.repo)),), (), oidc=(rule(issuer),))
    with serving_config(config) as url:
        reply = ask(url, issuer.issue(AUDIENCE))

    assert reply.status_code == 503
    assert "could not check the token" in reply.json()["detail"]


def test_a_token_is_verified_once(issuer: IssuerServer) -> None:
    access = Access(ServeConfig((), (), oidc=(rule(issuer),)))
    token = issuer.issue(AUDIENCE)

    async def three_times() -> list[Principal]:
        both = [access.authenticate_token(token) for _ in range(2)]
        return [*await asyncio.gather(*both), await access.authenticate_token(token)]

    one, other, later = asyncio.run(three_times())
    assert one is other is later


def test_a_token_that_was_accepted_ends(issuer: IssuerServer) -> None:
    access = Access(ServeConfig((), (), oidc=(rule(issuer),)))
    token = issuer.issue(AUDIENCE, life_s=-28)  # two seconds of the leeway are left

    assert asyncio.run(access.authenticate_token(token))
    time.sleep(2.1)
    with pytest.raises(TokenRefusedError):
        asyncio.run(access.authenticate_token(token))


def test_another_rule_counts_at_once_and_keys_stay(issuer: IssuerServer) -> None:
    token = issuer.issue(AUDIENCE)
    access = Access(ServeConfig((), (), oidc=(rule(issuer),)))
    assert asyncio.run(access.authenticate_token(token)).sees_all

    narrow = ServeConfig((), (), oidc=(rule(issuer, repos=("a",)),))
    access = Access(narrow, previous=access)

    assert asyncio.run(access.authenticate_token(token)).repos == ("a",)
    assert len(issuer.requests) == 2


# -- rules


@pytest.mark.parametrize(
    ("claims", "safe"),
    [
        ({"repository": ["acme/*"]}, True),
        ({"repository_owner": ["acme"]}, True),
        ({"repository_owner_id": ["123"]}, True),
        ({"sub": ["repo:acme/models:*"]}, True),
        ({"sub": ["project_path:acme/models:*"]}, True),
        ({"ref": ["refs/heads/main"], "repository": ["acme/*"]}, True),
        ({}, False),
        ({"repository": []}, False),
        ({"repository": ["*"]}, False),
        ({"repository": ["*/models"]}, False),
        ({"repository": ["acme*"]}, False),
        ({"repository": ["acme/*", "*"]}, False),
        ({"repository_owner": ["?cme"]}, False),
        ({"repository_owner": [""]}, False),
        ({"ref": ["refs/heads/main"]}, False),
        ({"workflow": ["acme"]}, False),
    ],
)
@pytest.mark.parametrize(
    "issuer", ["https://token.actions.githubusercontent.com", "https://gitlab.com"]
)
def test_a_rule_for_a_public_issuer_has_to_name_whose_jobs(
    issuer: str, claims: dict[str, list[str]], safe: bool
) -> None:
    assert (find_problem(issuer, claims) is None) is safe


def test_a_rule_for_an_own_issuer_has_to_name_something() -> None:
    issuer = "https://keycloak.example.com/realms/ml"

    assert find_problem(issuer, {"azp": ["ci"]}) is None
    assert find_problem(issuer, {"azp": ["*"]})


@pytest.mark.parametrize("missing", ["jwt", "cryptography"])
def test_a_missing_package_is_named_with_how_to_install_it(
    issuer: IssuerServer, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(StudioConfigError, match=f"'{missing}'") as refused:
        Access(ServeConfig((), (), oidc=(rule(issuer),)))

    assert "pip install 'pyjwt[crypto]'" in str(refused.value)
    Access(ServeConfig((), ()))  # without 'oidc' it is not needed


@pytest.mark.parametrize(
    ("audience", "problem"),
    [
        ("https://models.example.com", None),
        ("https://models.example.com:8443", None),
        ("models", None),  # GitLab's may be any text
        ("https://models.example.com/", "did you mean 'https://models.example.com'"),
        ("https://Models.example.com/x", "did you mean 'https://models.example.com'"),
        ("https://[x", "not a URL"),
    ],
)
def test_an_audience_that_no_client_asks_for_is_a_mistake(
    audience: str, problem: str | None
) -> None:
    found = find_audience_problem(audience)

    assert found is None if problem is None else problem in (found or "")
