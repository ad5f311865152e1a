"""The hash computed during a download is that of the file, and is what counts."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import TYPE_CHECKING

import pytest
from fetching import md5, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.transfer.hashing import HASH_BYTES, PrefixHash, verify

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.store.parts.part import Part

pytestmark = pytest.mark.reliability("Hashes")

CONTENT = noise(3 * HASH_BYTES + 77)


STEP = 100_000
SPANS = [(at, min(at + STEP, len(CONTENT))) for at in range(0, len(CONTENT), STEP)]


@pytest.fixture
def part(tmp_path: Path) -> Part:
    part = PartStore(tmp_path).create(None)
    part.describe(len(CONTENT), None)
    return part


def write(part: Part, start: int, stop: int) -> bytes:
    with part.open() as file:
        part.write(file, start, CONTENT[start:stop])
    part.close()
    return CONTENT[start:stop]


def catch_up(prefix: PrefixHash) -> str | None:
    return prefix.catch_up(is_given_up=lambda: False)


def test_bytes_that_come_in_order_are_hashed_from_memory(part: Part) -> None:
    prefix = PrefixHash(part)
    for start, stop in SPANS:
        prefix.feed(start, write(part, start, stop))
    part.path.unlink()  # nothing is read again

    assert catch_up(prefix) == md5(CONTENT)


def test_bytes_that_come_in_any_order_are_read_from_the_part(part: Part) -> None:
    prefix = PrefixHash(part)
    for start, stop in reversed(SPANS):
        prefix.feed(start, write(part, start, stop))

    assert catch_up(prefix) == md5(CONTENT)


class Clock:
    """A clock that moves only when it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("waited_s", "starving"),
    [pytest.param(0.09, True, id="mostly"), pytest.param(0.01, False, id="hardly")],
)
def test_a_hash_that_waits_for_bytes_much_of_the_time_starves(
    part: Part, waited_s: float, starving: bool
) -> None:
    clock = Clock()
    prefix = PrefixHash(part, clock=clock)

    clock.now += waited_s
    write(part, *SPANS[1])
    prefix.feed(0, write(part, *SPANS[0]))  # there is more now than was fed
    clock.now += 0.1 - waited_s

    assert prefix.is_starving() is starving


def test_a_hash_starves_while_it_waits(part: Part) -> None:
    clock = Clock()
    prefix = PrefixHash(part, clock=clock)
    prefix.feed(0, write(part, *SPANS[0]))

    clock.now += 1

    assert prefix.is_starving()


def test_hunger_is_judged_by_what_came_since_the_last_look(part: Part) -> None:
    clock = Clock()
    prefix = PrefixHash(part, clock=clock)
    clock.now += 1
    write(part, *SPANS[1])
    prefix.feed(0, write(part, *SPANS[0]))

    assert prefix.is_starving()
    assert not prefix.is_starving()  # too soon to tell
    clock.now += 1
    assert not prefix.is_starving()


def test_there_is_no_hash_while_bytes_are_missing(part: Part) -> None:
    prefix = PrefixHash(part)
    write(part, *SPANS[0])
    write(part, *SPANS[2])

    assert catch_up(prefix) is None


def test_an_empty_file_has_a_hash(tmp_path: Path) -> None:
    part = PartStore(tmp_path).create(None)
    part.describe(0, None)

    assert catch_up(PrefixHash(part)) == md5(b"")


def test_hashing_ends_when_the_part_is_given_up(part: Part) -> None:
    write(part, 0, len(CONTENT))
    asked = iter([False, False, True])

    assert PrefixHash(part).catch_up(is_given_up=lambda: next(asked, True)) is None


def test_a_part_that_was_cut_short_is_told(part: Part) -> None:
    write(part, 0, len(CONTENT))
    with part.path.open("r+b") as file:
        file.truncate(HASH_BYTES)

    with pytest.raises(FileNotFoundError):
        catch_up(PrefixHash(part))


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_threads_that_write_leave_no_byte_unhashed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each thread writes as a download does; one of them must return the hash."""
    part = PartStore(tmp_path_factory.mktemp("parts")).create(None)
    part.describe(len(CONTENT), None)
    prefix = PrefixHash(part)
    order = data.draw(st.permutations(SPANS))
    found: list[str | None] = []

    def work(spans: list[tuple[int, int]]) -> None:
        for start, stop in spans:
            prefix.feed(start, write(part, start, stop))
            found.append(catch_up(prefix))

    threads = [threading.Thread(target=work, args=(order[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(found) - {None} == {md5(CONTENT)}


# The verdict

TEXT = b"one\r\ntwo\r\n"
UNIX_TEXT = b"one\ntwo\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(TEXT)
    return path


def judge(
    path: Path,
    promised: Digest | None,
    *,
    etag: str | None = None,
    content_md5: str | None = None,
) -> str | None:
    return verify(promised, md5(TEXT), path, etag=etag, content_md5=content_md5)


def in_base64(content: bytes) -> str:
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("promised", "vouches"),
    [
        pytest.param(Digest(MD5, md5(TEXT)), "url", id="right"),
        pytest.param(Digest(MD5, md5(b"other")), None, id="wrong"),
        pytest.param(Digest(MD5, md5(UNIX_TEXT)), None, id="right-of-another-kind"),
        pytest.param(Digest(MD5_DOS2UNIX, md5(UNIX_TEXT)), "url", id="dvc-2-text"),
        pytest.param(Digest(MD5_DOS2UNIX, md5(TEXT)), "url", id="dvc-2-as-it-is"),
        pytest.param(Digest(MD5_DOS2UNIX, md5(b"other")), None, id="dvc-2-wrong"),
    ],
)
def test_the_promised_hash_decides(
    path: Path, promised: Digest, vouches: str | None
) -> None:
    assert judge(path, promised) == vouches


def test_the_promised_hash_goes_before_what_storage_says(path: Path) -> None:
    right = judge(path, Digest(MD5, md5(TEXT)), content_md5=in_base64(b"other"))

    assert right == "url"


@pytest.mark.parametrize(
    ("etag", "content_md5", "vouches"),
    [
        pytest.param(None, in_base64(TEXT), "storage", id="content-md5"),
        pytest.param(None, in_base64(b"other"), None, id="content-md5-wrong"),
        pytest.param(None, "not base64", None, id="content-md5-unreadable"),
        pytest.param(None, "\N{LATIN SMALL LETTER E WITH ACUTE}", None, id="no-ascii"),
        pytest.param(f'"{md5(TEXT)}"', None, "storage", id="etag"),
        pytest.param(f'"{md5(b"x")}"', None, "size", id="etag-of-something-else"),
        pytest.param('"abc-2"', None, "size", id="etag-of-many-parts"),
        pytest.param(None, None, "size", id="nothing"),
    ],
)
def test_without_a_promise_storage_is_heard(
    path: Path, etag: str | None, content_md5: str | None, vouches: str | None
) -> None:
    assert judge(path, None, etag=etag, content_md5=content_md5) == vouches
