"""Changes to targets that succeed together or are rolled back.

At any time a target has its old content or its new content: a new file is linked to a
free name, or renamed over the old file. The old file keeps a second name until the end.
A file that nobody expected is somebody's work, and is never changed, not even in a
roll-back. Signals are handled only between two steps, and not during a roll-back.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    TargetChangedError,
    UnsafePathError,
    WorkspaceError,
)
from dvc_studio_models.files.durable import flush_file_system, fsync_open, write_out
from dvc_studio_models.files.folders import (
    FileStamp,
    SafeFolders,
    folders_between,
    stat_target,
)
from dvc_studio_models.files.moves import (
    copy_with_mode,
    has_same_access,
    is_on_another_mount,
    link,
    move_to_target,
)
from dvc_studio_models.files.paths import HIDDEN
from dvc_studio_models.files.scratch import (
    TEMPORARY,
    hide_from_git,
    remove_hidden,
    temporary_name,
)
from dvc_studio_models.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

logger = get_logger(__name__)

_FEW_FOLDERS = 8


@dataclass(frozen=True)
class TempPath:
    """The place of a temporary file."""

    name: str
    near: str | None
    """The folder whose hidden folder contains it; None for the scratch folder."""


@dataclass
class _Change:
    """One target, and the change that was made or is about to be."""

    path: str
    before: FileStamp | None
    """The file that was there."""

    old: TempPath | None
    """The second name of that file; None if there was none."""

    ours: FileStamp | None
    """The file that is there now; None after a removal."""

    source: Path | str | None = None
    """Where that file was before; None if it is a copy."""


class Transaction:
    """Changes to the files below a root, all of which can be undone."""

    def __init__(
        self, tree: SafeFolders, scratch: Path, check_signals: Callable[[], None]
    ) -> None:
        """Change nothing yet.

        Args:
            tree: The folders of the targets.
            scratch: An empty folder.
            check_signals: Calls the handlers of signals that have arrived. It is
                called only when every change so far has been recorded.
        """
        self._tree = tree
        self._scratch = scratch
        self._check_signals = check_signals
        self._changes: list[_Change] = []
        self._made: list[str] = []
        self._near: dict[str, set[str]] = {}
        self._other_file_systems: dict[tuple[str, str], bool] = {}

    def put(
        self,
        path: str,
        new: Path | str,
        before: FileStamp | None,
        stamp: FileStamp,
    ) -> None:
        """Place a file at a target.

        Args:
            path: Of the target.
            new: The file. It is moved, or copied to another file system; a roll-back
                moves it back.
            before: The stamp of the target when the plan was made.
            stamp: The stamp of the file.

        Raises:
            TargetChangedError: The target has changed.
            UnsafePathError: A parent is a symlink or not a folder.
            OSError: The file system refuses.
        """
        self._check_signals()
        parent = posixpath.dirname(path)
        folder = self._tree.enter(parent, self._made)
        homes = {os.fspath(self._scratch), os.path.dirname(new)}  # noqa: PTH120
        is_far = any(self._is_other_file_system(at, parent, folder) for at in homes)
        near = parent if is_far else None
        old = self._back_up(path, folder, near, before)
        change = _Change(path, before, old, stamp)
        self._changes.append(change)
        if near is None:
            change.source = new
            move_to_target(os.fspath(new), None, path, folder, free=before is None)
            return
        with self._at(self._temp_path(near)) as (copy, at):
            copy_with_mode(os.fspath(new), None, copy, at, self._check_signals)
            change.ours = stat_target(copy, at)
            move_to_target(copy, at, path, folder, free=before is None)

    def put_folder(self, path: str, new: Path, files: Mapping[str, FileStamp]) -> bool:
        """Place a folder at a free name, with all its files at once.

        The name is taken with an empty folder, which nobody else can have made. It has
        the access that a folder has there, and is replaced if the new one has the same.

        Args:
            path: Of the folder; missing parents are made.
            new: The folder. A roll-back removes its files.
            files: The targets in it, and their stamps.

        Returns:
            Whether that was possible. Otherwise its files have to be placed one by one.

        Raises:
            UnsafePathError: A parent is a symlink or not a folder.
            OSError: A parent cannot be opened or made.
        """
        self._check_signals()
        parent, name = posixpath.split(path)
        folder = self._tree.enter(parent, self._made)
        changes, made = len(self._changes), len(self._made)
        try:
            os.mkdir(name, dir_fd=folder)
            self._made.append(path)
            made += 1
            if not has_same_access(os.fspath(new), name, folder):
                return False
            inner = {at for file in files for at in folders_between(path, file)}
            self._made.extend(sorted(inner))
            self._changes.extend(
                _Change(target, None, None, stamp) for target, stamp in files.items()
            )
            os.rename(new, name, dst_dir_fd=folder)
        except OSError:  # somebody made it, or the folder cannot be moved there
            del self._changes[changes:], self._made[made:]
            return False
        return True

    def remove(self, path: str, before: FileStamp | None) -> None:
        """Remove a file.

        Raises:
            TargetChangedError: The target has changed.
            UnsafePathError: A parent is a symlink or not a folder.
            OSError: The file system refuses.
        """
        self._check_signals()
        parent, name = posixpath.split(path)
        folder = self._tree.enter(parent, None)
        scratch = os.fspath(self._scratch)
        is_far = self._is_other_file_system(scratch, parent, folder)
        old = self._back_up(path, folder, parent if is_far else None, before)
        self._changes.append(_Change(path, before, old, None))
        os.unlink(name, dir_fd=folder)

    def fsync(self) -> dict[str, FileStamp | None]:
        """Flush the folders, so that the new names survive a power cut.

        Returns:
            The stamps of the targets that were changed.

        Raises:
            TargetChangedError: Another folder has got the name of one of them.
            UnsafePathError: A symlink has.
            OSError: The disk refuses, or has become full.
        """
        folders = {posixpath.dirname(folder) for folder in self._made}
        folders.update(posixpath.dirname(change.path) for change in self._changes)
        are_many = len(folders) > _FEW_FOLDERS
        flushed: set[int] = set()
        written: dict[int, str] = {}
        for path in sorted(folders):
            with self._tree.open(path) as folder:
                if self._tree.has_moved(path, folder):
                    raise TargetChangedError([path])
                device = os.fstat(folder).st_dev
                if device in flushed:
                    continue
                if are_many and flush_file_system(folder):
                    flushed.add(device)
                elif are_many and sys.platform == "darwin":
                    write_out(folder)
                    written[device] = path
                else:
                    fsync_open(folder)
        for path in written.values():
            with self._tree.open(path) as folder:
                fsync_open(folder)
        self._check_signals()
        return {change.path: change.ours for change in self._changes}

    def roll_back(self) -> None:
        """Undo all changes, the last one first."""
        for change in reversed(self._changes):
            try:
                self._undo(change)
            except (OSError, WorkspaceError):
                self._give_up(change)
        self.clean()
        for folder in reversed(self._made):
            with contextlib.suppress(OSError, UnsafePathError):
                self._tree.remove(folder)

    def clean(self) -> None:
        """Remove the temporary files that were made beside targets."""
        for parent, names in self._near.items():
            with (
                contextlib.suppress(OSError, UnsafePathError),
                self._tree.open(parent) as folder,
            ):
                remove_hidden(HIDDEN, parent=folder, ours=names)

    # One target

    def _back_up(
        self, path: str, folder: int, near: str | None, before: FileStamp | None
    ) -> TempPath | None:
        """Give the file at a target a second name, unless it has changed."""
        if before is None:
            return None
        name = posixpath.basename(path)
        temp = self._temp_path(near)
        with self._at(temp) as (aside, at):
            try:
                link(name, folder, aside, at)
                found = stat_target(aside, at)
            except OSError:  # it does not exist, or cannot be hard-linked
                found = stat_target(name, folder)
                if found == before:
                    copy_with_mode(name, folder, aside, at, self._check_signals)
        if found != before:
            raise TargetChangedError([path])
        return temp

    def _undo(self, change: _Change) -> None:
        parent, name = posixpath.split(change.path)
        with self._tree.open(parent) as folder:
            here = stat_target(name, folder)
            if here == change.before:  # the change was not made
                return
            if here != change.ours:
                raise TargetChangedError([change.path])
            if change.old is None:
                if change.source:
                    os.rename(name, change.source, src_dir_fd=folder)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                return
            if change.source:
                with contextlib.suppress(OSError):  # then it is downloaded again
                    link(name, folder, os.fspath(change.source), None)
            with self._at(change.old) as (old, at):
                move_to_target(old, at, change.path, folder, free=here is None)

    def _give_up(self, change: _Change) -> None:
        """Leave a target as it is, and keep the old file where the user finds it."""
        if change.old is None:
            logger.warning(
                "cannot remove '%s', which this pull has placed", change.path
            )
            return
        try:
            backup = self._keep_backup(change.old)
        except (OSError, UnsafePathError):
            message = "cannot restore '%s'; its previous content is lost"
            logger.warning(message, change.path)
        else:
            message = "cannot restore '%s'; its previous content is in '%s'"
            logger.warning(message, change.path, backup)

    def _keep_backup(self, temp: TempPath) -> str:
        """Keep a file that could not be restored, and return its path."""
        name = temp.name.replace(TEMPORARY, "backup-")
        if temp.near is None:
            target = self._scratch.with_name(name)
            (self._scratch / temp.name).rename(target)
            return os.fspath(target)
        with self._at(temp) as (old, at):
            os.rename(old, name, src_dir_fd=at, dst_dir_fd=at)
        return posixpath.join(temp.near, HIDDEN, name)

    # Temporary files

    def _is_other_file_system(self, home: str, path: str, folder: int) -> bool:
        """Return whether no file of ``home`` can be renamed into an open folder."""
        if (home, path) not in self._other_file_systems:
            self._other_file_systems[home, path] = is_on_another_mount(home, folder)
        return self._other_file_systems[home, path]

    def _temp_path(self, near: str | None) -> TempPath:
        temp = TempPath(temporary_name(), near)
        if near is not None:
            self._near.setdefault(near, set()).add(temp.name)
        return temp

    @contextlib.contextmanager
    def _at(self, temp: TempPath) -> Iterator[tuple[str, int | None]]:
        """Yield the name of a temporary file, and the open folder that it is in."""
        if temp.near is None:
            yield os.fspath(self._scratch / temp.name), None
            return
        with self._tree.open(posixpath.join(temp.near, HIDDEN), made=[]) as folder:
            hide_from_git(folder)
            yield temp.name, folder
