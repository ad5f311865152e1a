"""Requests to storage, and the checks of its responses."""

from __future__ import annotations

import base64
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import storages
from fetching import noise
from servers import (
    ACCESS_DENIED,
    NO_SUCH_KEY,
    PLANTED_SECRETS,
    REQUEST_EXPIRED,
    TOKEN_EXPIRED,
    Behaviour,
    FileServer,
    Redirect,
    busy,
    s3_error,
)
from storages import KINDS, read

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.response import (
    CHUNK_BYTES,
    ContentRange,
    LinkRejected,
    RangeRequest,
    RestartNeeded,
    Retry,
)
from dvc_studio_models.http.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.reliability("Storage's responses")

CONTENT = noise(1000)


OBJECT = "/bucket/model 1.bin"
FIRST = RangeRequest("model.bin", 0, 100)
LATER = RangeRequest("model.bin", 100, 200, 1000, '"etag"')
WHOLE = RangeRequest("model.bin", 0, None)


@pytest.fixture
def storage(
    kind: None,  # noqa: ARG001 - chosen before
    file_server: FileServer,
) -> Iterator[Storage]:
    """Storage with CONTENT on the file server, behind a signed URL."""
    file_server.objects["/bucket/model.bin"] = CONTENT
    file_server.behaviour = Behaviour(etag='"etag"')
    with_url = connect(file_server.sign("/bucket/model.bin"))
    yield with_url
    with_url.close()


_kinds: list[type[Storage]] = [Storage]
one_by_one = pytest.mark.parametrize("kind", [Storage], indirect=True)


@pytest.fixture(params=KINDS, autouse=True)
def kind(request: pytest.FixtureRequest) -> None:
    """Send requests one by one, or through a batch."""
    _kinds[:] = [request.param]


def connect(url: str) -> Storage:
    return storages.connect(url, kind=_kinds[0])


# What is said


def test_a_range_is_asked_for_by_its_first_and_last_byte(
    storage: Storage, file_server: FileServer
) -> None:
    assert read(storage, FIRST) == CONTENT[:100]

    (request,) = file_server.requests
    assert request.headers["range"] == "bytes=0-99"
    assert request.headers["accept-encoding"] == "identity"
    assert "if-match" not in request.headers


def test_a_later_range_names_the_object_it_is_of(
    storage: Storage, file_server: FileServer
) -> None:
    assert read(storage, LATER) == CONTENT[100:200]

    (request,) = file_server.requests
    assert request.headers["if-match"] == '"etag"'


def test_the_whole_is_asked_for_without_a_range(
    storage: Storage, file_server: FileServer
) -> None:
    assert read(storage, WHOLE) == CONTENT

    (request,) = file_server.requests
    assert "range" not in request.headers


def test_a_signed_url_is_sent_byte_for_byte(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(signature_required=True)

    read(storage, FIRST)

    assert file_server.mangled == []


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        pytest.param("/a%2fb%2B%7e?x=%2f%40&y=~%3d", None, id="escapes-as-they-are"),
        pytest.param("/a//b/../c/./d", None, id="dots-and-slashes"),
        pytest.param("/a?x=1#fragment", "/a?x=1", id="no-fragment"),
        pytest.param("?x=1", "/?x=1", id="no-path"),
        pytest.param("", "/", id="nothing"),
        pytest.param("/a?", None, id="empty-query"),
        pytest.param("/a;b=c?d;e", None, id="semicolons"),
    ],
)
def test_no_url_is_quoted_anew(
    file_server: FileServer, target: str, sent: str | None
) -> None:
    file_server.behaviour = Behaviour(status=200, reply=CONTENT)
    storage = connect(f"{file_server.origin()}{target}")

    read(storage, WHOLE)
    storage.close()

    assert file_server.requests[0].target == (target if sent is None else sent)


def test_no_credentials_go_along(
    storage: Storage, file_server: FileServer, home: Path
) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    (home / ".netrc").chmod(0o600)
    file_server.behaviour = Behaviour(headers={"Set-Cookie": "session=1; Path=/"})

    read(storage, FIRST)
    read(storage, FIRST)

    for request in file_server.requests:
        assert not {"authorization", "cookie"} & set(request.headers)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        pytest.param("user:pass%2Fword", b"user:pass/word", id="quoted"),
        pytest.param("us%E2%82%AC:p", b"us\xe2\x82\xac:p", id="not-latin-1"),
        pytest.param("user", b"user:", id="no-password"),
    ],
)
def test_user_and_password_of_the_url_are_used(
    file_server: FileServer, named: str, meant: bytes
) -> None:
    file_server.objects["/a"] = CONTENT
    url = file_server.url("/a").replace("//", f"//{named}@")
    storage = connect(url)

    read(storage, WHOLE)
    storage.close()

    (request,) = file_server.requests
    given = base64.b64encode(meant).decode()
    assert request.headers["authorization"] == f"Basic {given}"


def test_password_and_signature_show_nowhere(
    file_server: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = file_server.sign("/a").replace("//", "//user:PLANTED_SECRET_KEY@", 1)
    file_server.close()
    storage = connect(url)

    with pytest.raises(Retry) as caught:
        storage.ask(FIRST)
    storage.close()

    shown = f"{caught.value} {caught.value.__cause__} {caplog.text}"
    assert not [secret for secret in PLANTED_SECRETS if secret in shown]


def test_nothing_of_a_query_is_logged(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    read(storage, FIRST)

    assert not [secret for secret in PLANTED_SECRETS if secret in caplog.text]


# Proxies


@pytest.fixture
def through_proxy(
    file_server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Storage]]:
    """Make the file server the proxy of all hosts."""
    monkeypatch.setenv("HTTP_PROXY", f"http://me:word@127.0.0.1:{file_server.port}")
    monkeypatch.setenv("NO_PROXY", "direct.example")
    monkeypatch.delenv("no_proxy", raising=False)
    opened = []

    def make(url: str) -> Storage:
        opened.append(connect(url))
        return opened[-1]

    yield make
    for storage in opened:
        storage.close()


def test_a_proxy_is_used_with_its_password_and_the_url_as_it_is(
    file_server: FileServer, through_proxy: Callable[[str], Storage]
) -> None:
    target = "/bucket/model.bin?X=%2f%7E"
    file_server.objects["/bucket/model.bin"] = CONTENT

    assert read(through_proxy(f"http://storage.invalid{target}"), FIRST)

    (request,) = file_server.requests
    given = base64.b64encode(b"me:word").decode()
    assert (request.proxied_to, request.target) == ("storage.invalid", target)
    assert request.headers["proxy-authorization"] == f"Basic {given}"
    assert "authorization" not in request.headers


def test_no_proxy_is_used_where_it_must_not_be(
    file_server: FileServer,
    through_proxy: Callable[[str], Storage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file_server.objects["/a"] = CONTENT

    assert read(through_proxy(file_server.url("/a")), FIRST)

    assert file_server.requests[0].proxied_to is None


def test_a_proxy_that_is_gone_is_named_as_one(
    file_server: FileServer, through_proxy: Callable[[str], Storage]
) -> None:
    file_server.close()

    with pytest.raises(Retry, match="proxy"):
        through_proxy("http://storage.invalid/a").ask(FIRST)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_the_range(
    storage: Storage, file_server: FileServer, status: int
) -> None:
    file_server.behaviour = Behaviour(
        redirect=Redirect(status, host="localhost"), etag='"etag"'
    )

    assert read(storage, LATER) == CONTENT[100:200]

    _, request = file_server.requests
    assert request.headers["range"] == "bytes=100-199"
    assert request.headers["host"] == f"localhost:{file_server.port}"
    assert file_server.mangled == []


def test_the_password_of_one_host_does_not_go_to_another(
    file_server: FileServer,
) -> None:
    file_server.objects["/a"] = CONTENT
    file_server.behaviour = Behaviour(redirect=Redirect(host="localhost"))
    storage = connect(file_server.url("/a").replace("//", "//user:secret@"))

    read(storage, WHOLE)
    storage.close()

    first, second = file_server.requests
    assert "authorization" in first.headers
    assert "authorization" not in second.headers


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/a",
        "http://[fd00:ec2::254]/a",
        "http://2852039166/",
        "http://metadata.google.internal/",
        "http://%31%36%39.254.169.254/",
        "http://169%2e254.169.254/",
        "http://%6detadata.google.internal/",
        "http://lo%63alhost/",
        "http://127.0.0.1:0/a",
        "http://127.0.0.1:99999/a",
        "http://[/a",
        "http://host/\xe9",
    ],
)
def test_redirects_to_where_no_file_lies_are_refused(
    storage: Storage, file_server: FileServer, location: str
) -> None:
    file_server.behaviour = Behaviour(redirect=Redirect(location=location))

    with pytest.raises(DownloadError, match="storage redirects to"):
        storage.ask(FIRST)

    assert len(file_server.requests) == 1


def test_a_redirect_shows_no_query(storage: Storage, file_server: FileServer) -> None:
    location = "ftp://user:PLANTED_SECRET_KEY@host/a?sig=PLANTED_SECRET_SIGNATURE"
    file_server.behaviour = Behaviour(redirect=Redirect(location=location))

    with pytest.raises(DownloadError, match="'ftp://host/a'"):
        storage.ask(FIRST)


def test_redirects_end(storage: Storage, file_server: FileServer) -> None:
    file_server.behaviour = Behaviour(redirect=Redirect(hops=6))

    with pytest.raises(DownloadError, match="more than 5 redirects"):
        storage.ask(FIRST)


# What is answered


def test_an_answer_tells_where_it_lies_in_the_file(storage: Storage) -> None:
    with storage.ask(LATER) as answer:
        assert answer.content_range == ContentRange(100, 200, 1000)
        assert (answer.whole, answer.etag) == (False, '"etag"')


def test_a_range_beyond_the_end_ends_with_the_file(storage: Storage) -> None:
    with storage.ask(replace(FIRST, stop=5000)) as answer:
        assert answer.content_range == ContentRange(0, 1000, 1000)


def test_less_than_asked_for_is_an_answer(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(range_limit=30)

    with storage.ask(FIRST) as answer:
        assert answer.content_range == ContentRange(0, 30, 1000)


@one_by_one
def test_a_200_to_the_first_range_is_the_whole(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(ranges=False)

    with storage.ask(FIRST) as answer:
        assert answer.whole
        assert answer.content_range == ContentRange(0, 1000, 1000)
        assert b"".join(answer.chunks()) == CONTENT


@one_by_one
def test_an_answer_without_a_length_ends_with_its_body(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(ranges=False, framing="chunked")

    with storage.ask(FIRST) as answer:
        assert answer.content_range == ContentRange(0, None, None)


@pytest.mark.parametrize(
    ("etag", "taken"),
    [('"etag"', '"etag"'), ('W/"etag"', None), ("etag", None), (None, None)],
)
def test_only_a_strong_etag_counts(
    storage: Storage, file_server: FileServer, etag: str | None, taken: str | None
) -> None:
    file_server.behaviour = Behaviour(etag=etag)

    with storage.ask(FIRST) as answer:
        assert answer.etag == taken


def test_the_md5_of_a_range_is_not_taken_for_that_of_the_file(
    storage: Storage, file_server: FileServer
) -> None:
    headers = {"Content-MD5": "of the range", "x-ms-blob-content-md5": "of the file"}
    file_server.behaviour = Behaviour(headers=headers)

    with storage.ask(FIRST) as answer:
        assert answer.content_md5 == "of the file"


START_OVER = [
    pytest.param(LATER, Behaviour(ranges=False), id="200-to-a-later-range"),
    pytest.param(LATER, Behaviour(start_shift=1), id="another-start"),
    pytest.param(LATER, Behaviour(total_shift=1), id="another-total"),
    pytest.param(LATER, Behaviour(etag='"new"', if_match=False), id="another-etag"),
    pytest.param(LATER, Behaviour(etag='"new"'), id="412"),
    pytest.param(FIRST, Behaviour(refuse_ranges=True), id="416"),
    pytest.param(FIRST, Behaviour(gzip=True), id="206-gzip"),
    pytest.param(FIRST, Behaviour(resize=1), id="206-too-long"),
    pytest.param(FIRST, Behaviour(headers={"Content-Range": None}), id="206-of-what"),
    pytest.param(
        FIRST,
        Behaviour(headers={"Content-Range": "bytes 0-100/1000"}),
        id="206-of-more",
    ),
    pytest.param(
        FIRST, Behaviour(headers={"Content-Range": "bytes 0-99/*"}), id="206-no-total"
    ),
    pytest.param(
        WHOLE,
        Behaviour(status=206, headers={"Content-Range": "bytes 0-9/10"}),
        id="206-unasked",
    ),
    pytest.param(
        replace(WHOLE, size=999), Behaviour(etag='"etag"'), id="200-of-another-size"
    ),
    pytest.param(replace(WHOLE, etag='"x"'), Behaviour(), id="200-of-another-etag"),
]


@pytest.mark.parametrize(("range_request", "behaviour"), START_OVER)
def test_what_does_not_fit_is_thrown_away(
    storage: Storage,
    file_server: FileServer,
    range_request: RangeRequest,
    behaviour: Behaviour,
) -> None:
    file_server.behaviour = behaviour

    with pytest.raises(RestartNeeded):
        storage.ask(range_request)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_busy_server_may_be_asked_again(
    storage: Storage, file_server: FileServer, status: int
) -> None:
    file_server.behaviour = busy(status, retry_after=7)

    with pytest.raises(Retry, match=str(status)) as caught:
        storage.ask(FIRST)

    assert (caught.value.headers or {})["Retry-After"] == "7"


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(ACCESS_DENIED, id="403"),
        pytest.param(s3_error(401, "Unauthorized"), id="401"),
        pytest.param(REQUEST_EXPIRED, id="403-expired"),
        pytest.param(TOKEN_EXPIRED, id="400-expired"),
    ],
)
def test_a_refusal_names_the_links_that_were_refused(
    storage: Storage, file_server: FileServer, behaviour: Behaviour
) -> None:
    storage.signed_urls.renew(0)
    file_server.behaviour = behaviour

    with pytest.raises(LinkRejected) as caught:
        storage.ask(FIRST)

    assert caught.value.generation == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(replace(TOKEN_EXPIRED, gzip=True), id="encoded"),
        pytest.param(
            replace(TOKEN_EXPIRED, headers={"Content-Encoding": "gzip"}),
            id="not-encoded-as-said",
        ),
        pytest.param(
            replace(TOKEN_EXPIRED, reply=TOKEN_EXPIRED.reply + bytes(3 << 20)),
            id="large",
        ),
        pytest.param(
            replace(
                TOKEN_EXPIRED,
                reply=TOKEN_EXPIRED.reply + bytes(3 << 20),
                framing="chunked",
            ),
            id="large-in-chunks",
        ),
    ],
)
def test_an_expired_link_is_known_by_the_start_of_its_error(
    storage: Storage, file_server: FileServer, behaviour: Behaviour
) -> None:
    file_server.behaviour = behaviour

    with pytest.raises(LinkRejected):
        storage.ask(FIRST)


def test_a_large_error_without_a_link_that_has_expired_is_final(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(status=404, reply=bytes(3 << 20))

    with pytest.raises(DownloadError, match="it is not in storage"):
        storage.ask(FIRST)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        pytest.param(NO_SUCH_KEY, "it is not in storage", id="404"),
        pytest.param(s3_error(400, "InvalidRequest"), "400 Bad Request", id="400"),
        pytest.param(Behaviour(status=416), "416", id="416-to-the-whole"),
        pytest.param(Behaviour(status=304), "304 Not Modified", id="304"),
        pytest.param(Behaviour(status=599), "599", id="599"),
    ],
)
def test_what_cannot_succeed_is_final(
    storage: Storage, file_server: FileServer, behaviour: Behaviour, words: str
) -> None:
    file_server.behaviour = behaviour

    with pytest.raises(DownloadError, match=f"'model.bin': .*{words}"):
        storage.ask(WHOLE)


# Bodies


@one_by_one
def test_a_body_comes_in_chunks_worth_a_write(file_server: FileServer) -> None:
    content = noise(5 * CHUNK_BYTES)
    file_server.objects["/a"] = content
    storage = connect(file_server.url("/a"))

    with storage.ask(WHOLE) as answer:
        sizes = [len(chunk) for chunk in answer.chunks()]
    storage.close()

    assert sum(sizes) == len(content)
    assert min(sizes[:-1]) >= CHUNK_BYTES


@one_by_one
@pytest.mark.clock
def test_a_slow_body_is_handed_on_now_and_then(file_server: FileServer) -> None:
    file_server.objects["/a"] = noise(100_000)
    file_server.behaviour = Behaviour(bytes_per_s=50_000)  # for two seconds
    storage = connect(file_server.url("/a"))

    with storage.ask(WHOLE) as answer:
        chunks = list(answer.chunks())
    storage.close()

    assert 2 <= len(chunks) <= 5


@one_by_one
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_came_before_a_cut_is_handed_on(
    storage: Storage, file_server: FileServer, reset: bool, framing: str
) -> None:
    file_server.behaviour = Behaviour(cut_after=600, reset=reset, framing=framing)  # type: ignore[arg-type]
    got = []

    with storage.ask(WHOLE) as answer, pytest.raises(Retry):
        got.extend(answer.chunks())

    assert b"".join(got) == CONTENT[:600]


def test_an_encoding_is_undone_or_left_as_it_is_wanted(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(gzip=True)

    assert read(storage, WHOLE) == CONTENT
    assert read(storage, replace(WHOLE, decode=False))[:2] == b"\x1f\x8b"


def test_a_body_that_is_not_encoded_as_it_says_is_thrown_away(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(headers={"Content-Encoding": "gzip"})

    with pytest.raises(RestartNeeded, match="cannot be decoded"):
        read(storage, WHOLE)


# Connections


def test_a_connection_is_used_again_after_its_answer_was_read(
    storage: Storage, file_server: FileServer
) -> None:
    for _ in range(5):
        read(storage, FIRST)

    assert {request.connection for request in file_server.requests} == {1}


@one_by_one
def test_a_connection_is_not_used_again_in_the_middle_of_an_answer(
    storage: Storage, file_server: FileServer
) -> None:
    file_server.objects["/bucket/model.bin"] = noise(50 << 20)

    with storage.ask(WHOLE):
        pass
    read(storage, FIRST)

    assert {request.connection for request in file_server.requests} == {1, 2}
