"""How a command starts and ends: exit codes, errors, signals."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import errno
import gc
import importlib
import logging
import os
import signal
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dvc.cli.command import CmdBaseNoRepo
from dvc.env import DVC_NO_ANALYTICS

from dvc_studio_models.cli.output import (
    LOGGERS,
    error_to_json,
    flush_stdout,
    log_handlers,
    shorten_lists,
    write_json,
)
from dvc_studio_models.log import log_as

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import FrameType

logger = logging.getLogger(f"dvc.{__name__}")

_EXIT_CONFIG = 251
_CLONES = "dvc.repo.open_repo"
_STDOUT = "standard output"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_COLLECT_AFTER = 100_000  # objects, some 20 MB
_AGAIN_S = 0.05
_SIGNALS = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}


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
        log_as("dvc")
        try:
            return self._run()
        except BaseException as error:
            from dvc.scm import SCMError

            from dvc_studio_models.errors import StudioModelsError

            code = _exit_code(error)
            if getattr(self.args, "quiet", False):
                _let_errors_through()
            if code == _EXIT_CONFIG:  # DVC's analytics would fail on it once more
                os.environ[DVC_NO_ANALYTICS] = "1"
            is_printed_by_dvc = not isinstance(error, (StudioModelsError, SCMError))
            if not is_printed_by_dvc:
                _log_error(error)
            value = error_to_json(error, code)
            if getattr(self.args, "json", False) and not self._has_printed_json:
                with contextlib.suppress(OSError):  # stdout is closed or full
                    self.print_json(value)
            self.show_error(value)
            if is_printed_by_dvc:
                raise
            return code
        finally:
            _skip_end_of_dvc()

    def _run(self) -> int:
        from dvc_studio_models.store.dvc.project import ensure_user_name

        _escape_unencodable_output()
        _respect_no_color()
        with (
            _exit_on_sigterm(),
            _repeated_signals(),
            _rare_garbage_collection(),
            ensure_user_name(),
        ):
            _change_folder(self.args.cd)
            with _stdout_errors():
                code = int(self.run())
                flush_stdout()
            return code

    def show_error(self, value: dict[str, Any]) -> None:
        """Show the JSON of an error where a command does so apart from ``--json``."""

    def print_json(self, value: object) -> None:
        """Print the single JSON document."""
        self._has_printed_json = True
        write_json(value)


@contextlib.contextmanager
def _stdout_errors() -> Iterator[None]:
    """Raise LocalDiskError if stdout is a file on a full disk.

    Errors of other files have a name, or were translated where they were raised.
    """
    from dvc_studio_models.errors import LocalDiskError

    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or error.filename:
            raise
        reason = os.strerror(error.errno).lower()
        raise LocalDiskError(_STDOUT, reason) from None


def _change_folder(folder: str) -> None:
    from dvc_studio_models.errors import UsageError

    try:
        os.chdir(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        msg = f"cannot change to '{folder}': {reason}"
        raise UsageError(msg) from None


def _let_errors_through() -> None:
    """Print errors under ``-q`` too, where DVC prints none."""
    for logger_of_dvc in map(logging.getLogger, LOGGERS):
        logger_of_dvc.setLevel(logging.ERROR)


def _log_error(error: BaseException) -> None:
    """Print an error; only with ``-v`` its traceback and the whole of long lists."""
    text = shorten_lists(str(error), hint="all with -v")
    if text == str(error) or logger.isEnabledFor(logging.DEBUG):
        logger.error("", exc_info=error)
    else:
        logger.error("%s", text)


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


def _skip_end_of_dvc() -> None:
    """Spare DVC the import of ``dvc.repo``, which takes 0.1 s, if nothing needs it.

    At its end DVC imports a module of it to remove the clones that this module made. If
    it has not been imported before, there are none.
    """
    if _CLONES not in sys.modules:
        sys.modules[_CLONES] = _NoClones(_CLONES)


class _NoClones(ModuleType):
    """Takes the place of DVC's module until that is used."""

    def clean_repos(self) -> None:
        """Remove no clones."""
        sys.modules.pop(_CLONES, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import itself looks for
            raise AttributeError(name)
        sys.modules.pop(_CLONES, None)
        return getattr(importlib.import_module(_CLONES), name)


def _escape_unencodable_output() -> None:
    """Escape characters that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # colorama wraps the streams
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _respect_no_color() -> None:
    """Let DVC log without colours if NO_COLOR is set (https://no-color.org)."""
    from dvc.logger import ColorFormatter

    if os.environ.get("NO_COLOR"):
        for handler in log_handlers():
            if isinstance(handler.formatter, ColorFormatter):
                handler.formatter.log_colors = False


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Collect garbage rarely during the command, and not at the end of the process.

    A short command mostly imports modules. Collecting garbage among them again and
    again takes a sixth of its time.
    """
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Exit on SIGTERM as on Ctrl-C, with everything cleaned up, and code 143."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _send_later(number: signal.Signals) -> None:
    time.sleep(_AGAIN_S)
    os.kill(os.getpid(), number)


@contextlib.contextmanager
def _repeated_signals() -> Iterator[None]:
    """Send a signal again if Python has ignored the exception of its handler.

    Python ignores one that is raised in ``__del__`` or in a callback of a weak
    reference, and each import has such callbacks. The command would go on.
    """
    before = sys.unraisablehook

    def send_again(ignored: sys.UnraisableHookArgs) -> None:
        number = _SIGNALS.get(ignored.exc_type)
        if number is None:
            before(ignored)
        else:  # Thread.start would wait here, where the signal would be lost again
            _thread.start_new_thread(_send_later, (number,))

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = before
