"""Clones, fetches and maintains one mirror, while no other process does."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from typing import TYPE_CHECKING

from dvc_studio_models.errors import LocalDiskError, UnreadableRepoError
from dvc_studio_models.registry.git.mirrors import (
    PATIENCE,
    KilledGitError,
    clean_mirror,
    clean_objects,
    find_damage,
    maintain_mirror,
    update_mirror,
)
from dvc_studio_models.server.mirrors.repair import (
    clone_beside,
    finish_replacement,
)
from dvc_studio_models.server.mirrors.schedule import MAINTENANCE_S
from dvc_studio_models.server.mirrors.state import read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc_studio_models.registry.git.mirrors import Patience
    from dvc_studio_models.server.mirrors.places import MirrorPlace
    from dvc_studio_models.server.mirrors.state import MirrorState

logger = logging.getLogger(f"dvc.{__name__}")

_PATHS = re.compile(r"'/[^']*'|(?<![\w./:-])/[^\s'\":;,]+")
"""Absolute paths in a message of Git."""

_NO_REPO = re.compile(r"'/[^']*' does not appear to be a git repository")
_NO_REPO_THERE = "there is no Git repository at its URL"

LEFT_S = 600.0
"""The age, in seconds, of a lock file in a mirror that nobody can be using any more:
a killed server may leave a Git that still runs."""


def renew(
    place: MirrorPlace,
    name: str,
    url: str,
    *,
    is_wanted: Callable[[MirrorState], bool],
    is_stopping: Callable[[], bool] = lambda: False,
    patience: Patience = PATIENCE,
) -> bool:
    """Clone or fetch a mirror, unless another process is doing that.

    Args:
        place: Where the mirror is.
        name: Its name, for the log.
        url: Where to fetch from.
        is_wanted: Whether it is to be fetched, by its state once nobody else fetches.
        is_stopping: Asked after a failure: whether the server is being stopped.
        patience: The limits of each call of Git.

    Returns:
        False if another process has the lock.

    Raises:
        OSError: The folder of mirrors cannot be written.
    """
    with _locked(place) as is_ours:
        if is_ours:
            before = read_state(place.state)
            if is_wanted(before):
                _renew(place, name, url, before, patience, is_stopping)
        return is_ours


@contextlib.contextmanager
def _locked(place: MirrorPlace) -> Iterator[bool]:
    """Lock a mirror; yields False if it is locked. The system unlocks it at our end."""
    place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(number)


def _renew(
    place: MirrorPlace,
    name: str,
    url: str,
    before: MirrorState,
    patience: Patience,
    is_stopping: Callable[[], bool],
) -> None:
    begun = time.time()
    try:
        changed = _clone_or_fetch(place, name, url, patience)
    except (UnreadableRepoError, LocalDiskError) as error:
        reason = _NO_REPO.sub(_NO_REPO_THERE, error.reason)
        told = reason.replace(os.fspath(place.data), "its folder")
        told = _PATHS.sub("'its path'", told)
        if is_stopping():  # which stops Git too: that is no failure
            return
        write_state(place.state, before.failed(begun, told))
        log = logger.warning if before.error == told else logger.error
        log("cannot fetch the mirror of '%s': %s", name, reason)
        return
    after = before.succeeded(begun)
    write_state(place.state, after)
    if before.error:
        logger.info("the mirror of '%s' is fetched again", name)
    if changed and begun - (before.maintained or 0) > MAINTENANCE_S:
        _maintain(place, name, after, patience)


def _clone_or_fetch(
    place: MirrorPlace, name: str, url: str, patience: Patience
) -> bool:
    """Bring a mirror up to date; returns whether it has changed."""
    finish_replacement(place)
    if not place.repo.is_dir():
        clone_beside(place, url, patience)
        return False
    clean_mirror(place.repo, older_than_s=LEFT_S)
    if damage := find_damage(place.repo):
        _replace(place, name, url, damage, patience)
        return False
    with _cleaned_after_failure(place):
        return update_mirror(place.repo, url, patience=patience)


def _replace(
    place: MirrorPlace, name: str, url: str, damage: str, patience: Patience
) -> None:
    """Clone a damaged mirror anew."""
    try:
        clone_beside(place, url, patience)
    except UnreadableRepoError as error:
        reason = f"it is damaged, and cannot be cloned anew: {error.reason}"
        raise UnreadableRepoError(os.fspath(place.repo), reason) from None
    logger.warning("the mirror of '%s' was damaged (%s): cloned anew", name, damage)


def _maintain(
    place: MirrorPlace, name: str, state: MirrorState, patience: Patience
) -> None:
    try:
        with _cleaned_after_failure(place):
            maintain_mirror(place.repo, patience=patience)
    except (UnreadableRepoError, LocalDiskError) as error:
        reason = error.reason.replace(os.fspath(place.data), "its folder")
        logger.warning("cannot maintain the mirror of '%s': %s", name, reason)
    write_state(place.state, state.maintained_now())


@contextlib.contextmanager
def _cleaned_after_failure(place: MirrorPlace) -> Iterator[None]:
    """Remove what Git has left, which would stop the next one or fill the disk."""
    try:
        yield
    except KilledGitError:
        clean_mirror(place.repo, older_than_s=0)
        raise
    except (UnreadableRepoError, LocalDiskError):  # it has removed its own locks
        clean_objects(place.repo)
        raise
