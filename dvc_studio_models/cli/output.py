"""Prints results on stdout: one JSON document, or aligned text."""

from __future__ import annotations

import argparse
import itertools
import logging
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from dvc_studio_models import interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dvc_studio_models.model import FileResult, ModelRef, ModelResult

FEW = 10
"""So many files, or items of a list, are printed one a line; more are summarized."""

LOGGERS = ("dvc", "dvc_objects", "dvc_data")
"""The loggers whose level and handlers DVC sets."""

_SHORT_SHA = 7
_MIN_WIDTH = 40


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
    for name in LOGGERS:
        yield from logging.getLogger(name).handlers


def write_json(value: object) -> None:
    """Print a JSON document, also under ``-q``."""
    import json

    from dvc.ui import ui

    interrupts.printed()
    ui.write(json.dumps(value, ensure_ascii=False), force=True)
    flush_stdout()


def flush_stdout() -> None:
    """Flush stdout now, while an error of it can still be handled."""
    if sys.stdout is not None:
        sys.stdout.flush()


def error_to_json(error: BaseException, code: int) -> dict[str, Any]:
    """Return the JSON of an error that ends a command with this exit code."""
    message = interrupts.MESSAGES.get(type(error)) or str(error) or repr(error)
    kind = type(error).__name__
    return {"error": {"kind": kind, "message": message, "exit_code": code}}


def model_to_json(
    ref: ModelRef, model: ModelResult, *, repo: str | None, **status: object
) -> dict[str, Any]:
    """Return the JSON of a model.

    Args:
        ref: The model as it was requested.
        model: Its version and its files.
        repo: Of the result; the model names its own only if that is another one.
        status: Further values, printed before the files.
    """
    return {
        "name": ref.name,
        "requested": ref.requested,
        **({"repo": model.ref.repo} if model.ref.repo not in {None, repo} else {}),
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


def format_files(
    files: Sequence[FileResult], *, each: bool
) -> list[tuple[str, str, str]]:
    """Return rows of path, size and action.

    Args:
        files: Of one model.
        each: Whether each file has a row. Otherwise, of many files, each folder has
            one.
    """
    groups = {file.path: [file] for file in files} if each else fold(files)
    return [
        (path, _format_sizes(group), _format_actions(group))
        for path, group in groups.items()
    ]


def fold(files: Sequence[FileResult]) -> dict[str, list[FileResult]]:
    """Group files, by path or by folder, into a few groups that are as small as can be.

    Returns:
        The files by path, or by that of their folder, which ends with ``/``.
    """
    depth = max((file.path.count("/") for file in files), default=0) + 1
    groups = {file.path: [file] for file in files}
    while len(groups) > FEW and depth:
        depth -= 1
        groups = {}
        for file in files:
            groups.setdefault(_path_at(file.path, depth), []).append(file)
    return {g[0].path if len(g) == 1 else path: g for path, g in groups.items()}


def _path_at(path: str, depth: int) -> str:
    """Return the folder of a file that is so many folders below the root, or itself."""
    parts = path.split("/")
    return path if len(parts) <= depth else "/".join([*parts[:depth], ""]) or "./"


def _format_sizes(files: Sequence[FileResult]) -> str:
    """Format the number of files, if there are several, and their known size."""
    from dvc_studio_models.model import format_bytes

    sizes = [file.size for file in files if file.size is not None]
    size = [format_bytes(sum(sizes))] if sizes else []
    return ", ".join([count_files(len(files)), *size] if len(files) > 1 else size)


def _format_actions(files: Sequence[FileResult]) -> str:
    """Format what happened to most of the files, and what to the others."""
    counts = Counter(file.action for file in files)
    main, *others = sorted(
        counts, key=lambda it: (it != "conflict", it == "unchanged", -counts[it])
    )
    texts = [f"{counts[action]} {action}" for action in others]
    return f"{main} ({', '.join(texts)})" if texts else main


def count_files(count: int) -> str:
    """Format a number of files: ``1 file``, ``300 files``."""
    return f"{count} file{'' if count == 1 else 's'}"


def shorten_lists(text: str, *, hint: str) -> str:
    """Shorten each list in a message, which has an indented line for each item.

    Args:
        text: The message.
        hint: How to see all items.
    """
    lines: list[str] = []
    for is_item, group in itertools.groupby(text.split("\n"), _is_item):
        items = list(group)
        if is_item and len(items) > FEW + 1:
            more = f"  ... and {len(items) - FEW} more ({hint})"
            items = [*items[:FEW], more]
        lines += items
    return "\n".join(lines)


def _is_item(line: str) -> bool:
    return line.startswith("  ")


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


def clip(lines: Sequence[str]) -> list[str]:
    """Cut lines that are wider than the terminal; a pipe gets them whole."""
    if not (sys.stdout and sys.stdout.isatty()):
        return list(lines)
    width = max(shutil.get_terminal_size().columns, _MIN_WIDTH)
    return [
        line if len(line) <= width else f"{line[: width - 1].rstrip()}…"
        for line in lines
    ]


def printable(text: str) -> str:
    """Replace line ends and control characters, as in a tag's message, by blanks."""
    return "".join(c if c.isprintable() else " " for c in text)


def shorten(commit: str) -> str:
    """Shorten a commit's SHA-1 as Git does."""
    return commit[:_SHORT_SHA]
