"""Other programs that use Studio work with this server unchanged."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from dvc_studio_client.model_registry import get_download_uris
from environments import DVC
from projects import (
    BERT,
    CHURN,
    ORIGIN_URL,
    TOKEN,
    read_tree,
)

from tests.server.api import (
    API,
    fetch,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_dvc_studio_client_works_unchanged(server: str) -> None:
    config = {"url": server, "token": TOKEN, "repo_url": ORIGIN_URL}

    found = get_download_uris(
        ORIGIN_URL, "churn", stage="prod", dvc_studio_config=config
    )

    assert fetch(found["models/churn.pkl"]).content == CHURN["v2.0.0"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"name": "churn", "version": "v9.0.0"}, "version 'v9.0.0' is not registered"),
        ({"name": "nosuch"}, "model 'nosuch' is not registered"),
    ],
    ids=["version", "model"],
)
def test_dvc_studio_client_shows_what_the_server_says(
    server: str, query: dict[str, str], detail: str
) -> None:
    config = {"url": server, "token": TOKEN, "repo_url": ORIGIN_URL}

    with pytest.raises(ValueError, match=detail):
        get_download_uris(ORIGIN_URL, **query, dvc_studio_config=config)


def test_curl_works_as_in_studios_documentation(server: str, tmp_path: Path) -> None:
    def curl(*args: str) -> bytes:
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--fail", *args],
            check=True,
            capture_output=True,
        ).stdout

    # The example of the documentation, with its -d options in the query.
    told = curl(
        *(f"{server}{API}", "--get", "--header", f"Authorization: token {TOKEN}"),
        *("--data-urlencode", f"repo={ORIGIN_URL}"),
        *("--data", "name=churn", "--data", "version=v1.0.0"),
    )
    link = json.loads(told)["models/churn.pkl"]
    curl("--output", str(tmp_path / "got"), "--range", "0-99", link)

    assert (tmp_path / "got").read_bytes() == CHURN["v1.0.0"][:100]


def test_dvc_artifacts_get_works_unchanged(server: str, tmp_path: Path) -> None:
    env = {**os.environ, "DVC_STUDIO_URL": server, "DVC_STUDIO_TOKEN": TOKEN}
    options = ("--rev", "v1.0.0", "--out", str(tmp_path / "out"))

    subprocess.run(
        [DVC, "artifacts", "get", ORIGIN_URL, "bert", *options], env=env, check=True
    )

    assert read_tree(tmp_path / "out/models/bert") == BERT["v1.0.0"]
