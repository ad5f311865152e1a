"""How many bytes a pull writes, and whether the disk has room for them. No I/O.

The size of a file is known with the first response to it at the latest.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.model import format_bytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class FileTotals:
    """The bytes of one file."""

    size: int | None = None
    """In bytes; None until it is known."""

    missing: int = 0
    """How many bytes this pull still has to write, as far as known."""


class SpaceBudget:
    """The bytes of all files, compared with the free space."""

    def __init__(
        self,
        folder: Path,
        *,
        free: int,
        files: int,
        copied: bool = False,
        reserved: int = 0,
    ) -> None:
        """Start with files of unknown size.

        Args:
            folder: Where the bytes are written.
            free: Free space of its file system, in bytes.
            files: How many there are.
            copied: Whether there are two copies of every file in the end.
            reserved: How many bytes others will write to the disk afterwards.
        """
        self._folder = folder
        self._free = free
        self._copied = copied
        self._reserved = reserved
        self._missing = 0
        self._total = 0
        self._unknown = files
        self._lock = threading.Lock()

    @property
    def total(self) -> int | None:
        """The size of all files, in bytes; None until all are known."""
        with self._lock:
            return None if self._unknown else self._total

    def update(self, totals: FileTotals, size: int | None, *, missing: int) -> None:
        """Set the bytes of a file.

        Raises:
            LocalDiskError: The disk has no room for the missing bytes of all files.
        """
        with self._lock:
            self._unknown += (size is None) - (totals.size is None)
            self._total += (size or 0) - (totals.size or 0)
            self._missing += missing - totals.missing
            totals.size, totals.missing = size, missing
            needed = self._missing + (self._total if self._copied else 0)
            needed += self._reserved
        if needed > self._free:
            numbers = (
                f"{format_bytes(needed)} to write, {format_bytes(self._free)} free"
            )
            raise LocalDiskError(self._folder, f"not enough space ({numbers})")

    def regain(self, count: int) -> None:
        """Note that so many bytes on the disk became free."""
        with self._lock:
            self._free += count
