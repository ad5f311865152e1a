"""Commands for messages: how to get files that are on no DVC remote of a repo. No I/O.

Each command works in any folder of a clone, and gets the files of the requested
version, whatever is checked out.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.registry.recorded import RecordedOutput

_FEW = 10
_PLAIN = re.compile(r"[\w./@+-]+", re.ASCII)


def git_checkout(commit: str, paths: Sequence[str], *, folder: str = "") -> str:
    """Return the command that gets files from a commit.

    Args:
        commit: Its id.
        paths: Relative to the Git root.
        folder: Of the model; named instead of many files.
    """
    if folder and len(paths) > _FEW:
        paths = [folder]
    return f"git checkout {commit} -- {shlex.join(map(_from_top, paths))}"


def _from_top(path: str) -> str:
    """Return a path as a pathspec, in which ``*`` and ``!`` are special."""
    return f":/{path}" if _PLAIN.fullmatch(path) else f":(top,literal){path}"


def dvc_import(output: RecordedOutput, commit: str) -> str:
    """Return the command that gets an import without a recorded hash.

    ``dvc pull`` gets the content at the import. Where DVC recorded no commit, as for
    data outside of repos, it fails, and ``dvc update`` gets the current content.

    Args:
        output: With its origin.
        commit: The commit that records it.
    """
    assert output.origin  # noqa: S101 - else it is no import
    file = output.origin.file
    folder, name = posixpath.split(file)
    is_known = output.origin.rev is not None
    at = posixpath.relpath(output.path, folder or ".") if is_known else name
    verb = "pull" if is_known else "update"
    where = f"--cd {_in_root(folder)} " if folder else ""
    option = "-- " if at.startswith("-") else ""
    command = f"dvc {where}{verb} {option}{shlex.quote(at)}"
    return f"{git_checkout(commit, [file])} && {command}"


def _in_root(folder: str) -> str:
    return f'"$(git rev-parse --show-toplevel)"/{shlex.quote(folder)}'
