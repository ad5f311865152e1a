"""Verified bytes: files with signed URLs in, parts whose hash is right out.

Owns the threads: one bounded pool of connections over all files. Large files are
fetched in concurrent ranges straight into the part; hashing runs beside the download.
Promises that a part is yielded only when its hash is the promised one, that finished
ranges are never fetched again, and that what was not finished stays for the next pull.

    claim a part -> first range -> size known -> other ranges -> hash right -> yield
    Retry       wait, and go on at the same offset, while bytes keep coming in between
    Refused     ask Studio for new links, once for all files, and go on
    StartOver   drop the part and begin again, once
    wrong hash  the same, then give up
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import requests

from dvc_studio_models.errors import (
    DownloadError,
    IntegrityError,
    LocalDiskError,
    StudioModelsError,
)
from dvc_studio_models.model import (
    DEFAULT_JOBS,
    MD5,
    MD5_DOS2UNIX,
    Digest,
    ModelFile,
)
from dvc_studio_models.parts import Part, PartStore, disk_error
from dvc_studio_models.storage import (
    Answer,
    Links,
    Refused,
    Retry,
    StartOver,
    Storage,
    Wanted,
)
from dvc_studio_models.transport import is_final, pause_s, reason
from dvc_studio_models.verify import hash_part, verdict

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path

    from dvc_studio_models.progress import Progress

logger = logging.getLogger(f"dvc.{__name__}")

RANGE_BYTES = 16 << 20
RECORD_BYTES = 1 << 20  # how much a killed process can lose, for each connection
TRIES_WITHOUT_PROGRESS = 5
RENEWALS_WITHOUT_PROGRESS = 2
_TICK_S = 0.1


@dataclass(frozen=True)
class Fetched:
    """A file whose bytes are on disk, with the hash that they were to have."""

    file: ModelFile
    size: int
    """In bytes."""

    md5: str
    verified_by: str
    """``url`` (the hash that the file was asked for by), ``storage`` or ``size``."""

    part: Part = field(repr=False)

    @property
    def path(self) -> Path:
        """The bytes; whoever takes them over moves or removes the file."""
        return self.part.path


@dataclass(eq=False)
class _Job:
    """One content to fetch."""

    file: ModelFile
    size: int | None
    """In bytes, as far as it is known."""

    part: Part | None = None
    whole: bool = False
    """Whether the server must be asked without a range."""

    tries: int = 0
    """Since the last byte arrived; so for ``renewals``."""

    renewals: int = 0
    restarts: int = 0
    hashing: bool = False
    content_md5: str | None = None

    @property
    def key(self) -> str | None:
        """What the part is filed under; None where no hash is known."""
        digest = self.file.digest
        if digest is None:
            return None
        legacy = "-dos2unix" if digest.algorithm == MD5_DOS2UNIX else ""
        return digest.value + legacy


@dataclass(frozen=True)
class _Task:
    """One request of a job, for a part that it had when the task was queued."""

    job: _Job
    part: Part | None = None
    """None for the first of a job, which has to claim one."""

    start: int = 0
    stop: int = RANGE_BYTES
    not_before: float = 0.0
    """When to try again, by ``time.monotonic``."""


def fetch(
    files: Sequence[ModelFile],
    *,
    store: PartStore,
    renew: Callable[[], Mapping[str, str]],
    progress: Progress,
    jobs: int = DEFAULT_JOBS,
) -> Generator[list[Fetched]]:
    """Download files and yield them as they are verified, several at a time.

    Closing the generator, or an error, stops all connections and leaves the unfinished
    parts for the next pull.

    Args:
        files: Each content once.
        store: Where parts are kept.
        renew: Asks Studio for new links of the same content: path to URL.
        progress: Told of bytes from this thread only.
        jobs: The most connections at a time.

    Raises:
        DownloadError: Storage did not deliver a file within the retry budget.
        IntegrityError: The content of a file is not what was promised, twice.
        LocalDiskError: The disk is full or refuses to be written.
        StudioModelsError: What ``renew`` raises.
    """
    engine = _Engine(store, Storage(Links(files, renew), connections=jobs))
    try:
        engine.start(files, threads=jobs)
        yield from engine.results(progress)
    finally:
        engine.stop()


class _Engine:
    """A queue of requests, threads that send them, verified files that come out.

    ``_lock`` guards everything but the parts, which guard themselves.
    """

    def __init__(self, store: PartStore, storage: Storage) -> None:
        self._store = store
        self._storage = storage
        self._lock = threading.Condition()
        self._queue: deque[_Task] = deque()
        self._waiting = 0
        self._active: set[_Job] = set()
        self._answers: set[Answer] = set()
        self._ready: list[Fetched] = []
        self._error: BaseException | None = None
        self._stopped = False
        self._unknown_sizes = 0
        self._total = 0
        self._verified = 0
        self._free = 0
        self._reserved = 0

    # What the caller's thread does

    def start(self, files: Sequence[ModelFile], *, threads: int) -> None:
        self._free = self._store.free_bytes()
        self._waiting = len(files)
        self._total = sum(file.size or 0 for file in files)
        self._unknown_sizes = sum(file.size is None for file in files)
        self._queue.extend(_Task(_Job(file, file.size)) for file in files)
        for number in range(threads):
            name = f"dvc-models-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def results(self, progress: Progress) -> Iterator[list[Fetched]]:
        while self._waiting:
            with self._lock:
                if not self._ready and self._error is None:
                    self._lock.wait(_TICK_S)
                ready, self._ready = self._ready, []
                error = self._error
                done = self._verified + sum(
                    job.part.received for job in self._active if job.part
                )
                total = None if self._unknown_sizes else self._total
            progress.update(done, total)
            self._waiting -= len(ready)
            if ready:
                yield ready
            elif error is not None:
                raise error

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._queue.clear()
            self._lock.notify_all()
            answers, active = list(self._answers), list(self._active)
        for answer in answers:
            answer.interrupt()
        for job in active:
            if job.part is not None:
                job.part.wake()
                job.part.release() if job.key else job.part.discard()
        for fetched in self._ready:
            fetched.part.release()
        self._storage.close()

    # What the threads do

    def _work(self) -> None:
        while (task := self._next()) is not None:
            with self._failing():
                self._run(task)

    def _next(self) -> _Task | None:
        with self._lock:
            while not self._stopped:
                now = time.monotonic()
                for index, task in enumerate(self._queue):
                    if task.not_before <= now:
                        del self._queue[index]
                        return task
                soonest = min((task.not_before for task in self._queue), default=None)
                self._lock.wait(None if soonest is None else soonest - now)
            return None

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """End the pull with whatever is raised; the caller's thread raises it."""
        try:
            yield
        except StudioModelsError as error:
            self._fail(error)
        except OSError as error:
            self._fail(disk_error(self._store.folder, error))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if not self._stopped:
                self._error, self._stopped = error, True
            self._lock.notify_all()

    def _push(self, tasks: Iterable[_Task]) -> None:
        """Queue requests before those of files that come later."""
        with self._lock:
            self._queue.extendleft(reversed(list(tasks)))
            self._lock.notify_all()

    def _is_given_up(self, job: _Job, part: Part) -> bool:
        return self._stopped or job.part is not part

    def _run(self, task: _Task) -> None:
        job, part = task.job, task.part or self._begin(task.job)
        if part is None or self._is_given_up(job, part):
            return
        task = replace(task, part=part)
        try:
            self._fetch(job, part, task)
        except StartOver as why:
            self._start_over(job, part, str(why), whole=why.whole)
        except Refused as refused:
            self._renew(task, refused)
        except Retry as again:
            self._try_again(task, part, str(again), again.headers)
        except requests.RequestException as error:
            if is_final(error):
                raise DownloadError(job.file.path, reason(error)) from None
            self._try_again(task, part, reason(error), None)
        else:
            self._conclude(job, part)

    def _begin(self, job: _Job) -> Part | None:
        """Claim the job's part, with what an earlier pull left of it."""
        part = self._store.claim(job.key) if job.key else self._store.fresh("nohash")
        with self._lock:
            self._active.add(job)
            job.part = part
        if part.size is None:
            return part
        logger.debug("resuming '%s' at %d bytes", job.file.path, part.received)
        self._learn(job, part.size)
        self._spread(job, part)
        return None

    def _fetch(self, job: _Job, part: Part, task: _Task) -> None:
        """Send one request and write what comes."""
        stop = None if job.whole else task.stop
        wanted = Wanted(job.file.path, task.start, stop, part.size, part.etag)
        answer = self._storage.ask(wanted)
        with self._lock:
            self._answers.add(answer)
        try:
            if part.size is None:
                self._meet(job, part, answer)
            self._write(job, part, answer)
        finally:
            with self._lock:
                self._answers.discard(answer)
            answer.close()

    def _meet(self, job: _Job, part: Part, answer: Answer) -> None:
        """Learn from a file's first answer how large it is; queue its other ranges."""
        job.whole, job.content_md5 = answer.whole, answer.content_md5
        if answer.size is None:
            return
        self._check_size(job, answer.size)
        self._learn(job, answer.size)
        part.describe(answer.size, answer.etag)
        if not answer.whole and answer.end is not None and answer.end < answer.size:
            self._spread(job, part, beyond=answer.end)

    def _check_size(self, job: _Job, size: int) -> None:
        promised = job.file.size
        if promised is None or promised == size:
            return
        if job.restarts == 0:
            why = "its size is wrong"
            raise StartOver(why)
        raise self._integrity_error(job, f"{size} bytes instead of {promised}")

    def _learn(self, job: _Job, size: int) -> None:
        """Count a size in; refuse before the first byte what the disk cannot take."""
        with self._lock:
            self._unknown_sizes -= job.size is None
            self._total += size - (job.size or 0)
            job.size = size
            self._reserved += size - (job.part.received if job.part else 0)
            if self._reserved > self._free:
                needed = (
                    f"{self._reserved:,} bytes are missing, {self._free:,} are free"
                )
                raise LocalDiskError(self._store.folder, f"not enough space: {needed}")

    def _spread(self, job: _Job, part: Part, *, beyond: int = 0) -> None:
        """Queue what is missing of a file of several ranges; hash beside."""
        tasks = [
            _Task(job, part, at, min(at + RANGE_BYTES, stop))
            for start, stop in part.missing()
            for at in range(max(start, beyond), stop, RANGE_BYTES)
        ]
        self._push(tasks)
        with self._lock:
            if job.hashing:
                return
            job.hashing = True
        threading.Thread(
            target=self._hash_beside, args=(job, part), daemon=True
        ).start()

    def _write(self, job: _Job, part: Part, answer: Answer) -> None:
        """Write a body into the part at its offset, chunk by chunk."""
        limit = answer.end if answer.end is not None else job.file.size
        position = recorded = answer.begin
        try:
            with part.open() as file:
                file.seek(position)
                for chunk in answer.chunks():
                    if self._is_given_up(job, part):
                        return
                    _check_room(position + len(chunk), limit)
                    file.write(chunk)
                    part.add(position, position + len(chunk))
                    position += len(chunk)
                    job.tries = job.renewals = 0
                    if position - recorded >= RECORD_BYTES:
                        part.record(recorded, position)
                        recorded = position
        finally:
            if position > recorded:
                part.record(recorded, position)
        if answer.end is None:
            self._learn(job, position)
            part.describe(position, answer.etag)
        elif position < answer.end:
            why = "the connection was cut"
            raise Retry(why)

    # After a request

    def _try_again(
        self, task: _Task, part: Part, why: str, headers: Mapping[str, str] | None
    ) -> None:
        """Queue what is missing of a range, later, while the budget lasts."""
        job = task.job
        if self._is_given_up(job, part):
            return
        job.tries += 1
        if job.tries > TRIES_WITHOUT_PROGRESS:
            why = f"{why}, {job.tries} times without a byte in between"
            raise DownloadError(job.file.path, why)
        pause = pause_s(job.tries, headers)
        logger.warning("'%s': %s; trying again in %.1f s", job.file.path, why, pause)
        not_before = time.monotonic() + pause
        if part.size is None or job.whole:
            part = self._replace_part(job)
            self._push([_Task(job, part, not_before=not_before)])
            return
        self._push(
            _Task(job, part, max(start, task.start), min(stop, task.stop), not_before)
            for start, stop in part.missing()
            if start < task.stop and stop > task.start
        )

    def _renew(self, task: _Task, refused: Refused) -> None:
        job = task.job
        job.renewals += 1
        if job.renewals > RENEWALS_WITHOUT_PROGRESS:
            why = (
                f"storage answered {refused} to a new link too: the credentials that "
                "Studio holds cannot read this object, or it was never pushed"
            )
            raise DownloadError(job.file.path, why)
        self._storage.links.renew(refused.generation)
        self._push([task])

    def _start_over(self, job: _Job, part: Part, why: str, *, whole: bool) -> None:
        with self._lock:
            if job.part is not part:
                return  # another range of the file noticed it first
            job.restarts += not (whole and not job.whole)
            job.whole = job.whole or whole
        if job.restarts > 1:
            raise DownloadError(job.file.path, f"{why}, again after starting over")
        logger.debug("starting '%s' over: %s", job.file.path, why)
        self._push([_Task(job, self._replace_part(job))])

    def _replace_part(self, job: _Job) -> Part:
        """Drop a part; requests that still write to it write to nobody's file."""
        new = self._store.fresh(job.key or "nohash")
        with self._lock:
            old, job.part, job.hashing = job.part, new, False
            if job.size is not None and old is not None and old.size is not None:
                self._reserved -= job.size
        if old is not None:
            old.wake()
            old.discard()
        return new

    # When all bytes are there

    def _hash_beside(self, job: _Job, part: Part) -> None:
        with self._failing():
            self._judge(job, part)

    def _conclude(self, job: _Job, part: Part) -> None:
        """Judge a complete part, unless a thread of its own does that."""
        with self._lock:
            if job.hashing or self._is_given_up(job, part) or not part.complete:
                return
            job.hashing = True
        self._judge(job, part)

    def _judge(self, job: _Job, part: Part) -> None:
        """Yield a part whose hash is right; start it over, once, if it is wrong."""
        md5 = hash_part(part, is_given_up=lambda: self._is_given_up(job, part))
        if md5 is None:
            return
        digest = job.file.digest
        verified_by = verdict(
            digest, md5, part.path, etag=part.etag, content_md5=job.content_md5
        )
        if verified_by is None and job.restarts:
            raise self._integrity_error(job, md5)
        if verified_by is None:
            self._start_over(job, part, "its hash is wrong", whole=False)
            return
        size = part.size or 0
        with self._lock:
            self._active.discard(job)
            self._verified += size
            self._ready.append(Fetched(job.file, size, md5, verified_by, part))
            self._lock.notify_all()

    def _integrity_error(self, job: _Job, actual: str) -> IntegrityError:
        """Drop what is wrong: the next pull shall not build on it."""
        if job.part is not None:
            job.part.discard()
        expected = job.file.digest or Digest(MD5, job.content_md5 or "unknown")
        source = "the registry" if job.file.digest else "storage"
        path = job.file.path
        return IntegrityError(path, expected=expected, actual=actual, source=source)


def _check_room(position: int, limit: int | None) -> None:
    if limit is not None and position > limit:
        why = "storage sent more than it announced"
        raise StartOver(why)
