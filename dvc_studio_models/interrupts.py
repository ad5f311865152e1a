"""Ctrl-C and SIGTERM of a command that owes its caller a JSON document.

Such a command may be interrupted while DVC itself is still being imported. So this
imports next to nothing, and prints the document at the end of the process if nobody
else has.
"""

from __future__ import annotations

import atexit
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

INTERRUPTED, TERMINATED = 252, 143
MESSAGES: dict[type[BaseException], str] = {
    KeyboardInterrupt: "interrupted by the user",
    SystemExit: "terminated by SIGTERM",
}
_CODES = {KeyboardInterrupt: INTERRUPTED, SystemExit: TERMINATED}


class _State:
    """What happened to the command of this process."""

    is_armed = False
    is_printed = False
    """Whether the document was printed, or its printing has begun."""
    cause: type[BaseException] | None = None


def expects_json(args: Sequence[str]) -> bool:
    """Return whether the arguments of ``dvc`` are a ``models`` command with --json."""
    words = _without_options(args)
    return next(words, None) == "models" and asks_for_json(words)


def _without_options(args: Sequence[str]) -> Iterator[str]:
    """Yield the arguments from the command on."""
    words = iter(args)
    for word in words:
        if word == "--cd":
            next(words, None)
        elif not word.startswith("-"):
            yield word
            break
    yield from words


def asks_for_json(args: Iterable[str]) -> bool:
    """Return whether ``--json`` is among the options; argparse accepts ``--js``."""
    for arg in args:
        if arg == "--":
            break
        if arg.startswith("--js") and "--json".startswith(arg):
            return True
    return False


def arm() -> None:
    """From now on, print a JSON document also if a signal ends the process."""
    if _State.is_armed:
        return
    _State.is_armed = True
    atexit.register(_print_missing)
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
    except ValueError:  # only the main thread may
        pass


def is_interrupted() -> bool:
    """Return whether a signal is ending the process."""
    return _State.cause is not None


def printed() -> None:
    """Note that the document is being printed."""
    _State.is_printed = True


def _terminate(number: int, _frame: FrameType | None) -> None:
    _State.cause = SystemExit
    sys.exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _State.cause = KeyboardInterrupt
    signal.default_int_handler(number, frame)


def _print_missing() -> None:
    cause = _State.cause
    if cause is None or _State.is_printed or sys.stdout is None:
        return
    import json

    error = {
        "kind": cause.__name__,
        "message": MESSAGES[cause],
        "exit_code": _CODES[cause],
    }
    print(json.dumps({"error": error}), flush=True)  # noqa: T201 - DVC's may be gone
