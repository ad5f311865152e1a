"""One content on its way: a part that grows until its hash is right.

Owns what happens to one file, from any number of threads. Promises that a part is
delivered only when its hash is the promised one, that no byte which has arrived is
asked for again, and that what is given up is never written to a file that is delivered.

    claim a part -> first range -> size known -> other ranges -> hash right -> deliver
    Retry       wait, and go on at the same offset, while bytes keep coming in between
    LinkRejected     ask Studio for new links, once for all files, and go on
    RestartNeeded   drop the part and ask for the whole file in one answer
    wrong hash  drop the part and begin again, once
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.http.response import (
    LinkRejected,
    RangeRequest,
    RestartNeeded,
    Retry,
)
from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.store.part import DownloadedFile
from dvc_studio_models.store.parts import key_of
from dvc_studio_models.transfer.hashing import verify
from dvc_studio_models.transfer.retries import (
    ContentMismatch,
    RecoveryState,
    RetryBudget,
)
from dvc_studio_models.transfer.schedule import Attempt, divide
from dvc_studio_models.transfer.space import FileTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc_studio_models.background import Workers
    from dvc_studio_models.http.response import StorageResponse
    from dvc_studio_models.http.storage import Storage, Tuning
    from dvc_studio_models.model import ModelFile
    from dvc_studio_models.store.parts import PartStore
    from dvc_studio_models.transfer.space import SpaceBudget

logger = logging.getLogger(f"dvc.{__name__}")

_END = sys.maxsize


@dataclass(frozen=True)
class TransferContext:
    """What all downloads of a pull share."""

    store: PartStore
    storage: Storage
    workers: Workers
    space: SpaceBudget
    tuning: Tuning
    on_verified: Callable[[Download, DownloadedFile], None]


class Download:
    """One content to fetch."""

    def __init__(self, file: ModelFile, context: TransferContext) -> None:
        self.file = file
        self._context = context
        self._key = key_of(file.digest) if file.digest else None
        self._totals = FileTotals()
        self._attempt: Attempt | None = None
        self._lock = threading.Lock()
        self._recovery = RecoveryState(file)

    @property
    def received(self) -> int:
        """How many bytes are on disk."""
        attempt = self._attempt
        return attempt.part.received if attempt else 0

    def reserve_space(self) -> None:
        """Count in what is known before the first request.

        Raises:
            LocalDiskError: The disk is too small.
        """
        if self.file.size is not None:
            held = self._context.store.allocated_bytes(self._key) if self._key else 0
            missing = max(0, self.file.size - held)
            self._context.space.update(self._totals, self.file.size, missing=missing)

    def begin(self) -> None:
        """Go on with what an earlier pull left, or ask for the first range."""
        store = self._context.store
        part = store.claim(self._key) if self._key else store.create(None)
        attempt = self._attempt = Attempt(part, store)
        if part.size is not None:
            name, received = self.file.path, part.received
            logger.debug("resuming '%s' at %d of %d bytes", name, received, part.size)
        self._fetch_first(attempt)

    def follow(self) -> None:
        """Let the disk do meanwhile what it can.

        Raises:
            LocalDiskError: It refuses.
        """
        attempt = self._attempt
        if attempt:
            with (
                disk_errors(self._context.store.folder),
                contextlib.suppress(FileNotFoundError),  # it was given up
            ):
                attempt.mirror.advance()

    def stop(self) -> int:
        """Keep what has arrived for the next pull; how many bytes."""
        if self._attempt is None:
            return 0
        self._attempt.mirror.stop()
        return self._attempt.part.release()

    # Requests

    def _fetch_first(self, attempt: Attempt) -> None:
        """Fetch the first range that is missing; the others follow from its answer."""
        start, stop = next(iter(attempt.part.missing(0, _END)), (0, 0))
        self._fetch_range(
            attempt, start, min(stop, start + self._context.tuning.first_bytes)
        )

    def _fetch_range(self, attempt: Attempt, start: int, stop: int) -> None:
        """Fetch a range, however many requests it takes."""
        budget = RetryBudget(self.file.path, self._context.tuning.tries)
        with self._guarded(attempt):
            while self._is_current(attempt) and (
                gap := self._gap(attempt, start, stop)
            ):
                try:
                    self._request(attempt, *gap)
                except LinkRejected as rejected:
                    self._renew(rejected)
                except Retry as again:
                    self._wait(attempt, budget, again)
            self._finish(attempt)

    def _gap(self, attempt: Attempt, start: int, stop: int) -> tuple[int, int] | None:
        stop = _END if self._recovery.whole else stop
        return next(iter(attempt.part.missing(start, stop)), None)

    def _refill(self, attempt: Attempt) -> bool:
        """Ask for what is due by now, if anybody still waits for it."""
        self._queue_due(attempt)
        return self._is_current(attempt)

    def _is_current(self, attempt: Attempt) -> bool:
        """Whether anybody still waits for what is done."""
        return self._attempt is attempt and not self._context.workers.ended

    def _request(self, attempt: Attempt, start: int, stop: int) -> None:
        """Send one request and write what comes."""
        request = RangeRequest(
            self.file.path,
            start,
            None if self._recovery.whole else stop,
            attempt.part.size,
            attempt.part.etag,
            self._recovery.decode,
        )
        with self._context.storage.ask(request) as answer:
            if not attempt.size_confirmed or attempt.part.size is None:
                self._on_first_response(attempt, answer, stop)
            self._receive(attempt, answer)

    def _on_first_response(
        self, attempt: Attempt, answer: StorageResponse, stop: int
    ) -> None:
        """Learn from the first answer how large the file is; queue its other ranges."""
        attempt.size_confirmed = True
        self._recovery.whole = answer.whole
        part, size = attempt.part, answer.content_range.size
        attempt.content_md5 = answer.content_md5
        if size is None:
            return
        self._record_size(size, missing=size - part.received)
        part.describe(size, answer.etag)
        if not answer.whole:
            self._schedule_ranges(attempt, stop)

    def _record_size(self, size: int, *, missing: int) -> None:
        """Take down a size; refuse what the disk cannot take before its first byte."""
        if self.file.size not in {None, size}:
            why = f"{size} bytes instead of {self.file.size}"
            raise ContentMismatch(why)
        self._context.space.update(self._totals, size, missing=missing)

    def _schedule_ranges(self, attempt: Attempt, beyond: int) -> None:
        """Divide what is missing of a file into ranges, and ask for the first ones."""
        tuning, missing = self._context.tuning, attempt.part.missing(beyond, _END)
        most = tuning.range_bytes
        attempt.plan(divide(missing, most=most, ramp=tuning.ramp), most=most)
        if attempt.in_background:
            hashing = functools.partial(self._hash_in_background, attempt)
            attempt.in_background = self._context.workers.add_unlimited(hashing)
        self._queue_due(attempt)

    def _queue_due(self, attempt: Attempt) -> None:
        """Queue as many ranges as keep the hashing busy."""
        if count := attempt.take_due():
            bring = functools.partial(self._fetch_next, attempt)
            self._context.workers.add([bring] * count, first=True)

    def _fetch_next(self, attempt: Attempt) -> None:
        self._fetch_range(attempt, *attempt.take())
        attempt.range_done()
        self._queue_due(attempt)

    def _receive(self, attempt: Attempt, answer: StorageResponse) -> None:
        """Write a body into the part at its offset, and hash what fits on."""
        position = answer.content_range.start
        with attempt.part.open() as file:
            for chunk in answer.chunks():
                if self._attempt is not attempt:
                    return
                stop = position + len(chunk)
                self._check_room(answer, stop)
                start = attempt.part.write(file, position, chunk)
                attempt.feed(start, chunk[start - position :])
                position = stop
                self._recovery.forget_refusal()
                if attempt.hash.is_starving():
                    attempt.double_concurrency()
                    self._queue_due(attempt)
                if self._context.workers.ended:
                    return
        if answer.content_range.stop is None:
            self._end(attempt, answer, position)
        elif position < answer.content_range.stop:
            why = "the connection was cut"
            raise Retry(why)

    def _check_room(self, answer: StorageResponse, position: int) -> None:
        """Stop a body that is longer than it may be, however it is framed."""
        limit, promised = answer.content_range.stop, self.file.size
        if limit is not None and position > limit:
            why = "storage sent more than announced"
            raise RestartNeeded(why)
        if promised is not None and position > promised:
            why = f"more than {promised} bytes"
            raise ContentMismatch(why)
        if limit is None and promised is None:
            self._context.space.update(self._totals, None, missing=position)

    def _end(self, attempt: Attempt, answer: StorageResponse, size: int) -> None:
        """Take the end of a body for the end of the file: nothing else tells it."""
        if attempt.part.received > size:
            why = "storage sent less than before"
            raise RestartNeeded(why)
        self._record_size(size, missing=size)
        attempt.part.describe(size, answer.etag)

    # After a request

    def _wait(self, attempt: Attempt, budget: RetryBudget, again: Retry) -> None:
        """Pause before the next try, while the budget lasts."""
        if not self._is_current(attempt):
            return
        tries = budget.spend(attempt.part.received, again)
        pause_s = self._context.tuning.backoff_s(tries, again.headers)
        logger.warning(
            "'%s': %s; trying again in %.1f s", self.file.path, again, pause_s
        )
        self._context.workers.pause(pause_s)

    def _renew(self, rejected: LinkRejected) -> None:
        """Ask for new links; what refuses those too will refuse any."""
        with self._lock:
            self._recovery.refuse(rejected)
        self._context.storage.signed_urls.renew(rejected.generation)

    @contextlib.contextmanager
    def _guarded(self, attempt: Attempt) -> Iterator[None]:
        """Begin again where that helps; fail in our own words."""
        with disk_errors(self._context.store.folder):
            try:
                yield
            except (RestartNeeded, ContentMismatch, FileNotFoundError) as error:
                self._start_over(attempt, error)
            except OSError:
                if self._is_current(attempt):
                    raise

    def _start_over(self, attempt: Attempt, error: Exception) -> None:
        """Drop a part and begin with a new one, or fail.

        Requests that still write to the old part write to nobody's file.
        """
        store = self._context.store
        with self._lock:
            if not self._is_current(attempt):
                return  # another request of the file noticed it first
            self._recovery.start_over(error, resumed=attempt.part.resumed > 0)
            self._attempt = again = Attempt(store.create(self._key), store)
        attempt.mirror.stop()
        attempt.part.discard()
        self._context.space.regain(attempt.part.resumed)
        self._context.space.update(self._totals, self._totals.size, missing=0)
        if self._recovery.is_final:
            raise self._recovery.failure(error, attempt.content_md5)
        logger.debug("restarting '%s': %s", self.file.path, error)
        bring = functools.partial(self._fetch_first, again)
        self._context.workers.add([bring], first=True)

    # When bytes are there

    def _hash_in_background(self, attempt: Attempt) -> None:
        """Hash a large file as it arrives, so that no connection waits for the hash."""
        with self._guarded(attempt):
            while self._refill(attempt) and not attempt.judged:
                attempt.wait()
                self._judge(attempt)

    def _finish(self, attempt: Attempt) -> None:
        """Hash what has arrived, or let that be done beside."""
        if attempt.in_background:
            attempt.arrived.set()
        else:
            self._judge(attempt)

    def _judge(self, attempt: Attempt) -> None:
        """Deliver a part that is complete, and is what was promised."""
        md5 = attempt.hash.catch_up(is_given_up=lambda: not self._refill(attempt))
        with self._lock:
            if md5 is None or attempt.judged or not self._is_current(attempt):
                return
            attempt.judged = True
        part = attempt.part
        verified_by = verify(
            self.file.digest,
            md5,
            part.path,
            etag=part.etag,
            content_md5=attempt.content_md5,
        )
        if verified_by is None:
            self._recovery.decode = not self._recovery.decode
            raise ContentMismatch(md5)
        part.close()
        size = part.size or 0
        self._context.space.update(self._totals, size, missing=self._totals.missing)
        copy = attempt.mirror.finish()
        digest = self.file.digest or Digest(MD5, md5)
        done = DownloadedFile(self.file, digest, size, verified_by, part, copy)
        self._context.on_verified(self, done)
