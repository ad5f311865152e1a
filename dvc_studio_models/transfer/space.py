"""How many bytes a pull is about, and whether the disk takes them. No I/O.

Sizes become known one by one, with the first answer to each file.
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
    """What is known of one file."""

    size: int | None = None
    """In bytes, once it is known."""

    missing: int = 0
    """How much of it this pull writes, in bytes, as far as that is known."""


class SpaceBudget:
    """The sums over all files."""

    def __init__(
        self, folder: Path, *, free: int, files: int, copied: bool = False
    ) -> None:
        """Know nothing but how many files there are.

        Args:
            folder: Where the bytes go.
            free: What its file system still takes, in bytes.
            files: How many there are.
            copied: Whether all of them are to be there twice in the end.
        """
        self._folder = folder
        self._free = free
        self._copied = copied
        self._missing = 0
        self._total = 0
        self._unknown = files
        self._lock = threading.Lock()

    @property
    def total(self) -> int | None:
        """The size of all files, in bytes; None while one is not known."""
        with self._lock:
            return None if self._unknown else self._total

    def update(self, totals: FileTotals, size: int | None, *, missing: int) -> None:
        """Correct what is known of a file.

        Raises:
            LocalDiskError: The disk cannot take what is missing of all files.
        """
        with self._lock:
            self._unknown += (size is None) - (totals.size is None)
            self._total += (size or 0) - (totals.size or 0)
            self._missing += missing - totals.missing
            totals.size, totals.missing = size, missing
            needed = self._missing + (self._total if self._copied else 0)
        if needed > self._free:
            numbers = (
                f"{format_bytes(needed)} to write, {format_bytes(self._free)} free"
            )
            raise LocalDiskError(self._folder, f"not enough space ({numbers})")

    def regain(self, count: int) -> None:
        """Take down that the disk has room for so many bytes more."""
        with self._lock:
            self._free += count
