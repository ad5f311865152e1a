"""``dvc models pull`` in a CI job, from a server that accepts the tokens of jobs."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from servers import free_port
from servers.issuer import REQUEST_TOKEN, IssuerServer
from stores import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def issuer() -> Iterator[IssuerServer]:
    with IssuerServer() as server:
        yield server


@pytest.fixture
def url(served_project: Project, issuer: IssuerServer, tmp_path: Path) -> Iterator[str]:
    """``dvc models serve --config`` without any configured token."""
    port = free_port()
    config = tmp_path / "serve.yaml"
    config.write_text(
        f"""\
listen: 127.0.0.1:{port}
repos:
  - name: models
    path: {served_project.repo}
oidc:
  - issuer: {issuer.url}
    audience: http://127.0.0.1:{port}
    claims: {{repository: acme/*, ref: refs/heads/main}}
    repos: [models]
"""
    )
    log = tmp_path / "serve.log"
    with running(
        [DVC, "models", "serve", "--config", str(config)],
        is_ready=lambda: re.search(r"http://\S+", log.read_text()) is not None,
        log=log,
        env={**os.environ, "HOME": str(tmp_path)},
    ):
        yield f"http://127.0.0.1:{port}"


def test_a_github_job_pulls_without_any_secret(
    run_dvc: RunDvc, clone: Path, issuer: IssuerServer, url: str, tmp_path: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "churn", "--json"),
        cwd=clone,
        env={**issuer.environ, "DVC_STUDIO_URL": url},
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"][0]["version"] == "v2.0.0"
    assert [each.params["audience"] for each in issuer.requests if each.query] == [url]
    log = (tmp_path / "serve.log").read_text()
    assert "user=repo:acme/models:ref:refs/heads/main" in log
    assert REQUEST_TOKEN not in done.stdout + done.stderr + log
    assert "eyJ" not in done.stdout + done.stderr + log


def test_a_job_of_another_branch_is_refused_with_what_to_do(
    run_dvc: RunDvc, clone: Path, issuer: IssuerServer, url: str
) -> None:
    issuer.claims["ref"] = "refs/heads/evil"

    done = run_dvc(
        *("models", "pull", "churn"),
        cwd=clone,
        env={**issuer.environ, "DVC_STUDIO_URL": url},
    )

    assert done.returncode == 3
    assert "It is the token of this CI job: the server's 'oidc' has to" in done.stderr
    assert "eyJ" not in done.stderr


def test_a_gitlab_job_sends_its_token_as_any_other(
    run_dvc: RunDvc, clone: Path, issuer: IssuerServer, url: str
) -> None:
    done = run_dvc(
        *("models", "pull", "churn"),
        cwd=clone,
        env={"DVC_STUDIO_TOKEN": issuer.issue(url), "DVC_STUDIO_URL": url},
    )

    assert done.returncode == 0, done.stderr
