"""Many requests for small bodies, driven by one thread."""

from __future__ import annotations

import gzip
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from fetching import noise
from servers import Behaviour, FileServer, Redirect, wait_until
from servers.raw import RawServer

from dvc_studio_models.errors import DownloadError, StudioUnreachableError
from dvc_studio_models.http.batch import Body
from dvc_studio_models.http.response import (
    NotEncoded,
    RangeRequest,
    RestartNeeded,
    Retry,
    TooLarge,
)
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dvc_studio_models.http.batch import Result, StorageBatch

pytestmark = pytest.mark.reliability("Requests by the batch")

LIMIT = 1000
CONTENTS = {f"{n}.bin": noise(n) for n in range(1, 201)}


class Batch:
    """A batch to a server, with the results that it has returned."""

    def __init__(self, urls: dict[str, str], *, idle_s: float = 10) -> None:
        files = [ModelFile(path, url) for path, url in urls.items()]
        self.urls = SignedUrls(files, dict)
        self.storage = Storage(self.urls, connections=1, idle_s=idle_s)
        self.batch: StorageBatch = self.storage.batch()

    def results(self, paths: Iterable[str], limit: int = LIMIT) -> dict[str, object]:
        for path in paths:
            self.batch.add(RangeRequest(path, 0, limit))
        done: list[Result] = []
        while self.batch.active:
            done += self.batch.wait(10)
        return {request.path: result for request, result in done}

    def result(self, path: str = "m", limit: int = LIMIT) -> object:
        return self.results([path], limit)[path]

    def close(self) -> None:
        self.batch.close()
        self.storage.close()


@pytest.fixture
def batches() -> Iterator[list[Batch]]:
    batches: list[Batch] = []
    yield batches
    for batch in batches:
        batch.close()


@pytest.fixture
def many(file_server: FileServer, batches: list[Batch]) -> Batch:
    """200 files of different sizes."""
    file_server.objects.update({f"/{path}": data for path, data in CONTENTS.items()})
    urls = {path: file_server.sign(f"/{path}") for path in CONTENTS}
    batches.append(Batch(urls))
    return batches[0]


def one(server: FileServer, batches: list[Batch], *, idle_s: float = 10) -> Batch:
    server.objects["/m"] = noise(100)
    batches.append(Batch({"m": server.sign("/m")}, idle_s=idle_s))
    return batches[-1]


def test_all_files_arrive(many: Batch) -> None:
    results = many.results(CONTENTS)

    assert many.batch.wait(0) == []
    bodies = {path: body.data for path, body in results.items()}  # type: ignore[attr-defined]
    assert bodies == CONTENTS


def test_connections_are_used_again(many: Batch, file_server: FileServer) -> None:
    for paths in (list(CONTENTS)[:5], list(CONTENTS)[5:10], list(CONTENTS)[10:15]):
        many.results(paths)

    assert len({request.connection for request in file_server.requests}) <= 5


def test_a_failure_leaves_the_others_alone(
    many: Batch, file_server: FileServer
) -> None:
    file_server.behaviours["/7.bin"] = Behaviour(cut_after=3)

    results = many.results(CONTENTS)

    assert isinstance(results.pop("7.bin"), Retry)
    assert all(isinstance(body, Body) for body in results.values())


def test_a_request_follows_another_of_the_same_handle_unchanged(
    file_server: FileServer, batches: list[Batch]
) -> None:
    batch = one(file_server, batches)
    whole, ranged = RangeRequest("m", 0, None), RangeRequest("m", 5, 9, 100, '"e"')
    file_server.behaviour = Behaviour(etag='"e"')

    for request in (ranged, whole, ranged, whole):
        batch.batch.add(request)
        while not (done := batch.batch.wait(10)):
            pass
        assert isinstance(done[0][1], Body)

    sent = [
        (r.headers.get("range"), r.headers.get("if-match"))
        for r in file_server.requests
    ]
    assert sent == [("bytes=5-8", '"e"'), (None, None)] * 2


# Bodies that are larger than requested


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(ranges=False), id="announced"),
        pytest.param(Behaviour(ranges=False, framing="chunked"), id="chunked"),
        pytest.param(Behaviour(ranges=False, framing="close"), id="until-the-end"),
        pytest.param(Behaviour(endless=True, ranges=False), id="endless-announced"),
        pytest.param(
            Behaviour(endless=True, ranges=False, framing="close"), id="endless"
        ),
    ],
)
def test_a_body_that_is_larger_than_requested_is_not_taken(
    file_server: FileServer, batches: list[Batch], behaviour: Behaviour
) -> None:
    file_server.behaviour = behaviour
    batch = one(file_server, batches)
    file_server.objects["/m"] = noise(LIMIT + 1)

    assert isinstance(batch.result(), TooLarge)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_whole_body_that_fits_is_taken(
    file_server: FileServer, batches: list[Batch], framing: str
) -> None:
    file_server.behaviour = Behaviour(ranges=False, framing=framing)  # type: ignore[arg-type]
    body = one(file_server, batches).result()

    assert isinstance(body, Body)
    assert (body.whole, body.data) == (True, noise(100))


def test_a_redirect_with_an_endless_body_is_followed(
    file_server: FileServer, batches: list[Batch]
) -> None:
    batch = one(file_server, batches)
    file_server.objects["/n"] = noise(100)
    target = Redirect(location=file_server.url("/n"))
    file_server.behaviours["/m"] = Behaviour(redirect=target, endless=True)

    assert isinstance(batch.result(), Body)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_an_encoded_body_is_decoded(
    file_server: FileServer, batches: list[Batch], framing: str
) -> None:
    file_server.behaviour = Behaviour(ranges=False, gzip=True, framing=framing)  # type: ignore[arg-type]

    body = one(file_server, batches).result()

    assert isinstance(body, Body)
    assert (body.whole, body.data) == (True, noise(100))


def test_a_body_that_is_larger_once_decoded_is_not_taken(
    file_server: FileServer, batches: list[Batch]
) -> None:
    file_server.behaviour = Behaviour(ranges=False, gzip=True)
    batch = one(file_server, batches)
    file_server.objects["/m"] = bytes(LIMIT)
    assert isinstance(batch.result(), Body)

    file_server.objects["/m"] = bytes(LIMIT + 1)
    assert isinstance(batch.result(), TooLarge)


@pytest.mark.parametrize("data", [noise(100), gzip.compress(noise(100))[:-1]])
def test_a_body_that_cannot_be_decoded_is_told(
    batches: list[Batch], data: bytes
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n"
    encoded = f"{head}Content-Encoding: gzip\r\n\r\n".encode()
    with RawServer(lambda _: [encoded, data]) as server:
        batches.append(Batch({"m": f"{server.origin}/m"}))

        assert isinstance(batches[-1].result(), NotEncoded)


def test_more_chunks_than_the_length_are_not_taken(batches: list[Batch]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    with RawServer(lambda _: [head, b"5\r\nabcde\r\n0\r\n\r\n"]) as server:
        batches.append(Batch({"m": f"{server.origin}/m"}))
        result = batches[-1].result()

    assert isinstance(result, RestartNeeded)


# Silence


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(no_answer=True), id="no-answer"),
        pytest.param(Behaviour(header_drip_s=0.2), id="dripping-head"),
        pytest.param(Behaviour(stall_after=9), id="stall"),
        pytest.param(
            Behaviour(status=403, reply=bytes(100), bytes_per_s=2), id="dripping-error"
        ),
    ],
)
def test_silence_ends_a_request(
    file_server: FileServer, batches: list[Batch], behaviour: Behaviour
) -> None:
    file_server.behaviour = behaviour
    batch = one(file_server, batches, idle_s=1)
    began = time.monotonic()

    result = batch.result()

    assert 0.9 < time.monotonic() - began < 8
    if behaviour.status is None:
        assert isinstance(result, Retry)
        assert "no data for too long" in str(result)


@pytest.mark.clock
def test_a_slow_body_is_no_silence(
    file_server: FileServer, batches: list[Batch]
) -> None:
    file_server.behaviour = Behaviour(bytes_per_s=50)  # two seconds
    batch = one(file_server, batches, idle_s=1)

    assert isinstance(batch.result(), Body)
    assert batch.batch.waited_s > 1


@pytest.mark.clock
def test_waiting_ends_in_time(file_server: FileServer, batches: list[Batch]) -> None:
    file_server.behaviour = Behaviour(no_answer=True)
    batch = one(file_server, batches).batch
    batch.add(RangeRequest("m", 0, 10))
    began = time.monotonic()

    assert batch.wait(0.5) == []
    assert 0.4 < time.monotonic() - began < 4
    assert batch.active == 1


def test_closing_ends_requests_and_connections(
    file_server: FileServer, batches: list[Batch]
) -> None:
    file_server.behaviour = Behaviour(no_answer=True)
    batch = one(file_server, batches)
    batch.batch.add(RangeRequest("m", 0, 10))
    wait_until(lambda: not batch.batch.wait(0) and bool(file_server.requests))

    batch.batch.close()

    wait_until(lambda: not file_server._connections)


HANGING = "HTTP/1.1 {status} x\r\nContent-Length: 99999\r\n{more}\r\n"


@pytest.mark.clock
@pytest.mark.parametrize(
    ("status", "sent", "kind"),
    [
        pytest.param(404, 9, DownloadError, id="error"),
        pytest.param(400, 5000, DownloadError, id="enough-of-an-error"),
        pytest.param(302, 9, Body, id="redirect"),
        pytest.param(302, 0, Body, id="redirect-without-a-byte"),
    ],
)
def test_an_unwanted_body_is_not_waited_for(
    file_server: FileServer,
    batches: list[Batch],
    status: int,
    sent: int,
    kind: type[object],
) -> None:
    one(file_server, batches)
    more = f"Location: {file_server.url('/m')}\r\n" if status == 302 else ""
    ended = threading.Event()

    def answer(_: str) -> Iterator[bytes]:
        yield HANGING.format(status=status, more=more).encode() + bytes(sent)
        ended.wait(30)

    with RawServer(answer) as server:
        batches.append(Batch({"m": f"{server.origin}/m"}, idle_s=20))
        began = time.monotonic()
        result = batches[-1].result(limit=100_000)
        took_s = time.monotonic() - began
        ended.set()

    assert isinstance(result, kind)
    assert took_s < 8


@pytest.mark.clock
@pytest.mark.parametrize(("status", "counted"), [(404, 0), (200, 9)])
def test_only_bytes_of_content_are_received(
    batches: list[Batch], status: int, counted: int
) -> None:
    ended = threading.Event()

    def answer(_: str) -> Iterator[bytes]:
        yield HANGING.format(status=status, more="").encode() + bytes(9)
        ended.wait(30)

    with RawServer(answer) as server:
        batches.append(Batch({"m": f"{server.origin}/m"}))
        batch = batches[-1].batch
        batch.add(RangeRequest("m", 0, 100_000))
        assert batch.wait(0.5) == []
        received = batch.received
        ended.set()

    assert received == counted


def test_a_body_that_is_cut_is_told_with_its_host(batches: list[Batch]) -> None:
    head = b"HTTP/1.1 206 x\r\nContent-Range: bytes 0-9/10\r\nConnection: close\r\n\r\n"
    with RawServer(lambda _: [head, b"12345"]) as server:
        batches.append(Batch({"m": f"{server.origin}/m"}))
        result = batches[-1].result()

    host = server.origin.partition("//")[2]
    assert isinstance(result, Retry)
    assert str(result) == f"storage at '{host}': the connection was cut"


# What fails before a request is sent


def test_an_error_of_studio_is_returned(batches: list[Batch]) -> None:
    def refuse() -> dict[str, str]:
        raise StudioUnreachableError("https://studio", "no answer")

    clock = [0.0]
    urls = {"m": "http://127.0.0.1:1/?X-Amz-Date=20260101T000000Z&X-Amz-Expires=60"}
    batches.append(Batch(urls))
    files = [ModelFile("m", urls["m"])]
    signed = SignedUrls(files, refuse, clock=lambda: clock[0])
    signed.observe_date("Thu, 01 Jan 2026 00:00:00 GMT")
    clock[0] = 59
    batches[-1].batch._signed_urls = signed

    assert isinstance(batches[-1].result(), StudioUnreachableError)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("HTTP_PROXY", "gopher://h:1", "cannot be used", id="scheme"),
        pytest.param("HTTP_PROXY", "http://h:99999", "cannot be used", id="port"),
        pytest.param("HTTP_PROXY", "http://a..b", "cannot be used", id="host"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_final(
    batches: list[Batch],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, value)
    batches.append(Batch({"m": "http://storage.invalid/m"}))

    result = batches[-1].result()

    assert isinstance(result, DownloadError)
    assert words in str(result)


def test_many_open_files_hide_no_connection(
    file_server: FileServer, batches: list[Batch]
) -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1000)]
    try:
        batch = one(file_server, batches)

        assert isinstance(batch.result(), Body)
    finally:
        for descriptor in held:
            os.close(descriptor)
