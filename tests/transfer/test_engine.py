"""Whatever storage does, a download ends with the right bytes or a clear error."""

from __future__ import annotations

import itertools
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fetching import EVEN, HURRIED, IMPATIENT, LARGE, RANGE, SMALL, Fetcher, md5, noise
from servers import (
    ACCESS_DENIED,
    AZURE_REFUSED,
    NO_SUCH_KEY,
    OK,
    REQUEST_EXPIRED,
    TOKEN_EXPIRED,
    Behaviour,
    FileServer,
    Redirect,
    busy,
    s3_error,
    wait_until,
)

from dvc_studio_models.errors import (
    DownloadError,
    IntegrityError,
    LocalDiskError,
    ModelMovedError,
)
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.log import NAME
from dvc_studio_models.model import MD5_DOS2UNIX, Digest, ModelRef, SilentProgress
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.transfer.engine import _Transfer
from dvc_studio_models.transfer.retries import REPEAT_S, Repeats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servers import Exchange

pytestmark = [
    pytest.mark.reliability("Faults of a download"),
    pytest.mark.clock,  # Python 3.11 may fail to trace one of many threads
]


@pytest.fixture
def fetcher(file_server: FileServer, tmp_path: Path) -> Fetcher:
    return Fetcher(file_server, tmp_path / "parts")


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """After success, error or close: no thread, no socket, no file."""
    before = open_files()
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("dvc-models")]
    assert open_files() <= before


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


# What is fetched


@pytest.mark.parametrize(
    "size", [0, 1, 1000, RANGE - 1, RANGE, RANGE + 1, 2 * RANGE + 5]
)
def test_a_file_of_any_size_comes_whole(fetcher: Fetcher, size: int) -> None:
    assert fetcher.bring(noise(size)) == noise(size)
    assert fetcher.parts == []


def test_many_files_come_each_with_its_own_content(fetcher: Fetcher) -> None:
    contents = [noise(50 + number, number) for number in range(200)]
    files = fetcher.publish(*contents)

    fetched = fetcher.fetch(files, jobs=16)

    assert [fetched[file.path].part.path.read_bytes() for file in files] == contents
    assert [fetched[file.path].digest.value for file in files] == [
        md5(c) for c in contents
    ]
    assert {done.verified_by for done in fetched.values()} == {"url"}


def test_a_small_file_takes_one_request(fetcher: Fetcher) -> None:
    fetcher.bring(SMALL)

    assert [each.method for each in fetcher.server.requests] == ["GET"]


def test_a_large_file_is_fetched_in_disjoint_ranges(fetcher: Fetcher) -> None:
    fetcher.bring(LARGE)

    spans = sorted(each.byte_range for each in fetcher.server.requests)
    assert [start for start, _ in spans] == [0, RANGE, 2 * RANGE]
    assert fetcher.server.bytes_served == len(LARGE)


def test_there_are_never_more_connections_than_jobs(fetcher: Fetcher) -> None:
    files = fetcher.publish(LARGE, *[noise(1000, number) for number in range(50)])

    fetcher.fetch(files, jobs=3)

    assert fetcher.server.most_connections <= 3


def test_connections_are_used_again(fetcher: Fetcher) -> None:
    fetcher.fetch(fetcher.publish(*[noise(9, number) for number in range(20)]), jobs=1)

    assert {each.connection for each in fetcher.server.requests} == {1}


def test_text_hashed_by_dvc_2_is_verified_by_its_own_rule(fetcher: Fetcher) -> None:
    text = b"one\r\ntwo\r\n" * 50
    (file,) = fetcher.publish(text)
    digest = Digest(MD5_DOS2UNIX, md5(text.replace(b"\r\n", b"\n")))

    (done,) = fetcher.fetch([replace(file, digest=digest)]).values()

    assert done.part.path.read_bytes() == text


@pytest.mark.parametrize(
    ("behaviour", "vouches"),
    [
        pytest.param(Behaviour(content_md5=True, ranges=False), "storage", id="md5"),
        pytest.param(OK, "storage", id="etag-of-one-part"),
        pytest.param(Behaviour(etag='"abc-3"'), "size", id="etag-of-many-parts"),
        pytest.param(Behaviour(etag=None), "size", id="nothing"),
    ],
)
def test_without_a_hash_storage_vouches_if_it_can(
    fetcher: Fetcher, behaviour: Behaviour, vouches: str
) -> None:
    fetcher.server.behaviour = behaviour
    (file,) = fetcher.publish(SMALL)

    (done,) = fetcher.fetch([replace(file, digest=None)]).values()

    assert (done.verified_by, done.part.path.read_bytes()) == (vouches, SMALL)


def test_a_content_md5_that_does_not_fit_is_an_error(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = Behaviour(
        ranges=False, headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    )
    (file,) = fetcher.publish(SMALL)

    with pytest.raises(IntegrityError, match="storage says Content-MD5"):
        fetcher.fetch([replace(file, digest=None)])


# What storage may do, and the bytes come all the same

FIN = Behaviour(cut_after=70_000)
RST = Behaviour(cut_after=70_000, reset=True)
STALL = Behaviour(stall_after=70_000)

EVERY_TIME = [
    pytest.param(Behaviour(ranges=False), id="200-to-every-range"),
    pytest.param(Behaviour(ranges=False, framing="chunked"), id="200-chunked"),
    pytest.param(Behaviour(ranges=False, framing="close"), id="200-until-close"),
    pytest.param(Behaviour(accept_ranges=False), id="no-accept-ranges"),
    pytest.param(Behaviour(refuse_ranges=True), id="416-to-every-range"),
    pytest.param(Behaviour(start_shift=1), id="206-of-another-start"),
    pytest.param(Behaviour(total_shift=1), id="206-of-another-total"),
    pytest.param(Behaviour(headers={"Content-Range": "lines 1-2/3"}), id="206-odd"),
    pytest.param(Behaviour(headers={"Content-Range": None}), id="206-of-what"),
    pytest.param(Behaviour(etag="changing"), id="etag-changes-412"),
    pytest.param(Behaviour(etag="changing", if_match=False), id="etag-changes"),
    pytest.param(Behaviour(etag="weak"), id="weak-etag"),
    pytest.param(Behaviour(etag=None), id="no-etag"),
    pytest.param(Behaviour(gzip=True), id="gzip"),
    pytest.param(Behaviour(gzip=True, ranges=False), id="gzip-of-a-200"),
    pytest.param(Behaviour(framing="chunked"), id="206-chunked"),
    pytest.param(Behaviour(framing="close"), id="206-until-close"),
    pytest.param(Behaviour(keep_alive=False), id="one-request-a-connection"),
    pytest.param(Behaviour(redirect=Redirect(hops=5)), id="five-redirects"),
    pytest.param(Behaviour(redirect=Redirect(307)), id="307"),
]


@pytest.mark.parametrize("behaviour", EVERY_TIME)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_strange_server_is_understood(
    fetcher: Fetcher, behaviour: Behaviour, content: bytes
) -> None:
    fetcher.server.behaviour = behaviour

    assert fetcher.bring(content) == content
    assert fetcher.server.mangled == []
    assert fetcher.parts == []


ONCE = [
    pytest.param(FIN, id="fin"),
    pytest.param(RST, id="rst"),
    pytest.param(replace(FIN, framing="chunked"), id="fin-chunked"),
    pytest.param(replace(RST, framing="chunked"), id="rst-chunked"),
    pytest.param(replace(FIN, framing="close"), id="fin-where-it-is-the-end"),
    pytest.param(replace(FIN, ranges=False), id="fin-of-a-200"),
    pytest.param(replace(RST, ranges=False, framing="chunked"), id="rst-of-a-200"),
    pytest.param(replace(RST, gzip=True, ranges=False), id="rst-gzip"),
    pytest.param(Behaviour(close_before_answer=True), id="close-before-an-answer"),
    pytest.param(
        Behaviour(close_before_answer=True, reset=True), id="rst-before-an-answer"
    ),
    pytest.param(STALL, id="stall"),
    pytest.param(Behaviour(no_answer=True), id="no-answer"),
    pytest.param(Behaviour(header_drip_s=0.3), id="a-head-that-drips"),
    pytest.param(Behaviour(wrong_bytes=True), id="wrong-bytes"),
    pytest.param(Behaviour(wrong_bytes=True, ranges=False), id="wrong-bytes-200"),
    pytest.param(Behaviour(resize=7), id="too-long"),
    pytest.param(Behaviour(resize=-7), id="too-short"),
    pytest.param(Behaviour(resize=7, framing="chunked"), id="too-long-chunked"),
    pytest.param(Behaviour(resize=-7, framing="chunked"), id="too-short-chunked"),
    pytest.param(Behaviour(resize=-7, ranges=False), id="too-short-200"),
    pytest.param(Behaviour(status=412), id="412"),
    pytest.param(Behaviour(status=416), id="416"),
    *(pytest.param(busy(status), id=str(status)) for status in (408, 425, 429)),
    *(pytest.param(busy(status), id=str(status)) for status in (500, 502, 503, 504)),
    pytest.param(ACCESS_DENIED, id="403"),
    pytest.param(s3_error(401, "Unauthorized"), id="401"),
    pytest.param(REQUEST_EXPIRED, id="403-expired"),
    pytest.param(TOKEN_EXPIRED, id="400-expired-token"),
    pytest.param(AZURE_REFUSED, id="403-azure-with-a-bom"),
    pytest.param(replace(FIN, range_limit=50_000), id="206-of-less"),
]


@pytest.mark.parametrize("behaviour", ONCE)
@pytest.mark.parametrize("after", [0, 1], ids=["at-first", "later"])
def test_a_fault_that_passes_is_survived(
    fetcher: Fetcher, behaviour: Behaviour, after: int
) -> None:
    fetcher.server.script(*[OK] * after, behaviour)

    assert fetcher.bring(LARGE, tuning=HURRIED) == LARGE
    assert fetcher.parts == []


@pytest.mark.clock
@pytest.mark.parametrize("behaviour", [FIN, RST, STALL], ids=["fin", "rst", "stall"])
def test_only_what_a_cut_left_out_is_fetched_again(
    fetcher: Fetcher, behaviour: Behaviour
) -> None:
    fetcher.server.script(behaviour)

    fetcher.bring(SMALL, tuning=replace(HURRIED, small_bytes=0))

    first, second = fetcher.server.requests
    assert first.byte_range == (0, RANGE - 1)
    assert second.byte_range == (70_000, len(SMALL) - 1)


def test_all_connections_of_a_file_may_be_cut_at_once(fetcher: Fetcher) -> None:
    content = noise(10 * RANGE)
    fetcher.server.script(OK, *[RST] * 2, *[busy(503)] * 12)
    both_failed = threading.Barrier(2, timeout=30)  # two connections are always open

    def backoff_s(_tries: int, _headers: object) -> float:
        both_failed.wait()
        return 0.0

    together = replace(IMPATIENT, tries=8, backoff_s=backoff_s)
    assert fetcher.bring(content, jobs=9, tuning=together) == content


def test_the_same_fault_of_many_connections_is_warned_of_once(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    content = noise(10 * RANGE)
    fetcher.server.script(OK, *[busy(502)] * 9, *[busy(503)] * 3)
    patient = replace(IMPATIENT, tries=20)
    caplog.set_level("DEBUG", NAME)

    assert fetcher.bring(content, jobs=9, tuning=patient) == content

    lines = [each for each in caplog.records if "trying again in" in each.getMessage()]
    warned = [each.getMessage() for each in lines if each.levelname == "WARNING"]
    said = re.findall(r"': storage answered (\d+)", "\n".join(warned))
    assert sorted(said) == ["502", "503"]
    assert len(lines) == 12
    assert {each.levelname for each in lines} == {"WARNING", "DEBUG"}


def test_a_fault_is_warned_of_again_after_a_while() -> None:
    repeats = Repeats()

    times = (100.0, 100.0 + REPEAT_S - 1, 100.0 + REPEAT_S)
    assert [repeats.is_repeat("cut", at) for at in times] == [False, True, False]


def test_a_range_asks_for_the_object_that_the_first_one_was_of(
    fetcher: Fetcher,
) -> None:
    fetcher.bring(LARGE)

    first, *others = fetcher.server.requests
    assert "if-match" not in first.headers
    assert {each.headers["if-match"] for each in others} == {f'"{md5(LARGE)}"'}


@pytest.mark.parametrize("empty", ["nginx", "s3", "azure"])
def test_an_empty_file_comes_however_it_is_answered(
    fetcher: Fetcher, empty: str
) -> None:
    fetcher.server.behaviour = Behaviour(empty=empty)  # type: ignore[arg-type]

    assert fetcher.bring(b"") == b""


@pytest.mark.clock
def test_a_slow_body_that_moves_is_not_ended(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = Behaviour(bytes_per_s=40_000)  # 2.5 s, idle limit 1 s

    assert fetcher.bring(SMALL, tuning=HURRIED) == SMALL
    assert len(fetcher.server.requests) == 1


def test_a_download_that_moves_never_runs_out_of_tries(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = Behaviour(cut_after=9_000, reset=True)

    assert fetcher.bring(SMALL) == SMALL
    assert len(fetcher.server.requests) == 1 + 12  # the first one kept nothing


def test_the_wait_is_as_long_as_the_server_asks(fetcher: Fetcher) -> None:
    fetcher.server.script(busy(503, retry_after=17))
    asked = []

    def backoff_s(tries: int, headers: Mapping[str, str] | None) -> float:
        asked.append((tries, (headers or {}).get("Retry-After")))
        return 0

    fetcher.bring(SMALL, tuning=replace(IMPATIENT, backoff_s=backoff_s))

    assert asked == [(1, "17")]


# What is not survived

WRONG = [
    pytest.param(Behaviour(wrong_bytes=True), id="wrong-bytes"),
    pytest.param(Behaviour(wrong_bytes=True, ranges=False), id="wrong-bytes-200"),
    pytest.param(Behaviour(resize=7), id="too-long"),
    pytest.param(Behaviour(resize=-7), id="too-short"),
    pytest.param(Behaviour(resize=7, ranges=False, framing="chunked"), id="chunked"),
    pytest.param(
        Behaviour(endless=True, ranges=False, framing="chunked"), id="endless"
    ),
]


@pytest.mark.parametrize("behaviour", WRONG)
def test_wrong_content_is_fetched_once_more_then_refused_and_deleted(
    fetcher: Fetcher, behaviour: Behaviour
) -> None:
    fetcher.server.behaviour = behaviour
    files = fetcher.publish(SMALL, size=len(SMALL))

    with pytest.raises(
        IntegrityError, match=r"'m/0.bin' does not have the expected content"
    ):
        fetcher.fetch(files)

    assert len(fetcher.server.requests) <= 3
    assert fetcher.server.bytes_served < 50 << 20
    assert fetcher.parts == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_endless_body_ends_at_what_was_promised(
    fetcher: Fetcher, framing: str
) -> None:
    fetcher.server.behaviour = Behaviour(endless=True, framing=framing)  # type: ignore[arg-type]

    with pytest.raises(IntegrityError, match=r"got (more than )?\d+ bytes"):
        fetcher.fetch(fetcher.publish(SMALL, size=len(SMALL)))

    assert fetcher.parts == []


REFUSALS = [
    pytest.param(NO_SUCH_KEY, "was it pushed with 'dvc push'", id="404"),
    pytest.param(s3_error(400, "InvalidArgument"), "400 Bad Request", id="400"),
    pytest.param(Behaviour(status=410), "410 Gone", id="410"),
    pytest.param(Behaviour(status=501), "501 Not Implemented", id="501"),
    pytest.param(Behaviour(status=204), "204 No Content", id="204"),
]


@pytest.mark.parametrize(("behaviour", "words"), REFUSALS)
def test_what_cannot_succeed_is_not_tried_again(
    fetcher: Fetcher, behaviour: Behaviour, words: str
) -> None:
    fetcher.server.behaviour = behaviour

    with pytest.raises(DownloadError, match=f"'m/0.bin': .*{words}"):
        fetcher.fetch(fetcher.publish(SMALL))

    assert len(fetcher.server.requests) == 1


FAULTS = [
    pytest.param(busy(503), "503 Service Unavailable", id="503"),
    pytest.param(Behaviour(close_before_answer=True), "cut", id="close"),
    pytest.param(Behaviour(cut_after=0), "the connection was cut", id="cut"),
    pytest.param(Behaviour(no_answer=True), "no data for too long", id="no-answer"),
    pytest.param(Behaviour(stall_after=0), "no data for too long", id="stall"),
    pytest.param(Behaviour(header_drip_s=0.3), "no data for too long", id="drip"),
]


@pytest.mark.clock
@pytest.mark.parametrize(("behaviour", "words"), FAULTS)
def test_a_fault_that_lasts_ends_the_pull_after_some_tries(
    fetcher: Fetcher, behaviour: Behaviour, words: str
) -> None:
    fetcher.server.behaviour = behaviour

    with pytest.raises(
        DownloadError, match=f"{words}.* \\(2 tries without any data\\)"
    ):
        fetcher.fetch(fetcher.publish(SMALL), tuning=replace(HURRIED, tries=2))

    assert len(fetcher.server.requests) == 2


def test_a_server_that_is_gone_is_named(fetcher: Fetcher) -> None:
    files = fetcher.publish(SMALL)
    fetcher.server.close()

    with pytest.raises(DownloadError, match=r"'127.0.0.1:\d+': connection refused"):
        fetcher.fetch(files)


def test_an_object_that_never_is_the_same_is_given_up(fetcher: Fetcher) -> None:
    fetcher.server.behaviour = Behaviour(status=412)

    with pytest.raises(DownloadError, match="changed in storage, again"):
        fetcher.fetch(fetcher.publish(SMALL))


def test_one_failure_ends_all_downloads_and_keeps_what_came(fetcher: Fetcher) -> None:
    files = fetcher.publish(noise(30 << 20), SMALL)
    slow, gone = (file.url.split("?")[0] for file in files)
    origin = fetcher.server.origin()
    fetcher.server.behaviours = {
        slow.removeprefix(origin): Behaviour(stall_after=5 << 20),
        gone.removeprefix(origin): replace(NO_SUCH_KEY, delay_s=0.5),
    }

    with pytest.raises(DownloadError, match=r"'m/1\.bin'"):
        fetcher.fetch(files, tuning=replace(IMPATIENT, idle_s=60))

    assert [name for name in fetcher.parts if name.endswith(".ranges")]


# Links


def test_links_that_died_are_renewed_once_for_all_files(fetcher: Fetcher) -> None:
    contents = [noise(1000, number) for number in range(50)]
    files = fetcher.publish(*contents)
    fetcher.server.behaviour = Behaviour(signature_required=True)
    fetcher.server.revoke()

    fetched = fetcher.fetch(files, jobs=16)

    assert fetcher.renewals == 1
    assert len(fetched) == 50


def test_links_that_die_between_ranges_are_renewed_and_the_part_goes_on(
    fetcher: Fetcher,
) -> None:
    content = noise(6 * RANGE)
    (file,) = fetcher.publish(content)
    fetcher.server.behaviour = Behaviour(signature_required=True)

    def choose(exchange: Exchange) -> None:
        if exchange.byte_range and exchange.byte_range[0] == RANGE:
            fetcher.server.choose = lambda _: None
            fetcher.server.revoke()

    fetcher.server.choose = choose

    (done,) = fetcher.fetch([file], jobs=6).values()

    assert done.part.path.read_bytes() == content
    assert fetcher.renewals == 1
    served = [each.sent for each in fetcher.server.requests if each.status == 206]
    assert sum(served) == len(content)


def test_links_may_die_any_number_of_times_while_bytes_come(fetcher: Fetcher) -> None:
    contents = [noise(1000, number) for number in range(12)]
    fetcher.server.script(*[OK, REQUEST_EXPIRED] * 12)

    fetched = fetcher.fetch(fetcher.publish(*contents), jobs=1)

    assert (len(fetched), fetcher.renewals) == (12, 11)


@pytest.mark.parametrize(
    "refusal",
    [ACCESS_DENIED, REQUEST_EXPIRED, TOKEN_EXPIRED],
    ids=["403", "403-expired", "400-expired"],
)
def test_a_new_link_that_is_refused_too_tells_of_studios_credentials(
    fetcher: Fetcher, refusal: Behaviour
) -> None:
    fetcher.server.behaviour = refusal

    with pytest.raises(DownloadError, match="Studio's credentials"):
        fetcher.fetch(fetcher.publish(SMALL), jobs=4)

    assert fetcher.renewals == 1


def test_ranges_that_are_refused_for_good_are_not_asked_for_ever(
    fetcher: Fetcher,
) -> None:
    fetcher.server.script(OK)
    fetcher.server.behaviour = ACCESS_DENIED

    with pytest.raises(DownloadError, match="Studio's credentials"):
        fetcher.fetch(fetcher.publish(LARGE), jobs=4)


def test_what_the_renewal_raises_ends_the_pull_and_keeps_the_part(
    fetcher: Fetcher,
) -> None:
    content = noise(4 * RANGE)
    fetcher.server.script(OK, OK, OK, REQUEST_EXPIRED)

    def renew() -> Mapping[str, str]:
        raise ModelMovedError(ModelRef("churn", stage="prod"))

    with pytest.raises(ModelMovedError, match="moved to another version"):
        fetcher.fetch(fetcher.publish(content), jobs=1, renew=renew)

    assert len(fetcher.parts) == 2  # bytes and record


# The local disk


def test_what_the_disk_cannot_take_is_refused_before_the_first_byte(
    fetcher: Fetcher,
) -> None:
    fetcher.server.behaviour = Behaviour(endless=True, ranges=False)

    with pytest.raises(
        LocalDiskError, match=r"not enough space \([\d.]+ TiB to write, [\d.]+ .iB free"
    ):
        fetcher.fetch(fetcher.publish(SMALL))

    assert fetcher.parts == []


def test_what_git_says_is_too_large_is_refused_before_any_request(
    fetcher: Fetcher,
) -> None:
    with pytest.raises(LocalDiskError, match="not enough space"):
        fetcher.fetch(fetcher.publish(SMALL, size=1 << 60))

    assert fetcher.server.requests == []


def test_a_folder_that_cannot_be_made_is_told(fetcher: Fetcher, tmp_path: Path) -> None:
    fetcher.folder = tmp_path / "file" / "parts"
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(LocalDiskError, match="not a directory"):
        fetcher.fetch(fetcher.publish(SMALL))


def test_a_folder_that_vanishes_is_made_again(fetcher: Fetcher) -> None:
    files = fetcher.publish(LARGE)

    def choose(exchange: Exchange) -> None:
        if exchange.byte_range and exchange.byte_range[0] == RANGE:
            fetcher.server.choose = lambda _: None
            for path in fetcher.folder.glob("*"):
                path.unlink()
            fetcher.folder.rmdir()

    fetcher.server.choose = choose

    (done,) = fetcher.fetch(files, jobs=1).values()

    assert done.part.path.read_bytes() == LARGE


# Progress, and the end


class Told:
    """A progress that records all updates."""

    def __init__(self) -> None:
        self.states: list[tuple[int, int | None]] = []

    def update(self, done: int, total: int | None) -> None:
        self.states.append((done, total))

    def note_files(self, _partial: object) -> None: ...


def test_progress_grows_to_the_size_of_all_files(fetcher: Fetcher) -> None:
    told = Told()
    fetcher.server.behaviour = Behaviour(bytes_per_s=80_000)

    fetcher.fetch(fetcher.publish(SMALL, noise(50_000)), progress=told)

    done = [done for done, _ in told.states]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert told.states[-1] == (150_000, 150_000)


def test_the_total_is_not_known_before_every_size_is(fetcher: Fetcher) -> None:
    told = Told()
    files = fetcher.publish(SMALL, noise(9))
    fetcher.server.behaviours = {
        files[1].url.split("?")[0].removeprefix(fetcher.server.origin()): Behaviour(
            delay_s=0.5
        )
    }

    fetcher.fetch(files, progress=told)

    assert {total for _, total in told.states} == {None, 100_009}


class Interrupting(Told):
    """Raises Ctrl-C when so many bytes have arrived."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.at = 0.0

    def update(self, done: int, total: int | None) -> None:
        super().update(done, total)
        if done >= self.after:
            self.at = time.monotonic()
            raise KeyboardInterrupt


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(stall_after=500_000), id="in-a-body"),
        pytest.param(Behaviour(no_answer=True), id="before-an-answer"),
        pytest.param(Behaviour(header_drip_s=0.1), id="in-a-head"),
        pytest.param(busy(503, retry_after=60), id="in-a-pause"),
    ],
)
def test_an_interrupt_ends_everything_within_a_second(
    fetcher: Fetcher, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    fetcher.server.script(OK)
    fetcher.server.behaviour = behaviour
    progress = Interrupting(after=RANGE)

    with pytest.raises(KeyboardInterrupt):
        fetcher.fetch(
            fetcher.publish(noise(4 * RANGE)),
            progress=progress,
            tuning=EVEN,
        )

    assert time.monotonic() - progress.at < 2
    assert re.search(
        r"kept .* MiB of partial downloads; the next pull will resume", caplog.text
    )
    assert len(fetcher.parts) == 2  # the bytes and their record


def test_a_stream_that_comes_to_its_end_keeps_nothing(
    fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    fetcher.bring(LARGE)

    assert caplog.text == ""


def test_a_stream_that_is_closed_early_keeps_what_came(fetcher: Fetcher) -> None:
    files = fetcher.publish(SMALL, noise(4 * RANGE))
    slow = files[1].url.split("?")[0].removeprefix(fetcher.server.origin())
    fetcher.server.behaviours = {slow: Behaviour(stall_after=500_000)}
    stream = fetcher.stream(files, tuning=replace(IMPATIENT, small_bytes=0))

    ((done,),) = [next(stream)]
    stream.close()

    assert done.part.path.read_bytes() == SMALL
    assert len(fetcher.parts) == 3  # and the other's bytes and record


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_here_before_anybody_looks_is_yielded_too(
    fetcher: Fetcher, count: int
) -> None:
    files = fetcher.publish(*(noise(1000, seed) for seed in range(count)))
    transfer = _Transfer(
        SignedUrls(files, dict), PartStore(fetcher.folder), EVEN, jobs=2
    )
    transfer.start(files)
    wait_until(lambda: len(transfer._ready) == count)

    try:
        batches = list(itertools.islice(transfer.results(SilentProgress()), 5))
    finally:
        transfer.stop()

    assert sorted(done.file.path for batch in batches for done in batch) == [
        file.path for file in files
    ]
