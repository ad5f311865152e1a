"""Requests to a server under test, as a client makes them."""

from __future__ import annotations

import hashlib
import shlex

import requests
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    commit_all,
    write,
)

from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    known_tokens,
)

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 20


def ask(
    url: str, *, token: str | None = TOKEN, **query: str | list[str]
) -> requests.Response:
    headers = {"Authorization": f"token {token}"} if token else {}
    return requests.get(url + API, params=query, headers=headers, timeout=TIMEOUT_S)


def links(url: str, name: str, **query: str) -> dict[str, str]:
    reply = ask(url, repo=ORIGIN_URL, name=name, **query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def fetch(link: str, **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(link, headers=sent, timeout=TIMEOUT_S)


def refusal(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["detail"]


def read_log(line: str) -> dict[str, str]:
    """Read the ``key=value`` pairs of a line of the access log."""
    return dict(word.split("=", 1) for word in shlex.split(line))


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def annotate(project: Project, path: str, tag: str = "m@v1.0.0") -> None:
    """Register ``m``, the only model, at ``path``."""
    annotation = f"artifacts:\n  m:\n    path: {path}\n"
    write(project.repo, {"dvc.yaml": annotation.encode()})
    commit_all(project, "Annotate")
    project.tag(tag)


def config_of(*repos: RepoConfig) -> ServeConfig:
    """Return the config of a server of these repos, with the tests' token."""
    return ServeConfig(repos, known_tokens({TOKEN: "tests"}))
