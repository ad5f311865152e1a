"""Part files: unverified bytes on disk, kept for the next pull.

Owns one folder. A part is a folder of its own in it, named after the hash it is to
have: ``data`` holds the bytes, ``ranges`` the record of which have arrived. The record
is only a hint; the hash of the whole decides. A part is claimed by renaming its folder
to a name that nobody else has (one winner, no file lock: on NFS and Lustre locks may
succeed for everybody), and renamed back when it is left unfinished. A part whose owner
died is claimed the same way.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import secrets
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from dvc_studio_models.errors import LocalDiskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STALE_AFTER_S = 14 * 24 * 3600
ABANDONED_AFTER_S = 600  # a live download writes far more often, on any host
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
    def prefix(self) -> int:
        """How many bytes from the start on are there without a gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def total(self) -> int:
        """How many bytes are there."""
        return sum(stop - start for start, stop in self)

    def missing(self, size: int) -> list[tuple[int, int]]:
        """Return the gaps up to ``size``."""
        gaps, position = [], 0
        for start, stop in self:
            if start > position:
                gaps.append((position, min(start, size)))
            position = max(position, stop)
        if position < size:
            gaps.append((position, size))
        return gaps


class Part:
    """One claimed part. Ranges may be written from several threads at once."""

    def __init__(self, folder: Path, key: str) -> None:
        self.key = key
        self.size: int | None = None
        """In bytes, once storage has told it."""
        self.etag: str | None = None
        self.changed = threading.Condition()
        self._folder = folder
        self._ranges = Ranges()
        self._recorded = False

    @property
    def path(self) -> Path:
        """Where the bytes are."""
        return self._folder / "data"

    @property
    def prefix(self) -> int:
        """How many bytes from the start on have arrived without a gap."""
        with self.changed:
            return self._ranges.prefix

    @property
    def received(self) -> int:
        """How many bytes have arrived."""
        with self.changed:
            return self._ranges.total

    @property
    def complete(self) -> bool:
        """Whether every byte of a known size has arrived."""
        with self.changed:
            return self.size is not None and self._ranges.prefix >= self.size

    def missing(self) -> list[tuple[int, int]]:
        """Return the gaps; the size must be known."""
        with self.changed:
            return self._ranges.missing(self.size or 0)

    def describe(self, size: int | None, etag: str | None) -> None:
        """Take down what storage says of the whole file."""
        with self.changed:
            self.size, self.etag = size, etag

    def open(self) -> BinaryIO:
        """Open the bytes for writing at any offset, without a buffer."""
        return self.path.open("r+b", buffering=0)

    def add(self, start: int, stop: int) -> None:
        """Note that these bytes are in the file now."""
        with self.changed:
            self._ranges.add(start, stop)
            self.changed.notify_all()

    def record(self, start: int, stop: int) -> None:
        """Keep in the record that these bytes arrived, for a later pull."""
        if not self.size or self.size < _RECORD_FROM_BYTES:
            return
        with self.changed:
            lines = "" if self._recorded else f"{self.size} {self.etag or ''}\n"
            self._recorded = True
            with (self._folder / "ranges").open("a", encoding="utf-8") as file:
                file.write(f"{lines}{start} {stop}\n")

    def wait_beyond(self, position: int, *, timeout_s: float) -> int:
        """Wait until bytes after ``position`` are there without a gap.

        Returns:
            Up to where bytes are there: ``position`` itself after the time-out.
        """
        with self.changed:
            if self._ranges.prefix <= position:
                self.changed.wait(timeout_s)
            return max(position, self._ranges.prefix)

    def wake(self) -> None:
        """Wake whoever waits for more bytes: there will be none."""
        with self.changed:
            self.changed.notify_all()

    def load_record(self) -> None:
        """Believe the record of an earlier pull, as far as it can be read."""
        try:
            lines = (self._folder / "ranges").read_text("utf-8").splitlines()
            size, _, etag = lines[0].partition(" ")
            self.size, self.etag = int(size), etag or None
        except (OSError, ValueError, IndexError):
            return
        self._recorded = True
        on_disk = self.path.stat().st_size
        for line in lines[1:]:
            with contextlib.suppress(ValueError):  # the last line may be torn
                start, stop = map(int, line.split(" "))
                if 0 <= start < stop <= min(self.size, on_disk):
                    self._ranges.add(start, stop)

    def release(self) -> None:
        """Leave the part for the next pull; one that was discarded stays so."""
        if not self._folder.is_dir():
            return
        with self.changed:
            arrived = list(self._ranges)
        if not arrived:
            self.discard()
            return
        try:
            for start, stop in arrived:
                self.record(start, stop)
            self._folder.rename(self._folder.with_name(self.key))
        except OSError:  # another pull left its own: one is enough
            self.discard()

    def discard(self) -> None:
        """Remove the part with its bytes."""
        shutil.rmtree(self._folder, ignore_errors=True)


class PartStore:
    """The folder of parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, key: str) -> Part:
        """Take over what earlier pulls left under ``key``, or start anew.

        Raises:
            LocalDiskError: The folder cannot be written.
        """
        mine = self._own_name(key)
        for candidate in self._candidates(key):
            with contextlib.suppress(OSError):  # another pull was faster
                candidate.rename(mine)
                part = Part(mine, key)
                part.load_record()
                return part
        return self.fresh(key)

    def fresh(self, key: str) -> Part:
        """Start a part from nothing.

        Raises:
            LocalDiskError: The folder cannot be written.
        """
        mine = self._own_name(key)
        try:
            mine.mkdir(parents=True)
            (mine / "data").touch()
        except OSError as error:
            raise disk_error(self.folder, error) from None
        return Part(mine, key)

    def sweep(self, is_needless: Callable[[str], bool]) -> None:
        """Remove parts that nobody will finish.

        Args:
            is_needless: Tells of a key whether its content is at hand already.
        """
        for folder in self._folders():
            key, _, owner = folder.name.partition(".")
            age = _age_s(folder)
            unowned = not owner or _is_abandoned(owner, age)
            if age > STALE_AFTER_S or (unowned and is_needless(key)):
                shutil.rmtree(folder, ignore_errors=True)

    def free_bytes(self) -> int:
        """Tell how much the file system of the parts still takes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free

    def _own_name(self, key: str) -> Path:
        token = secrets.token_hex(4)
        return self.folder / f"{key}.{socket.gethostname()}-{os.getpid()}-{token}"

    def _candidates(self, key: str) -> Iterator[Path]:
        shared = self.folder / key
        if shared.is_dir():
            yield shared
        for folder in self._folders():
            name, _, owner = folder.name.partition(".")
            if name == key and owner and _is_abandoned(owner, _age_s(folder)):
                yield folder

    def _folders(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except OSError:
            return []


def disk_error(path: Path, error: OSError) -> LocalDiskError:
    """Say what the file system refused, in its own words."""
    return LocalDiskError(path, (error.strerror or str(error)).lower())


def _age_s(folder: Path) -> float:
    """How long nothing was written, by the file system's clock where it can be told."""
    newest = 0.0
    for path in (folder / "data", folder / "ranges", folder):
        with contextlib.suppress(OSError):
            newest = max(newest, path.stat().st_mtime)
    return time.time() - newest


def _is_abandoned(owner: str, age_s: float) -> bool:
    host, _, pid = owner.rpartition("-")[0].rpartition("-")
    if host == socket.gethostname() and pid.isdecimal():
        return not _is_alive(int(pid))
    return age_s > ABANDONED_AFTER_S


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
