"""The hidden folder beside the targets of a pull that has no DVC project."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dvc_studio_models.files.paths import HIDDEN
from dvc_studio_models.files.scratch import (
    make_folder,
    make_hidden_folder,
    remove_hidden,
    sweep,
)
from dvc_studio_models.store.base import PARTS

if TYPE_CHECKING:
    from pathlib import Path


class HiddenFolder:
    """A folder for staged files and parts. It is removed when nobody needs it."""

    def __init__(self, root: Path) -> None:
        self.path = root / HIDDEN
        self.parts = self.path / PARTS
        self._made: list[Path] = []
        self._may_remove = False

    def make(self) -> None:
        """Make it, and the folders above it, if they do not exist.

        Raises:
            LocalDiskError: The file system refuses.
            UnsafePathError: There is a link or a file at its path.
        """
        self._may_remove = True
        missing = [at for at in self.path.parents if not at.exists()]
        self._made = self._made or missing
        make_hidden_folder(self.path)

    def make_parts(self) -> Path:
        """Make the folder of parts in it, and return that.

        Raises:
            LocalDiskError, UnsafePathError: See :meth:`make`.
        """
        self.make()
        make_folder(self.parts)
        return self.parts

    def sweep(self) -> None:
        """Remove temporary files that killed pulls left in it, if it exists."""
        self._may_remove = True
        sweep(self.path)

    def remove(self) -> None:
        """Remove it, unless it contains parts or another pull uses it.

        Folders that were made for it are removed, too, if they are empty.
        """
        if not self._may_remove:
            return
        remove_hidden(self.parts)
        remove_hidden(self.path)
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()
