"""Opens a Git repository with the reader that fits the machine.

That is the ``git`` program where it is installed, which reads all of Git's formats,
else scmrepo.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from dvc_studio_models.registry.git.program import ProgramReader

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.registry.git.reader import GitReader


def open_reader(folder: Path, *, trusted: bool = False) -> GitReader:
    """Open the repository that ``folder`` is in.

    Args:
        folder: Any folder of a working tree, or a bare repository.
        trusted: Whether the folder may belong to another user, as a mirror that the
            operator of a server names. Else Git decides (``safe.directory``).

    Raises:
        NotGitRepoError: There is none.
        UnreadableRepoError: There is one, and Git refuses it.
    """
    if git := shutil.which("git"):
        return ProgramReader.find(git, folder, trusted=trusted)
    from dvc_studio_models.registry.git.library import LibraryReader

    return LibraryReader.find(folder)
