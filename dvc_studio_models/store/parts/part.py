"""One part file: bytes at their offsets, and a record of the ranges that arrived.

The record is a hint for the next pull, which uses as much of it as it can read; the
hash of the whole file decides. ``parts`` names and claims parts.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from dvc_studio_models.files.owner import owner_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dvc_studio_models.model import Digest, ModelFile

RECORD = "ranges"
_RECORD_FROM_BYTES = 1 << 20  # to download less again is faster than to record it


class Ranges:
    """A set of byte offsets, as disjoint half-open ranges in order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Add the offsets from ``start`` to ``stop`` (exclusive)."""
        first = bisect.bisect_left(self._stops, start)
        last = bisect.bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    @property
    def contiguous_bytes(self) -> int:
        """The number of bytes from offset 0 to the first gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def total(self) -> int:
        """The number of bytes in the set."""
        return sum(self._stops) - sum(self._starts)

    def missing(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the gaps between ``start`` and ``stop``."""
        for there, until in self:
            if there >= stop:
                break
            if there > start:
                yield start, there
            start = max(start, until)
        if start < stop:
            yield start, stop


class Folder(Protocol):
    """The folder of parts, which knows those that this process owns."""

    def make_folder(self) -> None:
        """Make the folder if it does not exist."""

    def disown(self, part: Part) -> None:
        """Stop owning a part."""


class Part:
    """One claimed part. Several threads may write ranges at the same time."""

    def __init__(self, store: Folder, home: Path, *, resumable: bool = True) -> None:
        self.size: int | None = None
        """In bytes; None until storage has reported it."""
        self.etag: str | None = None
        self.resumed = 0
        """The number of bytes from an earlier pull."""
        self.path = home.with_name(f"{home.name}.{owner_id()}")
        """The file, which exists once there are bytes."""
        self._home = home
        self._resumable = resumable
        self._store = store
        self._record: BinaryIO | None = None
        self._recorded = False
        self._has_record = False
        self._ranges = Ranges()
        self._disowned = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    @property
    def contiguous_bytes(self) -> int:
        """The number of bytes that have arrived from offset 0 to the first gap."""
        with self._lock:
            return self._ranges.contiguous_bytes

    @property
    def received(self) -> int:
        """The number of bytes that have arrived."""
        with self._lock:
            return self._ranges.total

    @property
    def complete(self) -> bool:
        """Whether the size is known and every byte has arrived."""
        return self.size is not None and self.contiguous_bytes >= self.size

    @property
    def is_owned(self) -> bool:
        """Whether this process owns it: it is neither removed nor released."""
        return not self._disowned

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the gaps of a span, up to the end of the file if that is known."""
        if self.size is None:
            return [(start, stop)]
        with self._lock:
            return list(self._ranges.missing(start, min(stop, self.size)))

    def describe(self, size: int, etag: str | None) -> None:
        """Set the size and the ETag that storage reports for the whole file."""
        self.size, self.etag = size, etag

    def open(self) -> BinaryIO:
        """Open the bytes for writing at any offset.

        Raises:
            OSError: The file system refuses, or somebody has removed the part.
        """
        with self._lock:
            if self._disowned:  # nobody would remove a new file
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            descriptor = self._open()
        return os.fdopen(descriptor, "wb", buffering=0)

    def _open(self) -> int:
        if self._ranges.total:
            return os.open(self.path, os.O_WRONLY)
        flags = os.O_WRONLY | os.O_CREAT
        try:
            return os.open(self.path, flags, 0o666)
        except FileNotFoundError:  # the folder does not exist
            self._store.make_folder()
            return os.open(self.path, flags, 0o666)

    def fill(self, content: bytes, etag: str | None) -> None:
        """Write all bytes at once.

        Raises:
            OSError: The file system refuses.
        """
        self.describe(len(content), etag)
        descriptor = self._open()
        try:
            _write_all(descriptor, memoryview(content), 0)
        finally:
            os.close(descriptor)
        if content:
            self._ranges.add(0, len(content))

    def write(self, file: BinaryIO, position: int, data: bytes | memoryview) -> int:
        """Write bytes at their offset.

        Bytes before the first gap are not written again, since they may have been
        hashed.

        Returns:
            The offset of the first byte that was written.
        """
        start = max(position, min(self.contiguous_bytes, position + len(data)))
        stop = position + len(data)
        with self._writing:  # file systems write one at a time; others would spin
            _write_all(file.fileno(), memoryview(data)[start - position :], start)
        with self._lock:
            self._ranges.add(start, stop)
            if not self._disowned and (self.size or 0) >= _RECORD_FROM_BYTES:
                self._note(start, stop)
        return start

    def _note(self, start: int, stop: int) -> None:
        """Add a range to the record. The caller holds the lock."""
        line = f"{start} {stop}\n"
        if self._record is None:
            self._has_record = True
            self._record = record_of(self._home).open("ab", buffering=0)
            # The last line of an earlier pull may be incomplete.
            before = "" if self._recorded else f"{self.size} {self.etag or ''}"
            line = f"{before}\n{line}"
            self._recorded = True
        self._record.write(line.encode("ascii"))

    def load_record(self) -> None:
        """Load the record of an earlier pull, as much of it as can be read."""
        self._has_record = True
        try:
            text = record_of(self._home).read_text("ascii", errors="replace")
            first, *lines = text.split("\n")
            size, _, etag = first.partition(" ")
            usable = etag.isascii() and etag.isprintable()
            self.describe(_natural(size), etag if etag and usable else None)
        except (OSError, ValueError):
            return
        on_disk = self.path.stat().st_size
        for line in lines[:-1]:  # the last one is empty or incomplete
            with contextlib.suppress(ValueError):
                start, stop = map(_natural, line.split(" "))
                if start < stop <= min(self.size or 0, on_disk):
                    self._ranges.add(start, stop)
        self.resumed = self._ranges.total
        self._recorded = self.resumed > 0
        if on_disk > (self.size or 0):
            os.truncate(self.path, self.size or 0)

    def close(self) -> None:
        """Close the record. It is opened again if more bytes arrive."""
        with self._lock:
            if self._record is not None:
                self._record.close()
                self._record = None

    def release(self) -> int:
        """Keep the part for the next pull, if this process still owns it.

        Returns:
            The number of bytes that are kept.
        """
        if self.size is None or not (self._resumable and self.received):
            self.discard()
            return 0
        with self._lock, contextlib.suppress(OSError):  # a full disk
            if not (self._recorded or self._disowned):
                for start, stop in self._ranges:
                    self._note(start, stop)
        if not self._disown():
            return 0
        try:
            self.path.rename(self._home)
        except OSError:  # it was removed, or moved to its target
            remove(record_of(self._home))
            return 0
        return self.received

    def discard(self) -> None:
        """Remove the part with its bytes."""
        if self._disown():
            remove(self.path)
            self._remove_record()

    def moved(self) -> None:
        """Note that the file has another name now, and is no part any more."""
        if self._disown():
            self._remove_record()

    def _remove_record(self) -> None:
        if self._has_record:
            remove(record_of(self._home))

    def _disown(self) -> bool:
        """Stop owning the part. Return False if it was not owned."""
        with self._lock:
            if self._disowned:
                return False
            self._disowned = True
        self.close()
        self._store.disown(self)
        return True


@dataclass(frozen=True)
class DownloadedFile:
    """A file whose content was downloaded and verified."""

    file: ModelFile
    digest: Digest
    size: int
    """In bytes."""

    verified_by: str
    """``url`` (the hash in its URL), ``git``, ``storage`` or ``size``."""

    part: Part | None = field(repr=False, default=None)
    """The content; None if it was downloaded into the cache."""

    copy: Part | None = field(repr=False, default=None)
    """A second copy, for the cache; ``part`` is then for the workspace."""

    def release(self) -> int:
        """Keep the part for the next pull; return how many bytes are kept."""
        if self.copy is not None:
            self.copy.discard()
        return self.part.release() if self.part is not None else 0


def record_of(home: Path) -> Path:
    """Return the path of the record of a part."""
    return home.with_name(f"{home.name}.{RECORD}")


def remove(path: Path) -> None:
    """Remove a file if it exists. Ignore errors."""
    with contextlib.suppress(OSError):
        path.unlink()


def _write_all(descriptor: int, data: memoryview, position: int) -> None:
    """Write all bytes: on a nearly full disk the system may write fewer at a time."""
    while data:
        count = os.pwrite(descriptor, data, position)
        data, position = data[count:], position + count


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
