"""Sums over files whose sizes become known one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.transfer.space import Entry, Ledger

GIB = 1 << 30


def make(files: int = 2, free: int = 10 * GIB) -> Ledger:
    return Ledger(Path("parts"), free=free, files=files)


def test_the_total_is_known_with_the_last_size() -> None:
    ledger, one, two = make(), Entry(), Entry()

    ledger.update(one, 5, missing=5)
    before = ledger.total
    ledger.update(two, 7, missing=0)

    assert (before, ledger.total) == (None, 12)


def test_a_size_that_is_corrected_counts_once() -> None:
    ledger, entry = make(files=1), Entry()

    ledger.update(entry, 5, missing=5)
    ledger.update(entry, 9, missing=9)

    assert ledger.total == 9


def test_what_is_missing_of_all_files_must_fit() -> None:
    ledger = make()
    ledger.update(Entry(), 6 * GIB, missing=6 * GIB)

    with pytest.raises(
        LocalDiskError, match=r"not enough space \(12\.0 GiB to write, 10\.0 GiB free"
    ):
        ledger.update(Entry(), 6 * GIB, missing=6 * GIB)


def test_what_is_there_already_needs_no_space() -> None:
    ledger = make()

    ledger.update(Entry(), 100 * GIB, missing=1 * GIB)

    assert ledger.total is None


def test_what_an_earlier_pull_left_and_was_thrown_away_makes_room() -> None:
    ledger, entry = make(files=1, free=4 * GIB), Entry()
    ledger.update(entry, 8 * GIB, missing=2 * GIB)

    ledger.regain(6 * GIB)
    ledger.update(entry, 8 * GIB, missing=8 * GIB)

    assert ledger.total == 8 * GIB


def test_what_was_thrown_away_needs_no_space() -> None:
    ledger, entry = make(files=1), Entry()
    ledger.update(entry, 8 * GIB, missing=8 * GIB)

    ledger.update(entry, 8 * GIB, missing=0)
    ledger.update(entry, 8 * GIB, missing=8 * GIB)

    assert ledger.total == 8 * GIB
