"""One part file: bytes at their offsets, and a record of which of them are there.

The record is a hint for the next pull, which believes it as far as it can be read; the
hash of the whole decides. How parts are named and claimed is ``parts``'s.
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
_RECORD_FROM_BYTES = 1 << 20  # less is fetched again sooner than it is recorded


class Ranges:
    """A set of byte offsets, as disjoint half-open ranges in order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Put ``start`` to ``stop`` (exclusive) into the set."""
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
        """How many bytes from the start on are there without a gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def total(self) -> int:
        """How many bytes are there."""
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
    """Where parts lie, and who counts those that are ours."""

    def make_folder(self) -> None:
        """Make the folder, where it is not there."""

    def forget(self, part: Part) -> None:
        """Count a part no longer as ours."""


class Part:
    """One claimed part. Ranges may be written from several threads at once."""

    def __init__(self, store: Folder, home: Path, *, resumable: bool = True) -> None:
        self.size: int | None = None
        """In bytes, once storage has told it."""
        self.etag: str | None = None
        self.resumed = 0
        """How many bytes in it come from an earlier pull."""
        self.path = home.with_name(f"{home.name}.{owner_id()}")
        """Where the bytes are, once there are any."""
        self._home = home
        self._resumable = resumable
        self._store = store
        self._record: BinaryIO | None = None
        self._recorded = False
        self._has_record = False
        self._ranges = Ranges()
        self._left = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    @property
    def contiguous_bytes(self) -> int:
        """How many bytes from the start on have arrived without a gap."""
        with self._lock:
            return self._ranges.contiguous_bytes

    @property
    def received(self) -> int:
        """How many bytes have arrived."""
        with self._lock:
            return self._ranges.total

    @property
    def complete(self) -> bool:
        """Whether every byte of a known size has arrived."""
        return self.size is not None and self.contiguous_bytes >= self.size

    @property
    def is_owned(self) -> bool:
        """Whether it is ours still, neither removed nor left for the next pull."""
        return not self._left

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the gaps of a span, as far as the file is known to reach."""
        if self.size is None:
            return [(start, stop)]
        with self._lock:
            return list(self._ranges.missing(start, min(stop, self.size)))

    def describe(self, size: int, etag: str | None) -> None:
        """Take down what storage says of the whole file."""
        self.size, self.etag = size, etag

    def open(self) -> BinaryIO:
        """Open the bytes for writing at any offset.

        Raises:
            OSError: The file system refuses, or somebody took the part away.
        """
        with self._lock:
            if self._left:  # nobody would remove a file made now
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            descriptor = self._open()
        return os.fdopen(descriptor, "wb", buffering=0)

    def _open(self) -> int:
        if self._ranges.total:
            return os.open(self.path, os.O_WRONLY)
        flags = os.O_WRONLY | os.O_CREAT
        try:
            return os.open(self.path, flags, 0o666)
        except FileNotFoundError:  # the folder is gone, or was never there
            self._store.make_folder()
            return os.open(self.path, flags, 0o666)

    def write(self, file: BinaryIO, position: int, data: bytes | memoryview) -> int:
        """Put bytes at their place.

        What has arrived without a gap stays as it is, since it may have been hashed:
        of a body that is sent again only the rest is written.

        Returns:
            From which position on.
        """
        start = max(position, min(self.contiguous_bytes, position + len(data)))
        stop = position + len(data)
        with self._writing:  # file systems let one write at a time; others would spin
            _write_all(file.fileno(), memoryview(data)[start - position :], start)
        with self._lock:
            self._ranges.add(start, stop)
            if not self._left and (self.size or 0) >= _RECORD_FROM_BYTES:
                self._note(start, stop)
        return start

    def _note(self, start: int, stop: int) -> None:
        """Keep in the record that these bytes arrived; the caller holds the lock."""
        line = f"{start} {stop}\n"
        if self._record is None:
            self._has_record = True
            self._record = record_of(self._home).open("ab", buffering=0)
            # The last line of an earlier pull may be torn.
            before = "" if self._recorded else f"{self.size} {self.etag or ''}"
            line = f"{before}\n{line}"
            self._recorded = True
        self._record.write(line.encode("ascii"))

    def load_record(self) -> None:
        """Believe the record of an earlier pull, as far as it can be read."""
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
        for line in lines[:-1]:  # the last is empty, or torn
            with contextlib.suppress(ValueError):
                start, stop = map(_natural, line.split(" "))
                if start < stop <= min(self.size or 0, on_disk):
                    self._ranges.add(start, stop)
        self.resumed = self._ranges.total
        self._recorded = self.resumed > 0
        if on_disk > (self.size or 0):
            os.truncate(self.path, self.size or 0)

    def close(self) -> None:
        """Close the record, which is opened again where more bytes come."""
        with self._lock:
            if self._record is not None:
                self._record.close()
                self._record = None

    def release(self) -> int:
        """Leave the part for the next pull; one that was let go of stays as it is.

        Returns:
            How many bytes are kept.
        """
        if self.size is None or not (self._resumable and self.received):
            self.discard()
            return 0
        with self._lock, contextlib.suppress(OSError):  # a full disk
            if not (self._recorded or self._left):
                for start, stop in self._ranges:
                    self._note(start, stop)
        if not self._let_go():
            return 0
        try:
            self.path.rename(self._home)
        except OSError:  # somebody took it, or moved it to its place
            remove(record_of(self._home))
            return 0
        return self.received

    def discard(self) -> None:
        """Remove the part with its bytes."""
        if self._let_go():
            remove(self.path)
            if self._has_record:
                remove(record_of(self._home))

    def _let_go(self) -> bool:
        """Take down that the part is ours no longer; False if that is known."""
        with self._lock:
            if self._left:
                return False
            self._left = True
        self.close()
        self._store.forget(self)
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
    """Name the record of a part."""
    return home.with_name(f"{home.name}.{RECORD}")


def remove(path: Path) -> None:
    """Remove a file, where there is one and it can be."""
    with contextlib.suppress(OSError):
        path.unlink()


def _write_all(descriptor: int, data: memoryview, position: int) -> None:
    """Write at a position: on a full disk the system may take less than it is given."""
    while data:
        count = os.pwrite(descriptor, data, position)
        data, position = data[count:], position + count


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
