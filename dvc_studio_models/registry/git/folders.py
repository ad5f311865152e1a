"""Checks the folders of refs: of one that it cannot read, Git lists nothing."""

from __future__ import annotations

import errno
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from dvc_studio_models.errors import UnreadableRepoError

if TYPE_CHECKING:
    from pathlib import Path

_ABSENT = {errno.ENOENT, errno.ENOTDIR}  # packed refs and reftables need no folders


def check_ref_folders(common_dir: Path, top: str) -> None:
    """Check that a folder of refs can be read, with those around and below it.

    Args:
        common_dir: The folder of ``refs``, common to all working trees.
        top: As ``refs/tags``.

    Raises:
        UnreadableRepoError: One cannot be read.
    """

    def refuse(folder: str, number: int) -> NoReturn:
        name = os.path.relpath(folder, common_dir)
        reason = f"cannot read '{name}': {os.strerror(number)}"
        raise UnreadableRepoError(os.fspath(common_dir), reason)

    def check_error(error: OSError) -> None:
        if error.errno not in _ABSENT:
            refuse(error.filename, error.errno or 0)

    around = [str(common_dir / each) for each in PurePosixPath(top).parents[:-1]]
    inner = os.walk(common_dir / top, onerror=check_error)
    for folder in (*around, *(str(each) for each, _, _ in inner)):
        if not os.access(folder, os.R_OK | os.X_OK) and os.path.lexists(folder):
            refuse(folder, errno.EACCES)
