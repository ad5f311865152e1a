"""Prints results on stdout: one JSON document, or aligned text."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dvc_studio_models.model import FileResult, ModelRef, ModelResult

_SHORT_SHA = 7
_MESSAGES: dict[type[BaseException], str] = {
    KeyboardInterrupt: "interrupted by the user",
    SystemExit: "terminated by SIGTERM",
}
"""Messages for exceptions that have none."""


class JsonAction(argparse._StoreTrueAction):
    """``--json``: reserve stdout, where DVC logs all below warnings, for the JSON."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Set the option, and log to stderr only."""
        super().__call__(*args, **kwargs)
        for handler in log_handlers():
            if getattr(handler, "stream", None) is sys.stdout:
                handler.stream = sys.stderr  # type: ignore[attr-defined]


def log_handlers() -> Iterator[logging.Handler]:
    """Return the handlers that DVC writes its log with."""
    for name in ("dvc", "dvc_objects", "dvc_data"):
        yield from logging.getLogger(name).handlers


def write_json(value: object) -> None:
    """Print a JSON document, also under ``-q``."""
    import json

    from dvc.ui import ui

    ui.write(json.dumps(value, ensure_ascii=False), force=True)
    flush_stdout()


def flush_stdout() -> None:
    """Flush stdout now, while an error of it can still be handled."""
    if sys.stdout is not None:
        sys.stdout.flush()


def error_to_json(error: BaseException, code: int) -> dict[str, Any]:
    """Return the JSON of an error that ends a command with this exit code."""
    message = _MESSAGES.get(type(error)) or str(error) or repr(error)
    kind = type(error).__name__
    return {"error": {"kind": kind, "message": message, "exit_code": code}}


def model_to_json(
    ref: ModelRef, model: ModelResult, **status: object
) -> dict[str, Any]:
    """Return the JSON of a model.

    Args:
        ref: The model as it was requested.
        model: Its version and its files.
        status: Further values, printed before the files.
    """
    return {
        "name": ref.name,
        "requested": ref.requested,
        "version": model.version,
        "commit": model.commit,
        **status,
        "files": [vars(file) for file in model.files],
    }


def format_model(model: ModelResult) -> str:
    """Format a reference and its version: ``churn#prod = v2.0.0 (3f2a1bc)``."""
    text = str(model.ref)
    if model.version and model.version != model.ref.version:
        text += f" = {model.version}"
    if model.commit:
        text += f" ({shorten(model.commit)})"
    return text


def format_size(file: FileResult) -> str:
    """Format the size of a file; empty if it is unknown."""
    from dvc_studio_models.model import format_bytes

    return "" if file.size is None else format_bytes(file.size)


def align(rows: Sequence[Sequence[str]], alignments: str) -> list[str]:
    """Align the columns of rows, each row indented on a line of its own.

    Args:
        rows: Cells, as many in each row as there are alignments.
        alignments: ``<`` or ``>`` for each column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "".join(
            f"  {cell:{alignment}{width}}"
            for cell, alignment, width in zip(row, alignments, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def shorten(commit: str) -> str:
    """Shorten a commit's SHA-1 as Git does."""
    return commit[:_SHORT_SHA]
