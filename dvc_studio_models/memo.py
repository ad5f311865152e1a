"""A small JSON file that spares work done before, and that may vanish at any time.

Owns its format. One that is stale, broken or foreign counts as empty, and one that
cannot be written is left alone: the caller is slower then, not wrong.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from dvc_studio_models.scratch import write_anew

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(f"dvc.{__name__}")

FORMAT = 3


def load(memo: Path | None) -> dict[str, Any]:
    """Read what was saved; ``records``, where there are any, are a dictionary."""
    if memo is not None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            state = json.loads(memo.read_bytes())
            ours = isinstance(state, dict) and state.get("format") == FORMAT
            if ours and isinstance(state.get("records", {}), dict):
                return dict(state)
    return {"format": FORMAT}


def save(memo: Path | None, state: dict[str, Any]) -> None:
    """Save it in one step, for readers at the same time."""
    if memo is None:
        return
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_anew(memo, json.dumps(state))
    except OSError as exc:  # a read-only clone is slower, not wrong
        logger.debug("cannot save '%s': %s", memo.name, exc.strerror)
