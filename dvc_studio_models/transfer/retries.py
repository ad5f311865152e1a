"""How a download goes on after a failure, and when it is given up. No I/O.

no byte         a pause, and the same request again, while tries are left
link rejected   new links, once until a byte arrives
no ranges       the whole file in one response
wrong content   once more from the start
"""

from __future__ import annotations

import threading
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


REPEAT_S = 5.0
"""How long, in seconds, the same failure of a file is warned of only once."""


class ContentMismatch(Exception):  # noqa: N818 - a signal, never shown
    """The content does not have the expected size or hash."""


class RecoveryState:
    """How a file is requested after failures; not thread-safe."""

    def __init__(self, file: ModelFile) -> None:
        self.whole = False
        """Whether it is requested without a range."""
        self.decode = True
        """Whether a ``Content-Encoding`` is decoded."""
        self._file = file
        self._restarts = 0
        self._rejected: int | None = None  # generation of links, since the last byte

    def byte_received(self) -> None:
        """Clear the rejected link: the current one works."""
        self._rejected = None

    def link_rejected(self, rejected: LinkRejected) -> None:
        """Note that storage rejected the link.

        Raises:
            DownloadError: It rejected a new link too, so it would reject any.
        """
        before, self._rejected = self._rejected, rejected.generation
        if before is not None and rejected.generation > before:
            why = (
                f"storage answered {rejected} to a new link too: Studio's credentials "
                "cannot read this object, or it was never pushed"
            )
            raise DownloadError(self._file.path, why)

    def restart(self, error: Exception, *, resumed: bool) -> None:
        """Note that the part was discarded.

        A part of an earlier pull may be discarded for free. Storage that does not
        handle ranges is asked for the whole file.
        """
        no_ranges = isinstance(error, RestartNeeded) and not (resumed or self.whole)
        self.whole = self.whole or no_ranges
        self.decode = self.decode and not isinstance(error, NotEncoded)
        self._restarts += not (resumed or no_ranges)

    @property
    def is_exhausted(self) -> bool:
        """Whether it was restarted too often."""
        return self._restarts > 1

    def failure(self, error: Exception, content_md5: str | None) -> Exception:
        """Return the error of a file that is given up.

        Args:
            error: The last one.
            content_md5: From storage, if there is no other hash.
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


class Repeats:
    """Tells failures of a file from those that another connection has just met."""

    def __init__(self) -> None:
        self._warned: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_repeat(self, why: str, now_s: float) -> bool:
        """Return whether there was a warning of this failure a short time ago.

        Args:
            why: The failure, in words.
            now_s: The time, in seconds. A warning of it is expected if this is no
                repeat.
        """
        with self._lock:
            before = self._warned.get(why)
            if before is not None and now_s - before < REPEAT_S:
                return True
            self._warned[why] = now_s
            return False


class RetryBudget:
    """Counts tries in a row in which no byte of the file arrived."""

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._tries = 0
        self._received = -1

    def spend(self, received: int, retry: Retry) -> int:
        """Count one more try.

        Args:
            received: How many bytes of the file have arrived.
            retry: Why this try failed.

        Returns:
            The number of tries since the last byte.

        Raises:
            DownloadError: No try is left.
        """
        self._tries = self._tries + 1 if received == self._received else 1
        self._received = received
        if self._tries == self._limit:
            why = f"{retry} ({self._tries} tries without any data)"
            raise DownloadError(self._path, why)
        return self._tries
