"""Requests from any number of threads, which can be ended, and their connections."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
import storages
from fetching import noise
from gate import Authority, Gate
from servers import Behaviour, FileServer, wait_until
from storages import read

from dvc_studio_models.http.response import RangeRequest, Retry
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.reliability("Connections")

CONTENT = noise(100_000)
OBJECT = "/bucket/model.bin"
WHOLE = RangeRequest("model.bin", 0, None)


@pytest.fixture
def server(file_server: FileServer) -> FileServer:
    file_server.objects[OBJECT] = CONTENT
    return file_server


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    return authority


@contextlib.contextmanager
def connected(url: str, *, idle_s: float = 1) -> Iterator[Storage]:
    storage = storages.connect(url, idle_s=idle_s)
    try:
        yield storage
    finally:
        storage.close()


class Getting:
    """A GET on a thread of its own; records its error."""

    def __init__(self, storage: Storage) -> None:
        self.error: Exception | None = None
        self._storage = storage
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            read(self._storage, WHOLE)
        except Retry as error:
            self.error = error

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


# Silence, and the end


@pytest.mark.clock
def test_a_head_that_drips_is_silence(server: FileServer) -> None:
    server.behaviour = Behaviour(header_drip_s=0.2)  # a minute for all of it
    with connected(server.url(OBJECT)) as storage:
        getting = Getting(storage)
        began = time.monotonic()

        assert getting.ends_within(30)

    assert 0.9 < time.monotonic() - began < 8
    assert "no data for too long" in str(getting.error)


@pytest.mark.clock
def test_a_head_that_comes_in_time_is_left_alone(server: FileServer) -> None:
    server.behaviour = Behaviour(bytes_per_s=50_000)  # 2 s for the body
    with connected(server.url(OBJECT)) as storage:
        getting = Getting(storage)

        assert getting.ends_within(30)

    assert getting.error is None


@pytest.mark.clock
def test_a_reader_that_is_slow_is_no_silence(server: FileServer) -> None:
    server.objects[OBJECT] = noise(20 << 20)
    with (
        connected(server.url(OBJECT), idle_s=0.2) as storage,
        storage.ask(WHOLE) as response,
    ):
        chunks = response.chunks()
        got = len(next(chunks))
        time.sleep(0.6)

        assert got + sum(map(len, chunks)) == 20 << 20


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(no_answer=True), id="before-the-answer"),
        pytest.param(Behaviour(stall_after=9), id="in-the-body"),
        pytest.param(Behaviour(stall_after=9, keep_alive=False), id="in-the-last-body"),
        pytest.param(Behaviour(endless=True, framing="close"), id="endless"),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_requests_in_other_threads_can_be_ended(
    server: FileServer, trusted: Authority, behaviour: Behaviour, tls: bool
) -> None:
    server.behaviour = behaviour
    with Gate(server.port, trusted.issue()) as gate:
        url = server.url(OBJECT)
        if tls:
            url = f"https://127.0.0.1:{gate.port}{OBJECT}"
        with connected(url, idle_s=60) as storage:
            getting = Getting(storage)
            wait_until(lambda: bool(server.requests))
            time.sleep(0.1)

            storage.stop()

            assert getting.ends_within(5)
            assert getting.error is not None


def test_a_request_after_the_end_is_not_answered(server: FileServer) -> None:
    server.behaviour = Behaviour(no_answer=True)
    with connected(server.url(OBJECT), idle_s=60) as storage:
        storage.stop()

        with pytest.raises(Retry):
            storage.ask(WHOLE)


# Connections


def test_closing_leaves_no_connection(server: FileServer) -> None:
    with connected(server.url(OBJECT)) as storage:
        read(storage, WHOLE)
        assert server._connections

    wait_until(lambda: not server._connections)


def test_a_response_that_outlives_its_storage_leaves_no_connection(
    server: FileServer,
) -> None:
    with connected(server.url(OBJECT)) as storage:
        response = storage.ask(WHOLE)
    with response:
        assert b"".join(response.chunks()) == CONTENT

    wait_until(lambda: not server._connections)


def test_users_of_one_host_share_its_connections(server: FileServer) -> None:
    urls = {
        user: server.url(OBJECT).replace("//", f"//{user}", 1)
        for user in ("", "a@", "b@")
    }
    files = [ModelFile(user, url) for user, url in urls.items()]
    storage = Storage(SignedUrls(files, dict), connections=1, idle_s=5)
    for user in urls:
        read(storage, RangeRequest(user, 0, None))
    storage.close()

    assert {request.connection for request in server.requests} == {1}
    sent = [request.headers.get("authorization") for request in server.requests]
    assert [bool(header) for header in sent] == [False, True, True]


def test_more_threads_than_connections_are_served(server: FileServer) -> None:
    with connected(server.url(OBJECT), idle_s=5) as storage:
        threads = [Getting(storage) for _ in range(8)]

        assert all(thread.ends_within(10) for thread in threads)
        assert [thread.error for thread in threads] == [None] * 8
        wait_until(lambda: len(server._connections) <= 2)
