"""A small JSON file that spares work done before, and that may vanish at any time.

Owns its format. One that is stale, broken or foreign counts as empty, and one that
cannot be written is left alone: the caller is slower then, not wrong.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from dvc_studio_models.files.scratch import write_atomically
from dvc_studio_models.model import Digest
from dvc_studio_models.registry.recorded import (
    CloudVersion,
    GitFile,
    Import,
    RecordedFile,
    RecordedModel,
    RecordedOutput,
)

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(f"dvc.{__name__}")

FORMAT = 4


def load(cache: Path | None) -> dict[str, Any]:
    """Read what was saved; ``records``, where there are any, are a dictionary."""
    if cache is not None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            state = json.loads(cache.read_bytes())
            ours = isinstance(state, dict) and state.get("format") == FORMAT
            if ours and isinstance(state.get("records", {}), dict):
                return dict(state)
    return {"format": FORMAT}


def save(cache: Path | None, state: dict[str, Any]) -> None:
    """Save it in one step, for readers at the same time."""
    if cache is None:
        return
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, json.dumps(state))
    except OSError as exc:  # a read-only clone is slower, not wrong
        logger.debug("cannot save '%s': %s", cache.name, exc.strerror)


def record_from_json(value: dict[str, Any] | None) -> RecordedModel | None:
    """Read a record as ``dataclasses.asdict`` wrote it.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    if value is None:
        return None
    outputs = tuple(_output_from_json(each) for each in value["outputs"])
    git_files = tuple(
        GitFile(**{**each, "digest": _digest_from_json(each["digest"])})
        for each in value["git_files"]
    )
    return RecordedModel(value["path"], value["project"], outputs, git_files)


def _output_from_json(value: dict[str, Any]) -> RecordedOutput:
    origin = value["origin"]
    return RecordedOutput(
        **{
            **value,
            "digest": _digest_from_json(value["digest"]),
            "version": _version_from_json(value["version"]),
            "files": tuple(map(_file_from_json, value["files"])),
            "origin": Import(**origin) if origin else None,
        }
    )


def _file_from_json(value: dict[str, Any]) -> RecordedFile:
    digest = Digest(**value["digest"])
    version = _version_from_json(value["version"])
    return RecordedFile(**{**value, "digest": digest, "version": version})


def _digest_from_json(value: dict[str, str] | None) -> Digest | None:
    return Digest(**value) if value else None


def _version_from_json(value: dict[str, str] | None) -> CloudVersion | None:
    return CloudVersion(**value) if value else None
