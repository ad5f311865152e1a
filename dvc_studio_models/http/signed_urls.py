"""The signed URLs of a pull, and when they expire.

Promises that Studio is asked once for all files that wait for new URLs, and that a
URL's expiry is compared with the clock of the storage that checks it: the user's clock
may be hours off.
"""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from dvc_studio_models.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dvc_studio_models.model import ModelFile

logger = get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MARGIN_S = 30  # a URL that expires sooner is renewed before it is used


class SignedUrls:
    """The current URL of each file."""

    def __init__(
        self,
        files: Sequence[ModelFile],
        renew: Callable[[], Mapping[str, str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the URLs that Studio has just sent.

        Args:
            files: With their URLs.
            renew: Requests new URLs of the same contents from Studio: path to URL.
            clock: In seconds.
        """
        self._urls = {file.path: file.url for file in files}
        self._renew = renew
        self._clock = clock
        self._lock = threading.Lock()
        self._generation = 0
        self._issued = clock()
        self._observed: tuple[str, float] | None = None

    def get(self, path: str) -> tuple[str, int]:
        """Return a file's URL and its generation.

        Raises:
            StudioModelsError: The URL was about to expire and ``renew`` failed.
        """
        with self._lock:
            if self._expires_soon(self._urls[path]):
                self._renew_now()
            return self._urls[path], self._generation

    def renew(self, generation: int) -> None:
        """Renew all URLs, unless that was done since ``generation``.

        Raises:
            StudioModelsError: ``renew`` failed.
        """
        with self._lock:
            if generation == self._generation:
                self._renew_now()

    def observe_date(self, date: str | None) -> None:
        """Note the ``Date`` header of a response that has just arrived."""
        if date:
            self._observed = date, self._clock()

    def _renew_now(self) -> None:
        logger.debug("requesting new links from Studio")
        self._urls.update(self._renew())
        self._generation += 1
        self._issued = self._clock()

    def _expires_soon(self, url: str) -> bool:
        # A URL that is short-lived from the start is used as long as it works.
        if self._observed is None or self._clock() - self._issued < MARGIN_S:
            return False
        date, when = self._observed
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            now = parsedate_to_datetime(date) + timedelta(seconds=self._clock() - when)
            expiry = expires_at(url)
            return expiry is not None and expiry - now < timedelta(seconds=MARGIN_S)
        return False


def expires_at(url: str) -> datetime | None:
    """Return when a signed URL expires, by its storage's clock.

    Supports S3 and Google (``X-Amz-Date`` with ``X-Amz-Expires``, seconds), Azure
    (``se``, a date), and S3's old signatures and our own server's (``Expires``, a Unix
    time).

    Returns:
        None if the URL does not say.
    """
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    with contextlib.suppress(KeyError, ValueError, OverflowError):
        for vendor in ("x-amz", "x-goog"):
            if signed := query.get(f"{vendor}-date"):
                life = timedelta(seconds=int(query[f"{vendor}-expires"]))
                return _utc(datetime.strptime(signed, "%Y%m%dT%H%M%SZ")) + life  # noqa: DTZ007 - made UTC
        if end := query.get("se"):
            return _utc(datetime.fromisoformat(end.replace("Z", "+00:00")))
        return _EPOCH + timedelta(seconds=int(query["expires"]))
    return None


def _utc(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
