"""The client warns once if the server's mirror of the repo is stale."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from servers import Behaviour, StudioServer, json_reply

from dvc_studio_models.errors import ModelNotFoundError
from dvc_studio_models.http.studio.client import StudioClient
from dvc_studio_models.http.studio.request import StudioConnection
from dvc_studio_models.log import collect_warnings
from dvc_studio_models.model import ModelRef

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://storage.example.com/files/md5/86/bd02376ac675568ba2fac566169ef9"
STALE = {"Content-Type": "application/json", "X-Mirror-Stale": "true"}


@pytest.fixture
def client(studio: StudioServer) -> Iterator[StudioClient]:
    connection = StudioConnection(studio.url, "token")
    with contextlib.closing(connection):
        yield StudioClient(connection)


def find(client: StudioClient, repo: str = "acme/models") -> list[str]:
    with collect_warnings() as warnings:
        client.find(repo, ModelRef("churn"))
    return warnings


def serve(studio: StudioServer, **headers: str) -> None:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = json.dumps({"churn.pkl": URL}).encode()
    studio.behaviour = Behaviour(status=200, reply=reply, headers={**STALE, **sent})


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("20", " for 1 minute;"),
        ("7100", " for 118 minutes;"),
        ("7200", " for 2 hours;"),
        ("172799", " for 47 hours;"),
        ("172800", " for 2 days;"),
        ("", ";"),
        ("-1", ";"),
        ("9" * 5000, ";"),
        ("\x1b[31m", ";"),
        ("\u0661", ";"),
    ],
)
def test_a_stale_mirror_is_warned_of(
    studio: StudioServer, client: StudioClient, age: str, expected: str
) -> None:
    serve(studio, X_Mirror_Age=age.encode().decode("latin-1"))

    (warning,) = find(client)

    missing = "new versions and stages may be missing"
    assert warning == f"Studio has not fetched 'acme/models'{expected} {missing}"


def test_the_warning_comes_once_for_each_repo(
    studio: StudioServer, client: StudioClient
) -> None:
    serve(studio, X_Mirror_Age="9000")

    assert len(find(client)) == 1
    assert find(client) == []
    assert len(find(client, "acme/forecasts")) == 1


@pytest.mark.parametrize("value", ["false", "", "yes"])
def test_a_fresh_mirror_is_not_warned_of(
    studio: StudioServer, client: StudioClient, value: str
) -> None:
    serve(studio, X_Mirror_Age="9000", X_Mirror_Stale=value)

    assert find(client) == []


def test_a_missing_version_of_a_stale_mirror_is_warned_of(
    studio: StudioServer, client: StudioClient
) -> None:
    refusal = json_reply({"detail": "not registered"}, 404)
    studio.behaviour = Behaviour(status=404, reply=refusal.reply, headers=STALE)

    with collect_warnings() as warnings, pytest.raises(ModelNotFoundError):
        client.find("acme/models", ModelRef("churn"))

    assert len(warnings) == 1
