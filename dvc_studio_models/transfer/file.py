"""What is known of one file to download: its size, its links, how it is verified.

A small file is finished here, from one response. ``download`` fetches all others.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.store.parts.folder import key_of
from dvc_studio_models.store.parts.part import DownloadedFile
from dvc_studio_models.transfer.hashing import verify
from dvc_studio_models.transfer.retries import ContentMismatch, RecoveryState, Repeats
from dvc_studio_models.transfer.space import FileTotals

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.background import Workers
    from dvc_studio_models.http.batch import Body
    from dvc_studio_models.http.response import LinkRejected
    from dvc_studio_models.http.storage import Storage, Tuning
    from dvc_studio_models.model import ModelFile
    from dvc_studio_models.store.parts.folder import PartStore
    from dvc_studio_models.store.parts.part import Part
    from dvc_studio_models.transfer.space import SpaceBudget


@dataclass(frozen=True)
class TransferContext:
    """Shared by all downloads of a pull."""

    store: PartStore
    storage: Storage
    workers: Workers
    space: SpaceBudget
    tuning: Tuning
    on_verified: Callable[[DownloadedFile], None]


class FileTransfer:
    """One file to download."""

    def __init__(self, file: ModelFile, context: TransferContext) -> None:
        self.file = file
        self._context = context
        self._key = key_of(file.digest) if file.digest else None
        self._totals = FileTotals()
        self._lock = threading.Lock()
        self._recovery = RecoveryState(file)
        self._repeats = Repeats()

    @property
    def is_small(self) -> bool:
        """Whether its first bytes may be the whole file, and none are on disk."""
        limit, size = self._context.tuning.small_bytes, self.file.size
        is_small = limit > 0 and (size is None or size <= limit)
        return is_small and not (self._key and self._context.store.has_part(self._key))

    def reserve_space(self) -> None:
        """Count the bytes that are known to be missing before the first request.

        Raises:
            LocalDiskError: The disk is too small.
        """
        if self.file.size is not None:
            held = self._context.store.allocated_bytes(self._key) if self._key else 0
            missing = max(0, self.file.size - held)
            self._context.space.update(self._totals, self.file.size, missing=missing)

    def note_size(self, size: int) -> None:
        """Note the size of a file that is about to arrive.

        Raises:
            LocalDiskError: The disk is too small.
        """
        if self._totals.size is None:
            self._context.space.update(self._totals, size, missing=size)

    def finish(self, body: Body) -> None:
        """Verify the whole content, which came in one piece, and write it.

        Raises:
            ContentMismatch: It is not the expected file.
            LocalDiskError: The disk is too small.
            OSError: The file system refuses.
        """
        size = len(body.data)
        self._record_size(size, missing=size)
        md5 = hashlib.md5(body.data, usedforsecurity=False).hexdigest()
        part = self._context.store.save(self._key, body.data, body.etag)
        try:
            verified_by = self._verified_by(md5, part, body.content_md5)
        except ContentMismatch:
            part.discard()
            raise
        digest = self.file.digest or Digest(MD5, md5)
        done = DownloadedFile(self.file, digest, size, verified_by, part)
        self._context.on_verified(done)

    def _verified_by(self, md5: str, part: Part, content_md5: str | None) -> str:
        """Return how the content of a part is verified.

        Raises:
            ContentMismatch: It is not the expected content.
        """
        verified_by = verify(
            self.file.digest,
            md5,
            part.path,
            etag=part.etag,
            content_md5=content_md5,
        )
        if verified_by is None:
            self._recovery.decode = not self._recovery.decode
            raise ContentMismatch(md5)
        return verified_by

    def renew_link(self, rejected: LinkRejected) -> None:
        """Request new links, once for all files.

        Raises:
            DownloadError: Storage rejected a new link too.
            StudioModelsError: Studio sent no new links.
        """
        with self._lock:
            self._recovery.link_rejected(rejected)
        self._context.storage.signed_urls.renew(rejected.generation)

    def _record_size(self, size: int, *, missing: int) -> None:
        """Check a size against the expected one and against the free space."""
        if self.file.size not in {None, size}:
            why = f"{size} bytes instead of {self.file.size}"
            raise ContentMismatch(why)
        self._context.space.update(self._totals, size, missing=missing)
