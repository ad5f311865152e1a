"""Malformed requests to every route: each is answered, and none fails the server."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import random
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
from projects import ORIGIN_URL, TOKEN, Project, copy_project, serving

from dvc_studio_models.server.app import list_pages, list_routes
from dvc_studio_models.server.config.values import RepoConfig, ServeConfig
from dvc_studio_models.server.site.site import Site
from dvc_studio_models.server.web.pages import Pages
from tests.server.api import TIMEOUT_S, links

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW, MANY = 150, 10_000
SEED = 15
API = "/api/model-registry"
ROUTES = [
    f"{API}/get-download-uris",
    f"{API}/models",
    f"{API}/models/{{name:path}}",
    "/objects/{repo}/{store}/{object:path}",
    *("/livez", "/healthz", "/readyz", "/metrics", "/api/openapi.json"),
    "/webhook/{name:path}",
    *("/", "/models/{repo}/{name:path}", "/sign-in", "/sign-out", "/static/{name}"),
    *("/models", "/models/", "/models/{repo}"),
]
GOOD = {
    f"{API}/get-download-uris": f"?repo={quote(ORIGIN_URL)}&name=churn",
    f"{API}/models": "?limit=1",
    f"{API}/models/{{name:path}}": f"?repo={quote(ORIGIN_URL)}",
}
"""The query of a valid request, by route."""

METHODS = [
    *["GET"] * 12,
    *("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get"),
    *("CONNECT", "PROPFIND", "M" * 300),
]
WORDS = [
    *(
        "repo",
        "name",
        "version",
        "stage",
        "limit",
        "after",
        "search",
        "expires",
        "next",
    ),
    *(
        "signature",
        "user",
        "acme/models",
        ORIGIN_URL,
        "churn",
        "bert",
        "prod",
        "v1.0.0",
    ),
    *("..", "../..", "/", "//", "\\", "\0", "@", "#", ":", "=", "&", "%", "%00", "%ff"),
    *("%2e%2e", "%2F", "+", "[", "]", "::1", "file://", "git@", "9" * 400, "a" * 1200),
    *("-1", "0", "1e9", "NaN", "null", "\ud800", "\u202e", "💩", "v1.0.0\n", " ", "*"),
    *("services/fraud:fraud", "dvc.yaml", "{}", "[" * 900, "WzEsMl0", "\x7f", "\r\n"),
]
HEADERS: dict[str, list[str]] = {
    "Authorization": [
        *(f"token {TOKEN}", f"Bearer {TOKEN}", "token", "token ", "Bearer", "x" * 5000),
        *("Basic !!!", "Basic Og==", "token a b", "Bearer a.b.c", "Bearer ..", "\xff"),
        *("Bearer eyJhbGciOiJub25lIn0.e30.", "Digest x", "Bearer eyJ9.eyJ9.x"),
    ],
    "Range": [
        *("bytes=0-1", "bytes=-", "bytes=9-1", "pages=1", "bytes=" + "1-2," * 3000),
        *(
            "bytes=" + "9" * 5000,
            "bytes=999999999-",
            "\xff",
            "=",
            "bytes=0-0",
        ),
    ],
    "If-Range": ['"x"', "W/x", "Thu, 01 Jan 1970 00:00:00 GMT", "\xff", "*"],
    "If-Match": ['"x"', "*", ",,,", "W/", '"', "\xff"],
    "If-None-Match": ['"x"', "*", ",,,", 'W/"x"', '"' * 999, "\xff"],
    "If-Modified-Since": ["now", "Thu, 99 Foo 9999 99:99:99 GMT", "\xff"],
    "Host": ["h", "", "[::1]", "[", "a b", "h:99999", "u:p@h", "h/../x", "\xff", "é"],
    "X-Forwarded-Proto": ["https", "javascript", "\xff", "http,https", ""],
    "X-Forwarded-For": ["1.2.3.4", "::1", "x", "\xff", "," * 99],
    "X-Forwarded-Host": ["evil", "\xff"],
    "X-Forwarded-Prefix": ["/p", "//evil", "/..", "\xff", "/a" * 99],
    "Forwarded": ["for=x;host=y", ";;;"],
    "Cookie": ["session=x", "a=b; " * 500, "=", ";;;", "\xff", "session=" + "A" * 3000],
    "Accept": ["*/*", "text/html", "application/json;q=0", "\xff", "x/" + "y" * 999],
    "Accept-Encoding": ["gzip", "identity;q=0", "*;q=0"],
    "Accept-Language": ["de", "\xff"],
    "Content-Type": [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; b",
    ],
    "Content-Encoding": ["gzip", "br"],
    "Connection": ["close", "keep-alive", "upgrade", "x, y"],
    "Upgrade": ["websocket", "h2c"],
    "Expect": ["100-continue", "x"],
    "Origin": ["null", "https://evil.example", "\xff"],
    "Sec-Fetch-Site": ["cross-site"],
    "X-GitHub-Event": ["push", "ping"],
    "X-Hub-Signature-256": ["sha256=", "sha256=" + "0" * 64, "x", "\xff"],
    "X-Gitlab-Token": ["x", "\xff"],
    "X-Gitea-Signature": ["x", "0" * 64],
    "X": ["\x01", "\x7f", "", "v" * 9000],
}
BODIES = [
    b"",
    b"{}",
    b"x",
    b"\xff" * 100,
    b"a=b&c=d",
    b'{"ref": 1}',
    b"token=x",
    b"[" * 3000,
]


class Client:
    """Sends raw requests, over one connection for as long as the server allows."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._socket: socket.socket | None = None

    def send(self, raw: bytes, method: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, TIMEOUT_S)
        with contextlib.suppress(ConnectionError):  # it may refuse before it has all
            self._socket.sendall(raw)
        reply = http.client.HTTPResponse(self._socket, method=method)
        try:
            reply.begin()
            body = reply.read()
        except (ConnectionError, http.client.BadStatusLine):
            self.close()  # the end of a request that was refused came too late
            return 0, "", b""
        if reply.will_close or reply.status >= 400:
            self.close()
        return reply.status, reply.headers.get("Content-Type", ""), body

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def make(chance: random.Random, path: str, query: str) -> tuple[bytes, str]:
    """Make one request; return it and its method."""
    method = chance.choice(METHODS)
    while "{" in path:
        before, _, rest = path.partition("{")
        name, _, after = rest.partition("}")
        path = before + spoil(chance, name) + after
    if chance.random() < 0.2:
        path += spoil(chance, "/")
    pairs = [
        f"{spoil(chance, chance.choice(WORDS))}={spoil(chance, chance.choice(WORDS))}"
        for _ in range(chance.choice([0, 0, 1, 2, 5]))
    ]
    target = path + query + ("&" if query else "?") * bool(pairs) + "&".join(pairs)
    headers = {"Host": "h", "Authorization": f"token {TOKEN}"}
    for name in chance.sample(sorted(HEADERS), chance.choice([0, 1, 1, 2, 4])):
        headers[name] = chance.choice(HEADERS[name])
    body = chance.choice(BODIES) if chance.random() < 0.3 else b""
    if body:
        headers["Content-Length"] = str(len(body))
    if chance.random() < 0.05:
        headers["Transfer-Encoding"] = chance.choice(["chunked", "gzip", "chunked, x"])
        body = chance.choice([b"0\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n", b"zz\r\n"])
        if chance.random() < 0.5:
            headers.pop("Content-Length", None)
    if chance.random() < 0.05:
        headers["Content-Length"] = chance.choice(["-1", "x", "1, 2", "9" * 99])
    lines = [f"{method} {target} HTTP/1.{chance.choice('1110')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines).encode("utf-8", "replace")
    return head + b"\r\n\r\n" + body, method


def spoil(chance: random.Random, word: str) -> str:
    """Return a word, quoted, or other bytes in its place."""
    kind = chance.random()
    if kind < 0.3:
        word = chance.choice(WORDS)
    elif kind < 0.4:
        word += chance.choice(WORDS)
    elif kind < 0.5:
        return "".join(f"%{chance.randrange(256):02x}" for _ in range(4))
    elif kind < 0.55:  # as it is
        return word.replace("\r", "").replace("\n", "").replace("\ud800", "")
    return quote(word.encode("utf-8", "surrogatepass"), safe=chance.choice(["", "/:"]))


def ask_all(url: str, path: str, query: str, count: int) -> dict[int, int]:
    """Send many requests to a route; return how often each status was answered.

    Args:
        url: Of the server.
        path: Of the route.
        query: Of a valid request, which every second one has.
        count: How many to send.
    """
    chance = random.Random(f"{SEED} {path}")
    counts: dict[int, int] = {}
    with contextlib.closing(Client(url)) as client:
        for _ in range(count):
            raw, method = make(chance, path, query if chance.random() < 0.5 else "")
            status, kind, body = client.send(raw, method)
            counts[status] = counts.get(status, 0) + 1
            assert status < 500 or status == 501, (raw, body)
            assert not kind.startswith("text/plain") or "/metrics" in path, (raw, body)
            if status >= 400 and "json" in kind and method != "HEAD":
                assert isinstance(json.loads(body)["detail"], str)
    return counts


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("malformed")
    template = tmp_path_factory.getbasetemp() / "template"
    with serving(copy_project(template, root / "project").repo) as url:
        yield url


def test_no_route_is_left_out(project: Project) -> None:
    site = Site(ServeConfig((RepoConfig(str(project.repo)),), None))

    paths = {route.path for route in (*list_routes(site), *list_pages(Pages(site)))}

    assert {path for path in paths if "{prefix" not in path} == set(ROUTES)


@pytest.mark.parametrize("path", [*ROUTES, "/nothing", "/p/../x"])
@pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_malformed_requests_to_every_route_are_answered(
    server: str, path: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    counts = ask_all(server, path, GOOD.get(path, ""), count)

    assert sum(counts.values()) == count
    assert counts.get(0, 0) < count / 10
    assert [record for record in caplog.records if record.exc_info] == []
    assert links(server, "churn").keys() == {"models/churn.pkl"}


@pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_malformed_requests_for_an_object_are_answered(
    server: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    link = urlsplit(links(server, "churn")["models/churn.pkl"])

    counts = ask_all(server, link.path, f"?{link.query}", count)

    assert {200, 400, 403, 405} <= {*counts}
    assert count < MANY or {206, 304, 412, 416} <= {*counts}
    assert [record for record in caplog.records if record.exc_info] == []
