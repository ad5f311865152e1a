"""Part files: unverified bytes on disk, kept for the next pull.

Owns one folder. A part is a file there, with a record beside it of the bytes that have
arrived. The record is only a hint; the hash of the whole decides.

    KEY.ID          what an earlier pull left of the content KEY
    KEY.ID.OWNER    what a pull works at, see ``owner.owner_id``
    KEY.ID.ranges   its record: size and ETag, then a line for each range

A part is claimed by renaming it to a name that nobody else has: one winner, no file
lock (on NFS and Lustre locks may succeed for everybody). When it is left unfinished it
is renamed back; a part whose owner died is claimed the same way.
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
from dvc_studio_models.store.part import RECORD, Part, record_of, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

STALE_AFTER_S = 14 * 24 * 3600
ABANDONED_AFTER_S = 600  # a live owner touches its parts far more often, on any host
TOUCH_EVERY_S = 60.0
_NO_KEY = "nohash"
_OF_DVC_2 = "-dos2unix"


def key_of(digest: Digest) -> str:
    """Tell what the parts of a content are filed under."""
    return digest.value + (_OF_DVC_2 if digest.algorithm == MD5_DOS2UNIX else "")


def digest_of(key: str) -> Digest | None:
    """Tell the content that a key is of, None where it is none."""
    value = key.removesuffix(_OF_DVC_2)
    with contextlib.suppress(ValueError):
        return Digest(MD5 if value == key else MD5_DOS2UNIX, value)
    return None


@dataclass(frozen=True)
class _Leftover:
    """A part as it lies in the folder."""

    path: Path
    home: Path
    owner: str
    """Empty where nobody works at it."""

    age_s: float
    """How long nothing was written to it."""

    allocated_bytes: int
    """How much of the disk it takes."""

    links: int
    """How many names the file has."""

    @property
    def key(self) -> str:
        return self.home.name.partition(".")[0]

    @property
    def is_abandoned(self) -> bool:
        return not self.owner or _is_abandoned(self.owner, self.age_s)

    def remove(self) -> None:
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
        return self.create(key)

    def create(self, key: str | None) -> Part:
        """Start a part from nothing; no file is made before there are bytes.

        Args:
            key: None where no later pull could tell whether it wants the bytes.
        """
        home = self.folder / f"{key or _NO_KEY}.{secrets.token_hex(4)}"
        return self._take(Part(self, home, resumable=key is not None))

    def allocated_bytes(self, key: str) -> int:
        """Tell how much of the disk a part of ``key`` takes already."""
        left = self._claimable.get(key)
        return left[0].allocated_bytes if left else 0

    def sweep(self, is_at_hand: Callable[[Digest], bool]) -> None:
        """Remove parts that nobody will finish.

        Args:
            is_at_hand: Tells of a content whether another pull needs no part of it.
        """
        leftovers, records = self._list()
        for left in leftovers:
            needless = left.is_abandoned and (
                left.links > 1 or _is_needless(left.key, is_at_hand)
            )
            if needless or left.age_s > STALE_AFTER_S:
                left.remove()
        orphans = records - {left.home for left in leftovers}
        if orphans:  # a part may have been renamed during the first look
            orphans -= {left.home for left in self._list()[0]}
        for home in orphans:
            remove(record_of(home))

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
        """What can be claimed, the largest first.

        Listed once: a listing for each file adds up.
        """
        found: dict[str, list[_Leftover]] = {}
        largest_first = sorted(self._list()[0], key=lambda left: -left.allocated_bytes)
        for left in largest_first:
            # A pull that was killed while it placed the part leaves a second name.
            if left.is_abandoned and left.links == 1:
                found.setdefault(left.key, []).append(left)
        return found

    def _now(self) -> float:
        """Tell the time by the clock that dates the files: a file server's own."""
        try:
            os.utime(self.folder)
        except PermissionError:
            return time.time()
        return self.folder.stat().st_mtime

    def _list(self) -> tuple[list[_Leftover], set[Path]]:
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
                leftover = _Leftover(
                    path, home, owner, age_s, disk_bytes, stat.st_nlink
                )
                leftovers.append(leftover)
        return leftovers, records


def _is_needless(key: str, is_at_hand: Callable[[Digest], bool]) -> bool:
    digest = digest_of(key)
    return is_at_hand(digest) if digest else key == _NO_KEY


def _is_abandoned(owner: str, age_s: float) -> bool:
    dead = is_dead(owner)
    return age_s > ABANDONED_AFTER_S if dead is None else dead
