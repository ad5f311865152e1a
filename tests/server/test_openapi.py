"""The OpenAPI document: it is valid, complete, and what the routes do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from projects import ORIGIN_URL, TOKEN, Project
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dvc_studio_models.server.app import list_routes
from dvc_studio_models.server.config.values import RepoConfig, ServeConfig
from dvc_studio_models.server.mirrors import webhooks
from dvc_studio_models.server.routes.document import read_document
from dvc_studio_models.server.site.site import Site
from tests.server.api import TIMEOUT_S, links

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = 60
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OBJECT = "/objects/{repo}/{store}/{object}"
VALID = {
    "/api/model-registry/get-download-uris": {
        "query": {"repo": ORIGIN_URL, "name": "churn"}
    },
    "/api/model-registry/models": {"query": {"repo": ORIGIN_URL}},
    "/api/model-registry/models/{name}": {
        "path_parameters": {"name": "churn"},
        "query": {"repo": ORIGIN_URL},
    },
}
"""What the document cannot make up, and a valid request has."""

HEADERS = {"Authorization": f"token {TOKEN}"}
NOT_OF_THE_API = ("/", "/sign-in", "/sign-out", "/models/", "/static/")
"""Pages for a browser."""


def document(url: str) -> dict[str, Any]:
    reply = requests.get(f"{url}/api/openapi.json", timeout=TIMEOUT_S)
    assert reply.status_code == 200
    return dict(reply.json())


def test_the_document_is_valid_and_needs_no_token(server: str) -> None:
    validate(document(server))


def test_the_document_has_all_routes_of_the_api(server: str, project: Project) -> None:
    site = Site(ServeConfig((RepoConfig(str(project.repo)),), None))
    paths = {
        route.path.replace(":path", "")
        for route in list_routes(site)
        if "{prefix" not in route.path
    }

    described = set(document(server)["paths"])
    assert {
        path
        for path in paths - described
        if path != "/" and not path.startswith(NOT_OF_THE_API[1:])
    } == set()
    assert described <= paths


def test_the_document_has_all_headers_of_webhooks(server: str) -> None:
    webhook = document(server)["paths"]["/webhook/{name}"]["post"]
    described = {
        parameter["name"].lower()
        for parameter in webhook["parameters"]
        if parameter["in"] == "header"
    }

    assert described == set(webhooks.HEADERS)


def test_links_of_the_document_lead_to_the_server(server: str) -> None:
    reply = requests.get(f"{server}/p/api/openapi.json", timeout=TIMEOUT_S)
    (place,) = reply.json()["servers"]

    base = urljoin(reply.url, place["url"])
    assert base == f"{server}/p/"
    assert requests.get(f"{base}livez", timeout=TIMEOUT_S).status_code == 200


def given_cases(ask: Callable[[Any], None], cases: Any) -> None:
    """Call a function with many generated requests."""
    settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(given(cases)(ask))()


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (path, mode)
        for path, item in sorted(read_document()["paths"].items())
        for mode in GenerationMode
        if mode.is_positive or "parameters" in item.get("get", {})
    ],
)
def test_the_routes_answer_as_the_document_says(
    server: str, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(document(server))[path]
    operation = operation["POST" if path.startswith("/webhook") else "GET"]
    answered: set[int] = set()

    def ask(case: Any) -> None:
        reply = case.call(server, headers=HEADERS, timeout=TIMEOUT_S)
        answered.add(reply.status_code)
        case.validate_response(reply, checks=CHECKS)

    given_cases(ask, operation.as_strategy(mode))
    if mode.is_positive and path in VALID:
        given_cases(ask, operation.as_strategy(**VALID[path]))
        assert 200 in answered


def test_an_object_is_sent_as_the_document_says(server: str) -> None:
    operation = schemathesis.openapi.from_dict(document(server))[OBJECT]["GET"]
    link = urlsplit(links(server, "churn")["models/churn.pkl"])
    _, _, repo, store, name = link.path.split("/", 4)
    answered: set[int] = set()

    def ask(case: Any) -> None:
        case.path_parameters = {"repo": repo, "store": store, "object": name}
        case.query = dict(parse_qsl(link.query))
        reply = case.call(server, timeout=TIMEOUT_S)
        answered.add(reply.status_code)
        case.validate_response(reply, checks=CHECKS)

    given_cases(ask, operation.as_strategy())
    for name_, value in (
        ("Range", "bytes=0-9"),
        ("Range", "bytes=0-9,20-29"),
        ("Range", "bytes=999999-"),
        ("If-None-Match", "*"),
        ("If-Match", '"x"'),
    ):
        case = operation.Case(headers={name_: value})
        ask(case)
    assert {200, 206, 304, 412, 416} <= answered


def test_the_page_of_the_api_names_all_routes_and_parameters() -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text("utf-8")
    described = read_document()

    for path in described["paths"]:
        assert path.replace("models/{name}", "models/NAME") in page
    for name in ("repo", "search", "stage", "limit", "after", "version"):
        assert f"`{name}" in page
