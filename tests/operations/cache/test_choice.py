"""Which versions are removed, by random versions and criteria."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dvc_studio_models.model import Digest
from dvc_studio_models.operations.cache.choice import (
    Criteria,
    choose,
    objects_to_remove,
)
from dvc_studio_models.operations.cache.versions import CachedVersion, KnownVersion
from dvc_studio_models.registry.gto.counting import semver_key

NOW = 1_000_000.0
DIGESTS = [
    Digest("md5", hashlib.md5(bytes([n]), usedforsecurity=False).hexdigest())
    for n in range(6)
]
SIZES = {digest: 10 ** (n % 4) for n, digest in enumerate(DIGESTS)}


def make(
    name: str, version: int, digests: set[int], age_s: float, needed: bool
) -> CachedVersion:
    files = {f"{n}.bin": DIGESTS[n] for n in sorted(digests)}
    known = KnownVersion(name, f"v{version}.0.0", "1" * 40, files=files)
    present = {digest: SIZES[digest] for digest in files.values()}
    why = ("workspace",) if needed else ()
    return CachedVersion(known, present, NOW - age_s, needed_by=why)


version = st.builds(
    make,
    st.sampled_from("ab"),
    st.integers(1, 30),
    st.sets(st.integers(0, 5), min_size=1),
    st.floats(0, 1000),
    st.booleans(),
)
versions = st.lists(version, max_size=8, unique_by=lambda v: v.known.key)
needed_digests = st.sets(st.sampled_from(DIGESTS), max_size=2)
criteria = st.builds(
    Criteria,
    older_than_s=st.none() | st.floats(0, 1000),
    max_bytes=st.none() | st.integers(0, 3000),
    keep_latest=st.none() | st.integers(0, 3),
)


def size_of(digests: set[Digest]) -> int:
    return sum(SIZES[digest] for digest in digests)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(every=versions, needed=needed_digests, wanted=criteria)
def test_only_unneeded_old_and_not_latest_versions_are_removed(
    every: list[CachedVersion], needed: set[Digest], wanted: Criteria
) -> None:
    chosen = choose(every, wanted, now=NOW, needs=needed.__contains__)
    objects = objects_to_remove(every, chosen, needs=needed.__contains__)

    assert not [v for v in chosen if v.needed_by]
    if wanted.older_than_s is not None:
        assert all(NOW - v.last_used > wanted.older_than_s for v in chosen)
    for name in "ab":
        latest = sorted(
            (v for v in every if v.known.name == name),
            key=lambda v: semver_key(v.known.version),
            reverse=True,
        )[: wanted.keep_latest or 0]
        assert not [v for v in latest if v in chosen]
    kept = {d for v in every if v not in chosen for d in v.present}
    assert not objects.keys() & (kept | needed)
    assert objects.keys() == {d for v in chosen for d in v.present} - kept - needed


@settings(max_examples=400, deadline=None, derandomize=True)
@given(every=versions, needed=needed_digests, wanted=criteria)
def test_no_more_is_removed_than_the_size_demands(
    every: list[CachedVersion], needed: set[Digest], wanted: Criteria
) -> None:
    def left_after(chosen: list[CachedVersion]) -> int:
        gone = objects_to_remove(every, chosen, needs=needed.__contains__)
        return size_of({d for v in every for d in v.present} - gone.keys())

    chosen = choose(every, wanted, now=NOW, needs=needed.__contains__)
    all_of_them = choose(
        every, replace(wanted, max_bytes=None), now=NOW, needs=needed.__contains__
    )

    assert chosen == all_of_them[: len(chosen)]  # the least recently used first
    if wanted.max_bytes is not None:
        assert left_after(chosen) <= wanted.max_bytes or chosen == all_of_them
        if chosen:
            assert left_after(chosen[:-1]) > wanted.max_bytes
