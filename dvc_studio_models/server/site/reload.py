"""Applies the operator's config again when told to, and when its files change."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from queue import Empty
from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.server.repos.refs import file_stamp

if TYPE_CHECKING:
    from queue import SimpleQueue

    from dvc_studio_models.server.config.file import ConfigSource
    from dvc_studio_models.server.repos.refs import FileStamp
    from dvc_studio_models.server.site.site import Site

logger = logging.getLogger(f"dvc.{__name__}")

WATCH_S = 1.0
"""The pause, in seconds, between two looks at the files of the config."""

FIXED = ("host", "port", "workers", "behind_proxy", "log_format")
"""Fields of the config that only count at the start."""


class Reloader:
    """Keeps the config of one process up to date, in a thread of its own."""

    def __init__(
        self, site: Site, source: ConfigSource, requests: SimpleQueue[None]
    ) -> None:
        """Store both; :meth:`start` starts the thread.

        Args:
            site: Serves by the config.
            source: Has been read once.
            requests: Each of its items makes the config be read again.
        """
        self._site = site
        self._source = source
        self._requests = requests
        self._applied = self._stamp()

    def start(self) -> None:
        """Start to watch the files."""
        threading.Thread(target=self._work, daemon=True).start()

    def reload(self) -> bool:
        """Read the config again and apply it; return whether that worked.

        A config with mistakes is reported, and the one before stays.
        """
        self._applied = self._stamp()  # first: they may change meanwhile
        before = self._site.config
        try:
            after = self._source.read()
            fixed = {name: getattr(before, name) for name in FIXED}
            self._site.apply(replace(after, **fixed))
        except StudioModelsError as error:
            logger.error("%s\nThe config before stays in use", error)  # noqa: TRY400
            return False
        except Exception:
            logger.exception("cannot apply the config; the one before stays in use")
            return False
        self._applied = self._applied if self._has_same_files() else self._stamp()
        for name in FIXED:
            if getattr(after, name) != fixed[name]:
                logger.warning("'%s' has changed: restart the server for it", name)
        logger.warning("the config was read again; %s", _summary(self._site))
        return True

    def _work(self) -> None:
        seen = self._applied
        while True:
            try:
                self._requests.get(timeout=WATCH_S)
                while not self._requests.empty():
                    self._requests.get_nowait()
            except Empty:
                now = self._stamp()
                # A file that is being written is read when it has come to rest.
                is_due, seen = now != self._applied and now == seen, now
                if not is_due:
                    continue
            self.reload()
            seen = self._applied

    def _stamp(self) -> dict[str, FileStamp | None]:
        return {str(path): file_stamp(path) for path in self._source.files}

    def _has_same_files(self) -> bool:
        return self._applied.keys() == {str(path) for path in self._source.files}


def _summary(site: Site) -> str:
    count = len(tuple(site.catalog))
    text = f"serving {count} repo{'' if count == 1 else 's'}"
    left_out = len(site.left_out())
    return f"{text}, {left_out} left out" if left_out else text
