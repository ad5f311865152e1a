"""The servers for tests behave exactly as configured."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from dvc.repo import Repo
from scmrepo.git import Git
from servers import (
    ACCESS_DENIED,
    AZURE_REFUSED,
    NO_SUCH_KEY,
    OK,
    PLANTED_SECRETS,
    REPO_REFUSED,
    REQUEST_EXPIRED,
    TOKEN_EXPIRED,
    Behaviour,
    FileServer,
    Redirect,
    StudioServer,
    busy,
    json_reply,
    object_path,
    signed,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conftest import RunDvc

CONTENT = bytes(range(256)) * 4
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def url(file_server: FileServer) -> str:
    """The URL of CONTENT on the server."""
    return file_server.url(file_server.store(CONTENT))


@contextmanager
def raw_connection(server: FileServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        yield sock


def ask(sock: socket.socket, url: str, *headers: str) -> None:
    path = "/" + url.split("/", 3)[3]
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]
    sock.sendall("\r\n".join(lines).encode())


def read_to_the_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def ranged(session: requests.Session, url: str, span: str = "0-9") -> requests.Response:
    return session.get(url, headers={"Range": f"bytes={span}"}, timeout=5)


# Objects, records, connections


def test_an_object_comes_whole(session: requests.Session, url: str) -> None:
    response = session.get(url, timeout=5)

    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"] == f'"{MD5}"'


def test_an_unknown_path_is_refused_as_s3_does(
    session: requests.Session, file_server: FileServer
) -> None:
    response = session.get(file_server.url("/nothing"), timeout=5)

    assert response.status_code == 404
    assert b"<Code>NoSuchKey</Code>" in response.content


def test_every_request_is_recorded(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    ranged(session, f"{url}?a=%2F&b=", "3-9")

    (request,) = file_server.requests
    assert (request.method, request.status) == ("GET", 206)
    assert request.path == object_path(CONTENT)
    assert request.query == "a=%2F&b="
    assert request.params == {"a": "/", "b": ""}
    assert request.headers["range"] == "bytes=3-9"
    assert request.byte_range == (3, 9)
    assert request.sent == 7


def test_bytes_are_counted_until_the_record_is_forgotten(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    session.get(url, timeout=5)
    ranged(session, url)

    assert file_server.bytes_served == len(CONTENT) + 10
    file_server.forget()
    assert file_server.bytes_served == 0


def test_a_connection_is_kept_for_the_next_request(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    session.get(url, timeout=5)
    session.get(url, timeout=5)

    assert [request.connection for request in file_server.requests] == [1, 1]


def test_without_keep_alive_each_request_has_its_connection(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(keep_alive=False)

    session.get(url, timeout=5)
    session.get(url, timeout=5)

    assert [request.connection for request in file_server.requests] == [1, 2]


@pytest.mark.clock
def test_a_big_object_comes_fast(
    session: requests.Session, file_server: FileServer
) -> None:
    content = bytes(200 << 20)
    file_server.objects["/big"] = content
    started = time.monotonic()
    size = 0
    with session.get(file_server.url("/big"), stream=True, timeout=5) as response:
        while piece := response.raw.read(1 << 20):
            size += len(piece)

    assert size == len(content)
    assert time.monotonic() - started < 5


def test_a_request_through_a_proxy_is_served(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    elsewhere = url.replace(f"127.0.0.1:{file_server.port}", "store.invalid")
    session.trust_env = False
    session.proxies = {"http": file_server.origin()}

    assert session.get(elsewhere, timeout=5).content == CONTENT
    assert file_server.requests[0].proxied_to == "store.invalid"


# Which behaviour a request meets


def test_the_behaviour_may_change_at_any_time(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(status=500)
    assert session.get(url, timeout=5).status_code == 500

    file_server.behaviour = replace(file_server.behaviour, status=None)
    assert session.get(url, timeout=5).status_code == 200


def test_a_script_is_followed_once(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.script(busy(503), OK, NO_SUCH_KEY)

    statuses = [session.get(url, timeout=5).status_code for _ in range(4)]

    assert statuses == [503, 200, 404, 200]


def test_a_script_may_be_meant_for_one_path(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    other = file_server.url(file_server.store(b"other"))
    file_server.script(busy(503), path=object_path(b"other"))

    statuses = [session.get(each, timeout=5).status_code for each in (url, other)]

    assert statuses == [200, 503]


def test_a_behaviour_may_be_meant_for_one_path(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    other = file_server.url(file_server.store(b"other"))
    file_server.behaviours[object_path(b"other")] = busy(429)

    statuses = [session.get(each, timeout=5).status_code for each in (url, other)]

    assert statuses == [200, 429]


def test_a_behaviour_may_be_chosen_by_the_request(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.choose = lambda each: busy() if each.byte_range == (10, 19) else None

    statuses = [ranged(session, url, span).status_code for span in ("0-9", "10-19")]

    assert statuses == [206, 503]


# Ranges


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [
        pytest.param("10-19", 10, 20, id="both ends"),
        pytest.param("1000-", 1000, 1024, id="to the end"),
        pytest.param("1000-9999", 1000, 1024, id="over the end"),
        pytest.param("-24", 1000, 1024, id="the last bytes"),
    ],
)
def test_a_range_is_answered(
    session: requests.Session, url: str, span: str, start: int, stop: int
) -> None:
    response = ranged(session, url, span)

    assert response.status_code == 206
    assert response.content == CONTENT[start:stop]
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"


def test_a_range_after_the_end_is_416(session: requests.Session, url: str) -> None:
    response = ranged(session, url, "1024-")

    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */1024"


def test_ranges_may_be_ignored(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(ranges=False, accept_ranges=False)

    response = ranged(session, url)

    assert (response.status_code, response.content) == (200, CONTENT)
    assert "Accept-Ranges" not in response.headers


def test_every_range_may_be_refused(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(refuse_ranges=True)

    assert ranged(session, url).status_code == 416
    assert session.get(url, timeout=5).content == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "content_range"),
    [
        pytest.param(Behaviour(start_shift=5), "bytes 5-14/1024", id="start"),
        pytest.param(Behaviour(total_shift=-1), "bytes 0-9/1023", id="total"),
        pytest.param(Behaviour(headers={"Content-Range": "x"}), "x", id="nonsense"),
    ],
)
def test_content_range_may_be_wrong(
    session: requests.Session,
    url: str,
    file_server: FileServer,
    behaviour: Behaviour,
    content_range: str,
) -> None:
    file_server.behaviour = behaviour

    response = ranged(session, url)

    assert response.headers["Content-Range"] == content_range
    assert response.content == CONTENT[:10]


def test_a_range_may_be_answered_in_part(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(range_limit=4)

    response = ranged(session, url)

    assert response.headers["Content-Range"] == "bytes 0-3/1024"
    assert response.content == CONTENT[:4]


@pytest.mark.parametrize(
    ("behaviour", "status", "content_range"),
    [
        pytest.param(Behaviour(empty="nginx"), 200, None, id="nginx"),
        pytest.param(Behaviour(empty="s3"), 416, None, id="s3"),
        pytest.param(Behaviour(empty="azure"), 206, "bytes 0--1/0", id="azure"),
    ],
)
def test_a_range_of_nothing_is_answered_in_three_ways(
    session: requests.Session,
    file_server: FileServer,
    behaviour: Behaviour,
    status: int,
    content_range: str | None,
) -> None:
    file_server.behaviour = behaviour

    response = ranged(session, file_server.url(file_server.store(b"")))

    assert response.status_code == status
    assert response.headers.get("Content-Range") == content_range


# Identity


@pytest.mark.parametrize(
    ("etag", "header"),
    [
        pytest.param("strong", f'"{MD5}"', id="strong"),
        pytest.param("weak", f'W/"{MD5}"', id="weak"),
        pytest.param('"abc-3"', '"abc-3"', id="literal"),
        pytest.param(None, None, id="none"),
    ],
)
def test_the_etag_is_as_asked(
    session: requests.Session,
    url: str,
    file_server: FileServer,
    etag: str | None,
    header: str | None,
) -> None:
    file_server.behaviour = Behaviour(etag=etag)

    assert session.get(url, timeout=5).headers.get("ETag") == header


def test_the_etag_may_change_between_requests(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(etag="changing")

    etags = {session.get(url, timeout=5).headers["ETag"] for _ in range(3)}

    assert len(etags) == 3


@pytest.mark.parametrize(
    ("behaviour", "wanted", "status"),
    [
        pytest.param(OK, f'"{MD5}"', 200, id="the same"),
        pytest.param(OK, '"other"', 412, id="another"),
        pytest.param(OK, "*", 200, id="any"),
        pytest.param(Behaviour(etag="weak"), f'W/"{MD5}"', 412, id="weak"),
        pytest.param(Behaviour(if_match=False), '"other"', 200, id="ignored"),
    ],
)
def test_if_match_is_honoured_unless_told_otherwise(
    session: requests.Session,
    url: str,
    file_server: FileServer,
    behaviour: Behaviour,
    wanted: str,
    status: int,
) -> None:
    file_server.behaviour = behaviour

    response = session.get(url, headers={"If-Match": wanted}, timeout=5)

    assert response.status_code == status


def test_content_md5_is_sent_when_asked(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(content_md5=True)

    header = ranged(session, url).headers["Content-MD5"]

    assert base64.b64decode(header).hex() == MD5


# Bodies


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_each_framing_brings_the_body(
    session: requests.Session, url: str, file_server: FileServer, framing: str
) -> None:
    file_server.behaviour = Behaviour(framing=framing)

    assert session.get(url, timeout=5).content == CONTENT


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_is_seen_by_the_client(file_server: FileServer, framing: str) -> None:
    file_server.behaviour = Behaviour(cut_after=100, framing=framing)
    client = http.client.HTTPConnection("127.0.0.1", file_server.port, timeout=5)
    client.request("GET", file_server.store(CONTENT))

    with pytest.raises(http.client.IncompleteRead) as caught:
        client.getresponse().read()

    client.close()
    assert caught.value.partial == CONTENT[:100]
    assert file_server.bytes_served == 100


def test_a_cut_is_not_seen_where_the_end_is_the_only_sign(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(cut_after=100, framing="close")

    assert session.get(url, timeout=5).content == CONTENT[:100]


def test_a_connection_may_be_reset_mid_body(url: str, file_server: FileServer) -> None:
    file_server.behaviour = Behaviour(cut_after=100, reset=True)
    with raw_connection(file_server) as sock:
        ask(sock, url)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(sock)


def test_a_connection_may_end_before_the_answer(
    url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(close_before_answer=True)
    with raw_connection(file_server) as sock:
        ask(sock, url)

        assert read_to_the_end(sock) == b""
    assert file_server.requests[0].status is None


def test_a_connection_may_be_reset_before_the_answer(
    url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(close_before_answer=True, reset=True)
    with raw_connection(file_server) as sock:
        ask(sock, url)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_bytes_may_be_wrong_and_the_size_right(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(wrong_bytes=True)

    content = session.get(url, timeout=5).content

    assert content != CONTENT
    assert len(content) == len(CONTENT)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        pytest.param(3, CONTENT + bytes(3), id="longer"),
        pytest.param(-3, CONTENT[:-3], id="shorter"),
    ],
)
def test_the_size_may_be_wrong(
    session: requests.Session,
    url: str,
    file_server: FileServer,
    resize: int,
    expected: bytes,
) -> None:
    file_server.behaviour = Behaviour(resize=resize)

    response = session.get(url, timeout=5)

    assert response.content == expected
    assert response.headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_body_may_have_no_end(
    session: requests.Session, url: str, file_server: FileServer, framing: str
) -> None:
    file_server.behaviour = Behaviour(endless=True, framing=framing)
    with session.get(url, stream=True, timeout=5) as response:
        content = response.raw.read(5 << 20)

    assert content.startswith(CONTENT + bytes(1000))
    assert len(content) == 5 << 20


def test_a_body_may_be_compressed_unasked(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(gzip=True)
    with session.get(url, stream=True, timeout=5) as response:
        content = response.raw.read(decode_content=False)

    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(content) == CONTENT


# Answers


def test_any_answer_may_be_given(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(
        status=418, reply=b"tea", headers={"X-Pot": "blue", "Date": None}
    )

    response = session.get(url, timeout=5)

    assert (response.status_code, response.content) == (418, b"tea")
    assert response.headers["X-Pot"] == "blue"
    assert "Date" not in response.headers


@pytest.mark.parametrize(
    ("behaviour", "status", "words"),
    [
        pytest.param(ACCESS_DENIED, 403, b"<Code>AccessDenied<", id="denied"),
        pytest.param(REQUEST_EXPIRED, 403, b"Request has expired", id="expired"),
        pytest.param(TOKEN_EXPIRED, 400, b"<Code>ExpiredToken<", id="token"),
        pytest.param(NO_SUCH_KEY, 404, b"<Code>NoSuchKey<", id="key"),
        pytest.param(AZURE_REFUSED, 403, b"\xef\xbb\xbf<?xml", id="azure"),
    ],
)
def test_stores_refuse_in_their_own_words(
    session: requests.Session,
    url: str,
    file_server: FileServer,
    behaviour: Behaviour,
    status: int,
    words: bytes,
) -> None:
    file_server.behaviour = behaviour

    response = session.get(url, timeout=5)

    assert response.status_code == status
    assert words in response.content
    assert response.headers["Content-Type"] == "application/xml"


def test_retry_after_is_said_in_both_forms(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    file_server.script(busy(429, retry_after=2), busy(retry_after=when))

    headers = [session.get(url, timeout=5).headers["Retry-After"] for _ in range(2)]

    assert headers == ["2", "Fri, 02 Jan 2026 03:04:05 GMT"]


def test_a_redirect_keeps_path_and_query(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(redirect=Redirect(status=307, hops=3))

    response = session.get(f"{url}?a=%2F", timeout=5)

    assert response.content == CONTENT
    assert [each.status_code for each in response.history] == [307] * 3
    assert {request.query for request in file_server.requests} == {"a=%2F"}


def test_a_redirect_may_lead_to_another_host_name(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(redirect=Redirect(host="localhost"))

    response = session.get(url, headers={"Authorization": "x"}, timeout=5)

    assert response.url.startswith(f"http://localhost:{file_server.port}/")
    seen = ["authorization" in request.headers for request in file_server.requests]
    assert seen == [True, False]


def test_a_redirect_may_lead_anywhere(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(redirect=Redirect(location="ftp://x/y"))

    response = session.get(url, allow_redirects=False, timeout=5)

    assert response.headers["Location"] == "ftp://x/y"


# Time


def test_the_first_byte_may_be_slow(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(delay_s=0.2)
    started = time.monotonic()

    session.get(url, timeout=5)

    assert time.monotonic() - started >= 0.2


@pytest.mark.clock
def test_a_connection_may_be_throttled(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(bytes_per_s=4 * len(CONTENT))
    started = time.monotonic()

    assert session.get(url, timeout=5).content == CONTENT
    assert 0.2 <= time.monotonic() - started < 2


@pytest.mark.clock
@pytest.mark.parametrize("offset", [0, 100])
def test_a_body_may_stall_for_a_while(
    session: requests.Session, url: str, file_server: FileServer, offset: int
) -> None:
    file_server.behaviour = Behaviour(stall_after=offset, stall_s=0.2)
    started = time.monotonic()
    with session.get(url, stream=True, timeout=5) as response:
        before = response.raw.read(offset)
        waited = time.monotonic() - started
        after = response.raw.read()

    assert before + after == CONTENT
    assert waited < 0.2
    assert time.monotonic() - started >= 0.2


def test_there_may_be_no_answer(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(no_answer=True)

    with pytest.raises(requests.ReadTimeout):
        session.get(url, timeout=0.1)


def test_headers_may_drip(url: str, file_server: FileServer) -> None:
    file_server.behaviour = Behaviour(header_drip_s=0.02)
    with raw_connection(file_server) as sock:
        ask(sock, url)
        first = [sock.recv(100) for _ in range(5)]

    assert first == [b"H", b"T", b"T", b"P", b"/"]


def test_the_clock_may_be_wrong(session: requests.Session) -> None:
    with FileServer(clock_offset_s=-7200) as server:
        link = server.sign(server.store(CONTENT))
        date = session.get(link, timeout=5).headers["Date"]

    wrong = datetime.now(timezone.utc) - parsedate_to_datetime(date)
    assert timedelta(hours=2) <= wrong < timedelta(hours=2, minutes=1)
    assert f"X-Amz-Date={parsedate_to_datetime(date):%Y%m%dT%H}" in link


# Signed links


@pytest.fixture
def store(file_server: FileServer) -> FileServer:
    """A server that requires signed links."""
    file_server.behaviour = Behaviour(signature_required=True)
    return file_server


def get_untouched(link: str, *headers: str) -> bytes:
    """Send the link unchanged; ``requests`` would quote it again."""
    port = int(link.split(":")[2].split("/", maxsplit=1)[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        ask(sock, link, "Connection: close", *headers)
        return read_to_the_end(sock)


@pytest.mark.parametrize("style", ["s3", "azure"])
def test_a_link_sent_byte_for_byte_is_good(store: FileServer, style: str) -> None:
    link = store.sign(store.store(CONTENT), style=style)

    assert get_untouched(link).endswith(CONTENT)
    assert store.mangled == []


def test_a_link_quoted_anew_is_refused(
    session: requests.Session, store: FileServer
) -> None:
    link = store.sign(store.store(CONTENT))

    response = session.get(link, timeout=5)

    assert response.status_code == 403
    assert b"SignatureDoesNotMatch" in response.content
    assert store.mangled == [store.requests[0].target]


def test_a_request_without_signature_is_refused(
    session: requests.Session, store: FileServer
) -> None:
    response = session.get(store.url(store.store(CONTENT)), timeout=5)

    assert response.status_code == 403
    assert b"AccessDenied" in response.content


def test_a_link_dies_of_age(store: FileServer) -> None:
    link = store.sign(store.store(CONTENT), expires_s=-1)

    assert b"Request has expired" in get_untouched(link)


def test_a_revoked_link_is_dead_and_a_new_one_lives(store: FileServer) -> None:
    path = store.store(CONTENT)
    old = store.sign(path)
    store.revoke()
    new = store.sign(path)

    assert b"Request has expired" in get_untouched(old)
    assert get_untouched(new).endswith(CONTENT)


def test_two_kinds_of_auth_are_refused(store: FileServer) -> None:
    link = store.sign(store.store(CONTENT))

    assert b"HTTP/1.1 400 " in get_untouched(link, "Authorization: Basic eDp5")


def test_head_is_refused(
    session: requests.Session, url: str, file_server: FileServer
) -> None:
    assert session.head(url, timeout=5).status_code == 403

    file_server.behaviour = Behaviour(refuse_head=False)
    response = session.head(url, timeout=5)
    assert response.status_code == 200
    assert response.headers["Content-Length"] == str(len(CONTENT))


def test_object_paths_are_those_of_dvc() -> None:
    assert object_path(b"") == "/files/md5/d4/1d8cd98f00b204e9800998ecf8427e"
    assert object_path(b"", dvc2=True, prefix="/bucket") == (
        "/bucket/d4/1d8cd98f00b204e9800998ecf8427e"
    )


def test_signed_links_carry_odd_quoting_and_planted_secrets() -> None:
    link = signed("http://x/y", expires_s=60)

    assert link.startswith("http://x/y?X-Amz-Algorithm=")
    assert all(quoted in link for quoted in ("%2F", "%2f", "%2B", "%40", "%3D", "%7E"))
    assert all(secret in link for secret in PLANTED_SECRETS[1:])
    assert signed("http://x/y", style="azure").count("&se=") == 1


# Studio


PARAMS = {"repo": "o/r", "name": "churn"}


def ask_studio(
    session: requests.Session, studio: StudioServer, **params: str
) -> requests.Response:
    return session.get(
        f"{studio.url}/api/model-registry/get-download-uris",
        params={**PARAMS, **params},
        headers={"Authorization": f"token {studio.token}"},
        timeout=5,
    )


def test_studio_answers_by_name_and_selector(
    session: requests.Session, studio: StudioServer
) -> None:
    studio.serve("churn", {"m": "http://new"})
    studio.serve("churn", {"m": "http://old"}, version="v1.0.0", stage="prod")

    selectors: list[dict[str, str]] = [{}, {"version": "v1.0.0"}, {"stage": "prod"}]
    replies = [ask_studio(session, studio, **each).json()["m"] for each in selectors]

    assert replies == ["http://new", "http://old", "http://old"]


def test_studio_signs_anew_for_every_request(
    session: requests.Session, studio: StudioServer, store: FileServer
) -> None:
    studio.serve("churn", store.publish({"models/m": CONTENT}))

    first, second = (ask_studio(session, studio).json() for _ in range(2))

    assert first["models/m"] != second["models/m"]
    assert get_untouched(second["models/m"]).endswith(CONTENT)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        pytest.param({"Authorization": "token no"}, "Invalid token.", id="wrong"),
        pytest.param({"Authorization": "Basic eDp5"}, "Invalid token.", id="basic"),
        pytest.param(
            {}, "Authentication credentials were not provided.", id="no token"
        ),
    ],
)
def test_studio_wants_its_token(
    session: requests.Session,
    studio: StudioServer,
    headers: Mapping[str, str],
    detail: str,
) -> None:
    url = studio.url + studio.endpoint

    response = session.get(url, params=PARAMS, headers=headers, timeout=5)

    assert (response.status_code, response.json()) == (401, {"detail": detail})


@pytest.mark.parametrize(
    ("params", "status", "body"),
    [
        pytest.param(
            {"name": ""}, 400, {"name": ["This field is required."]}, id="no name"
        ),
        pytest.param(
            {"version": "v1.0.0", "stage": "prod"},
            400,
            {"non_field_errors": ["version and stage are mutually exclusive"]},
            id="both",
        ),
        pytest.param({"repo": "x/y"}, 400, {"detail": REPO_REFUSED}, id="repo"),
        pytest.param({"name": "x"}, 404, {"detail": "Model not found."}, id="model"),
    ],
)
def test_studio_refuses_what_it_cannot_resolve(
    session: requests.Session,
    studio: StudioServer,
    params: dict[str, str],
    status: int,
    body: object,
) -> None:
    studio.serve("churn", {"m": "http://x"})
    studio.repos = {"o/r"}

    response = ask_studio(session, studio, **params)

    assert (response.status_code, response.json()) == (status, body)


def test_studio_may_live_under_a_prefix(session: requests.Session) -> None:
    with StudioServer({("churn", None): {"m": "http://x"}}, prefix="/studio") as studio:
        assert ask_studio(session, studio).json() == {"m": "http://x"}
        assert studio.url.endswith("/studio")
        assert session.get(studio.origin(), timeout=5).status_code == 404


def test_studio_may_be_a_callable(session: requests.Session) -> None:
    def respond(query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return 202, {"X-Name": query["name"]}, b"raw"

    with StudioServer(respond) as studio:
        response = ask_studio(session, studio)

    assert (response.status_code, response.content) == (202, b"raw")
    assert response.headers["X-Name"] == "churn"


def test_studio_follows_scripts(
    session: requests.Session, studio: StudioServer
) -> None:
    studio.script(
        busy(429, retry_after=1),
        json_reply([]),
        Behaviour(status=200, reply=b"<html>", headers={"Content-Type": "text/html"}),
    )

    replies = [ask_studio(session, studio) for _ in range(4)]

    assert [each.status_code for each in replies] == [429, 200, 200, 404]
    assert [each.content for each in replies[1:3]] == [b"[]", b"<html>"]


def test_studio_records_what_was_asked(
    session: requests.Session, studio: StudioServer
) -> None:
    ask_studio(session, studio, stage="prod")

    (request,) = studio.requests
    assert request.params == {**PARAMS, "stage": "prod"}
    assert request.headers["authorization"] == f"token {studio.token}"


# The end of a server


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(no_answer=True), id="no answer"),
        pytest.param(Behaviour(stall_after=10), id="stalled"),
        pytest.param(Behaviour(endless=True), id="client does not read"),
        pytest.param(Behaviour(header_drip_s=60), id="dripping"),
        pytest.param(OK, id="idle"),
    ],
)
def test_a_server_ends_at_once(behaviour: Behaviour) -> None:
    with FileServer(behaviour=behaviour) as server, raw_connection(server) as sock:
        ask(sock, server.url(server.store(CONTENT)))
        wait_until(lambda: bool(server.requests))
        started = time.monotonic()
        server.close()

        assert time.monotonic() - started < 1
        assert not any(thread.is_alive() for thread in server._connections.values())


def test_a_closed_server_refuses_connections() -> None:
    with FileServer() as server:
        pass

    with pytest.raises(ConnectionRefusedError), raw_connection(server):
        pass


def test_waiting_has_an_end() -> None:
    with pytest.raises(TimeoutError):
        wait_until(lambda: False, timeout_s=0.05)


# The world of a test


def test_git_knows_only_the_test_identity(home: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    command = ["git", "config", "--show-origin", "user.email"]
    shown = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    )

    expected = f"file:{home / '.gitconfig'}\tdvctester@example.com\n"
    assert shown.stdout == expected
    with Git(str(tmp_path)) as scm:
        assert scm.active_branch() == "main"
        assert scm.pygit2.default_signature.email == "dvctester@example.com"


def test_dvc_finds_no_settings_but_the_test_s_own(home: Path, tmp_path: Path) -> None:
    Repo.init(tmp_path, no_scm=True).close()
    with Repo(tmp_path) as repo:
        folders = [repo.config.files[level] for level in ("system", "global")]

        assert all(Path(each).is_relative_to(home) for each in folders)
        assert repo.site_cache_dir.startswith(str(home))
    assert [name for name in os.environ if name.startswith("DVC_STUDIO")] == []


@pytest.mark.cold
def test_dvc_runs_as_a_process(run_dvc: RunDvc, tmp_path: Path) -> None:
    done = run_dvc("init", "--no-scm", "-q", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / ".dvc" / "config").exists()


def test_studio_s_environment_is_for_dvc(studio: StudioServer, run_dvc: RunDvc) -> None:
    assert json.dumps(studio.environ).count(studio.url) == 1
    assert run_dvc("--version", env=studio.environ).returncode == 0
