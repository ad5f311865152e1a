"""A pull resumes the parts of the one before, however it ended, also in parallel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from fetching import RANGE, SMALL, Fetcher, largest_file, md5, noise
from needs import need_proc
from servers import OK, Behaviour, FileServer, wait_until

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.http.response import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from servers import Exchange

    from dvc_studio_models.model import ModelFile

pytestmark = [
    pytest.mark.reliability("Interrupted downloads"),
    pytest.mark.clock,  # Python 3.11 may fail to trace one of many threads
]

JOBS = 4


CONTENT = noise(12 * RANGE + 345)
STALLED = Behaviour(stall_after=600_000)
HALF = JOBS * CHUNK_BYTES  # of a stalled download that is on disk at last

CHILD = """
import json, signal, sys
from pathlib import Path
from dvc_studio_models.model import Digest, ModelFile
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.model import SilentProgress
from dvc_studio_models.transfer.engine import Tuning, fetch

signal.signal(signal.SIGINT, signal.default_int_handler)  # may be inherited as ignored
folder, jobs, range_bytes, *files = json.loads(sys.argv[1])
files = [ModelFile(path, url, Digest("md5", md5)) for path, url, md5 in files]
tuning = Tuning(range_bytes=range_bytes, first_bytes=range_bytes, ramp=1)
stream = fetch(files, store=PartStore(Path(folder)), renew=dict,
               progress=SilentProgress(), jobs=jobs, tuning=tuning)
for batch in stream:
    for done in batch:
        print(done.digest.value, done.part.path, flush=True)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.fixture
def fetcher(file_server: FileServer, tmp_path: Path) -> Fetcher:
    return Fetcher(file_server, tmp_path / "parts")


@contextmanager
def pulling(
    fetcher: Fetcher,
    files: Sequence[ModelFile],
    *,
    jobs: int = JOBS,
    range_bytes: int = RANGE,
) -> Iterator[subprocess.Popen[str]]:
    """Download files in a process of its own."""
    need_proc()
    specs = [(f.path, f.url, f.digest.value) for f in files if f.digest]
    request = json.dumps([str(fetcher.folder), jobs, range_bytes, *specs])
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, request],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(fetcher: Fetcher, files: Sequence[ModelFile]) -> int:
    """Download the missing bytes, check all, and return how many bytes were sent."""
    fetcher.server.forget()
    (done,) = fetcher.fetch(files, jobs=JOBS).values()
    assert done.part.path.read_bytes() == CONTENT
    done.part.discard()
    assert fetcher.parts == []
    return fetcher.server.bytes_served


# Every end


@pytest.mark.parametrize("tenth", range(10))
def test_a_killed_download_is_finished_by_the_next_pull(
    fetcher: Fetcher, tenth: int
) -> None:
    files = fetcher.publish(CONTENT)
    fetcher.server.behaviour = Behaviour(bytes_per_s=6 * RANGE)
    kill_at(fetcher, files, len(CONTENT) * tenth // 10)
    fetcher.server.behaviour = OK
    kept = arrived(fetcher)

    served = finish(fetcher, files)

    assert len(CONTENT) * tenth // 10 < kept == len(CONTENT) - served


def test_a_download_that_is_killed_again_and_again_ends(fetcher: Fetcher) -> None:
    files = fetcher.publish(CONTENT)
    fetcher.server.behaviour = Behaviour(bytes_per_s=6 * RANGE)
    for fifth in range(1, 5):
        kill_at(fetcher, files, len(CONTENT) * fifth // 5)
    fetcher.server.behaviour = OK

    served = finish(fetcher, files)

    assert served < len(CONTENT) // 5


def kill_at(fetcher: Fetcher, files: Sequence[ModelFile], point: int) -> None:
    """Let a process download until so many bytes are on disk."""
    with pulling(fetcher, files) as process:
        wait_until(lambda: arrived(fetcher) > point, timeout_s=60)
        process.kill()
        process.wait()


@pytest.mark.clock
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_signal_ends_a_download_at_once_and_loses_nothing(
    fetcher: Fetcher, end: signal.Signals
) -> None:
    files = fetcher.publish(CONTENT)
    fetcher.server.behaviour = STALLED
    with pulling(fetcher, files) as process:
        wait_until(lambda: arrived(fetcher) >= HALF, timeout_s=60)
        process.send_signal(end)
        process.wait(5)
    fetcher.server.behaviour = OK
    kept = arrived(fetcher)

    served = finish(fetcher, files)

    assert served == len(CONTENT) - kept


def arrived(fetcher: Fetcher) -> int:
    """Return how many bytes the record of the only part lists."""
    spans = []
    for record in fetcher.folder.glob("*.ranges"):
        lines = record.read_text().split("\n")[1:-1]
        spans += [list(map(int, line.split())) for line in lines if line]
    return sum(stop - start for start, stop in spans)


def test_a_verified_file_that_was_not_placed_is_not_fetched_again(
    fetcher: Fetcher,
) -> None:
    files = fetcher.publish(CONTENT, SMALL)
    for done in fetcher.fetch(files).values():
        done.part.release()
    fetcher.server.forget()

    again = fetcher.fetch(files)

    assert fetcher.server.requests == []
    assert [again[file.path].digest.value for file in files] == [
        md5(CONTENT),
        md5(SMALL),
    ]


def test_what_an_earlier_pull_left_counts_as_done(fetcher: Fetcher) -> None:
    files = leave_half(fetcher)
    kept = arrived(fetcher)
    told: list[tuple[int, int | None]] = []

    class Told:
        def update(self, done: int, total: int | None) -> None:
            told.append((done, total))

        def note_files(self, _partial: object) -> None: ...

    fetcher.server.behaviour = Behaviour(delay_s=0.5)
    fetcher.fetch(files, progress=Told())

    assert min(done for done, _ in told if done) == kept
    assert told[-1] == (len(CONTENT), len(CONTENT))


# Between two pulls


def leave_half(fetcher: Fetcher) -> list[ModelFile]:
    """Start a download, and stop it in the middle."""
    files = fetcher.publish(CONTENT)
    fetcher.server.behaviour = STALLED

    class Interrupting:
        def update(self, done: int, total: int | None) -> None:  # noqa: ARG002
            if done >= HALF:
                raise KeyboardInterrupt

        def note_files(self, _partial: object) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        fetcher.fetch(files, jobs=JOBS, progress=Interrupting())
    fetcher.server.behaviour = OK
    fetcher.server.forget()
    return files


def data_of(fetcher: Fetcher) -> Path:
    (path,) = (each for each in fetcher.folder.iterdir() if each.suffix != ".ranges")
    return path


def test_only_what_is_missing_is_asked_for(fetcher: Fetcher) -> None:
    files = leave_half(fetcher)
    kept = arrived(fetcher)

    served = finish(fetcher, files)

    assert HALF <= kept == len(CONTENT) - served
    assert {each.headers["if-match"] for each in fetcher.server.requests} == {
        f'"{md5(CONTENT)}"'
    }


BYTES = [
    pytest.param(lambda data: bytes(len(data)), id="zeros"),
    pytest.param(lambda data: data[:700_000], id="cut"),
    pytest.param(lambda _: b"", id="empty"),
    pytest.param(lambda data: data + bytes(30 << 20), id="too-long"),
    pytest.param(lambda data: data[::-1], id="foreign"),
]


@pytest.mark.parametrize("change", BYTES)
def test_whatever_lies_in_a_part_the_hash_decides(
    fetcher: Fetcher, change: object
) -> None:
    files = leave_half(fetcher)
    data = data_of(fetcher)
    data.write_bytes(change(data.read_bytes()))  # type: ignore[operator]

    finish(fetcher, files)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(f"{len(CONTENT)} \n0 {len(CONTENT)}\n", id="all-is-there"),
        pytest.param(f"{RANGE} \n0 600000\n", id="another-size"),
        pytest.param(f"{1 << 60} \n0 600000\n", id="size-beyond-the-disk"),
        pytest.param(f'{len(CONTENT)} "other"\n0 600000\n', id="another-etag"),
        pytest.param(f"{len(CONTENT)} \n0 600000\n1048576 16", id="torn"),
        pytest.param("nonsense\n" * 9, id="nonsense"),
    ],
)
def test_whatever_a_record_says_the_hash_decides(fetcher: Fetcher, record: str) -> None:
    files = leave_half(fetcher)
    data = data_of(fetcher)
    with data.open("r+b") as file:
        file.truncate(len(CONTENT))
    data.with_name(f"{data.name}.ranges").write_text(record)

    finish(fetcher, files)


def test_a_bad_part_does_not_count_against_the_server(fetcher: Fetcher) -> None:
    files = leave_half(fetcher)
    data = data_of(fetcher)
    data.write_bytes(bytes(data.stat().st_size))
    missing = 12  # ranges, and the rest of the four that were begun
    fetcher.server.script(*[OK] * (missing + 1), Behaviour(wrong_bytes=True))

    finish(fetcher, files)


def test_a_part_of_an_object_that_was_replaced_is_fetched_anew_in_ranges(
    fetcher: Fetcher,
) -> None:
    files = leave_half(fetcher)
    fetcher.server.behaviour = Behaviour(etag='"new"')

    served = finish(fetcher, files)

    whole = [each for each in fetcher.server.requests if each.byte_range is None]
    assert whole == []
    assert served >= len(CONTENT)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(ranges=False), id="200"),
        pytest.param(Behaviour(refuse_ranges=True), id="416"),
        pytest.param(Behaviour(start_shift=5), id="206-odd"),
        pytest.param(Behaviour(wrong_bytes=True), id="wrong-bytes-once"),
    ],
)
def test_a_part_meets_a_server_of_another_kind(
    fetcher: Fetcher, behaviour: Behaviour
) -> None:
    files = leave_half(fetcher)
    if behaviour.wrong_bytes:
        fetcher.server.script(behaviour)
    else:
        fetcher.server.behaviour = behaviour

    finish(fetcher, files)


def test_a_full_disk_is_told_and_what_fitted_is_kept(fetcher: Fetcher) -> None:
    files = fetcher.publish(CONTENT)
    with largest_file(5 * RANGE + 1000), pytest.raises(LocalDiskError, match="large"):
        fetcher.fetch(files, jobs=1)

    served = finish(fetcher, files)

    assert served <= len(CONTENT) - 5 * RANGE + CHUNK_BYTES


# Beside other pulls


def test_two_processes_that_pull_the_same_both_end_well(fetcher: Fetcher) -> None:
    files = fetcher.publish(CONTENT, SMALL)
    fetcher.server.behaviour = Behaviour(bytes_per_s=4 * RANGE)

    with pulling(fetcher, files) as one, pulling(fetcher, files) as two:
        answers = [process.communicate()[0] for process in (one, two)]

    for answer in answers:
        found = [line.split(" ", 1)[0] for line in answer.splitlines()[:-1]]
        assert sorted(found) == sorted([md5(CONTENT), md5(SMALL)])


def test_many_pulls_at_once_share_what_one_left_without_harm(
    fetcher: Fetcher,
) -> None:
    files = leave_half(fetcher)
    contents: list[bytes] = []

    def pull() -> None:
        (done,) = fetcher.fetch(files, jobs=2).values()
        contents.append(done.part.path.read_bytes())
        done.part.discard()

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert contents == [CONTENT] * 4
    assert fetcher.parts == []


def test_a_part_that_another_pull_takes_away_is_begun_again(fetcher: Fetcher) -> None:
    """This can happen if a host that was suspended is taken for dead."""
    files = fetcher.publish(CONTENT)

    def choose(exchange: Exchange) -> None:
        if exchange.byte_range and exchange.byte_range[0] == 3 * RANGE:
            fetcher.server.choose = lambda _: None
            data = data_of(fetcher)
            data.rename(data.with_name(f"{data.name}-stolen"))

    fetcher.server.choose = choose
    (done,) = fetcher.fetch(files, jobs=2).values()

    assert done.part.path.read_bytes() == CONTENT


# Memory


def test_memory_does_not_grow_with_the_file(fetcher: Fetcher) -> None:
    content = noise(RANGE) * 200
    files = fetcher.publish(content)

    with pulling(fetcher, files, jobs=16, range_bytes=16 << 20) as process:
        output, errors = process.communicate()

    *_, peak_kib = output.split()
    assert md5(content) in output, errors
    assert int(peak_kib) < 150_000
