"""Principals: what they may see, and until when."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import date, datetime, timedelta, timezone

import pytest

from dvc_studio_models.server.access.access import Access
from dvc_studio_models.server.access.principal import EVERYBODY, Principal
from dvc_studio_models.server.access.tokens import Tokens
from dvc_studio_models.server.config.values import ServeConfig, TokenConfig
from dvc_studio_models.server.errors.requests import TokenRefusedError


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize(
    ("repos", "repo", "seen"),
    [
        (("*",), "models", True),
        (("models",), "models", True),
        (("models",), "models-2", False),
        (("models",), "Models", False),
        (("team-*",), "team-vision", True),
        (("team-*",), "my-team-vision", False),
        (("m[ab]", "c?"), "ma", True),
        (("m[ab]", "c?"), "cx", True),
        (("m[ab]", "c?"), "m[ab]", False),
        (("[", "x"), "[", True),
        ((), "models", False),
    ],
)
def test_a_principal_sees_the_repos_that_its_globs_match(
    repos: tuple[str, ...], repo: str, seen: bool
) -> None:
    assert Principal("ci", repos).may_see(repo) is seen


def test_only_the_glob_of_all_repos_sees_all() -> None:
    assert EVERYBODY.sees_all
    assert Principal("ci", ("x", "*")).sees_all
    assert not Principal("ci", ("team-*",)).sees_all


def test_a_token_is_accepted_on_its_last_day_and_not_after() -> None:
    last = date(2027, 1, 31)
    end = datetime(2027, 2, 1, tzinfo=timezone.utc)
    now = [end - timedelta(microseconds=1)]
    config = TokenConfig("ci", sha256("secret"), until=last)
    tokens = Tokens([config], now=lambda: now[0])

    found = tokens.find(sha256("secret"))
    assert found
    assert found.ends == end

    now[0] = end
    assert tokens.find(sha256("secret")) is None


def test_a_token_without_a_last_day_has_no_end() -> None:
    found = Tokens([TokenConfig("ci", sha256("secret"))]).find(sha256("secret"))

    assert found == Principal("ci")


@pytest.mark.parametrize("token", ["", "wrong", "\udcff", sha256("secret")])
def test_no_other_text_is_a_token(token: str) -> None:
    config = ServeConfig((), (TokenConfig("ci", sha256("secret"), ("models",)),))
    access = Access(config)

    found = asyncio.run(access.authenticate_token("secret"))
    assert found == Principal("ci", ("models",))

    with pytest.raises(TokenRefusedError):
        asyncio.run(access.authenticate_token(token))


def test_a_server_without_tokens_accepts_everybody() -> None:
    access = Access(ServeConfig((), None))

    assert asyncio.run(access.authenticate_token("")) == EVERYBODY
