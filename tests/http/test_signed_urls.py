"""URLs are renewed in time, once for all files, and by the clock of storage."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from servers import FileServer, http_date

from dvc_studio_models.http.response import RangeRequest
from dvc_studio_models.http.signed_urls import MARGIN_S, SignedUrls, expires_at
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIFE_S = 600
OBJECT = "/bucket/model.bin"
WANTED = RangeRequest("model.bin", 0, 10)
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


class Clock:
    """The user's monotonic clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pull:
    """The URL of one file, requested repeatedly while time passes."""

    def __init__(self, server: FileServer, style: str, life_s: float) -> None:
        server.objects[OBJECT] = bytes(100)
        self.server, self.style, self.life_s = server, style, life_s
        self.clock = Clock()
        self.renewals = 0
        files = [ModelFile("model.bin", self.sign())]
        self.links = SignedUrls(files, self.renew, clock=self.clock)
        self.storage = Storage(self.links, connections=1, idle_s=10)

    def sign(self) -> str:
        return self.server.sign(OBJECT, expires_s=self.life_s, style=self.style)  # type: ignore[arg-type]

    def renew(self) -> Mapping[str, str]:
        self.renewals += 1
        return {"model.bin": self.sign()}

    def ask_after(self, seconds: float) -> None:
        self.clock.now += seconds
        with self.storage.ask(WANTED) as answer:
            assert b"".join(answer.chunks()) == bytes(10)


@pytest.fixture(params=["s3", "azure"])
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[0, -5 * 3600, 5 * 3600], ids=["right", "behind", "ahead"])
def server(request: pytest.FixtureRequest) -> Iterator[FileServer]:
    """A clock that differs from ours by hours."""
    with FileServer(clock_offset_s=request.param) as server:
        yield server


def test_a_link_about_to_die_is_renewed_before_it_is_sent(
    server: FileServer, style: str
) -> None:
    pull = Pull(server, style, LIFE_S)

    pull.ask_after(0)
    pull.ask_after(LIFE_S - MARGIN_S + 2)

    first, second = server.requests
    assert pull.renewals == 1
    assert first.target != second.target
    assert server.mangled == []


def test_a_link_that_lives_on_is_used_again(server: FileServer, style: str) -> None:
    pull = Pull(server, style, LIFE_S)

    pull.ask_after(0)
    pull.ask_after(LIFE_S - MARGIN_S - 10)

    assert pull.renewals == 0


def test_links_that_never_live_long_are_used_as_they_are(
    server: FileServer, style: str
) -> None:
    pull = Pull(server, style, MARGIN_S / 2)

    for _ in range(3):
        pull.ask_after(5)

    assert pull.renewals == 0


def test_without_a_date_of_storage_no_link_is_judged(file_server: FileServer) -> None:
    pull = Pull(file_server, "s3", LIFE_S)

    pull.ask_after(LIFE_S * 2)

    assert pull.renewals == 0


def test_threads_that_are_refused_at_once_renew_once() -> None:
    asked = []

    def renew() -> Mapping[str, str]:
        time.sleep(0.2)  # the others come meanwhile
        asked.append(1)
        return {"a": "http://storage/new"}

    links = SignedUrls([ModelFile("a", "http://storage/old")], renew)
    threads = [threading.Thread(target=links.renew, args=(0,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(asked) == 1
    assert links.get("a") == ("http://storage/new", 1)


def test_a_renewal_that_leaves_a_file_out_keeps_its_link() -> None:
    links = SignedUrls([ModelFile("a", "http://storage/a")], dict)

    links.renew(0)

    assert links.get("a") == ("http://storage/a", 1)


S3 = "X-Amz-Date=20261123T120000Z&X-Amz-Expires=60"


@pytest.mark.parametrize(
    ("query", "life_s"),
    [
        pytest.param(S3, 60, id="s3"),
        pytest.param(S3.replace("Amz", "Goog"), 60, id="google"),
        pytest.param("se=2026-11-23T12%3A01%3A00Z&sp=r", 60, id="azure"),
        pytest.param("se=2026-11-23T13%3A01%3A00%2B01%3A00", 60, id="azure-zone"),
        pytest.param("se=2026-11-24", 12 * 3600, id="azure-day"),
        pytest.param(f"Expires={NOON.timestamp() + 60:.0f}", 60, id="s3-of-old"),
        pytest.param(f"expires={NOON.timestamp() + 60:.0f}&sig=x", 60, id="our-own"),
        pytest.param("", None, id="nothing"),
        pytest.param("X-Amz-Date=20261123T120000Z", None, id="s3-without-life"),
        pytest.param("X-Amz-Date=yesterday&X-Amz-Expires=60", None, id="s3-odd"),
        pytest.param("X-Amz-Date=20261123T120000Z&X-Amz-Expires=1e99", None, id="e"),
        pytest.param(f"Expires={10**30}", None, id="beyond-all-time"),
        pytest.param(f"Expires={10**17}", None, id="beyond-the-calendar"),
        pytest.param(f"X-Amz-Expires={10**30}&{S3[:27]}", None, id="s3-beyond-time"),
        pytest.param("se=soon", None, id="azure-odd"),
    ],
)
def test_a_url_tells_when_it_dies(query: str, life_s: float | None) -> None:
    expected = None if life_s is None else NOON + timedelta(seconds=life_s)

    assert expires_at(f"https://storage/a/b?{query}") == expected


@pytest.mark.parametrize("date", ["nonsense", "", http_date(NOON)[:-4]])
def test_a_date_that_cannot_be_read_is_no_date(date: str) -> None:
    clock = Clock()
    links = SignedUrls([ModelFile("a", f"http://storage/a?{S3}")], dict, clock=clock)
    links.observe_date(date)
    clock.now += 3600

    assert links.get("a")[1] == 0
