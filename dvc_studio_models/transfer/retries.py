"""What goes wrong with one file: what is tried next, and when it is given up. No I/O.

no byte     a pause, and the same again, while tries are left
refused     new links, once until a byte comes
no ranges   the whole file in one answer
wrong       once more from the start
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import DownloadError, IntegrityError
from dvc_studio_models.http.response import (
    LinkRejected,
    NotEncoded,
    RestartNeeded,
    Retry,
)

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelFile


class ContentMismatch(Exception):  # noqa: N818 - a signal, never shown
    """The content cannot be what was promised."""


class RecoveryState:
    """How a file is asked for, after what went wrong; to be called by one at a time."""

    def __init__(self, file: ModelFile) -> None:
        self.whole = False
        """Whether it is asked for without a range."""
        self.decode = True
        """Whether a ``Content-Encoding`` is undone."""
        self._file = file
        self._restarts = 0
        self._refused: int | None = None  # generation of links, since the last byte

    def forget_refusal(self) -> None:
        """Take down that a byte came."""
        self._refused = None

    def refuse(self, rejected: LinkRejected) -> None:
        """Take down that storage refused the link.

        Raises:
            DownloadError: What refuses the new one too will refuse any.
        """
        before, self._refused = self._refused, rejected.generation
        if before is not None and rejected.generation > before:
            why = (
                f"storage answered {rejected} to a new link too: Studio's credentials "
                "cannot read this object, or it was never pushed"
            )
            raise DownloadError(self._file.path, why)

    def start_over(self, error: Exception, *, resumed: bool) -> None:
        """Take down that a part was dropped.

        What an earlier pull left is nobody's fault; whoever cannot be trusted with
        ranges is asked for the whole.
        """
        no_ranges = isinstance(error, RestartNeeded) and not (resumed or self.whole)
        self.whole = self.whole or no_ranges
        self.decode = self.decode and not isinstance(error, NotEncoded)
        self._restarts += not (resumed or no_ranges)

    @property
    def is_final(self) -> bool:
        """Whether it started over once too often."""
        return self._restarts > 1

    def failure(self, error: Exception, content_md5: str | None) -> Exception:
        """Say why a file is given up.

        Args:
            error: The last one.
            content_md5: What storage promised, where nobody else did.
        """
        file = self._file
        if isinstance(error, ContentMismatch):
            return IntegrityError(
                file.path,
                expected=file.digest or f"Content-MD5 {content_md5}",
                actual=str(error),
                source="the registry" if file.digest else "storage",
            )
        if isinstance(error, RestartNeeded):
            return DownloadError(file.path, f"{error}, again after a restart")
        return error


class RetryBudget:
    """Counts tries in a row without a byte, of any range of the file."""

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._tries = 0
        self._received = -1

    def spend(self, received: int, again: Retry) -> int:
        """Count one more try.

        Args:
            received: How many bytes of the file are there.
            again: Why this try failed.

        Returns:
            How many tries there have been since the last byte.

        Raises:
            DownloadError: None is left.
        """
        self._tries = self._tries + 1 if received == self._received else 1
        self._received = received
        if self._tries == self._limit:
            why = f"{again} ({self._tries} tries without any data)"
            raise DownloadError(self._path, why)
        return self._tries
