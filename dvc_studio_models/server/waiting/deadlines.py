"""How long a request waits, and whether it waits for Git or for DVC remotes."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.server.errors.requests import (
    BusyError,
    GitSilentError,
    StorageSilentError,
)
from dvc_studio_models.server.monitoring import metrics

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from dvc_studio_models.server.errors.requests import (
        RefusedError,
    )

ANSWER_S = 25.0
"""The longest time that a request waits, in seconds; clients wait longer."""


@dataclass
class SlowCall:
    """One call that may be slow, in a thread of its own."""

    remote_slots: threading.BoundedSemaphore
    """One for each call for the same repo that may wait for DVC remotes."""

    waits_for_remote: bool = False

    remote_was_silent: bool = False
    """Whether it has waited for a remote as long as a request may wait."""


current_call: ContextVar[SlowCall | None] = ContextVar("current_call", default=None)
"""The call that this thread runs, if any."""


@contextlib.contextmanager
def waiting_for_remotes() -> Iterator[None]:
    """Mark the current call as one that waits for DVC remotes.

    Raises:
        BusyError: Too many calls for this repo wait for them already.
    """
    call = current_call.get()
    if call is None or call.waits_for_remote:
        yield
        return
    if not call.remote_slots.acquire(blocking=False):
        raise BusyError
    call.waits_for_remote = True
    metrics.waiting_for_remotes.inc()
    try:
        yield
    finally:
        metrics.waiting_for_remotes.dec()
        call.waits_for_remote = False
        call.remote_slots.release()


def timeout_error(seconds: float, call: SlowCall | None = None) -> RefusedError:
    """Return the error of a client that has waited ``seconds``, by default here."""
    call = call or current_call.get()
    if call and (call.waits_for_remote or call.remote_was_silent):
        call.remote_was_silent = True
        return StorageSilentError(seconds)
    return GitSilentError(seconds)
