"""The error of these commands: one sentence, and what to do next."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PLACES = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}
"""Variables by which another repository than that of the folder would be used; Git sets
some of them for hooks and aliases."""


class RefusalError(Exception):
    """A command refuses; the message says why and what to do next."""


def end(command: Callable[[], None]) -> None:
    """Run a command; end the process with 1 and a sentence if it fails.

    It does not fail where nobody reads its output to the end.
    """
    try:
        command()
        sys.stdout.flush()
    except RefusalError as refusal:
        sys.exit(f"ERROR: {refusal}")
    except KeyboardInterrupt:
        sys.exit("ERROR: interrupted")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"ERROR: cannot use '{error.filename}': {error.strerror}")


def git(root: Path, *args: str, apart: bool = False) -> str:
    """Return what a git command prints.

    Args:
        root: The folder in which it runs.
        args: The command.
        apart: Run it in a session of its own, where Ctrl-C does not reach it: Git
            handles signals even if they are ignored where it was started.

    Raises:
        RefusalError: Git failed; the message is that of Git.
    """
    with subprocess.Popen(
        ["git", *args],
        cwd=root,
        env={name: text for name, text in os.environ.items() if name not in PLACES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        start_new_session=apart,
    ) as process:
        try:
            out, err = process.communicate()
        except BaseException:
            _terminate(process, apart=apart)
            raise
    if process.returncode:
        said = (err or out).strip()
        said = said or "it printed nothing, as a hook that refuses may"
        message = f"'git {args[0]}' failed: {said}"
        raise RefusalError(message)
    return out


def _terminate(process: subprocess.Popen[str], *, apart: bool) -> None:
    """End Git in a way in which it removes its lock files."""
    if not apart:
        process.terminate()
        return
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=10)  # until what it started has ended, too
