"""What all commands of ``dvc models`` share: exit codes, texts, JSON, a clean end.

Owns how a command ends and what it prints for programs. What a command does is in its
own module.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from dvc.cli.command import CmdBaseNoRepo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from dvc_studio_models.errors import StudioModelsError
    from dvc_studio_models.model import ModelResult

logger = logging.getLogger(f"dvc.{__name__}")

_SHORT_SHA = 7
_COLLECT_AFTER = 100_000  # objects, some 20 MB


class CmdModels(CmdBaseNoRepo):  # type: ignore[misc]  # DVC is untyped
    """What all commands share: our exit codes, and a clean end on SIGTERM."""

    def do_run(self) -> int:
        """Run, and turn an error of ours into its message and exit code."""
        from dvc.scm import SCMError

        from dvc_studio_models.errors import StudioModelsError
        from dvc_studio_models.store.project import named_user

        _print_anything()
        _respect_no_color()
        with _Terminable(), _collecting_rarely(), named_user():
            try:
                return int(self.run())
            except StudioModelsError as error:
                logger.exception("")
                self.report(error)
                return error.exit_code
            except SCMError:
                logger.exception("")
                return 253

    def report(self, error: StudioModelsError) -> None:
        """Tell programs what failed, where ``--json`` asks; people have been told."""
        if getattr(self.args, "json", False):
            write_json(
                {
                    "error": {
                        "kind": type(error).__name__,
                        "message": str(error),
                        "exit_code": error.exit_code,
                    }
                }
            )


class JsonAction(argparse._StoreTrueAction):
    """``--json``: DVC logs to stdout below warnings, where only the object may be."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Note the option, and move the log."""
        super().__call__(*args, **kwargs)
        for handler in _handlers():
            if getattr(handler, "stream", None) is sys.stdout:
                handler.stream = sys.stderr  # type: ignore[attr-defined]


def write_json(value: object) -> None:
    """Print the one document that ``--json`` promises, also under ``-q``."""
    import json

    from dvc.ui import ui

    ui.write(json.dumps(value, ensure_ascii=False), force=True)


def format_head(model: ModelResult) -> str:
    """Write what was asked, and what it is: ``churn#prod = v2.0.0 (3f2a1bc)``."""
    head = str(model.ref)
    if model.version and model.version != model.ref.version:
        head += f" = {model.version}"
    if model.commit:
        head += f" ({shorten(model.commit)})"
    return head


def shorten(commit: str) -> str:
    """Shorten a commit's SHA-1 as Git does."""
    return commit[:_SHORT_SHA]


def _print_anything() -> None:
    """Escape what the terminal's encoding lacks, instead of failing after the work."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # colorama wraps the streams
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _handlers() -> Iterator[logging.Handler]:
    """Give what DVC has set up to write its log."""
    for name in ("dvc", "dvc_objects", "dvc_data"):
        yield from logging.getLogger(name).handlers


def _respect_no_color() -> None:
    """Have DVC log without colours where NO_COLOR is set (https://no-color.org)."""
    from dvc.logger import ColorFormatter

    if os.environ.get("NO_COLOR"):
        for handler in _handlers():
            if isinstance(handler.formatter, ColorFormatter):
                handler.formatter.log_colors = False


@contextlib.contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Walk through all that is loaded seldom, and not at the end of the process.

    A short command is imports for the most part. To look for garbage among what they
    bring, again and again and once more at the end, takes a sixth of its time.
    """
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Terminable:
    """Ends on SIGTERM as on Ctrl-C: with everything put back, and exit code 143."""

    def __enter__(self) -> None:
        self._before: Any = signal.getsignal(signal.SIGTERM)
        if self._before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminate)

    def __exit__(self, *_: object) -> None:
        if self._before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _terminate(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)
