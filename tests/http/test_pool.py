"""Connections are made as requests makes them, and can be ended."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest
import requests
from fetching import noise
from gate import NOW, Authority, Gate
from servers import Behaviour, FileServer, Redirect, wait_until

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.pool import ConnectionPools, as_requests_errors
from dvc_studio_models.http.response import RangeRequest
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.reliability("Connections")

CONTENT = noise(100_000)


OBJECT = "/bucket/model.bin"
DAY = dt.timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(file_server: FileServer) -> FileServer:
    file_server.objects[OBJECT] = CONTENT
    return file_server


@pytest.fixture
def pools() -> Iterator[ConnectionPools]:
    pools = ConnectionPools(connections=4, idle_s=1)
    yield pools
    pools.close()


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    return authority


def get(pools: ConnectionPools, url: str) -> bytes:
    with as_requests_errors():
        response = pools.get(url, {})
        try:
            return response.read()
        finally:
            response.close()


def ask(url: str) -> None:
    storage = Storage(
        SignedUrls([ModelFile("model.bin", url)], dict), connections=1, idle_s=5
    )
    try:
        storage.ask(RangeRequest("model.bin", 0, 10))
    finally:
        storage.close()


# TLS


def test_a_bundle_of_the_users_is_trusted(
    pools: ConnectionPools, server: FileServer, trusted: Authority
) -> None:
    with Gate(server.port, trusted.issue()) as gate:
        assert get(pools, f"https://127.0.0.1:{gate.port}{OBJECT}") == CONTENT


def test_a_bundle_is_read_once_for_all_connections(
    pools: ConnectionPools, server: FileServer, trusted: Authority
) -> None:
    server.behaviour = Behaviour(keep_alive=False)
    with Gate(server.port, trusted.issue()) as gate:
        url = f"https://127.0.0.1:{gate.port}{OBJECT}"
        get(pools, url)
        trusted.bundle.write_text("")

        assert get(pools, url) == CONTENT
        assert gate.connections == 2


@pytest.mark.parametrize(
    ("host", "until", "words"),
    [
        pytest.param("other.example", NOW + DAY, "IP address mismatch", id="host"),
        pytest.param("127.0.0.1", NOW - DAY, "certificate has expired", id="expired"),
    ],
)
def test_a_certificate_that_is_wrong_ends_all_at_once(
    server: FileServer,
    trusted: Authority,
    host: str,
    until: dt.datetime,
    words: str,
) -> None:
    with (
        Gate(server.port, trusted.issue(host, until=until)) as gate,
        pytest.raises(DownloadError, match=f"TLS certificate refused: {words}"),
    ):
        ask(f"https://127.0.0.1:{gate.port}{OBJECT}")

    assert gate.connections == 1
    assert server.requests == []


def test_a_certificate_of_nobody_ends_all_at_once(
    server: FileServer, authority: Authority
) -> None:
    with (
        Gate(server.port, authority.issue()) as gate,
        pytest.raises(DownloadError, match="TLS certificate refused: "),
    ):
        ask(f"https://127.0.0.1:{gate.port}{OBJECT}")

    assert server.requests == []


def test_a_bundle_that_is_not_there_is_told(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")

    with pytest.raises(DownloadError, match="REQUESTS_CA_BUNDLE"):
        ask(f"https://127.0.0.1:{server.port}{OBJECT}")


def test_tls_is_not_left_by_a_redirect(server: FileServer, trusted: Authority) -> None:
    server.behaviour = Behaviour(redirect=Redirect(location=server.url(OBJECT)))

    with (
        Gate(server.port, trusted.issue()) as gate,
        pytest.raises(
            DownloadError, match=r"redirects to 'http://.*', which is refused"
        ),
    ):
        ask(f"https://127.0.0.1:{gate.port}{OBJECT}")


def test_a_redirect_may_lead_into_tls(server: FileServer, trusted: Authority) -> None:
    with Gate(server.port, trusted.issue()) as gate:
        target = f"https://127.0.0.1:{gate.port}/other"
        server.objects["/other"] = CONTENT
        server.behaviours[OBJECT] = Behaviour(redirect=Redirect(location=target))

        ask(server.url(OBJECT))

    assert [request.path for request in server.requests] == [OBJECT, "/other"]


def test_tls_goes_through_a_tunnel_of_the_proxy(
    pools: ConnectionPools,
    server: FileServer,
    trusted: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "nowhere.example")
    with (
        Gate(server.port, trusted.issue("storage.example")) as storage,
        Gate(storage.port) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@127.0.0.1:{proxy.port}")

        got = get(pools, f"https://storage.example{OBJECT}?X=%2f")

    (head,) = proxy.connects
    (request,) = server.requests
    assert got == CONTENT
    assert head.startswith("CONNECT storage.example:443 ")
    assert "Proxy-Authorization: Basic " in head
    assert "proxy-authorization" not in request.headers
    assert request.target == f"{OBJECT}?X=%2f"


# Failures are requests' own


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://127.0.0.1:1/a", "ConnectionError", id="refused"),
        pytest.param("http://nowhere.invalid/a", "ConnectionError", id="no-such-host"),
        pytest.param(f"http://{'a' * 300}/a", "InvalidURL", id="no-host-at-all"),
        pytest.param("ftp://127.0.0.1/a", "InvalidSchema", id="no-such-scheme"),
    ],
)
def test_what_fails_on_the_way_is_told_as_requests_does(
    pools: ConnectionPools, url: str, kind: str
) -> None:
    with pytest.raises(getattr(requests.exceptions, kind)):
        pools.get(url, {})


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        pytest.param(Behaviour(no_answer=True), "ReadTimeout", id="no-answer"),
        pytest.param(Behaviour(stall_after=9), "ReadTimeout", id="stall"),
        pytest.param(Behaviour(cut_after=9), "ConnectionError", id="cut"),
        pytest.param(
            Behaviour(close_before_answer=True), "ConnectionError", id="close"
        ),
        pytest.param(
            Behaviour(headers={"Content-Encoding": "gzip"}),
            "ContentDecodingError",
            id="not-gzip",
        ),
    ],
)
def test_what_fails_in_an_answer_is_told_as_requests_does(
    pools: ConnectionPools, server: FileServer, behaviour: Behaviour, kind: str
) -> None:
    server.behaviour = behaviour

    with pytest.raises(getattr(requests.exceptions, kind)):
        get(pools, server.url(OBJECT))


# Silence, and the end


class Getting:
    """A GET on a thread of its own; records its error."""

    def __init__(self, pools: ConnectionPools, url: str) -> None:
        self.error: Exception | None = None
        self._pools, self._url = pools, url
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            get(self._pools, self._url)
        except requests.RequestException as error:
            self.error = error

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


@pytest.mark.clock
def test_a_head_that_drips_is_silence(
    pools: ConnectionPools, server: FileServer
) -> None:
    server.behaviour = Behaviour(header_drip_s=0.2)  # a minute for all of it
    getting = Getting(pools, server.url(OBJECT))
    began = time.monotonic()

    assert getting.ends_within(30)
    assert 0.9 < time.monotonic() - began < 8
    assert isinstance(getting.error, requests.exceptions.ReadTimeout)


@pytest.mark.clock
def test_a_head_that_comes_in_time_is_left_alone(
    pools: ConnectionPools, server: FileServer
) -> None:
    server.behaviour = Behaviour(bytes_per_s=50_000)  # 2 s for the body
    getting = Getting(pools, server.url(OBJECT))

    assert getting.ends_within(30)
    assert getting.error is None


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(no_answer=True), id="before-the-answer"),
        pytest.param(Behaviour(stall_after=9), id="in-the-body"),
        pytest.param(Behaviour(stall_after=9, keep_alive=False), id="in-the-last-body"),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_requests_in_other_threads_can_be_ended(
    server: FileServer, trusted: Authority, behaviour: Behaviour, tls: bool
) -> None:
    server.behaviour = behaviour
    pools = ConnectionPools(connections=1, idle_s=60)
    with Gate(server.port, trusted.issue()) as gate:
        url = server.url(OBJECT)
        if tls:
            url = f"https://127.0.0.1:{gate.port}{OBJECT}"
        getting = Getting(pools, url)
        wait_until(lambda: bool(server.requests))
        time.sleep(0.1)

        pools.cut_all()

        assert getting.ends_within(5)
    pools.close()


def test_closing_leaves_no_connection(server: FileServer) -> None:
    pools = ConnectionPools(connections=1, idle_s=5)
    get(pools, server.url(OBJECT))

    pools.close()

    wait_until(lambda: not server._connections)


def test_users_of_one_host_share_its_connections(
    pools: ConnectionPools, server: FileServer
) -> None:
    for user in ("", "a@", "b@"):
        get(pools, server.url(OBJECT).replace("//", f"//{user}", 1))

    assert {request.connection for request in server.requests} == {1}


def test_a_full_pool_is_no_matter_of_the_user(
    server: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    pools = ConnectionPools(connections=1, idle_s=5)
    threads = [Getting(pools, server.url(OBJECT)) for _ in range(4)]

    assert all(thread.ends_within(10) for thread in threads)
    pools.close()
    assert "dvc" not in caplog.text
