"""Small files are fetched many at a time, and written once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fetching import IMPATIENT, RANGE, Fetcher, noise
from servers import REQUEST_EXPIRED, Behaviour, FileServer, busy

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.model import SilentProgress
from dvc_studio_models.transfer.small import (
    FIRST_CONNECTIONS,
    MOST_CONNECTIONS,
    Concurrency,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from dvc_studio_models.store.parts.part import DownloadedFile

pytestmark = pytest.mark.clock  # Python 3.11 may fail to trace one of many threads

FAR = Behaviour(delay_s=0.05)
JOBS = 6


@pytest.fixture
def fetcher(tmp_path: Path) -> Iterator[Fetcher]:
    with FileServer() as server:
        yield Fetcher(server, tmp_path / "parts")


def small_files(count: int) -> list[bytes]:
    return [noise(1000, number) for number in range(count)]


# How many at a time


def concurrency_after(
    responses_per_s: float, *, per_request: bool, waiting: float, most: int = 64
) -> int:
    """Return the limit after a while.

    Args:
        responses_per_s: The rate of one request, or of all.
        per_request: Whether more requests get more responses.
        waiting: The share of the time spent waiting for the network.
        most: The limit of the limit.
    """
    concurrency = Concurrency(most, now_s=0.0)
    due = 0.0
    for now_s in range(1, 60):
        requests = concurrency.limit if per_request else 1
        count, due = divmod(due + requests * responses_per_s, 1)
        concurrency.finished(int(count), now_s=now_s, waited_s=waiting * now_s)
    return concurrency.limit


@pytest.mark.parametrize("most", [1, 3, JOBS, MOST_CONNECTIONS, 256])
def test_a_slow_network_gets_all_connections_that_are_allowed(most: int) -> None:
    limit = concurrency_after(3, per_request=True, waiting=0.9, most=most)

    assert limit == most


def test_a_busy_processor_gets_no_more_connections() -> None:
    limit = concurrency_after(3, per_request=True, waiting=0.3)

    assert limit == FIRST_CONNECTIONS


def test_a_full_line_gets_no_more_connections() -> None:
    limit = concurrency_after(100, per_request=False, waiting=0.9)

    assert limit == 2 * FIRST_CONNECTIONS


def test_a_server_far_away_is_asked_for_many_files_at_a_time(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = FAR

    fetched = fetcher.fetch(fetcher.publish(*small_files(300)), jobs=None)

    assert len(fetched) == 300
    assert 2 * JOBS < fetcher.server.most_connections <= MOST_CONNECTIONS


def test_there_are_never_more_connections_than_jobs(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = FAR
    contents = [*small_files(100), noise(3 * RANGE), noise(2 * RANGE)]

    fetcher.fetch(fetcher.publish(*contents), jobs=JOBS)

    assert fetcher.server.most_connections == JOBS


# What is requested


def test_each_small_file_is_requested_once(fetcher: Fetcher) -> None:
    files = fetcher.publish(*small_files(300))

    fetcher.fetch(files, jobs=None)

    assert len(fetcher.server.requests) == 300
    assert not [name for name in fetcher.parts if name.endswith(".ranges")]


@pytest.mark.parametrize("size", [RANGE + 1, 3 * RANGE])
def test_the_beginning_of_a_larger_file_is_not_requested_again(
    fetcher: Fetcher, size: int
) -> None:
    content = noise(size)

    assert fetcher.bring(content, jobs=None) == content
    assert fetcher.server.bytes_served == size
    assert fetcher.server.requests[0].byte_range == (0, RANGE - 1)


def test_a_file_that_is_known_to_be_large_is_not_taken_for_a_small_one(
    fetcher: Fetcher,
) -> None:
    tuning = replace(IMPATIENT, small_bytes=RANGE // 2)
    files = fetcher.publish(noise(2 * RANGE), size=2 * RANGE)

    fetcher.fetch(files, tuning=tuning)

    assert fetcher.server.requests[0].byte_range == (0, RANGE - 1)


def test_a_part_of_an_earlier_pull_is_resumed_though_the_file_may_be_small(
    fetcher: Fetcher,
) -> None:
    content = noise(2 * RANGE)
    (file,) = fetcher.publish(content)
    fetcher.server.choose = lambda exchange: (
        Behaviour(status=404)
        if exchange.byte_range and exchange.byte_range[0] >= RANGE
        else None
    )
    with pytest.raises(DownloadError, match="not in storage"):
        fetcher.fetch([file])
    fetcher.server.choose = lambda _: None
    fetcher.server.forget()

    fetcher.fetch([file])

    assert [each.byte_range for each in fetcher.server.requests] == [
        (RANGE, 2 * RANGE - 1)
    ]


def test_links_that_expire_on_the_way_are_renewed_once_for_all(
    fetcher: Fetcher,
) -> None:
    files = fetcher.publish(*small_files(200))
    fetcher.server.behaviour = Behaviour(signature_required=True, delay_s=0.01)

    def choose(exchange: object) -> Behaviour | None:
        del exchange
        if len(fetcher.server.requests) == 100:
            fetcher.server.revoke()
        return None

    fetcher.server.choose = choose

    fetched = fetcher.fetch(files, jobs=JOBS)

    assert (len(fetched), fetcher.renewals) == (200, 1)
    assert len(fetcher.server.requests) <= 200 + JOBS


def test_small_files_that_are_refused_once_come_later(fetcher: Fetcher) -> None:
    files = fetcher.publish(*small_files(100))
    fetcher.server.script(REQUEST_EXPIRED, *[busy(503)] * 4)

    assert len(fetcher.fetch(files, jobs=None)) == 100


# What is left


def release_all(batches: Iterable[Sequence[DownloadedFile]]) -> None:
    for batch in batches:
        for done in batch:
            done.release()


def test_what_is_verified_is_kept_when_another_file_fails(fetcher: Fetcher) -> None:
    contents = small_files(50)
    files = fetcher.publish(*contents)
    fetcher.server.behaviours = {
        files[-1].url.split("?")[0].removeprefix(fetcher.server.origin()): Behaviour(
            status=404, delay_s=0.5
        )
    }
    with pytest.raises(DownloadError, match="not in storage"):
        release_all(fetcher.stream(files))
    fetcher.server.behaviours = {}
    fetcher.server.forget()

    fetched = fetcher.fetch(files)

    assert len(fetched) == 50
    assert len(fetcher.server.requests) == 1


# What is known on the way


def test_the_size_of_a_file_is_known_before_it_has_arrived(fetcher: Fetcher) -> None:
    states = []

    class Noted(SilentProgress):
        def update(self, done: int, total: int | None) -> None:
            states.append((done, total))

    fetcher.server.behaviour = Behaviour(bytes_per_s=100_000)

    fetcher.fetch(fetcher.publish(noise(100_000)), progress=Noted())

    halfway = [total for done, total in states if 0 < done < 90_000]
    assert halfway[1:]
    assert set(halfway[1:]) == {100_000}


def test_no_descriptor_left_is_an_error_of_the_disk(tmp_path: Path) -> None:
    program = """
import os, resource, sys
from pathlib import Path
from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.model import Digest, ModelFile, SilentProgress
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.transfer.engine import fetch
import pycurl
file = ModelFile("m", "http://127.0.0.1:9/m", Digest("md5", "0" * 32), 9)

store = PartStore(Path(sys.argv[1]))
transfer = fetch([file], store=store, renew=dict, progress=SilentProgress())
limit = len(os.listdir("/dev/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    list(transfer)
except LocalDiskError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert "too many open files" in done.stdout.lower()
