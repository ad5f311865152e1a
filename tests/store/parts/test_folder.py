"""Parts survive their pulls; whose they are, and what is in them, is never in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from fetching import largest_file, noise

from dvc_studio_models.files.owner import owner_id
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.parts.folder import (
    ABANDONED_AFTER_S,
    STALE_AFTER_S,
    TOUCH_EVERY_S,
    PartStore,
    key_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.store.parts.part import Part

pytestmark = pytest.mark.reliability("Part files")

KEY = "86bd02376ac675568ba2fac566169ef9"


MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "parts"


@pytest.fixture
def store(folder: Path) -> PartStore:
    return PartStore(folder)


def fill(part: Part, size: int, *spans: tuple[int, int]) -> Part:
    """Write spans of ``noise(size)`` into a part of that size."""
    part.describe(size, '"etag"')
    with part.open() as file:
        for start, stop in spans:
            part.write(file, start, noise(size)[start:stop])
    part.close()
    return part


def leave(store: PartStore, size: int, *spans: tuple[int, int]) -> None:
    fill(store.create(KEY), size, *spans).release()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def dated(path: Path, age_s: float) -> None:
    when = time.time() - age_s
    os.utime(path, (when, when))


# Bytes


def test_nothing_is_made_before_there_are_bytes(store: PartStore, folder: Path) -> None:
    store.claim(KEY)

    assert not folder.exists()


def test_bytes_are_written_at_their_place(store: PartStore) -> None:
    part = fill(store.create(KEY), 1000, (600, 1000), (0, 300), (300, 600))

    assert part.complete
    assert part.path.read_bytes() == noise(1000)


def test_a_part_knows_what_is_missing(store: PartStore) -> None:
    part = fill(store.create(KEY), 1000, (0, 100), (300, 600))

    assert (part.received, part.contiguous_bytes, part.complete) == (400, 100, False)
    assert part.missing(50, 5000) == [(100, 300), (600, 1000)]


def test_bytes_that_come_again_do_not_replace_those_that_are_there(
    store: PartStore,
) -> None:
    part = store.create(KEY)
    with part.open() as file:
        part.write(file, 0, b"first")

        start = part.write(file, 0, b"FIRST and more")

    assert start == 5
    assert part.path.read_bytes() == b"first and more"


def test_files_are_made_as_the_user_wants_them(store: PartStore) -> None:
    before = os.umask(0o027)
    try:
        part = fill(store.create(KEY), 10, (0, 10))
    finally:
        os.umask(before)

    assert part.path.stat().st_mode & 0o777 == 0o640


def test_a_released_part_is_not_opened_again(store: PartStore, folder: Path) -> None:
    part = store.create(KEY)
    part.discard()

    with pytest.raises(FileNotFoundError):
        part.open()

    assert names(folder) == []


def test_what_a_full_disk_did_not_take_counts_as_missing(store: PartStore) -> None:
    part = fill(store.create(KEY), 3 * MIB, (0, MIB))

    with (
        largest_file(MIB + 1000),
        part.open() as file,
        pytest.raises(OSError, match="large"),
    ):
        part.write(file, MIB, noise(3 * MIB)[MIB : 2 * MIB])

    assert part.missing(0, 3 * MIB) == [(MIB, 3 * MIB)]


def test_what_a_full_disk_took_goes_on_in_the_next_pull(
    store: PartStore, folder: Path
) -> None:
    part = fill(store.create(KEY), 3 * MIB, (0, MIB))

    with largest_file(0):
        part.release()

    assert PartStore(folder).claim(KEY).missing(0, 3 * MIB) == [(MIB, 3 * MIB)]


# Claims


@pytest.mark.parametrize("size", [1000, 2 * MIB], ids=["small", "recorded"])
def test_what_was_left_is_claimed_with_its_bytes(
    store: PartStore, folder: Path, size: int
) -> None:
    leave(store, size, (0, 300), (500, size))

    part = PartStore(folder).claim(KEY)

    assert (part.size, part.etag, part.resumed) == (size, '"etag"', size - 200)
    assert part.missing(0, size) == [(300, 500)]
    fill(part, size, (300, 500))
    assert part.path.read_bytes() == noise(size)


def test_a_part_can_be_left_any_number_of_times(store: PartStore, folder: Path) -> None:
    leave(store, 4 * MIB, (0, MIB))
    for number in range(1, 4):
        part = PartStore(folder).claim(KEY)
        fill(part, 4 * MIB, (number * MIB, (number + 1) * MIB)).release()

    assert PartStore(folder).claim(KEY).complete


def test_another_content_is_not_claimed(store: PartStore, folder: Path) -> None:
    leave(store, 1000, (0, 300))

    part = PartStore(folder).claim(KEY[::-1])

    assert not part.resumed


def test_a_part_without_bytes_leaves_nothing(store: PartStore, folder: Path) -> None:
    leave(store, 1000)

    assert names(folder) == []


def test_a_part_of_unknown_size_leaves_nothing(store: PartStore, folder: Path) -> None:
    part = store.create(KEY)
    with part.open() as file:
        part.write(file, 0, b"some")

    part.release()

    assert names(folder) == []


def test_a_part_without_a_hash_leaves_nothing(store: PartStore, folder: Path) -> None:
    fill(store.create(None), 1000, (0, 300)).release()

    assert names(folder) == []


def test_discarding_leaves_nothing(store: PartStore, folder: Path) -> None:
    fill(store.create(KEY), 2 * MIB, (0, MIB)).discard()

    assert names(folder) == []


def test_only_the_first_parting_counts(store: PartStore, folder: Path) -> None:
    part = fill(store.create(KEY), 2 * MIB, (0, MIB))

    part.discard()
    part.release()

    assert names(folder) == []


def test_a_part_that_moved_to_its_place_leaves_no_record(
    store: PartStore, folder: Path
) -> None:
    part = fill(store.create(KEY), 2 * MIB, (0, 2 * MIB))
    part.path.rename(folder.parent / "placed")

    part.release()

    assert names(folder) == []


def test_of_many_that_claim_a_part_one_gets_it(store: PartStore, folder: Path) -> None:
    leave(store, 1000, (0, 300))
    stores = [PartStore(folder) for _ in range(8)]
    for each in stores:
        assert each.allocated_bytes(KEY) > 0  # all have seen it
    claimed: list[Part] = []
    threads = [
        threading.Thread(target=lambda one=each: claimed.append(one.claim(KEY)))
        for each in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(part.resumed for part in claimed) == [0] * 7 + [300]


def test_of_several_parts_the_largest_is_claimed(
    store: PartStore, folder: Path
) -> None:
    for count in (1, 3, 5, 4, 2):
        leave(store, 6 * MIB, (0, count * MIB))

    later = PartStore(folder)

    assert later.allocated_bytes(KEY) >= 5 * MIB
    assert later.claim(KEY).resumed == 5 * MIB


LEAVE_AND_DIE = """
import os, sys
from pathlib import Path
from dvc_studio_models.store.parts.folder import PartStore
part = PartStore(Path(sys.argv[1])).create(sys.argv[2])
part.describe(3 << 20, None)
with part.open() as file:
    part.write(file, 0, bytes(1 << 20))
    print("written", flush=True)
    sys.stdin.read()
"""


def test_the_part_of_a_process_that_died_is_claimed(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE_AND_DIE, folder, KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        while_it_lives = PartStore(folder).claim(KEY)
        process.kill()
    after = PartStore(folder).claim(KEY)

    assert not while_it_lives.resumed
    assert after.missing(0, 3 * MIB) == [(MIB, 3 * MIB)]


def test_the_part_of_a_process_whose_number_is_ours_now_is_claimed(
    store: PartStore, folder: Path
) -> None:
    """As in a container that starts anew after its pull was killed."""
    leave(store, 1000, (0, 300))
    (data,) = (path for path in folder.iterdir() if path.suffix != ".ranges")
    host, _, started = owner_id().rpartition("_")
    before = f"{host}_{int(started) - 1}"
    data.rename(data.with_name(f"{data.name}.{before}"))

    assert PartStore(folder).claim(KEY).resumed == 300


@pytest.mark.parametrize(
    ("owner", "age_s", "claimed"),
    [
        pytest.param("other-1-boot-1", 0, False, id="another-host-at-work"),
        pytest.param(
            "other-1-boot-1", ABANDONED_AFTER_S + 60, True, id="another-host-gone"
        ),
        pytest.param("other-1-1_1", 0, False, id="older-version-at-work"),
        pytest.param("nonsense", ABANDONED_AFTER_S + 60, True, id="no-owner-of-ours"),
    ],
)
def test_the_part_of_another_host_is_claimed_when_it_is_old(
    store: PartStore, folder: Path, owner: str, age_s: float, claimed: bool
) -> None:
    leave(store, 1000, (0, 300))
    (data,) = (path for path in folder.iterdir() if path.suffix != ".ranges")
    theirs = data.rename(data.with_name(f"{data.name}.{owner}"))
    for path in (theirs, data.with_name(f"{data.name}.ranges")):
        dated(path, age_s)

    assert PartStore(folder).claim(KEY).resumed == (300 if claimed else 0)


def test_an_owner_shows_that_it_lives(folder: Path) -> None:
    now = 0.0
    store = PartStore(folder, clock=lambda: now)
    part = fill(store.create(KEY), 1000, (0, 300))
    dated(part.path, 3600)

    store.keep_alive()
    silent = time.time() - part.path.stat().st_mtime
    now = TOUCH_EVERY_S
    store.keep_alive()

    assert silent > 3000
    assert time.time() - part.path.stat().st_mtime < 60


# Records that lie

GOOD = f'{3 * MIB} "etag"\n0 {MIB}\n'


@pytest.mark.parametrize(
    ("record", "missing"),
    [
        pytest.param(f"{GOOD}{MIB} {2 * MIB}\n", [(2 * MIB, 3 * MIB)], id="honest"),
        pytest.param(f"{GOOD}{MIB} {2 * MIB}", [(MIB, 3 * MIB)], id="torn"),
        pytest.param(f"{GOOD}\n\n{MIB} {2 * MIB}\n", [(2 * MIB, 3 * MIB)], id="gaps"),
        pytest.param(f"{GOOD}5 3\n", [(MIB, 3 * MIB)], id="backwards"),
        pytest.param(f"{GOOD}-5 9\n", [(MIB, 3 * MIB)], id="negative"),
        pytest.param(
            f"{GOOD}{MIB} {4 * MIB}\n", [(MIB, 3 * MIB)], id="beyond-the-size"
        ),
        pytest.param(f"{GOOD}1 2 3\nx y\n\x00\n", [(MIB, 3 * MIB)], id="nonsense"),
        pytest.param(f"{GOOD}\N{SNOWMAN}\n", [(MIB, 3 * MIB)], id="not-ascii"),
    ],
)
def test_a_record_is_believed_as_far_as_it_can_be_read(
    store: PartStore, folder: Path, record: str, missing: list[tuple[int, int]]
) -> None:
    leave(store, 3 * MIB, (0, 3 * MIB))
    (path,) = folder.glob("*.ranges")
    path.write_text(record, "utf-8")

    assert PartStore(folder).claim(KEY).missing(0, 3 * MIB) == missing


def test_an_etag_that_cannot_be_one_is_forgotten(
    store: PartStore, folder: Path
) -> None:
    leave(store, 1000, (0, 300))
    (path,) = folder.glob("*.ranges")
    path.write_bytes(b'1000 "\x00\xff"\n0 300\n')

    part = PartStore(folder).claim(KEY)

    assert (part.resumed, part.etag) == (300, None)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param("", id="empty"),
        pytest.param("\n0 1000\n", id="no-size"),
        pytest.param("-5 \n0 1000\n", id="negative-size"),
        pytest.param("many \n0 1000\n", id="size-in-words"),
        pytest.param("1000 \n", id="nothing-arrived"),
        pytest.param(None, id="gone"),
    ],
)
def test_a_part_whose_record_says_nothing_is_removed(
    store: PartStore, folder: Path, record: str | None
) -> None:
    leave(store, 1000, (0, 300))
    (path,) = folder.glob("*.ranges")
    path.unlink() if record is None else path.write_text(record)

    part = PartStore(folder).claim(KEY)

    assert not part.resumed
    assert names(folder) == []


def test_a_record_of_more_than_is_on_disk_is_not_believed(
    store: PartStore, folder: Path
) -> None:
    leave(store, 1000, (0, 300), (300, 800))
    (data,) = (path for path in folder.iterdir() if path.suffix != ".ranges")
    os.truncate(data, 500)

    assert not PartStore(folder).claim(KEY).resumed


def test_a_part_that_is_too_long_is_cut(store: PartStore, folder: Path) -> None:
    leave(store, 1000, (0, 300))
    (data,) = (path for path in folder.iterdir() if path.suffix != ".ranges")
    data.write_bytes(noise(1000)[:300] + bytes(5000))

    part = fill(PartStore(folder).claim(KEY), 1000, (300, 1000))

    assert part.path.read_bytes() == noise(1000)


# Sweeping


def test_a_part_is_swept_once_its_content_is_at_hand(
    store: PartStore, folder: Path
) -> None:
    leave(store, 2 * MIB, (0, MIB))

    PartStore(folder).sweep(lambda digest: digest == Digest(MD5, KEY))

    assert names(folder) == []


def test_a_part_of_a_text_file_of_dvc_2_is_swept_once_that_is_at_hand(
    store: PartStore, folder: Path
) -> None:
    digest = Digest(MD5_DOS2UNIX, KEY)
    fill(store.create(key_of(digest)), 1000, (0, 300)).release()

    PartStore(folder).sweep(lambda content: content == digest)

    assert names(folder) == []


def test_a_part_that_may_be_wanted_is_kept(store: PartStore, folder: Path) -> None:
    leave(store, 2 * MIB, (0, MIB))

    PartStore(folder).sweep(lambda _: False)

    assert PartStore(folder).claim(KEY).resumed


def test_a_part_of_two_weeks_ago_is_swept(store: PartStore, folder: Path) -> None:
    leave(store, 2 * MIB, (0, MIB))
    for path in folder.iterdir():
        dated(path, STALE_AFTER_S + 3600)

    PartStore(folder).sweep(lambda _: False)

    assert names(folder) == []


def test_what_another_pull_works_at_is_not_swept(
    store: PartStore, folder: Path
) -> None:
    part = fill(store.create(KEY), 2 * MIB, (0, MIB))

    PartStore(folder).sweep(lambda _: True)

    assert part.path.exists()


def test_a_record_without_its_part_is_swept(folder: Path) -> None:
    folder.mkdir(parents=True)
    record = folder / f"{KEY}.12345678.ranges"
    record.write_text("1000 \n0 300\n")

    PartStore(folder).sweep(lambda _: False)

    assert not record.exists()


def test_a_part_that_was_placed_is_neither_claimed_nor_left(
    store: PartStore, folder: Path, tmp_path: Path
) -> None:
    """A pull may be killed when the target has its name and the part still has its."""
    leave(store, 1000, (0, 1000))
    (part,) = (path for path in folder.iterdir() if path.suffix != ".ranges")
    target = tmp_path / "model.bin"
    target.hardlink_to(part)
    target.write_bytes(b"an edit")

    claimed = PartStore(folder).claim(KEY)
    PartStore(folder).sweep(lambda _: False)

    assert not claimed.resumed
    assert names(folder) == []
    assert target.read_bytes() == b"an edit"


def test_files_of_others_are_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "README").write_text("not ours")

    PartStore(folder).sweep(lambda _: True)

    assert names(folder) == ["README"]
