"""The listing's client: every field of a reply is checked before it is used."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from servers import PLANTED_TOKEN

from dvc_studio_models.errors import (
    ListingMissingError,
    ModelNotFoundError,
    RepoNotFoundError,
    StudioAuthError,
    StudioError,
    StudioResponseError,
)
from dvc_studio_models.http.studio import listing
from dvc_studio_models.http.studio.listing import ListingClient
from dvc_studio_models.http.studio.request import StudioConnection
from dvc_studio_models.model import ModelRef, ModelSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPO = "git@git.example.com:acme/models.git"
COMMIT = "3f" * 20
EVENT = {
    "event": "assignment",
    "version": "v1.0.0",
    "stage": "prod",
    "commit": COMMIT,
    "date": "2023-11-14T22:13:20Z",
    "author": "Ada",
    "email": "ada@example.com",
    "message": "m",
    "tag": "churn#prod#1",
}
VERSION = {
    **{key: EVENT[key] for key in ("version", "commit", "date", "author", "email")},
    "message": "m",
    "stages": ["prod"],
}
DETAILS: dict[str, Any] = {
    "name": "churn",
    "version": "v1.0.0",
    "commit": COMMIT,
    "path": "models/churn.pkl",
    "type": "model",
    "description": None,
    "labels": ["a"],
    "size": 5,
    "nfiles": 1,
    "stages": {"prod": "v1.0.0", "canary": COMMIT},
    "versions": [VERSION],
    "history": [EVENT],
}
MODEL = {"name": "churn", "versions": ["v1.0.0"], "stages": {"prod": "v1.0.0"}}


class Answering:
    """A server with one answer, which records the requests."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.kind = "application/json"
        self.paths: list[str] = []
        self.make_body: Callable[[str], bytes] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                if outer.make_body:
                    outer.body = outer.make_body(self.path)
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.kind)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serve = functools.partial(self.server.serve_forever, 0.01)
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.connection = StudioConnection(url, PLANTED_TOKEN, sleep=lambda _: None)
        self.client = ListingClient(self.connection)

    def answer(self, value: object, status: int = 200) -> None:
        self.status, self.body = status, json.dumps(value).encode()

    def page(self, status: int) -> None:
        self.status, self.body, self.kind = status, b"<html>Studio</html>", "text/html"


@pytest.fixture
def server() -> Iterator[Answering]:
    answering = Answering()
    with contextlib.closing(answering.connection):
        yield answering
    answering.server.shutdown()
    answering.server.server_close()


def test_models_are_listed(server: Answering) -> None:
    server.answer({"models": [{**MODEL, "latest": "v1.0.0", "new": 1}], "next": None})

    found = server.client.list_models(REPO)

    assert found == [ModelSummary("churn", ("v1.0.0",), {"prod": "v1.0.0"})]
    assert server.paths[0].startswith("/api/model-registry/models?repo=git%40git")
    assert len(server.paths) == 1


def test_all_pages_are_read(server: Answering) -> None:
    names = [f"m{number:02}" for number in range(25)]
    date = "2023-11-14T22:13:20Z"

    def page(path: str) -> dict[str, Any]:
        after = parse_qs(urlsplit(path).query).get("after", [""])[0]
        rest = [name for name in names if name > after]
        return {
            "models": [{**MODEL, "name": name, "date": date} for name in rest[:10]],
            "next": rest[9] if len(rest) > 10 else None,
        }

    server.make_body = lambda path: json.dumps(page(path)).encode()

    found = server.client.list_models(REPO)

    assert [model.name for model in found] == names
    assert {model.time for model in found} == {1_700_000_000}
    assert len(server.paths) == 3
    assert all("limit=1000" in path for path in server.paths)


@pytest.mark.parametrize(
    "page",
    [
        {"models": [MODEL], "next": "again"},
        {"models": [], "next": "x"},
        {"models": [MODEL], "next": 5},
        {"models": [MODEL], "next": "x" * 20_001},
        {"models": [{**MODEL, "date": "yesterday"}], "next": None},
        {"models": [], "unavailable": [{"repo": "a/b", "detail": "x"}]},
        {"models": [MODEL], "unavailable": ["a/b"]},
        {"models": [MODEL], "unavailable": "a/b"},
    ],
    ids=lambda page: str(page)[-20:],
)
def test_pages_that_have_no_end_or_no_form_are_refused(
    server: Answering, page: dict[str, Any]
) -> None:
    server.answer(page)

    with pytest.raises(StudioResponseError):
        server.client.list_models(REPO)

    assert len(server.paths) <= 2


@pytest.mark.parametrize(
    ("limit", "most", "models", "message", "requests"),
    [
        ("MAX_MODELS", 50, 10, "more than 50 models", 5),
        ("MAX_PAGES", 7, 1, "or 7 pages", 7),
    ],
    ids=["models", "pages"],
)
def test_more_models_or_pages_than_there_can_be_are_refused(
    server: Answering,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    most: int,
    models: int,
    message: str,
    requests: int,
) -> None:
    monkeypatch.setattr(listing, limit, most)
    places = map(str, range(99))
    server.make_body = lambda _: json.dumps(
        {"models": [MODEL] * models, "next": next(places)}
    ).encode()

    with pytest.raises(StudioResponseError, match=message):
        server.client.list_models(REPO)

    assert len(server.paths) == requests


def test_a_model_is_described(server: Answering) -> None:
    server.answer({**DETAILS, "name": "a/b:churn", "new": 1})

    found = server.client.describe(REPO, ModelRef("a/b:churn", version="v1.0.0"))

    assert found.to_json() == {**DETAILS, "name": "a/b:churn"}
    assert found.versions[0].time == 1_700_000_000
    assert server.paths[0].startswith("/api/model-registry/models/a%2Fb%3Achurn?")
    assert "version=v1.0.0" in server.paths[0]


BAD: dict[str, Any] = {
    "another model": {"name": "other"},
    "a name that is none": {"name": "../churn"},
    "no version": {"version": "newest"},
    "a short commit": {"commit": "3f2a1bc"},
    "a path that is a number": {"path": 5},
    "a long text": {"description": "x" * 20_001},
    "labels that are a text": {"labels": "abc"},
    "a negative size": {"size": -1},
    "a size of too many digits": {"size": 10**400},
    "too many files": {"nfiles": 1 << 64},
    "too many events": {"history": [EVENT] * 20_001},
    "a size that is a boolean": {"size": "1"},
    "a stage that is none": {"stages": {"": "v1.0.0"}},
    "versions that are none": {"versions": None},
    "a version without a date": {"versions": [{**VERSION, "date": None}]},
    "a date of another form": {"history": [{**EVENT, "date": "yesterday"}]},
    "an unknown event": {"history": [{**EVENT, "event": "explosion"}]},
    "an event of no commit": {"history": [{**EVENT, "commit": ""}]},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_model_of_another_form_is_refused(
    server: Answering, change: dict[str, Any]
) -> None:
    server.answer({**DETAILS, **change})

    with pytest.raises(StudioResponseError):
        server.client.describe(REPO, ModelRef("churn"))


@pytest.mark.parametrize(
    "reply",
    [
        [],
        {},
        {"models": {}},
        {"models": ["churn"]},
        {"models": [{**MODEL, "name": "churn@v1"}]},
        {"models": [{**MODEL, "versions": ["1.0"]}]},
        {"models": [{**MODEL, "stages": ["prod"]}]},
    ],
    ids=str,
)
def test_a_list_of_another_form_is_refused(server: Answering, reply: object) -> None:
    server.answer(reply)

    with pytest.raises(StudioResponseError):
        server.client.list_models(REPO)


def test_a_reply_that_is_cut_or_no_object_is_not_taken_for_a_missing_listing(
    server: Answering,
) -> None:
    for body in (b'{"name"', b"[" * 200_000, b'{"size": ' + b"1" * 5000, b"null", b""):
        server.status, server.body = 200, body

        with pytest.raises(StudioResponseError):
            server.client.describe(REPO, ModelRef("churn"))


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_server_without_a_listing_is_named(server: Answering, status: int) -> None:
    server.page(status)
    for ask in (
        lambda: server.client.list_models(REPO),
        lambda: server.client.describe(REPO, ModelRef("churn")),
    ):
        with pytest.raises(ListingMissingError, match="only 'dvc models serve' can"):
            ask()
    server.kind = "application/json"
    server.answer({"detail": "Not found."}, 404)
    with pytest.raises(ListingMissingError):
        server.client.list_models(REPO)


@pytest.mark.parametrize(
    ("status", "of_list", "of_model"),
    [
        (404, RepoNotFoundError, ModelNotFoundError),
        (400, RepoNotFoundError, ModelNotFoundError),
        (401, StudioAuthError, StudioAuthError),
        (418, StudioResponseError, StudioResponseError),
    ],
)
def test_each_refusal_has_an_error_of_its_own(
    server: Answering,
    status: int,
    of_list: type[StudioError],
    of_model: type[StudioError],
) -> None:
    server.answer({"detail": f"no such thing as {PLANTED_TOKEN}"}, status)

    with pytest.raises(of_list, match=r"no such thing as \*\*\*"):
        server.client.list_models(REPO)
    with pytest.raises(of_model, match="no such thing as"):
        server.client.describe(REPO, ModelRef("churn"))
