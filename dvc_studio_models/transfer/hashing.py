"""Is a part what it was promised to be? Hashing beside the download, and the verdict.

Owns the reading of parts. The bytes that have arrived without a gap are hashed while
later ones are on their way: those of a small file from memory, by the thread that
fetches it; those of a large one from the page cache, by a thread of its own. No pass
over the file is left to do when its last byte is there.
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

    from dvc_studio_models.store.part import Part

HASH_BYTES = 1 << 20
STARVING_AFTER_S = 0.025  # how long a look takes; to hash a chunk takes 2 ms
_IDLE = 0.4  # of the time: less, and hashing is the limit


class PrefixHash:
    """The MD5 of a part, as far as it has arrived without a gap.

    One thread at a time hashes; the others need not wait for it, and no byte is
    forgotten: whoever hashes looks again, after letting go, for what came meanwhile.
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
        self._looked = clock(), 0.0

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
            is_given_up: Asked before every chunk.

        Returns:
            The MD5 in hex; None where bytes are missing, or another thread hashes.
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
                    raise FileNotFoundError(self._part.path)  # cut short by somebody
                self._update(buffer[:count])

    def _update(self, chunk: bytes | memoryview) -> None:
        self._idle_s, self._emptied = self._idle_by(self._clock()), None
        self._md5.update(chunk)
        self.position += len(chunk)
        if self._part.contiguous_bytes <= self.position:
            self._emptied = self._clock()

    def is_starving(self) -> bool:
        """Whether it had nothing to hash, much of the time since the last look."""
        now = self._clock()
        then, before_s = self._looked
        if now - then < STARVING_AFTER_S:
            return False
        idle_s = self._idle_by(now)
        self._looked = now, idle_s
        return idle_s - before_s > _IDLE * (now - then)

    def _idle_by(self, now: float) -> float:
        emptied = self._emptied
        return self._idle_s + (0.0 if emptied is None else now - emptied)


def verify(
    promised: Digest | None,
    md5: str,
    path: Path,
    *,
    etag: str | None,
    content_md5: str | None,
) -> str | None:
    """Say what vouches for a content, or None where it is not what was promised.

    Args:
        promised: By the URL or by Git, which goes before what storage says.
        md5: Of the bytes at ``path``.
        path: Read again only for DVC 2's hash of text files.
        etag: The MD5 for single-part objects of S3; anything else proves nothing.
        content_md5: As the header of that name has it, in Base64.
    """
    if promised is not None:
        return "url" if _fits(promised, md5, path) else None
    if content_md5:
        return "storage" if _decode(content_md5) == md5 else None
    return "storage" if (etag or "").strip('"') == md5 else "size"


def _fits(promised: Digest, md5: str, path: Path) -> bool:
    if md5 == promised.value:
        return True
    if promised.algorithm != MD5_DOS2UNIX:
        return False
    from dvc_data.hashfile.hash import file_md5

    return bool(file_md5(str(path), name=MD5_DOS2UNIX) == promised.value)


def _decode(content_md5: str) -> str:
    try:
        return base64.b64decode(content_md5, validate=True).hex()
    except ValueError:
        return ""
