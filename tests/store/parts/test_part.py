"""Ranges are a set of offsets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dvc_studio_models.store.parts.part import Ranges

SIZE = 40
spans = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted)


def make(added: list[list[int]]) -> tuple[Ranges, set[int]]:
    ranges, model = Ranges(), set()
    for start, stop in added:
        if start < stop:
            ranges.add(start, stop)
            model.update(range(start, stop))
    return ranges, model


@settings(deadline=None)
@given(st.lists(spans))
def test_ranges_hold_what_was_added_and_nothing_else(added: list[list[int]]) -> None:
    ranges, model = make(added)

    assert [at for start, stop in ranges for at in range(start, stop)] == sorted(model)
    assert ranges.total == len(model)


@settings(deadline=None)
@given(st.lists(spans))
def test_ranges_are_apart_and_in_order(added: list[list[int]]) -> None:
    ranges, _ = make(added)

    ends = [end for span in ranges for end in span]
    assert ends == sorted(set(ends))


@settings(deadline=None)
@given(st.lists(spans), spans)
def test_what_is_missing_is_what_is_not_there(
    added: list[list[int]], span: list[int]
) -> None:
    ranges, model = make(added)

    missing = list(ranges.missing(*span))

    offsets = [at for start, stop in missing for at in range(start, stop)]
    assert offsets == sorted(set(range(*span)) - model)
    assert all(start < stop for start, stop in missing)


@settings(deadline=None)
@given(st.lists(spans))
def test_the_prefix_ends_at_the_first_gap(added: list[list[int]]) -> None:
    ranges, model = make(added)

    assert ranges.contiguous_bytes == next(
        at for at in range(SIZE + 1) if at not in model
    )
