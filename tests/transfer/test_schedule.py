"""As many ranges are requested at a time as the hash can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fetching import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.store.parts.part import Ranges
from dvc_studio_models.transfer.schedule import AHEAD, FIRST_WIDTH, Attempt, divide

if TYPE_CHECKING:
    from pathlib import Path

STEP = 1000
COUNT = 40
SPANS = [(number * STEP, (number + 1) * STEP) for number in range(COUNT)]
CONTENT = noise(COUNT * STEP)


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    store = PartStore(tmp_path)
    part = store.create(None)
    part.describe(len(CONTENT), None)
    attempt = Attempt(part, store)
    attempt.plan(SPANS, range_bytes=STEP)
    return attempt


def fetch(attempt: Attempt) -> tuple[int, int]:
    start, stop = attempt.take()
    with attempt.part.open() as file:
        attempt.part.write(file, start, CONTENT[start:stop])
    attempt.range_done()
    return start, stop


def test_few_are_asked_for_at_first(attempt: Attempt) -> None:
    assert attempt.take_due() == FIRST_WIDTH
    assert attempt.take_due() == 0


def test_they_are_given_in_their_order(attempt: Attempt) -> None:
    for _ in range(3):
        attempt.double_concurrency()

    assert [attempt.take() for _ in range(attempt.take_due())] == SPANS[
        : 8 * FIRST_WIDTH
    ]


def test_another_is_due_when_one_is_here(attempt: Attempt) -> None:
    attempt.take_due()
    fetch(attempt)

    assert attempt.take_due() == 1


def test_none_is_due_far_beyond_what_is_hashed(attempt: Attempt) -> None:
    asked = 0
    while count := attempt.take_due():
        asked += count
        for _ in range(count):
            fetch(attempt)

    assert asked == AHEAD * FIRST_WIDTH + 1
    attempt.hash.catch_up(is_given_up=lambda: False)
    assert attempt.take_due() == FIRST_WIDTH


def test_all_come_while_the_hash_keeps_up(attempt: Attempt) -> None:
    got = []
    while count := attempt.take_due():
        got += [fetch(attempt) for _ in range(count)]
        attempt.hash.catch_up(is_given_up=lambda: False)

    assert got == SPANS


def test_a_file_of_several_ranges_is_hashed_beside(attempt: Attempt) -> None:
    assert attempt.in_background

    attempt.plan([], range_bytes=STEP)
    assert not attempt.in_background


@settings(deadline=None)
@given(st.sets(st.integers(0, 40)), st.integers(1, 50), st.integers(1, 8))
def test_what_is_divided_is_all_that_was_there_in_order(
    offsets: set[int], most: int, ramp: int
) -> None:
    ranges = Ranges()
    for offset in offsets:
        ranges.add(offset, offset + 1)

    pieces = list(divide(ranges, range_bytes=most, ramp=ramp))

    assert [at for start, stop in pieces for at in range(start, stop)] == sorted(
        offsets
    )
    assert all(stop - start <= most for start, stop in pieces)


def test_the_first_pieces_grow_to_the_full_size() -> None:
    pieces = divide([(0, 1000)], range_bytes=160, ramp=4)

    assert [stop - start for start, stop in pieces] == [
        40,
        80,
        120,
        160,
        160,
        160,
        160,
        120,
    ]
