"""Files with signed URLs in, verified parts out.

Owns what the downloads of one pull share: threads, connections, disk space, progress.
Small files are fetched whole, on one thread; large ones in concurrent ranges straight
into their parts, and hashed in the background. Promises that memory depends on the
number of connections, not on the size of files, and that unfinished parts are kept for
the next pull.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING

from dvc_studio_models.background import Workers
from dvc_studio_models.errors import disk_errors
from dvc_studio_models.http.limit import RateLimit
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage, Tuning
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import DEFAULT_JOBS, format_bytes
from dvc_studio_models.transfer.download import Download
from dvc_studio_models.transfer.file import TransferContext
from dvc_studio_models.transfer.small import MOST_CONNECTIONS, SmallFiles
from dvc_studio_models.transfer.space import SpaceBudget

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from dvc_studio_models.background import Task
    from dvc_studio_models.model import ModelFile, Progress
    from dvc_studio_models.store.parts.folder import PartStore
    from dvc_studio_models.store.parts.part import DownloadedFile

__all__ = ["Tuning", "fetch"]

logger = get_logger(__name__)

_TICK_S = 0.1
_BATCH_FILES = 256  # are added to the cache together, after one flush
_BATCH_S = 1.0
_GRACE_S = 1.0  # for threads in a system call when the transfer stops


def fetch(  # noqa: PLR0913 - what one pull needs, all named
    files: Sequence[ModelFile],
    *,
    store: PartStore,
    renew: Callable[[], Mapping[str, str]],
    progress: Progress,
    jobs: int | None = None,
    reserved: int = 0,
    limit_rate: int | None = None,
    tuning: Tuning | None = None,
) -> Generator[list[DownloadedFile]]:
    """Download files and yield them as they are verified, several at a time.

    Closing the generator, or an error, stops all connections and keeps the unfinished
    parts for the next pull.

    Args:
        files: Each content once.
        store: Where parts are kept.
        renew: Requests new links of the same contents from Studio: path to URL.
        progress: Called from this thread only.
        jobs: The most connections at a time; None allows :data:`DEFAULT_JOBS` for
            large files and :data:`MOST_CONNECTIONS` for small ones.
        reserved: Bytes that are to stay free on the disk for what is written later.
        limit_rate: The most bytes a second, of all connections together.
        tuning: Sizes and limits of requests.

    Raises:
        DownloadError: Storage did not send a file within the retry budget.
        IntegrityError: The content of a file did not have the expected hash, twice.
        LocalDiskError: The disk is full or too small, or cannot be written.
        ThreadLimitError: The system refuses to start a thread.
        StudioModelsError: ``renew`` failed.
    """
    signed_urls = SignedUrls(files, renew)
    transfer = _Transfer(
        signed_urls, store, tuning or Tuning(), jobs=jobs, limit_rate=limit_rate
    )
    try:
        transfer.start(files, reserved)
        yield from transfer.results(progress)
    finally:
        transfer.stop()


class _Transfer:
    """All files of one pull."""

    def __init__(
        self,
        signed_urls: SignedUrls,
        store: PartStore,
        tuning: Tuning,
        *,
        jobs: int | None = None,
        limit_rate: int | None = None,
    ) -> None:
        self._store = store
        self._tuning = tuning
        most = jobs or MOST_CONNECTIONS
        limit = RateLimit(limit_rate, connections=most) if limit_rate else None
        self._most = limit.connections if limit else most
        threads = min(jobs or DEFAULT_JOBS, self._most)
        self._storage = Storage(
            signed_urls, connections=threads, idle_s=tuning.idle_s, limit=limit
        )
        self._workers = Workers(threads)
        self._jobs = jobs
        self._later: list[Task] | None = None
        """Tasks that begin when the small files are there; None begins them now."""
        self._lock = threading.Lock()
        self._active: dict[str, Download] = {}
        """The files on threads, by path."""
        self._small: SmallFiles | None = None
        self._ready: list[DownloadedFile] = []
        self._waiting = 0
        self._verified = 0
        self._all_ready = threading.Event()

    def start(self, files: Sequence[ModelFile], reserved: int = 0) -> None:
        with disk_errors(self._store.folder):
            free = self._store.free_bytes()
        store, copied = self._store, self._store.second_copy
        self._space = SpaceBudget(
            store.folder,
            free=free,
            files=len(files),
            copied=copied,
            reserved=reserved,
        )
        context = TransferContext(
            store,
            self._storage,
            self._workers,
            self._space,
            self._tuning,
            self._on_verified,
        )
        downloads = [Download(file, context) for file in files]
        for download in downloads:
            download.reserve_space()
        self._waiting = len(downloads)
        small = [download for download in downloads if download.is_small]
        if small:
            self._fetch_small(small, context)
        others = (download for download in downloads if not download.is_small)
        self._add(functools.partial(self._begin, each) for each in others)
        self._workers.add_unlimited(self._advance_mirrors)

    def results(self, progress: Progress) -> Iterator[list[DownloadedFile]]:
        """Yield files as they are verified; report progress meanwhile."""
        waiting, done, yielded = 1, 0, time.monotonic()
        while waiting:
            self._all_ready.wait(_TICK_S)
            self._store.keep_alive()
            error = self._workers.error
            now, ready = time.monotonic(), []
            with self._lock:
                waiting = self._waiting
                is_due = now - yielded > _BATCH_S or len(self._ready) >= _BATCH_FILES
                if is_due or error or not waiting:
                    ready, self._ready, yielded = self._ready, [], now
                done = max(done, self._verified + self._received())
                partial = {path: each.received for path, each in self._active.items()}
            progress.note_files(partial)
            progress.update(done, self._space.total)
            if ready:
                yield ready
            elif error is not None:
                raise error
        if self._workers.error is not None:  # all files arrived, but a flush failed
            raise self._workers.error

    def _received(self) -> int:
        """Return how many bytes of unfinished files have arrived."""
        count = sum(download.received for download in self._active.values())
        return count + (self._small.received if self._small else 0)

    def stop(self) -> None:
        """End all threads and connections; keep the parts."""
        stop_all(self._workers, self._storage)
        with self._lock:  # a thread may still run
            active, ready = list(self._active.values()), list(self._ready)
        kept_bytes = sum(download.stop() for download in active)
        kept_bytes += sum(file.release() for file in ready)
        if kept_bytes:
            logger.warning(
                "kept %s of partial downloads; the next pull will resume from there",
                format_bytes(kept_bytes),
            )

    def _fetch_small(
        self, downloads: Sequence[Download], context: TransferContext
    ) -> None:
        """Fetch small files on one thread."""
        small = SmallFiles(downloads, context, self._hand_over, connections=self._most)
        self._small, self._later = small, [] if self._jobs else None

        def run() -> None:
            small.run()
            with self._lock:
                tasks, self._later = self._later, None
            self._workers.add(tasks or ())

        self._workers.add([run])

    def _add(self, tasks: Iterable[Task]) -> None:
        """Queue tasks; if connections are limited, until small files use none."""
        with self._lock:
            if self._later is not None:
                self._later += tasks
                return
        self._workers.add(tasks)

    # Called on threads of the pool

    def _advance_mirrors(self) -> None:
        """Flush and copy what has arrived, so that little is left for the end."""
        while not self._workers.ended:
            with self._lock:
                active = list(self._active.values())
            for download in active:
                download.advance_mirror()
            self._workers.pause(_TICK_S)

    def _begin(self, download: Download, signal: Exception | None = None) -> None:
        with self._lock:
            self._active[download.file.path] = download
        download.begin(signal)

    def _hand_over(self, download: Download, signal: Exception | None) -> None:
        with self._lock:
            self._active[download.file.path] = download
        self._add([functools.partial(self._begin, download, signal)])

    def _on_verified(self, file: DownloadedFile) -> None:
        with self._lock:
            self._active.pop(file.file.path, None)
            self._verified += file.size
            self._ready.append(file)
            self._waiting -= 1
            if not self._waiting:
                self._all_ready.set()


def stop_all(workers: Workers, storage: Storage) -> None:
    """End all tasks, their requests and the connections."""
    workers.end()
    storage.stop()
    workers.join(_GRACE_S)
    storage.close()
