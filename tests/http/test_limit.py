"""The limit of the rate of all connections: with a clock, and with real ones."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
from fetching import noise
from servers import Behaviour, FileServer, wait_until

from dvc_studio_models.http.limit import RateLimit
from dvc_studio_models.http.response import RangeRequest, Retry
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
RATE = MIB
LARGE = 3 * MIB
STREAMS, SMALL = 4, 8


class Clock:
    """A clock that moves when it is told to, and counts how often it is read."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> RateLimit:
    return RateLimit(RATE, connections=STREAMS + SMALL, clock=clock)


# The time that bytes take


def test_bytes_take_their_time(clock: Clock, limit: RateLimit) -> None:
    clock.now += 10  # in which nothing came
    assert limit.pause_s == 0

    limit.spend(2 * RATE)

    assert limit.pause_s == pytest.approx(2, abs=0.11)
    clock.now += 1.5
    assert limit.pause_s == pytest.approx(0.5, abs=0.11)
    clock.now += 0.5
    assert limit.pause_s == 0


def test_what_several_receive_adds_up(limit: RateLimit) -> None:
    for _ in range(10):
        limit.spend(RATE)

    assert limit.pause_s == pytest.approx(10, abs=0.11)


def test_a_silent_time_is_not_made_up_for(clock: Clock, limit: RateLimit) -> None:
    limit.spend(RATE)
    clock.now += 60

    limit.spend(RATE)

    assert limit.pause_s == pytest.approx(1, abs=0.11)


@pytest.mark.parametrize(
    ("rate", "connections"),
    [(1 << 10, 1), (100 << 10, 1), (MIB, 16), (10 * MIB, 64), (1 << 40, 64)],
)
def test_a_low_limit_needs_few_connections(rate: int, connections: int) -> None:
    limit = RateLimit(rate, connections=64)

    assert limit.connections == connections
    # libcurl's bounds of a buffer
    assert 1 << 10 <= limit.buffer_bytes <= 64 << 10


# Real connections


class Received:
    """Bytes that arrive through streams on threads, and through a batch."""

    def __init__(self, url: str, limit: RateLimit, *, idle_s: float) -> None:
        names = [f"{n}.bin" for n in range(STREAMS + SMALL)]
        files = [ModelFile(name, f"{url}/{name}") for name in names]
        self.storage = Storage(
            SignedUrls(files, dict), connections=STREAMS, idle_s=idle_s, limit=limit
        )
        self.errors: list[Exception] = []
        self._streamed = [0] * STREAMS
        self._batch = self.storage.batch()
        self._batched = self._partial = 0
        self._waiting = {names[STREAMS + n] for n in range(SMALL)}
        self._stopped = False
        threads = [threading.Thread(target=self._read, args=[n]) for n in range(4)]
        self._threads = [*threads, threading.Thread(target=self._drive)]
        for thread in self._threads:
            thread.start()

    @property
    def count(self) -> int:
        return sum(self._streamed) + self._batched + self._partial

    @property
    def is_done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        self._stopped = True
        self.storage.stop()
        for thread in self._threads:
            thread.join(10)
        assert self.is_done
        self.storage.close()

    def _read(self, number: int) -> None:
        request = RangeRequest(f"{number}.bin", 0, None)
        try:
            with self.storage.ask(request) as response:
                for chunk in response.chunks():
                    self._streamed[number] += len(chunk)
        except Retry as error:
            self.errors.append(error)

    def _drive(self) -> None:
        with contextlib.closing(self._batch):
            for name in self._waiting:
                self._batch.add(RangeRequest(name, 0, MIB))
            while self._waiting and not self._stopped:
                for request, reply in self._batch.wait(0.05):
                    self._waiting.discard(request.path)
                    if isinstance(reply, Exception):
                        self.errors.append(reply)
                    else:
                        self._batched += len(reply.data)
                self._partial = self._batch.received


@pytest.fixture
def url(file_server: FileServer) -> str:
    for number in range(STREAMS + SMALL):
        size = LARGE if number < STREAMS else MIB // 2
        file_server.objects[f"/bucket/{number}.bin"] = noise(size, number)
    return file_server.url("/bucket")


@contextlib.contextmanager
def receiving(url: str, limit: RateLimit, idle_s: float = 30) -> Iterator[Received]:
    with contextlib.closing(Received(url, limit, idle_s=idle_s)) as received:
        yield received


def settled(received: Received) -> int:
    """Return how much has come when nothing comes any more."""
    before = -1
    while before != received.count:
        before = received.count
        time.sleep(0.3)
    return before


def test_all_connections_together_keep_to_the_limit(
    url: str, clock: Clock, limit: RateLimit
) -> None:
    a_round = 11 * limit.buffer_bytes * (STREAMS + SMALL)
    with receiving(url, limit) as received:
        wait_until(lambda: received.count > 0)
        first = settled(received)
        clock.now += 60  # all of the first round has been paid for
        wait_until(lambda: received.count > first)
        second = settled(received)
        errors = list(received.errors)

    assert errors == []
    assert 0 < first <= a_round
    assert first < second <= first + a_round


def test_a_wait_for_the_limit_is_no_busy_loop(
    url: str, clock: Clock, limit: RateLimit
) -> None:
    with receiving(url, limit) as received:
        wait_until(lambda: received.count > 0)
        settled(received)
        before = clock.reads
        time.sleep(1)
        reads = clock.reads - before

    assert reads < 1000  # of five threads


def test_a_wait_for_the_limit_is_no_silence_of_the_server(
    url: str, file_server: FileServer, clock: Clock, limit: RateLimit
) -> None:
    file_server.behaviour = Behaviour(delay_s=0.2)
    limit.spend(60 * RATE)
    with receiving(url, limit, idle_s=0.5) as received:
        time.sleep(1)  # longer than a server may be silent
        assert file_server.requests == []
        clock.now += 60
        wait_until(lambda: received.count > 0)
        errors = list(received.errors)

    assert errors == []


def test_all_bytes_arrive(url: str) -> None:
    limit = RateLimit(40 * MIB, connections=STREAMS + SMALL)
    with receiving(url, limit) as received:
        wait_until(lambda: received.is_done, timeout_s=30)

    assert received.errors == []
    assert received.count == STREAMS * LARGE + SMALL * MIB // 2
