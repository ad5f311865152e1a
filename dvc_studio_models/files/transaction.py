"""Changes to targets that succeed together or are rolled back.

At any time a target has its old content or its new content: a new file is linked to a
free name, or renamed over the old file. The old file keeps a second name until the end.
A file that nobody expected is somebody's work, and is never changed, not even in a
roll-back. Signals are handled only between two steps, and not during a roll-back.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import posixpath
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.background import parallel_map
from dvc_studio_models.errors import (
    TargetChangedError,
    UnsafePathError,
    WorkspaceError,
)
from dvc_studio_models.files.durable import fsync_open
from dvc_studio_models.files.folders import FileStamp, SafeFolders, stat_target
from dvc_studio_models.files.paths import HIDDEN
from dvc_studio_models.files.scratch import (
    TEMPORARY,
    hide_from_git,
    remove_hidden,
    temporary_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger(f"dvc.{__name__}")

_COPY_BYTES = 1 << 20


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

    source: Path | None = None
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
        self._other_file_systems: dict[tuple[Path, str], bool] = {}

    def put(self, path: str, new: Path, before: FileStamp | None) -> None:
        """Place a file at a target.

        Args:
            path: Of the target.
            new: The file. It is moved, or copied to another file system; a roll-back
                moves it back.
            before: The stamp of the target when the plan was made.

        Raises:
            TargetChangedError: The target has changed.
            UnsafePathError: A parent is a symlink or not a folder.
            OSError: The file system refuses.
        """
        self._check_signals()
        parent = posixpath.dirname(path)
        with self._tree.open(parent, made=self._made) as folder:
            homes = {self._scratch, new.parent}
            is_far = any(self._is_other_file_system(at, parent, folder) for at in homes)
            near = parent if is_far else None
            old = self._back_up(path, folder, near, before)
            change = _Change(path, before, old, stat_target(new))
            self._changes.append(change)
            if near is None:
                change.source = new
                _move_to_target(os.fspath(new), None, path, folder, free=before is None)
                return
            with self._at(self._temp_path(near)) as (copy, at):
                self._copy(os.fspath(new), None, copy, at)
                change.ours = stat_target(copy, at)
                _move_to_target(copy, at, path, folder, free=before is None)

    def remove(self, path: str, before: FileStamp | None) -> None:
        """Remove a file.

        Raises:
            TargetChangedError: The target has changed.
            UnsafePathError: A parent is a symlink or not a folder.
            OSError: The file system refuses.
        """
        self._check_signals()
        parent, name = posixpath.split(path)
        with self._tree.open(parent) as folder:
            is_far = self._is_other_file_system(self._scratch, parent, folder)
            near = parent if is_far else None
            old = self._back_up(path, folder, near, before)
            self._changes.append(_Change(path, before, old, None))
            os.unlink(name, dir_fd=folder)

    def fsync(self) -> None:
        """Flush the folders, so that the new names survive a power cut."""
        folders = {posixpath.dirname(folder) for folder in self._made}
        folders.update(posixpath.dirname(change.path) for change in self._changes)
        parallel_map(self._fsync_folder, folders)
        self._check_signals()

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
                _link(name, folder, aside, at)
                found = stat_target(aside, at)
            except OSError:  # it does not exist, or cannot be hard-linked
                found = stat_target(name, folder)
                if found == before:
                    self._copy(name, folder, aside, at)
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
                    _link(name, folder, os.fspath(change.source), None)
            with self._at(change.old) as (old, at):
                _move_to_target(old, at, change.path, folder, free=here is None)

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

    def _fsync_folder(self, path: str) -> None:
        with self._tree.open(path) as folder:
            fsync_open(folder)

    def _copy(self, name: str, folder: int | None, new: str, at: int | None) -> None:
        """Copy a file or a link with its mode and time, and flush it."""
        if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            os.symlink(os.readlink(name, dir_fd=folder), new, dir_fd=at)
            return
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        with os.fdopen(source, "rb") as old:
            made = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=at)
            with os.fdopen(made, "wb") as copy:
                while block := old.read(_COPY_BYTES):
                    self._check_signals()
                    copy.write(block)
                copy.flush()
                found = os.fstat(source)
                os.fchmod(made, stat.S_IMODE(found.st_mode))
                os.utime(made, ns=(found.st_atime_ns, found.st_mtime_ns))
                fsync_open(made)

    # Temporary files

    def _is_other_file_system(self, home: Path, path: str, folder: int) -> bool:
        """Return whether no file of ``home`` can be renamed into an open folder."""
        if (home, path) not in self._other_file_systems:
            self._other_file_systems[home, path] = _is_on_another_mount(home, folder)
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


def _is_on_another_mount(home: Path, folder: int) -> bool:
    if home.stat().st_dev != os.fstat(folder).st_dev:
        return True
    nothing = secrets.token_hex(8)
    try:  # two mounts may be of one file system, with one device number
        os.rename(home / nothing, nothing, dst_dir_fd=folder)
    except OSError as error:
        return error.errno == errno.EXDEV
    return False


def _link(name: str, folder: int | None, new: str, at: int | None) -> None:
    os.link(name, new, src_dir_fd=folder, dst_dir_fd=at, follow_symlinks=False)


def _move_to_target(
    new: str, at: int | None, path: str, folder: int, *, free: bool
) -> None:
    """Link or rename a file to a target.

    Args:
        new: The file: a path, or a name in ``at``.
        at: An open folder.
        path: The path of the target.
        folder: The open folder of the target.
        free: Whether nothing may exist there; otherwise it is replaced.
    """
    name = posixpath.basename(path)
    if free:
        try:
            _link(new, at, name, folder)
        except FileExistsError:
            raise TargetChangedError([path]) from None
        except OSError:  # the name is free, but no hard link can be made
            pass
        else:
            os.unlink(new, dir_fd=at)
            return
    os.replace(new, name, src_dir_fd=at, dst_dir_fd=folder)
