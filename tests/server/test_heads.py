"""Heads of requests that a proxy may read in another way than this server."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from urllib.parse import urlsplit

import pytest
from projects import TOKEN

from tests.server.api import API, links

LATER = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
TIMEOUT_S = 20


def send(url: str, sent: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    parts = urlsplit(url)
    received = b""
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT_S) as peer:
        peer.sendall(sent)
        while more := peer.recv(1 << 16):
            received += more
    return received


@pytest.mark.parametrize("method", ["GET", "POST", "FOO"])
@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b""])
def test_two_lengths_of_a_body_are_refused_and_end_the_connection(
    server: str, method: str, body: bytes
) -> None:
    head = f"{method} /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n".encode()

    received = send(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + body + LATER)

    answer, _, content = received.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    # Nothing is answered that another program may have sent behind it.
    assert ("exclude each other" in json.loads(content)["detail"]) is bool(body)


@pytest.mark.parametrize(
    "host",
    ["a b", "h/x", "h?x", "h#x", "u@h", "[::1", "h:x", "h:123456", "\xff", "h\\x"],
)
def test_a_host_that_would_damage_links_is_refused(server: str, host: str) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n"
    answer = send(server, head + LATER)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("name", ["X-Long: ", "Authorization: token "])
def test_a_head_that_is_too_long_is_refused_however_it_arrives(
    server: str, name: str
) -> None:
    def ask(size: int) -> bytes:
        head = f"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{name}"
        return send(server, head.encode() + b"x" * size + b"\r\n\r\n")

    assert ask(60_000).startswith(b"HTTP/1.1 200 ")
    assert ask(66_000).startswith(b"HTTP/1.1 400 ")


def test_a_head_of_many_short_lines_has_the_same_limit(server: str) -> None:
    def ask(lines: int) -> bytes:
        head = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        return send(server, head + b"a:\r\n" * lines + b"\r\n")

    assert ask(16_000).startswith(b"HTTP/1.1 200 ")
    assert ask(17_000).startswith(b"HTTP/1.1 400 ")


def test_a_whole_url_is_as_its_path_and_its_host_counts(server: str) -> None:
    token = f"Host: other\r\nAuthorization: token {TOKEN}\r\nConnection: close\r\n\r\n"
    query = "repo=acme%2Fmodels&name=churn"

    found = send(server, f"GET http://h:1{API}?{query} HTTP/1.1\r\n{token}".encode())
    bare = send(server, f"GET HTTP://h HTTP/1.1\r\n{token}".encode())
    bad = send(server, f"GET http://u@h/livez HTTP/1.1\r\n{token}".encode())

    assert b'"http://h:1/objects/models/' in found
    assert b"Sign in" in bare
    assert bad.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("host", ["h", "h:80", "h:", "[::1]:8501", "a-b.c_d", ""])
def test_a_host_that_is_valid_is_served(server: str, host: str) -> None:
    head = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

    assert send(server, head.encode()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/healthz", "/webhook/models", "/nothing"])
def test_a_body_that_is_malformed_is_refused_without_a_trace(
    server: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

    for _ in range(5):
        answer = send(server, head.encode() + b"zz\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1

    assert [record for record in caplog.records if record.exc_info] == []


def test_a_malformed_body_of_a_download_ends_it(server: str) -> None:
    link = urlsplit(links(server, "churn")["models/churn.pkl"])
    head = f"GET {link.path}?{link.query} HTTP/1.1\r\nHost: h\r\n"
    parts = urlsplit(server)
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT_S) as peer:
        peer.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        received = peer.recv(100)
        with contextlib.suppress(ConnectionError):  # the server may have closed before
            peer.sendall(b"zz\r\n")
            while more := peer.recv(1 << 16):
                received += more

    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0"])
def test_a_request_for_another_protocol_is_answered_by_http_and_not_logged(
    server: str, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"GET /healthz HTTP/1.1\r\nHost: h\r\nUpgrade: {protocol}\r\n"
    later = LATER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    answer = send(server, f"{head}Connection: upgrade\r\n\r\n".encode() + later)

    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
