"""Part files: unverified bytes on disk, which the next pull can resume.

Owns one folder. A part is a file in it, with a record of the bytes that have arrived.
The record is only a hint; the hash of the whole file decides.

    KEY.ID          an unfinished part of the content KEY, from an earlier pull
    KEY.ID.OWNER    a part that a pull is writing, see ``owner.owner_id``
    KEY.ID.ranges   its record: size and ETag, then one line for each range

A part is claimed by renaming it to a unique name, so that only one pull succeeds. File
locks are not used: on NFS and Lustre everybody may get them. An unfinished part is
renamed back. A part whose owner has died is claimed in the same way.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.files.owner import is_dead
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.parts.part import RECORD, Part, record_of, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

STALE_AFTER_S = 14 * 24 * 3600
ABANDONED_AFTER_S = 600  # a running owner touches its parts far more often
TOUCH_EVERY_S = 60.0
_NO_KEY = "nohash"
_OF_DVC_2 = "-dos2unix"


def key_of(digest: Digest) -> str:
    """Return the key of the parts of a content."""
    return digest.value + (_OF_DVC_2 if digest.algorithm == MD5_DOS2UNIX else "")


def digest_of(key: str) -> Digest | None:
    """Return the content of a key, or None if it is not a hash."""
    value = key.removesuffix(_OF_DVC_2)
    with contextlib.suppress(ValueError):
        return Digest(MD5 if value == key else MD5_DOS2UNIX, value)
    return None


@dataclass(frozen=True)
class Leftover:
    """A part in the folder that this process does not own."""

    path: Path
    home: Path
    owner: str
    """Empty if no pull claims it."""

    age_s: float
    """The time since the last write, in seconds."""

    allocated_bytes: int
    """The space that it takes on the disk."""

    links: int
    """The number of names (hard links) of the file."""

    @property
    def key(self) -> str:
        """See :func:`key_of`."""
        return self.home.name.partition(".")[0]

    @property
    def is_abandoned(self) -> bool:
        """Whether no pull is writing it."""
        return not self.owner or _is_abandoned(self.owner, self.age_s)

    def remove(self) -> None:
        """Remove it and its record."""
        remove(self.path)
        remove(record_of(self.home))


class PartStore:
    """The folder of parts."""

    def __init__(
        self,
        folder: Path,
        *,
        second_copy: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.second_copy = second_copy
        """Whether the cache needs a copy of its own of each content."""
        self._claimed: set[Part] = set()
        self._clock = clock
        self._touched = clock()
        self._lock = threading.Lock()

    def claim(self, key: str) -> Part:
        """Claim the part of a content from an earlier pull, or create one."""
        for left in self._claimable.get(key, ()):
            part = Part(self, left.home)
            with contextlib.suppress(OSError):  # another pull has claimed it
                left.path.rename(part.path)
                part.load_record()
                if part.resumed:
                    return self._take(part)
                part.discard()
        return self.create(key)

    def create(self, key: str | None) -> Part:
        """Create an empty part. Its file is made when there are bytes.

        Args:
            key: None if no later pull could recognise the content.
        """
        home = self.folder / f"{key or _NO_KEY}.{secrets.token_hex(4)}"
        return self._take(Part(self, home, resumable=key is not None))

    def save(self, key: str | None, content: bytes, etag: str | None) -> Part:
        """Write a whole content at once, as a complete part.

        Raises:
            OSError: The file system refuses.
        """
        part = self.create(key)
        try:
            part.fill(content, etag)
        except BaseException:
            part.discard()
            raise
        return part

    def has_part(self, key: str) -> bool:
        """Return whether there is a part of an earlier pull to resume."""
        return key in self._claimable

    def allocated_bytes(self, key: str) -> int:
        """Return the space on the disk that a part of ``key`` already takes."""
        left = self._claimable.get(key)
        return left[0].allocated_bytes if left else 0

    def sweep(self, is_at_hand: Callable[[Digest], bool]) -> None:
        """Remove parts that nobody will finish.

        Args:
            is_at_hand: Returns whether a content is in the cache, so that no pull needs
                a part of it.
        """
        leftovers, records = self._list()
        for left in leftovers:
            needless = left.is_abandoned and (
                left.links > 1 or _is_needless(left.key, is_at_hand)
            )
            if needless or left.age_s > STALE_AFTER_S:
                left.remove()
        orphans = records - {left.home for left in leftovers}
        if orphans:  # a part may have been renamed during the listing
            orphans -= {left.home for left in self._list()[0]}
        for home in orphans:
            remove(record_of(home))

    def keep_alive(self) -> None:
        """Touch the parts from time to time, so that no other host takes them."""
        if self._clock() - self._touched < TOUCH_EVERY_S:
            return
        self._touched = self._clock()
        with self._lock:
            claimed = list(self._claimed)
        for part in claimed:
            with contextlib.suppress(OSError):
                os.utime(part.path)

    def leftovers(self) -> list[Leftover]:
        """List the parts in the folder, by their paths; also those being written."""
        return sorted(self._list()[0], key=lambda left: left.path)

    def free_bytes(self) -> int:
        """Return the free space of the file system of the parts."""
        self.make_folder()
        return shutil.disk_usage(self.folder).free

    def make_folder(self) -> None:
        """Make the folder if it does not exist."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)

    def disown(self, part: Part) -> None:
        """Stop owning a part."""
        with self._lock:
            self._claimed.discard(part)

    def _take(self, part: Part) -> Part:
        with self._lock:
            self._claimed.add(part)
        return part

    @functools.cached_property
    def _claimable(self) -> Mapping[str, list[Leftover]]:
        """The parts that can be claimed, the largest first.

        Listed once, since a listing for each file would be slow.
        """
        found: dict[str, list[Leftover]] = {}
        largest_first = sorted(self._list()[0], key=lambda left: -left.allocated_bytes)
        for left in largest_first:
            # With a second name it is a file of the user's by now: its pull was killed.
            if left.is_abandoned and left.links == 1:
                found.setdefault(left.key, []).append(left)
        return found

    def _now(self) -> float:
        """Return the time of the clock that dates the files, as a file server's."""
        try:
            os.utime(self.folder)
        except PermissionError:
            return time.time()
        return self.folder.stat().st_mtime

    def _list(self) -> tuple[list[Leftover], set[Path]]:
        """List the parts, and the homes of all records."""
        found: dict[Path, os.stat_result] = {}
        with contextlib.suppress(OSError):
            now = self._now()
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    found[path] = path.stat()
        ages = {path: now - stat.st_mtime for path, stat in found.items()}
        leftovers, records = [], set()
        for path, stat in found.items():
            key, _, rest = path.name.partition(".")
            identity, _, owner = rest.partition(".")
            home = path.with_name(f"{key}.{identity}")
            if owner == RECORD:
                records.add(home)
            elif identity:
                age_s = min(ages[path], ages.get(record_of(home), ages[path]))
                disk_bytes = stat.st_blocks * 512
                leftover = Leftover(path, home, owner, age_s, disk_bytes, stat.st_nlink)
                leftovers.append(leftover)
        return leftovers, records


def move_parts(source: Path, target: Path, digests: Iterable[Digest]) -> None:
    """Move the parts of contents that no pull claims to another folder.

    Those that cannot be moved, as to another file system, stay where they are.
    """
    keys = set(map(key_of, digests))
    with contextlib.suppress(OSError):
        for path in source.iterdir():
            key, _, rest = path.name.partition(".")
            _, _, owner = rest.partition(".")
            if key in keys and owner in {"", RECORD}:
                path.rename(target / path.name)


def _is_needless(key: str, is_at_hand: Callable[[Digest], bool]) -> bool:
    digest = digest_of(key)
    return is_at_hand(digest) if digest else key == _NO_KEY


def _is_abandoned(owner: str, age_s: float) -> bool:
    dead = is_dead(owner)
    return age_s > ABANDONED_AFTER_S if dead is None else dead
