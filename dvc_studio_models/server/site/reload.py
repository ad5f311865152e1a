"""Applies the operator's config again when told to, and when its files change."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from dataclasses import replace
from queue import Empty
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import StudioConfigError, StudioModelsError
from dvc_studio_models.log import IN_ALL_WORKERS
from dvc_studio_models.server.config.exposure import exposure_problem
from dvc_studio_models.server.config.file import dotted
from dvc_studio_models.server.repos.refs import file_stamp
from dvc_studio_models.server.site.check import find_unmatched

if TYPE_CHECKING:
    from collections.abc import Mapping
    from queue import SimpleQueue

    from dvc_studio_models.server.config.file import ConfigSource
    from dvc_studio_models.server.config.values import ServeConfig
    from dvc_studio_models.server.repos.refs import FileStamp
    from dvc_studio_models.server.site.site import Site

logger = logging.getLogger(f"dvc.{__name__}")

WATCH_S = 0.25
"""The pause, in seconds, between two looks at the files of the config; a change counts
after two looks, and within a second, since it may revoke a token."""

FIXED = {
    "host": "listen",
    "port": "listen",
    "workers": "workers",
    "behind_proxy": "behind_proxy",
    "log_format": "log_format",
}
"""Fields of the config that only count at the start -> their keys in serve.yaml."""


class Reloader:
    """Keeps the config of one process up to date, in a thread of its own."""

    def __init__(self, source: ConfigSource, requests: SimpleQueue[None]) -> None:
        """Store the source and the state of its files.

        Args:
            source: Has been read once.
            requests: Each of its items makes the config be read again.
        """
        self._source = source
        self._requests = requests
        self._applied = self._stamp()

    def read(self, config: ServeConfig) -> ServeConfig:
        """Return the config as it is now.

        Args:
            config: As it was read just before; it is returned if it is wrong now.
        """
        try:
            return self._read_with(_fixed(config))
        except StudioModelsError as error:
            logger.error("%s\nThe config before stays in use", error)  # noqa: TRY400
            return config

    def wait_for_config(self, config: ServeConfig) -> ServeConfig:
        """Return the config as it is now, as soon as it has no mistakes.

        A worker may start long after the main process has read its config: by that
        one, it would accept tokens that were removed since.

        Args:
            config: As it was read at the start.
        """
        said = None
        while True:
            try:
                return self._read_with(_fixed(config))
            except StudioModelsError as error:
                if str(error) != said:
                    said = str(error)
                    logger.error(  # noqa: TRY400
                        "%s\nA new worker waits until this is mended", error
                    )
            with contextlib.suppress(Empty):
                self._requests.get(timeout=WATCH_S)

    def start(self, site: Site) -> None:
        """Start to watch the files, for a site that serves by them."""
        threading.Thread(target=self._work, args=(site,), daemon=True).start()

    def reload(self, site: Site) -> bool:
        """Read the config again and apply it; return whether that worked.

        A config with mistakes is reported, and the one before stays.
        """
        before = _fixed(site.config)
        try:
            after = self._read()
            config = replace(after, **before)
            _check_exposure(config)
            site.apply(config)
            gc.collect()  # the state before is in reference cycles
        except StudioModelsError as error:
            logger.error(  # noqa: TRY400
                "%s\nThe config before stays in use", error, extra=IN_ALL_WORKERS
            )
            return False
        except Exception:
            logger.exception("cannot apply the config; the one before stays in use")
            return False
        changed = {
            FIXED[name]
            for name, value in before.items()
            if getattr(after, name) != value
        }
        for key in sorted(changed):
            logger.warning(
                "'%s' has changed: restart the server for it", key, extra=IN_ALL_WORKERS
            )
        names = [*(repo.key for repo in site.catalog), *site.left_out()]
        for keys, what in find_unmatched(site.config, names):
            logger.warning("%s%s", dotted(keys), what, extra=IN_ALL_WORKERS)
        logger.info(
            "the config was read again; %s", _summary(site), extra=IN_ALL_WORKERS
        )
        return True

    def _read_with(self, fixed: Mapping[str, Any]) -> ServeConfig:
        config = replace(self._read(), **fixed)
        _check_exposure(config)
        return config

    def _read(self) -> ServeConfig:
        self._applied = self._stamp()  # first: they may change meanwhile
        try:
            return self._source.read()
        finally:
            if self._applied.keys() != {str(path) for path in self._source.files}:
                self._applied = self._stamp()

    def _work(self, site: Site) -> None:
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
            try:
                self.reload(site)
            except Exception:  # a token that is revoked later has to count
                logger.exception("cannot read the config again")
            seen = self._applied

    def _stamp(self) -> dict[str, FileStamp | None]:
        return {str(path): file_stamp(path) for path in self._source.files}


def _fixed(config: ServeConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in FIXED}


def _check_exposure(config: ServeConfig) -> None:
    """Check that the config is safe at the address on which the server listens.

    Raises:
        StudioConfigError: It is not, only at the one in the file.
    """
    problem = exposure_problem(
        config.host,
        behind_proxy=config.behind_proxy,
        no_auth=config.tokens is None,
        option=lambda flag: f"{flag.replace('-', '_')}: true",
    )
    if problem:
        msg = f"{problem}\nRestart the server if 'listen' has changed too"
        raise StudioConfigError(msg)


def _summary(site: Site) -> str:
    count = len(tuple(site.catalog))
    text = f"serving {count} repo{'' if count == 1 else 's'}"
    left_out = len(site.left_out())
    return f"{text}, {left_out} left out" if left_out else text
