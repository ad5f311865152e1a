"""The hash of a part, computed while it arrives, and the check of the result.

Bytes that have arrived without a gap are hashed while later ones are on their way:
those of a small file from memory, on the thread that fetches it; those of a large one
from the page cache, on a thread of its own. The file need not be read again when its
last byte is there.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from typing import TYPE_CHECKING

from dvc_studio_models.model import MD5_DOS2UNIX, Digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dvc_studio_models.store.parts.part import Part

HASH_BYTES = 1 << 20
STARVING_AFTER_S = 0.025  # over which idle time is measured; a chunk takes 2 ms
_IDLE = 0.4  # share of the time; below it, hashing is the limit


class PrefixHash:
    """The MD5 of a part, as far as it has arrived without a gap.

    One thread at a time hashes; others do not wait for it. After it has released the
    lock it checks for bytes that arrived meanwhile, so that none is left out.
    """

    def __init__(
        self, part: Part, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._part = part
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.position = 0
        """How many bytes are hashed."""
        self._hashing = threading.Lock()
        self._clock = clock
        self._emptied: float | None = clock()
        self._idle_s = 0.0
        self._last_check = clock(), 0.0

    def feed(self, position: int, chunk: bytes | memoryview) -> None:
        """Hash bytes that have just been written, if they are the next ones."""
        if position != self.position or not self._hashing.acquire(blocking=False):
            return
        try:
            if position == self.position:
                self._update(chunk)
        finally:
            self._hashing.release()

    def catch_up(self, *, is_given_up: Callable[[], bool]) -> str | None:
        """Hash what has arrived.

        Args:
            is_given_up: Called before every chunk.

        Returns:
            The MD5 in hex; None if bytes are missing, or another thread hashes.
        """
        while self._part.contiguous_bytes > self.position and not is_given_up():
            if not self._hashing.acquire(blocking=False):
                return None
            try:
                self._read_on(is_given_up)
            finally:
                self._hashing.release()
        done = self._part.complete and self.position == self._part.size
        return self._md5.hexdigest() if done else None

    def _read_on(self, is_given_up: Callable[[], bool]) -> None:
        buffer = memoryview(bytearray(HASH_BYTES))
        with self._part.path.open("rb", buffering=0) as file:
            file.seek(self.position)
            while (
                ready := self._part.contiguous_bytes - self.position
            ) and not is_given_up():
                count = file.readinto(buffer[:ready])
                if not count:
                    raise FileNotFoundError(self._part.path)  # truncated
                self._update(buffer[:count])

    def _update(self, chunk: bytes | memoryview) -> None:
        self._idle_s, self._emptied = self._idle_by(self._clock()), None
        self._md5.update(chunk)
        self.position += len(chunk)
        if self._part.contiguous_bytes <= self.position:
            self._emptied = self._clock()

    def is_starving(self) -> bool:
        """Return whether it was idle much of the time since the last call."""
        now = self._clock()
        then, before_s = self._last_check
        if now - then < STARVING_AFTER_S:
            return False
        idle_s = self._idle_by(now)
        self._last_check = now, idle_s
        return idle_s - before_s > _IDLE * (now - then)

    def _idle_by(self, now: float) -> float:
        emptied = self._emptied
        return self._idle_s + (0.0 if emptied is None else now - emptied)


def verify(
    expected: Digest | None,
    md5: str,
    path: Path,
    *,
    etag: str | None,
    content_md5: str | None,
) -> str | None:
    """Return how a content is verified; None if it is not the expected content.

    Args:
        expected: From the URL or from Git; takes precedence over storage's headers.
        md5: Of the bytes at ``path``.
        path: Read again only for DVC 2's hash of text files.
        etag: The MD5 for single-part objects of S3; no other ETag is evidence.
        content_md5: As in the header of that name, in Base64.
    """
    if expected is not None:
        return "url" if _has_digest(expected, md5, path) else None
    if content_md5:
        return "storage" if _decode(content_md5) == md5 else None
    return "storage" if (etag or "").strip('"') == md5 else "size"


def _has_digest(expected: Digest, md5: str, path: Path) -> bool:
    if md5 == expected.value:
        return True
    if expected.algorithm != MD5_DOS2UNIX:
        return False
    from dvc_data.hashfile.hash import file_md5

    return bool(file_md5(str(path), name=MD5_DOS2UNIX) == expected.value)


def _decode(content_md5: str) -> str:
    try:
        return base64.b64decode(content_md5, validate=True).hex()
    except ValueError:
        return ""
