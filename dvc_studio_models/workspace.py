"""The user's files: what is there, and putting new ones in their place.

Owns every write below the root. Promises that nothing outside the root and nothing that
Git tracks is touched: parents are opened one by one without following links, and files
are renamed within the folder that was opened, so that nothing can slip in between check
and rename. Each target is its old content or its new, never torn; if one cannot be
placed, those before it come back.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    LocalDiskError,
    TargetExistsError,
    UnsafePathError,
)
from dvc_studio_models.paths import MAX_PATH_BYTES, clashes, fold, path_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

logger = logging.getLogger(f"dvc.{__name__}")

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINK_ERRNOS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EACCES}


@dataclass(frozen=True)
class Seen:
    """What was at a target when the plan was made."""

    inode: int
    mtime_ns: int
    size: int


class Workspace:
    """The tree below one root: the Git root, or the folder given with ``--out``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self, paths: Sequence[str]) -> None:
        """Refuse a reply that names even one path that must not be written.

        Raises:
            UnsafePathError: All bad paths, each with its reason.
        """
        problems = [(path, why) for path in paths if (why := path_problem(path))]
        if not problems:
            problems = list(clashes(paths, folding=self._is_folding(paths)))
        if not problems:
            problems = [(path, why) for path in paths if (why := self._obstacle(path))]
        if problems:
            raise UnsafePathError(problems)

    def look(self, path: str) -> Seen | None:
        """Tell what is at a target that :meth:`check` let pass; None if nothing."""
        try:
            found = os.lstat(self.root / path)
        except OSError:
            return None
        return Seen(found.st_ino, found.st_mtime_ns, found.st_size)

    def place(
        self,
        staged: Mapping[str, Path],
        *,
        remove: Sequence[str],
        seen: Mapping[str, Seen | None],
        backups: Path,
    ) -> None:
        """Put files in their places and remove others: all of it, or nothing.

        Args:
            staged: Target to the file that is to have its name; it is moved.
            remove: Files to remove; folders that they leave empty go too.
            seen: What was at each target when the plan was made.
            backups: Folder on the same file system, for what is replaced until the end.

        Raises:
            TargetExistsError: A target changed since the plan was made.
            UnsafePathError: A parent is a link, or is no folder.
            LocalDiskError: The file system refused.
        """
        changed = [path for path in seen if self.look(path) != seen[path]]
        if changed:
            raise TargetExistsError(changed)
        undo = contextlib.ExitStack()
        try:
            with undo:
                for path, new in staged.items():
                    self._replace(path, new, backups, undo)
                for path in remove:
                    self._remove(path, backups, undo)
                undo.pop_all()
        except OSError as error:
            raise _refused(self.root / (error.filename2 or path), error) from None
        for path in remove:
            self._prune(path)

    # One target

    def _replace(
        self, path: str, new: Path, backups: Path, undo: contextlib.ExitStack
    ) -> None:
        name = path.rpartition("/")[2]
        with self._parent(path, undo) as folder:
            backup = _back_up(name, folder, backups)
            _rename_into(new, name, folder)
            os.fsync(folder)
        if backup is None:
            undo.callback(self._restore, path, None)
        else:
            undo.callback(self._restore, path, backup)

    def _remove(self, path: str, backups: Path, undo: contextlib.ExitStack) -> None:
        name = path.rpartition("/")[2]
        with self._parent(path, undo) as folder:
            backup = _back_up(name, folder, backups)
            if backup is not None:
                os.unlink(name, dir_fd=folder)
                undo.callback(self._restore, path, backup)

    def _restore(self, path: str, backup: Path | None) -> None:
        name = path.rpartition("/")[2]
        with self._parent(path, None) as folder:
            if backup is None:
                os.unlink(name, dir_fd=folder)
            else:
                _rename_into(backup, name, folder)

    def _prune(self, path: str) -> None:
        """Remove the folders that a removed file left empty."""
        parent = path.rpartition("/")[0]
        while parent:
            try:
                (self.root / parent).rmdir()
            except OSError:  # not empty, or not ours
                return
            parent = parent.rpartition("/")[0]

    @contextlib.contextmanager
    def _parent(self, path: str, undo: contextlib.ExitStack | None) -> Iterator[int]:
        """Open the folder of a target, making what is missing.

        Args:
            path: Of the target.
            undo: Told to remove the folders that were made; None makes none.
        """
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            walked = ""
            for name in path.split("/")[:-1]:
                walked = f"{walked}/{name}" if walked else name
                child = self._child(folder, name, walked, undo)
                os.close(folder)
                folder = child
            yield folder
        finally:
            os.close(folder)

    def _child(
        self, folder: int, name: str, walked: str, undo: contextlib.ExitStack | None
    ) -> int:
        try:
            return os.open(name, _OPEN_FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if undo is None:
                raise
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise UnsafePathError(
                    [(walked, "it is a link, or no folder")]
                ) from None
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            undo.callback(_remove_folder, self.root / walked)
        return os.open(name, _OPEN_FOLDER, dir_fd=folder)

    # Looking

    def _obstacle(self, path: str) -> str | None:
        """Say what on disk forbids a target."""
        if len(os.fsencode(self.root / path)) > MAX_PATH_BYTES:
            return f"with the root it is longer than {MAX_PATH_BYTES} bytes"
        at = self.root
        for name in path.split("/")[:-1]:
            at /= name
            kind = _kind(at)
            if kind is None:
                return None
            if kind != stat.S_IFDIR:
                relative = at.relative_to(self.root).as_posix()
                return f"{relative!a} is a link, or no folder"
        kind = _kind(self.root / path)
        if kind in {None, stat.S_IFREG, stat.S_IFLNK}:
            return None
        return (
            "a folder is in its place" if kind == stat.S_IFDIR else "no file is there"
        )

    def _is_folding(self, paths: Sequence[str]) -> bool:
        """Whether the file system takes different names for one."""
        if len({fold(path) for path in paths}) == len(paths) and not any(
            clashes(paths, folding=True)
        ):
            return False
        with (
            contextlib.suppress(OSError),
            tempfile.TemporaryDirectory(prefix=".dvc-models-", dir=self.root) as probe,
        ):
            (Path(probe) / "a\u0308").touch()
            return (Path(probe) / "\u00c4").exists() or (
                Path(probe) / "A\u0308"
            ).exists()
        return True


def _kind(path: Path) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _back_up(name: str, folder: int, backups: Path) -> Path | None:
    """Give what is at a target a second name, so that it never lacks one."""
    backup = backups / secrets.token_hex(8)
    try:
        os.link(name, backup, src_dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _NO_LINK_ERRNOS:
            raise
        _copy(name, folder, backup)
    return backup


def _copy(name: str, folder: int, backup: Path) -> None:
    """Back up where there are no hard links."""
    if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
        backup.symlink_to(os.readlink(name, dir_fd=folder))
        return
    with (
        os.fdopen(
            os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb"
        ) as old,
        backup.open("xb") as new,
    ):
        shutil.copyfileobj(old, new)


def _rename_into(new: Path, name: str, folder: int) -> None:
    """Move a file to its name in an open folder, in one step for whoever looks."""
    try:
        os.replace(new, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = f".{secrets.token_hex(8)}.tmp"
        descriptor = os.open(
            near, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder
        )
        with new.open("rb") as source, os.fdopen(descriptor, "wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        os.replace(near, name, src_dir_fd=folder, dst_dir_fd=folder)
        new.unlink()


def _remove_folder(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()


def _refused(path: Path, error: OSError) -> LocalDiskError:
    return LocalDiskError(path, (error.strerror or str(error)).lower())
