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
from dvc.env import DVC_NO_ANALYTICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from dvc_studio_models.model import ModelResult

logger = logging.getLogger(f"dvc.{__name__}")

_SHORT_SHA = 7
_EXIT_CONFIG = 251
_MESSAGES: dict[type[BaseException], str] = {
    KeyboardInterrupt: "interrupted by the user",
    SystemExit: "terminated by SIGTERM",
}
"""Of exceptions that have no message of their own."""
_COLLECT_AFTER = 100_000  # objects, some 20 MB


class CmdModels(CmdBaseNoRepo):  # type: ignore[misc]  # DVC is untyped
    """Base of all commands: their exit codes, and one JSON document with ``--json``."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Store the arguments. ``--cd`` is left to :meth:`do_run`, which reports."""
        self.args = args
        self._has_printed_json = False

    def do_run(self) -> int:
        """Run the command; print an error, also as JSON, and return its exit code.

        Raises:
            BaseException: An error that is not ours. DVC prints it.
        """
        try:
            return self._run()
        except BaseException as error:
            from dvc.scm import SCMError

            from dvc_studio_models.errors import StudioModelsError

            code = _exit_code(error)
            if code == _EXIT_CONFIG:  # DVC's analytics would fail on it once more
                os.environ[DVC_NO_ANALYTICS] = "1"
            is_printed_by_dvc = not isinstance(error, (StudioModelsError, SCMError))
            if not is_printed_by_dvc:
                logger.exception("")
            if getattr(self.args, "json", False) and not self._has_printed_json:
                with contextlib.suppress(OSError):  # stdout is closed or full
                    self.print_json(error_to_json(error, code))
            if is_printed_by_dvc:
                raise
            return code

    def _run(self) -> int:
        from dvc_studio_models.store.project import named_user

        _print_anything()
        _respect_no_color()
        with _Terminable(), _collecting_rarely(), named_user():
            os.chdir(self.args.cd)
            code = int(self.run())
            _flush()
            return code

    def print_json(self, value: object) -> None:
        """Print the one document that ``--json`` promises."""
        self._has_printed_json = True
        write_json(value)


def error_to_json(error: BaseException, code: int) -> dict[str, Any]:
    """Describe an error as ``--json`` prints it."""
    message = _MESSAGES.get(type(error)) or str(error) or repr(error)
    kind = type(error).__name__
    return {"error": {"kind": kind, "message": message, "exit_code": code}}


def _exit_code(error: BaseException) -> int:
    """Return the exit code of an error: ours, or the one that DVC chooses."""
    from dvc.config import ConfigError
    from dvc.exceptions import NotDvcRepoError
    from dvc.fs import AuthError
    from dvc.fs import ConfigError as RemoteConfigError
    from dvc.scm import SCMError

    from dvc_studio_models.errors import StudioModelsError

    if isinstance(error, StudioModelsError):
        return error.exit_code
    if isinstance(error, SystemExit):
        return int(error.code or 0)
    codes: dict[type[BaseException], int] = {
        BrokenPipeError: 141,
        ConfigError: _EXIT_CONFIG,
        AuthError: _EXIT_CONFIG,
        RemoteConfigError: _EXIT_CONFIG,
        KeyboardInterrupt: 252,
        NotDvcRepoError: 253,
        SCMError: 253,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 255)


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
    _flush()


def _flush() -> None:
    """Write out stdout now, while an error of it can still be handled."""
    if sys.stdout is not None:
        sys.stdout.flush()


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
