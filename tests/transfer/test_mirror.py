"""A part is copied while it grows, for a cache that cannot be linked from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fetching import noise

from dvc_studio_models.files.durable import PIECE_BYTES
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.transfer.mirror import PartMirror

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dvc_studio_models.store.parts.part import Part

pytestmark = pytest.mark.reliability("Copies during a download")

SIZE = 2 * PIECE_BYTES + 12_345


_MIB = noise(1 << 20)


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    return PartStore(tmp_path / "parts", second_copy=True)


@pytest.fixture
def part(store: PartStore) -> Iterator[Part]:
    part = store.create("a" * 32)
    part.describe(SIZE, None)
    yield part
    part.close()


def grow(part: Part, start: int, stop: int) -> None:
    with part.open() as file:
        for at in range(start, stop, len(_MIB)):
            part.write(file, at, _MIB[: stop - at])


def copies(store: PartStore) -> list[Path]:
    return list(store.folder.glob("nohash.*"))


def test_a_copy_grows_with_its_part(store: PartStore, part: Part) -> None:
    mirror = PartMirror(part, store)

    grow(part, 0, PIECE_BYTES + 5)
    mirror.advance()
    (copied,) = copies(store)
    assert copied.stat().st_size == PIECE_BYTES

    grow(part, PIECE_BYTES + 5, SIZE)
    copy = mirror.finish()
    assert copy
    assert copy.path == copied
    assert copy.path.read_bytes() == part.path.read_bytes()


def test_what_lies_beyond_a_gap_is_not_copied(store: PartStore, part: Part) -> None:
    mirror = PartMirror(part, store)
    grow(part, PIECE_BYTES, SIZE)

    mirror.advance()

    assert copies(store) == []


def test_a_small_part_has_no_copy(store: PartStore, part: Part) -> None:
    part.describe(1000, None)
    grow(part, 0, 1000)

    assert PartMirror(part, store).finish() is None


def test_no_copy_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    store = PartStore(tmp_path / "parts")
    part = store.create("a" * 32)
    part.describe(SIZE, None)
    grow(part, 0, SIZE)
    mirror = PartMirror(part, store)

    mirror.advance()
    part.close()

    assert mirror.finish() is None
    assert copies(store) == []


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not-begun"])
def test_a_part_that_was_left_has_no_copy(
    store: PartStore, part: Part, begun: bool
) -> None:
    mirror = PartMirror(part, store)
    grow(part, 0, PIECE_BYTES)
    if begun:
        mirror.advance()

    mirror.stop()
    grow(part, PIECE_BYTES, SIZE)
    mirror.advance()

    assert mirror.finish() is None
    assert copies(store) == []


def test_a_copy_that_somebody_removed_is_made_anew(
    store: PartStore, part: Part
) -> None:
    mirror = PartMirror(part, store)
    grow(part, 0, SIZE)
    mirror.advance()
    (copied,) = copies(store)
    copied.unlink()

    copy = mirror.finish()

    assert copy
    assert copies(store) == [copy.path]
    assert copy.path.read_bytes() == part.path.read_bytes()


def test_a_part_that_somebody_removed_is_told(store: PartStore, part: Part) -> None:
    mirror = PartMirror(part, store)
    grow(part, 0, SIZE)
    part.path.unlink()

    with pytest.raises(FileNotFoundError):
        mirror.finish()


def test_the_copy_of_a_killed_pull_is_swept(store: PartStore, part: Part) -> None:
    grow(part, 0, PIECE_BYTES)
    copy = PartMirror(part, store).finish()
    assert copy
    host, _, _ = copy.path.name.rpartition("-")
    copy.path.rename(copy.path.with_name(f"{host}-{2**22 + 1}"))  # no process has it

    PartStore(store.folder).sweep(lambda _key: False)

    assert copies(store) == []
    assert part.path.exists()
