"""Sizes for dry runs take one byte of each file; failures of storage are ignored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from fetching import LARGE, SMALL, Fetcher
from servers import Behaviour, FileServer

from dvc_studio_models.errors import StudioUnreachableError
from dvc_studio_models.transfer.sizes import ask_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def fetcher(file_server: FileServer, tmp_path: Path) -> Fetcher:
    return Fetcher(file_server, tmp_path)


def sizes(fetcher: Fetcher, *contents: bytes, jobs: int = 4) -> list[int | None]:
    files = fetcher.publish(*contents)
    told = ask_sizes(files, renew=lambda: fetcher.renew(files), jobs=jobs, idle_s=1)
    return [told.get(file.path) for file in files]


def test_one_byte_of_each_file_tells_its_size(fetcher: Fetcher) -> None:
    assert sizes(fetcher, SMALL, LARGE) == [len(SMALL), len(LARGE)]

    asked = fetcher.server.requests
    assert {(each.method, each.headers["range"]) for each in asked} == {
        ("GET", "bytes=0-0")
    }
    assert len(asked) == 2
    assert fetcher.server.mangled == []


def test_an_empty_file_is_known_by_its_hash(fetcher: Fetcher) -> None:
    assert sizes(fetcher, b"") == [0]
    assert fetcher.server.requests == []


def test_a_server_without_ranges_tells_it_by_the_length(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = Behaviour(ranges=False)

    assert sizes(fetcher, LARGE) == [len(LARGE)]


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(status=403), id="refused"),
        pytest.param(Behaviour(status=404), id="missing"),
        pytest.param(Behaviour(status=503), id="busy"),
        pytest.param(Behaviour(refuse_ranges=True), id="refuses ranges"),
        pytest.param(Behaviour(close_before_answer=True), id="says nothing"),
        pytest.param(Behaviour(start_shift=1), id="another range"),
        pytest.param(Behaviour(gzip=True), id="encoded"),
    ],
)
def test_what_storage_does_not_tell_stays_unknown(
    fetcher: Fetcher, behaviour: Behaviour
) -> None:
    fetcher.server.behaviour = behaviour

    assert sizes(fetcher, SMALL) == [None]


def test_one_failure_hides_no_other_size(fetcher: Fetcher) -> None:
    files = fetcher.publish(SMALL, LARGE)
    del fetcher.server.objects[fetcher.server.store(SMALL)]

    told = ask_sizes(files, renew=dict, jobs=1)

    assert told == {"m/1.bin": len(LARGE)}


def test_links_that_cannot_be_renewed_leave_it_unknown(fetcher: Fetcher) -> None:
    def renew() -> Mapping[str, str]:
        raise StudioUnreachableError("http://h", "gone")

    fetcher.server.behaviour = Behaviour(signature_required=True)
    files = fetcher.publish(SMALL, expires_s=-60)

    assert ask_sizes(files, renew=renew, jobs=1) == {}


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(no_answer=True), id="silent"),
        pytest.param(Behaviour(header_drip_s=0.2), id="a byte now and then"),
    ],
)
def test_a_storage_that_does_not_answer_is_given_up(
    fetcher: Fetcher, behaviour: Behaviour
) -> None:
    fetcher.server.behaviour = behaviour
    began = time.monotonic()

    assert sizes(fetcher, SMALL) == [None]
    assert time.monotonic() - began < 5


@pytest.mark.clock
def test_files_are_asked_for_at_once(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = Behaviour(delay_s=0.5)
    contents = [bytes([number]) * 100 for number in range(8)]
    began = time.monotonic()

    assert sizes(fetcher, *contents, jobs=8) == [100] * 8
    assert time.monotonic() - began < 3
