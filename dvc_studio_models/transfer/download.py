"""One file to download: a part that grows until its hash is right.

Owns the state of one download, used from any number of threads. Promises that only a
part with the expected hash is passed on, that no byte that has arrived is requested
again, and that a part that was given up is never written to again.

    claim a part -> first range -> size known -> other ranges -> hash right -> verified
    Retry           wait and continue at the same offset, while bytes arrive in between
    LinkRejected    request new links from Studio, once for all files, and continue
    RestartNeeded   discard the part and request the whole file in one response
    wrong hash      discard the part and start again, once
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from typing import TYPE_CHECKING

from dvc_studio_models.errors import disk_errors
from dvc_studio_models.http.response import (
    LinkRejected,
    RangeRequest,
    RestartNeeded,
    Retry,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.store.parts.part import DownloadedFile
from dvc_studio_models.transfer.file import FileTransfer
from dvc_studio_models.transfer.retries import (
    ContentMismatch,
    RetryBudget,
)
from dvc_studio_models.transfer.schedule import Attempt, divide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.http.batch import Body
    from dvc_studio_models.http.response import StorageResponse

logger = get_logger(__name__)

_END = sys.maxsize


class Download(FileTransfer):
    """One file to download."""

    _attempt: Attempt | None = None

    @property
    def received(self) -> int:
        """How many bytes are on disk."""
        attempt = self._attempt
        return attempt.part.received if attempt else 0

    def start(self, body: Body) -> None:
        """Start a part with the first bytes of the file.

        Raises:
            ContentMismatch: It is not the expected file.
            LocalDiskError: The disk is too small.
            OSError: The file system refuses.
        """
        size, store = body.content_range.size or 0, self._context.store
        self._record_size(size, missing=size)
        part = store.create(self._key)
        self._attempt = Attempt(part, store)
        part.describe(size, body.etag)
        with part.open() as file:
            part.write(file, 0, body.data)

    def begin(self, signal: Exception | None = None) -> None:
        """Fetch the file, or the rest of it.

        Args:
            signal: Of the request that was made for it before.
        """
        attempt = self._attempt = self._attempt or self._claim_part()
        self._fetch_first(attempt, signal)

    def _claim_part(self) -> Attempt:
        """Resume the part of an earlier pull, or start a new one."""
        store = self._context.store
        part = store.claim(self._key) if self._key else store.create(None)
        if part.size is not None:
            name, received = self.file.path, part.received
            logger.debug("resuming '%s' at %d of %d bytes", name, received, part.size)
        return Attempt(part, store)

    def advance_mirror(self) -> None:
        """Flush and copy bytes that have arrived.

        Raises:
            LocalDiskError: The file system refuses.
        """
        attempt = self._attempt
        if attempt:
            with (
                disk_errors(self._context.store.folder),
                contextlib.suppress(FileNotFoundError),  # the part was given up
            ):
                attempt.mirror.advance()

    def stop(self) -> int:
        """Keep the part for the next pull; return how many bytes are kept."""
        if self._attempt is None:
            return 0
        self._attempt.mirror.stop()
        return self._attempt.part.release()

    def _fetch_first(self, attempt: Attempt, signal: Exception | None = None) -> None:
        """Fetch the first missing range; its response shows which others there are."""
        start, stop = next(iter(attempt.part.missing(0, _END)), (0, 0))
        first_bytes = self._context.tuning.first_bytes
        self._fetch_range(attempt, start, min(stop, start + first_bytes), signal)

    def _fetch_range(
        self, attempt: Attempt, start: int, stop: int, signal: Exception | None = None
    ) -> None:
        """Fetch a range, with as many requests as it takes.

        Args:
            attempt: Its part.
            start: Offset of the first byte.
            stop: Offset after the last byte.
            signal: Of the request for it that was made before.
        """
        budget = RetryBudget(self.file.path, self._context.tuning.tries)
        with self._guarded(attempt):
            while self._is_current(attempt) and (
                gap := self._gap(attempt, start, stop)
            ):
                try:
                    if before := signal:
                        signal = None
                        raise before
                    self._request(attempt, *gap)
                except LinkRejected as rejected:
                    self.renew_link(rejected)
                except Retry as retry:
                    self._wait(attempt, budget, retry)
            if attempt.in_background:
                attempt.arrived.set()
            else:
                self._verify(attempt)

    def _gap(self, attempt: Attempt, start: int, stop: int) -> tuple[int, int] | None:
        stop = _END if self._recovery.whole else stop
        return next(iter(attempt.part.missing(start, stop)), None)

    def _is_current(self, attempt: Attempt) -> bool:
        """Whether its result is still wanted."""
        return self._attempt is attempt and not self._context.workers.ended

    def _request(self, attempt: Attempt, start: int, stop: int) -> None:
        """Send one request and write the body."""
        part, recovery = attempt.part, self._recovery
        end = None if recovery.whole else stop
        request = RangeRequest(
            self.file.path, start, end, part.size, part.etag, recovery.decode
        )
        with self._context.storage.ask(request) as response:
            if not attempt.size_confirmed or part.size is None:
                self._on_first_response(attempt, response, stop)
            self._receive(attempt, response)

    def _on_first_response(
        self, attempt: Attempt, response: StorageResponse, stop: int
    ) -> None:
        """Take the size of the file from its first response; queue its other ranges."""
        attempt.size_confirmed = True
        self._recovery.whole = response.whole
        part, size = attempt.part, response.content_range.size
        attempt.content_md5 = response.content_md5
        if size is None:
            return
        self._record_size(size, missing=size - part.received)
        part.describe(size, response.etag)
        if not response.whole:
            self._schedule_ranges(attempt, stop)

    def _schedule_ranges(self, attempt: Attempt, beyond: int) -> None:
        """Divide the missing bytes into ranges, and request the first ones."""
        tuning, missing = self._context.tuning, attempt.part.missing(beyond, _END)
        size = tuning.range_bytes
        ranges = divide(missing, range_bytes=size, ramp=tuning.ramp)
        attempt.plan(ranges, range_bytes=size)
        if attempt.in_background:
            hashing = functools.partial(self._hash_in_background, attempt)
            attempt.in_background = self._context.workers.add_unlimited(hashing)
        self._queue_due(attempt)

    def _queue_due(self, attempt: Attempt) -> None:
        """Queue as many ranges as keep the hash busy."""
        if count := attempt.take_due():
            fetch = functools.partial(self._fetch_next, attempt)
            self._context.workers.add([fetch] * count, first=True)

    def _fetch_next(self, attempt: Attempt) -> None:
        self._fetch_range(attempt, *attempt.take())
        attempt.range_done()
        self._queue_due(attempt)

    def _receive(self, attempt: Attempt, response: StorageResponse) -> None:
        """Write a body to the part at its offset, and hash the bytes that are next."""
        position = response.content_range.start
        with attempt.part.open() as file:
            for chunk in response.chunks():
                if self._attempt is not attempt:
                    return
                stop = position + len(chunk)
                self._check_room(response, stop)
                start = attempt.part.write(file, position, chunk)
                attempt.feed(start, chunk[start - position :])
                position = stop
                self._recovery.byte_received()
                if attempt.hash.is_starving():
                    attempt.double_concurrency()
                    self._queue_due(attempt)
                if self._context.workers.ended:
                    return
        if response.content_range.stop is None:
            self._record_end(attempt, response, position)
        elif position < response.content_range.stop:
            why = "the connection was cut"
            raise Retry(why)

    def _check_room(self, response: StorageResponse, position: int) -> None:
        """Stop a body that is longer than announced or expected."""
        limit, expected = response.content_range.stop, self.file.size
        if limit is not None and position > limit:
            why = "storage sent more than announced"
            raise RestartNeeded(why)
        if expected is not None and position > expected:
            why = f"more than {expected} bytes"
            raise ContentMismatch(why)
        if limit is None and expected is None:
            self._context.space.update(self._totals, None, missing=position)

    def _record_end(
        self, attempt: Attempt, response: StorageResponse, size: int
    ) -> None:
        """Take the end of a body for the end of the file: there was no length."""
        if attempt.part.received > size:
            why = "storage sent less than before"
            raise RestartNeeded(why)
        self._record_size(size, missing=size)
        attempt.part.describe(size, response.etag)

    def _wait(self, attempt: Attempt, budget: RetryBudget, retry: Retry) -> None:
        """Pause before the next try, while the budget lasts."""
        if not self._is_current(attempt):
            return
        tries = budget.spend(attempt.part.received, retry)
        pause_s = self._context.tuning.backoff_s(tries, retry.headers)
        path = self.file.path
        is_repeat = self._repeats.is_repeat(str(retry), time.monotonic())
        log = logger.debug if is_repeat else logger.warning
        log("'%s': %s; trying again in %.1f s", path, retry, pause_s)
        self._context.workers.pause(pause_s)

    @contextlib.contextmanager
    def _guarded(self, attempt: Attempt) -> Iterator[None]:
        """Restart the file if that can help; else raise errors of ours."""
        with disk_errors(self._context.store.folder):
            try:
                yield
            except (RestartNeeded, ContentMismatch, FileNotFoundError) as error:
                self._restart(attempt, error)
            except OSError:
                if self._is_current(attempt):
                    raise

    def _restart(self, attempt: Attempt, error: Exception) -> None:
        """Discard the part and start with a new one, or fail.

        Requests that still write to the old part do no harm: it has no name any more.
        """
        store = self._context.store
        with self._lock:
            if not self._is_current(attempt):
                return  # another request for the file was first
            self._recovery.restart(error, resumed=attempt.part.resumed > 0)
            self._attempt = new = Attempt(store.create(self._key), store)
        attempt.mirror.stop()
        attempt.part.discard()
        self._context.space.regain(attempt.part.resumed)
        self._context.space.update(self._totals, self._totals.size, missing=0)
        if self._recovery.is_exhausted:
            raise self._recovery.failure(error, attempt.content_md5)
        logger.debug("restarting '%s': %s", self.file.path, error)
        fetch = functools.partial(self._fetch_first, new)
        self._context.workers.add([fetch], first=True)

    def _hash_in_background(self, attempt: Attempt) -> None:
        """Hash a large file as it arrives, so that no connection waits for it."""
        with self._guarded(attempt):
            while self._is_current(attempt) and not attempt.verified:
                self._queue_due(attempt)
                attempt.wait()
                self._verify(attempt)

    def _verify(self, attempt: Attempt) -> None:
        """Hash what has arrived; pass the part on if it is complete and right."""

        def is_given_up() -> bool:
            self._queue_due(attempt)  # the hash may have caught up
            return not self._is_current(attempt)

        md5 = attempt.hash.catch_up(is_given_up=is_given_up)
        with self._lock:
            if md5 is None or attempt.verified or not self._is_current(attempt):
                return
            attempt.verified = True
        part = attempt.part
        verified_by = self._verified_by(md5, part, attempt.content_md5)
        part.close()
        size = part.size or 0
        self._context.space.update(self._totals, size, missing=self._totals.missing)
        copy = attempt.mirror.finish()
        digest = self.file.digest or Digest(MD5, md5)
        done = DownloadedFile(self.file, digest, size, verified_by, part, copy)
        self._context.on_verified(done)
