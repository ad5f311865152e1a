"""All mirrors of a running server: how fresh they are, and the threads that fetch."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.log import IN_ALL_WORKERS
from dvc_studio_models.registry.git.mirrors import PATIENCE
from dvc_studio_models.registry.urls import identity
from dvc_studio_models.server.mirrors.places import MirrorPlace
from dvc_studio_models.server.mirrors.schedule import is_due, pause_s, retry_s
from dvc_studio_models.server.mirrors.state import (
    MirrorState,
    MirrorStatus,
    read_state,
)
from dvc_studio_models.server.mirrors.upkeep import renew

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.registry.git.mirrors import Patience
    from dvc_studio_models.server.config.values import RepoConfig, ServeConfig

logger = logging.getLogger(f"dvc.{__name__}")

PER_HOST = 4
"""Fetches at once from one host: one that hangs delays only its own repos."""

LOOK_S = 0.5
"""The pause, in seconds, between two looks at the files of states."""

ASKED_S = 1.0
"""The least time, in seconds, from a fetch to the next one that a webhook asks for."""

FAULT_S = 30.0
"""The pause, in seconds, after the folder of mirrors could not be written."""

SIGNAL_S = 0.3
"""How long, in seconds, one signal may take to reach all processes of a group."""

_FIRST_LOOK_S = 1.0


@dataclass
class _Mirror:
    """One mirror, as this process knows it; only ``Mirrors`` changes it."""

    config: RepoConfig
    place: MirrorPlace
    url: str
    host: str
    is_cloned: bool
    state: MirrorState = field(default_factory=MirrorState)
    stamp: tuple[int, int] | None = None
    """Of the file of the state, when it was read."""
    pause_s: float = 0.0
    asked: float | None = None
    """When a webhook asked for a fetch that has not begun, in seconds since 1970."""
    fault: str | None = None
    """Why this process could not write."""
    not_before: float = 0.0
    """By the monotonic clock: when to try again after a fault."""
    is_running: bool = False
    is_retried: bool = True
    """Whether to try at once, whatever the pause, if the last fetch has failed."""

    def ask(self, at: float | None) -> None:
        """Note that a fetch is to begin after a moment, if it is one."""
        self.asked = max(filter(None, (at, self.asked)), default=None)

    def take_asked(self) -> float | None:
        """Return for when a fetch was asked for, which now begins."""
        asked, self.asked = self.asked, None
        return asked

    @property
    def is_lost(self) -> bool:
        """Whether it was cloned once, and somebody has moved it away."""
        # False where nothing can be read, too: a fetch finds out why.
        is_there = os.path.isfile(self.place.repo / "HEAD")  # noqa: PTH113
        return self.state.tried is not None and not is_there

    def is_due(self) -> bool:
        """Whether it is time for a fetch."""
        if self.is_running or time.monotonic() < self.not_before:
            return False
        now, tried = time.time(), self.state.tried
        if self.asked is not None and (tried is None or abs(now - tried) > ASKED_S):
            return True
        return is_due(self.state, self.pause_s, now)

    def is_wanted(self, state: MirrorState, asked: float | None) -> bool:
        """Whether a fetch is still needed, by the state once nobody else fetches."""
        if asked is not None and (state.begun is None or state.begun < asked):
            return True
        return is_due(state, self.pause_s, time.time())


class Mirrors:
    """The mirrors of a running server.

    Several processes may have the same mirrors: each of them fetches a mirror when it
    is due and no other process is fetching it.
    """

    def __init__(
        self,
        *,
        on_cloned: Callable[[str], None] = lambda _: None,
        patience: Patience = PATIENCE,
    ) -> None:
        """Begin without mirrors.

        Args:
            on_cloned: Called with the name of a mirror when its first clone is done.
            patience: The limits of each call of Git.
        """
        self._on_cloned = on_cloned
        self._patience = patience
        self._mirrors: dict[str, _Mirror] = {}
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._looked = threading.Event()
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def apply(self, config: ServeConfig) -> None:
        """Take the mirrors of a config, whose paths are set; fetches go on.

        Those whose last fetch has failed are tried again soon: the operator may have
        mended what was wrong.
        """
        found: dict[str, _Mirror] = {}
        with self._lock:
            for repo in config.repos:
                if repo.url is None:
                    continue
                place = MirrorPlace.of(Path(repo.path).parent, repo.name, repo.url)
                known = self._mirrors.get(repo.name)
                if known is None or known.place != place:
                    host = identity(repo.url)[0]
                    known = _Mirror(repo, place, repo.url, host, place.repo.is_dir())
                known.config, known.url = repo, repo.url
                known.is_retried = True
                known.pause_s = pause_s(known.state, repo.fetch_s)
                found[repo.name] = known
            self._mirrors = found
            if found and self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="mirrors", daemon=True
                )
                self._thread.start()
        if found:
            self._looked.clear()
            self._wake.set()
            self._looked.wait(_FIRST_LOOK_S)

    def status(self, name: str) -> MirrorStatus | None:
        """Return how fresh a mirror is; None for a repo that is none.

        It comes from memory, at most a second old, so this never blocks.
        """
        mirror = self._mirrors.get(name)
        if mirror is None:
            return None
        state = mirror.state
        error = mirror.fault or state.error
        failures = state.failures + bool(mirror.fault)
        return MirrorStatus(state.fetched, error, failures, mirror.config.fetch_s)

    def webhook_secret(self, name: str) -> str | None:
        """Return the secret that signs webhooks of a mirror, None if it has none."""
        mirror = self._mirrors.get(name)
        return mirror.config.webhook_secret if mirror else None

    def fetch_soon(self, name: str) -> None:
        """Fetch a mirror at once; after the fetch that is running, if there is one."""
        if mirror := self._mirrors.get(name):
            mirror.ask(time.time())
            self._wake.set()

    @property
    def is_fetching(self) -> bool:
        """Whether a fetch is running."""
        return any(self._running.values())

    def stop(self) -> None:
        """Begin no further fetch."""
        self.note_stop()
        self._wake.set()

    def note_stop(self) -> None:
        """Note that the server is being stopped; may be called by a signal's handler.

        What fails from now on is no failure of a mirror.
        """
        self._is_stopped = True

    def _is_stopping(self) -> bool:
        """Whether the server is being stopped.

        Git may have got the signal a moment before this process has.
        """
        deadline = time.monotonic() + SIGNAL_S
        while not self._is_stopped and time.monotonic() < deadline:
            time.sleep(SIGNAL_S / 10)
        return self._is_stopped

    def _watch(self) -> None:
        while not self._is_stopped:
            self._wake.clear()
            for mirror in tuple(self._mirrors.values()):
                try:
                    self._look(mirror)
                    self._begin_if_due(mirror)
                except Exception:
                    logger.exception("cannot look at '%s'", mirror.config.name)
            self._looked.set()
            self._wake.wait(LOOK_S)

    def _look(self, mirror: _Mirror) -> None:
        """Take over what this or another process has written."""
        stamp = _stamp(mirror.place.state)
        if stamp != mirror.stamp:
            mirror.state = read_state(mirror.place.state)
            mirror.stamp = stamp
            mirror.pause_s = pause_s(mirror.state, mirror.config.fetch_s)
        if mirror.is_retried:
            mirror.is_retried = False
            if mirror.state.error or mirror.fault or mirror.is_lost:
                mirror.ask(time.time())
                mirror.not_before = time.monotonic() + retry_s()
        is_there = os.path.isdir(mirror.place.repo)  # noqa: PTH112
        if not mirror.is_cloned and is_there:
            mirror.is_cloned = True
            self._on_cloned(mirror.config.name)

    def _begin_if_due(self, mirror: _Mirror) -> None:
        if not mirror.is_due() or self._running.get(mirror.host, 0) >= PER_HOST:
            return
        with self._lock:
            self._running[mirror.host] = self._running.get(mirror.host, 0) + 1
        mirror.is_running = True
        try:
            threading.Thread(target=self._renew, args=(mirror,), daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            self._end(mirror)

    def _renew(self, mirror: _Mirror) -> None:
        asked = mirror.take_asked()
        name = mirror.config.name
        try:
            is_ours = renew(
                mirror.place,
                name,
                mirror.url,
                is_wanted=lambda state: mirror.is_wanted(state, asked),
                is_stopping=self._is_stopping,
                patience=self._patience,
            )
            mirror.fault = None
            if not is_ours:  # whoever is fetching may have begun before
                mirror.ask(asked)
                mirror.not_before = time.monotonic() + LOOK_S
        except OSError as error:
            mirror.fault = f"its folder cannot be written: {error.strerror or error}"
            mirror.not_before = time.monotonic() + FAULT_S
            logger.error(  # noqa: TRY400
                "the mirror of '%s': %s ('%s')",
                name,
                mirror.fault,
                error.filename or mirror.place.data,
                extra=IN_ALL_WORKERS,
            )
        except Exception:
            mirror.fault = "it cannot be fetched: the log of the server says why"
            mirror.not_before = time.monotonic() + FAULT_S
            logger.exception("cannot fetch the mirror of '%s'", name)
        finally:
            self._end(mirror)

    def _end(self, mirror: _Mirror) -> None:
        with self._lock:
            self._running[mirror.host] -= 1
        mirror.is_running = False
        self._wake.set()


def _stamp(path: os.PathLike[str]) -> tuple[int, int] | None:
    """Return a value that changes when a file is replaced."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
