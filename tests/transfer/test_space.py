"""Totals of files whose sizes become known one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.transfer.space import FileTotals, SpaceBudget

GIB = 1 << 30


def make(files: int = 2, free: int = 10 * GIB) -> SpaceBudget:
    return SpaceBudget(Path("parts"), free=free, files=files)


def test_the_total_is_known_with_the_last_size() -> None:
    space, one, two = make(), FileTotals(), FileTotals()

    space.update(one, 5, missing=5)
    before = space.total
    space.update(two, 7, missing=0)

    assert (before, space.total) == (None, 12)


def test_a_size_that_is_corrected_counts_once() -> None:
    space, totals = make(files=1), FileTotals()

    space.update(totals, 5, missing=5)
    space.update(totals, 9, missing=9)

    assert space.total == 9


def test_what_is_missing_of_all_files_must_fit() -> None:
    space = make()
    space.update(FileTotals(), 6 * GIB, missing=6 * GIB)

    with pytest.raises(
        LocalDiskError, match=r"not enough space \(12\.0 GiB to write, 10\.0 GiB free"
    ):
        space.update(FileTotals(), 6 * GIB, missing=6 * GIB)


def test_what_is_there_already_needs_no_space() -> None:
    space = make()

    space.update(FileTotals(), 100 * GIB, missing=1 * GIB)

    assert space.total is None


def test_what_an_earlier_pull_left_and_was_thrown_away_makes_room() -> None:
    space, totals = make(files=1, free=4 * GIB), FileTotals()
    space.update(totals, 8 * GIB, missing=2 * GIB)

    space.regain(6 * GIB)
    space.update(totals, 8 * GIB, missing=8 * GIB)

    assert space.total == 8 * GIB


def test_what_was_thrown_away_needs_no_space() -> None:
    space, totals = make(files=1), FileTotals()
    space.update(totals, 8 * GIB, missing=8 * GIB)

    space.update(totals, 8 * GIB, missing=0)
    space.update(totals, 8 * GIB, missing=8 * GIB)

    assert space.total == 8 * GIB
