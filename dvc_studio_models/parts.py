"""Part files: unverified bytes on disk, kept for the next pull.

Owns one folder. A part is a file there, with a record beside it of the bytes that have
arrived. The record is only a hint; the hash of the whole decides.

    KEY.ID              what an earlier pull left of the content KEY
    KEY.ID.HOST-NS-PID  what a pull works at
    KEY.ID.ranges       its record: size and ETag, then a line for each range

A part is claimed by renaming it to a name that nobody else has: one winner, no file
lock (on NFS and Lustre locks may succeed for everybody). When it is left unfinished it
is renamed back; a part whose owner died is claimed the same way.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dvc_studio_models.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STALE_AFTER_S = 14 * 24 * 3600
ABANDONED_AFTER_S = 600  # a live owner touches its parts far more often, on any host
TOUCH_EVERY_S = 60.0
_RECORD_FROM_BYTES = 1 << 20  # less is fetched again sooner than it is recorded
_RECORD = "ranges"
_NO_KEY = "nohash"


class Part:
    """One claimed part. Ranges may be written from several threads at once."""

    def __init__(self, store: PartStore, home: Path, *, lasting: bool = True) -> None:
        self.size: int | None = None
        """In bytes, once storage has told it."""
        self.etag: str | None = None
        self.resumed = False
        """Whether bytes in it come from an earlier pull."""
        self.path = home.with_name(f"{home.name}.{_owner()}")
        """Where the bytes are, once there are any."""
        self._home = home
        self._lasting = lasting
        self._store = store
        self._record: BinaryIO | None = None
        self._recorded = False
        self._has_record = False
        self._ranges = Ranges()
        self._left = False
        self._lock = threading.Lock()

    @property
    def prefix(self) -> int:
        """How many bytes from the start on have arrived without a gap."""
        with self._lock:
            return self._ranges.prefix

    @property
    def received(self) -> int:
        """How many bytes have arrived."""
        with self._lock:
            return self._ranges.total

    @property
    def complete(self) -> bool:
        """Whether every byte of a known size has arrived."""
        return self.size is not None and self.prefix >= self.size

    @property
    def held(self) -> bool:
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
        start = max(position, min(self.prefix, position + len(data)))
        stop = position + len(data)
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
            self._record = _record_of(self._home).open("ab", buffering=0)
            # The last line of an earlier pull may be torn.
            before = "" if self._recorded else f"{self.size} {self.etag or ''}"
            line = f"{before}\n{line}"
            self._recorded = True
        self._record.write(line.encode("ascii"))

    def load_record(self) -> None:
        """Believe the record of an earlier pull, as far as it can be read."""
        self._has_record = True
        try:
            text = _record_of(self._home).read_text("ascii", errors="replace")
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
        self.resumed = self._recorded = self._ranges.total > 0
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
        with self._lock, contextlib.suppress(OSError):  # a full disk
            if not (self._recorded or self._left):
                for start, stop in self._ranges:
                    self._note(start, stop)
        if self.size is None or not (self._lasting and self.received):
            self.discard()
        elif self._let_go():
            try:
                self.path.rename(self._home)
            except OSError:  # somebody took it, or moved it to its place
                _remove(_record_of(self._home))
            else:
                return self.received
        return 0

    def discard(self) -> None:
        """Remove the part with its bytes."""
        if self._let_go():
            _remove(self.path)
            if self._has_record:
                _remove(_record_of(self._home))

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
class _Leftover:
    """A part as it lies in the folder."""

    path: Path
    home: Path
    owner: str
    """Empty where nobody works at it."""

    age_s: float
    """How long nothing was written to it."""

    @property
    def key(self) -> str:
        return self.home.name.partition(".")[0]

    @property
    def is_abandoned(self) -> bool:
        return not self.owner or _is_abandoned(self.owner, self.age_s)

    def remove(self) -> None:
        _remove(self.path)
        _remove(_record_of(self.home))


class PartStore:
    """The folder of parts."""

    def __init__(
        self,
        folder: Path,
        *,
        copied: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.copied = copied
        """Whether contents are to lie on the disk twice in the end."""
        self._claimed: set[Part] = set()
        self._clock = clock
        self._touched = clock()
        self._lock = threading.Lock()

    def claim(self, key: str) -> Part:
        """Take over what an earlier pull left of a content, or start anew."""
        for left in self._claimable.get(key, ()):
            part = Part(self, left.home)
            with contextlib.suppress(OSError):  # another pull was faster
                left.path.rename(part.path)
                part.load_record()
                if part.resumed:
                    return self._take(part)
                part.discard()
        return self.fresh(key)

    def fresh(self, key: str | None) -> Part:
        """Start a part from nothing; no file is made before there are bytes.

        Args:
            key: None where no later pull could tell whether it wants the bytes.
        """
        home = self.folder / f"{key or _NO_KEY}.{secrets.token_hex(4)}"
        return self._take(Part(self, home, lasting=key is not None))

    def held_bytes(self, key: str) -> int:
        """Tell how much of the disk a part of ``key`` takes already."""
        held = [0]
        for left in self._claimable.get(key, ()):
            with contextlib.suppress(OSError):
                held.append(left.path.stat().st_blocks * 512)
        return max(held)

    def sweep(self, is_needless: Callable[[str], bool]) -> None:
        """Remove parts that nobody will finish.

        Args:
            is_needless: Tells of a key whether its content is at hand already.
        """
        leftovers, records = self._list()
        for left in leftovers:
            needless = left.is_abandoned and (
                left.key == _NO_KEY or is_needless(left.key)
            )
            if needless or left.age_s > STALE_AFTER_S:
                left.remove()
        homes = {left.home for left in leftovers}
        for home, age_s in records.items():
            if home not in homes and age_s > ABANDONED_AFTER_S:
                _remove(_record_of(home))

    def keep_alive(self) -> None:
        """Show pulls on other hosts, now and then, that the parts have an owner."""
        if self._clock() - self._touched < TOUCH_EVERY_S:
            return
        self._touched = self._clock()
        with self._lock:
            claimed = list(self._claimed)
        for part in claimed:
            with contextlib.suppress(OSError):
                os.utime(part.path)

    def free_bytes(self) -> int:
        """Tell how much the file system of the parts still takes."""
        self.make_folder()
        return shutil.disk_usage(self.folder).free

    def make_folder(self) -> None:
        """Make the folder, where it is not there."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)

    def forget(self, part: Part) -> None:
        """Count a part no longer as ours."""
        with self._lock:
            self._claimed.discard(part)

    def _take(self, part: Part) -> Part:
        with self._lock:
            self._claimed.add(part)
        return part

    @functools.cached_property
    def _claimable(self) -> Mapping[str, list[_Leftover]]:
        """What can be claimed. Listed once: a listing for each file adds up."""
        found: dict[str, list[_Leftover]] = {}
        for left in self._list()[0]:
            if left.is_abandoned:
                found.setdefault(left.key, []).append(left)
        return found

    def _now(self) -> float:
        """Tell the time by the clock that dates the files: a file server's own."""
        try:
            os.utime(self.folder)
        except PermissionError:
            return time.time()
        return self.folder.stat().st_mtime

    def _list(self) -> tuple[list[_Leftover], dict[Path, float]]:
        """List the parts, and of all records the home and the age."""
        ages: dict[Path, float] = {}
        with contextlib.suppress(OSError):
            now = self._now()
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    ages[path] = now - path.stat().st_mtime
        leftovers, records = [], {}
        for path, age_s in ages.items():
            key, _, rest = path.name.partition(".")
            identity, _, owner = rest.partition(".")
            home = path.with_name(f"{key}.{identity}")
            if owner == _RECORD:
                records[home] = age_s
            elif identity:
                youngest = min(age_s, ages.get(_record_of(home), age_s))
                leftovers.append(_Leftover(path, home, owner, youngest))
        return leftovers, records


def _record_of(home: Path) -> Path:
    return home.with_name(f"{home.name}.{_RECORD}")


def _remove(path: Path) -> None:
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


def _owner() -> str:
    return f"{_namespace()}-{os.getpid()}"


@functools.cache
def _namespace() -> str:
    """Name the host, and what its process ids mean: containers may share its name."""
    try:
        inode = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        inode = 0
    return f"{socket.gethostname()}-{inode}"


def _is_abandoned(owner: str, age_s: float) -> bool:
    namespace, _, pid = owner.rpartition("-")
    if namespace == _namespace() and pid.isdecimal():
        return not _is_alive(int(pid))
    return age_s > ABANDONED_AFTER_S


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
