"""The user's files: looking at targets, and placing new files there.

Owns every write below the root. Promises that nothing outside the root is touched, that
no file is touched that somebody else has changed meanwhile, and that a failure leaves
the workspace as it was. ``transaction`` changes one target, ``folders`` opens folders.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from typing import TYPE_CHECKING

from dvc_studio_models.errors import TargetChangedError, UnsafePathError, disk_errors
from dvc_studio_models.files.durable import make_executable
from dvc_studio_models.files.folders import (
    FileStamp,
    SafeFolders,
    Staged,
    folders_between,
    is_listed,
    nearest_existing,
    stat_target,
)
from dvc_studio_models.files.paths import HIDDEN, clashes, fold, path_problem
from dvc_studio_models.files.scratch import remove_hidden
from dvc_studio_models.files.signals import deferred_signals
from dvc_studio_models.files.transaction import Transaction
from dvc_studio_models.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["FileStamp", "Staged", "Workspace"]

_SHORT_BYTES = 1024  # of an absolute path; the limit is 4096 on Linux, 1024 on macOS
_STAGED_BYTES = 512  # the most by which a staged folder's path is longer

logger = get_logger(__name__)


class Workspace:
    """The files below one root: the Git root, or the folder given with ``--out``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(
        self, paths: Sequence[str], *, source: str | None = None, together: bool = True
    ) -> None:
        """Check that every target may be written.

        Args:
            paths: The targets.
            source: Where they come from, for the error.
            together: Whether all are to be written.

        Raises:
            UnsafePathError: Some may not, each with its reason.
            LocalDiskError: A folder cannot be read.
        """
        bad = {path: why for path in paths if (why := path_problem(path))}
        safe = [path for path in paths if path not in bad]
        if together:
            bad.update(clashes(safe, folding=self._is_folding(safe)))
        bad.update(self._obstacles(safe))
        if bad:
            raise UnsafePathError(bad.items(), source=source)

    def stat_target(self, path: str) -> FileStamp | None:
        """Return the stamp of one target; see :meth:`stat_targets`."""
        return self.stat_targets([path])[path]

    def stat_targets(self, paths: Iterable[str]) -> dict[str, FileStamp | None]:
        """Return the stamps of targets: None if nothing exists, or only behind a link.

        Raises:
            LocalDiskError: A folder cannot be read.
        """
        seen: dict[str, FileStamp | None] = dict.fromkeys(paths)
        with disk_errors(self.root, action="read"):
            try:
                tree = SafeFolders(self.root)
            except FileNotFoundError:
                return seen
        with tree:
            for folder, inside in _by_folder(seen).items():
                with (
                    disk_errors(self.root / folder, action="read"),
                    contextlib.suppress(FileNotFoundError, UnsafePathError),
                    tree.open(folder) as opened,
                ):
                    for path in inside:
                        seen[path] = stat_target(posixpath.basename(path), opened)
        return seen

    def are_one_file(self, one: str, other: str) -> bool:
        """Return whether two paths are one file, whose name has only one of them.

        That is so where case or Unicode's forms do not count. Hard links have names of
        their own.

        Raises:
            LocalDiskError: A folder cannot be read.
        """
        if fold(one) != fold(other):
            return False
        seen = self.stat_targets([one, other])
        if seen[one] is None or seen[one] != seen[other]:
            return False
        with disk_errors(self.root, action="read"):
            return not (is_listed(self.root, one) and is_listed(self.root, other))

    def sweep(self, paths: Iterable[str]) -> None:
        """Remove temporary files that killed pulls left beside targets."""
        with contextlib.suppress(OSError), SafeFolders(self.root) as tree:
            for folder in {posixpath.dirname(path) for path in paths}:
                with (
                    contextlib.suppress(OSError, UnsafePathError),
                    tree.open(folder) as opened,
                ):
                    remove_hidden(HIDDEN, parent=opened)

    def missing_folders(self, paths: Iterable[str]) -> set[str]:
        """Return the outermost folders of targets that do not exist.

        Those of long paths are left out, which would be longer in a staged folder.
        """
        most = _longest_path() - _STAGED_BYTES
        exists: dict[str, bool] = {}
        missing: dict[str, bool] = {}
        for folder, inside in _by_folder(paths).items():
            for parent in reversed([folder, *folders_between("", folder)]):
                if parent not in exists:
                    exists[parent] = os.path.lexists(f"{self.root}/{parent}")
                if not exists[parent]:
                    longest = len(os.fsencode(self.root / max(inside, key=len)))
                    is_short = longest <= min(_SHORT_BYTES, most)
                    missing[parent] = missing.get(parent, True) and is_short
                    break
        return {folder for folder, are_short in missing.items() if are_short}

    def place(
        self,
        staged: Staged,
        *,
        remove: Sequence[str],
        seen: Mapping[str, FileStamp | None],
        backups: Path,
        executable: Container[str] = (),
        now: Mapping[str, FileStamp | None] | None = None,
    ) -> dict[str, FileStamp | None]:
        """Place files and remove others: all of them, or none.

        Args:
            staged: The files that are moved to the targets. If one cannot be placed,
                all others are moved back, or removed if they are in a staged folder.
            remove: Files to remove, together with folders that they leave empty.
            seen: The stamp of each target when the plan was made.
            backups: An empty folder, which keeps the old files until the end.
            executable: Targets to make executable, see :meth:`make_executable`.
            now: The stamp of each target now, if the caller has just read it.

        Returns:
            The stamps of the targets that were changed; None for those removed.

        Raises:
            TargetChangedError: A target has changed since the plan was made.
            UnsafePathError: A parent is a symlink or not a folder.
            LocalDiskError: The file system refuses.
        """
        now = self.stat_targets(seen) if now is None else now
        changed = [path for path in seen if now[path] != seen[path]]
        if changed:
            raise TargetChangedError(changed)
        for path in filter(executable.__contains__, staged.files):
            with _warning_of_mode(path):
                make_executable(staged.files[path])
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            tree = SafeFolders(self.root)
        with tree, deferred_signals() as check_signals:
            transaction = Transaction(tree, backups, check_signals)
            try:
                placed = self._put_folders(transaction, staged)
                self._put_files(transaction, staged, seen, without=placed)
                for path in remove:
                    with disk_errors(self.root / path, action="remove"):
                        transaction.remove(path, seen[path])
                with disk_errors(self.root):
                    changes = transaction.fsync()
            except BaseException:
                transaction.roll_back()
                raise
            transaction.clean()
            _prune(tree, remove)
        return changes

    def make_executable(self, paths: Iterable[str]) -> None:
        """Let the owner execute files, as DVC does. Warn if that is refused."""
        for path in paths:
            parent, name = posixpath.split(path)
            with (
                _warning_of_mode(path),
                SafeFolders(self.root) as tree,
                tree.open(parent) as folder,
            ):
                make_executable(name, folder)

    def _put_folders(self, transaction: Transaction, staged: Staged) -> set[str]:
        """Place the staged folders that can be. Return the targets in them."""
        inside: dict[str, dict[str, FileStamp]] = {}
        for parent, paths in _by_folder(staged.files).items():
            above = (parent, *folders_between("", parent))
            folder = next((each for each in above if each in staged.folders), None)
            if folder is not None:
                start = f"{staged.folders[folder]}/"
                inside.setdefault(folder, {}).update(
                    (path, staged.stamps[path])
                    for path in paths
                    if os.fspath(staged.files[path]).startswith(start)
                )
        placed: set[str] = set()
        for folder, files in inside.items():
            with disk_errors(self.root / folder):
                if transaction.put_folder(folder, staged.folders[folder], files):
                    placed.update(files)
        return placed

    def _put_files(
        self,
        transaction: Transaction,
        staged: Staged,
        seen: Mapping[str, FileStamp | None],
        *,
        without: Container[str],
    ) -> None:
        path = ""
        try:
            for path, new in staged.files.items():
                if path not in without:
                    transaction.put(path, new, seen[path], staged.stamps[path])
        except OSError:
            with disk_errors(self.root / path):
                raise

    # Looking

    def _is_folding(self, paths: Sequence[str]) -> bool:
        """Check whether the file system takes some of these names for one.

        An existing name is looked up in the other case, so that nothing has to be
        written. A folder that does not exist yet will be like the one it is made in.
        """
        parents = {posixpath.dirname(path) for path, _ in clashes(paths, folding=True)}
        folders = {nearest_existing(self.root / parent) for parent in parents}
        return any(map(_folds, folders))

    def _obstacles(self, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield targets that cannot be written, each with the reason."""
        long = {path: why for path in paths if (why := self._too_long(path))}
        yield from long.items()
        short = [path for path in paths if path not in long]
        for folder, inside in _by_folder(short).items():
            yield from self._non_files(folder, inside)

    def _too_long(self, path: str) -> str | None:
        limit = _longest_path()
        try:
            length = len(os.fsencode(os.path.join(self.root, path)))  # noqa: PTH118
        except UnicodeEncodeError:
            return "it contains characters that file names cannot have here"
        return (
            f"its absolute path is longer than {limit} bytes"
            if length > limit
            else None
        )

    def _non_files(
        self, folder: str, paths: Iterable[str]
    ) -> Iterator[tuple[str, str]]:
        """Yield targets in one folder that exist but are no files, with reasons."""
        with disk_errors(self.root / folder, action="read"):
            try:
                with SafeFolders(self.root) as tree, tree.open(folder) as opened:
                    for path in paths:
                        if kind := _describe_non_file(posixpath.basename(path), opened):
                            yield path, f"{kind} exists at this path"
            except FileNotFoundError:
                pass
            except UnsafePathError as error:
                why = f"{error.problems[0][0]!r} is a symlink or not a folder"
                yield from ((path, why) for path in paths)


def _folds(folder: Path) -> bool:
    with disk_errors(folder, action="read"):
        names = [*folder.iterdir(), folder, *folder.parents]
        others = (
            (path, path.with_name(other))
            for path in names
            if (other := path.name.swapcase()) != path.name
        )
        return next((stat_target(a) == stat_target(b) for a, b in others), True)


@contextlib.contextmanager
def _warning_of_mode(path: str) -> Iterator[None]:
    """Warn, as DVC does, if a file cannot be made executable."""
    try:
        yield
    except UnsafePathError as error:
        logger.warning("cannot make '%s' executable: %s", path, error)
    except OSError as error:
        logger.warning("cannot make '%s' executable: %s", path, error.strerror)


def _longest_path() -> int:
    return os.pathconf("/", "PC_PATH_MAX") - 1  # the last byte is a terminator


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Group paths by folder, so that each folder is opened once."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path.rpartition("/")[0], []).append(path)
    return groups


def _describe_non_file(name: str, folder: int) -> str | None:
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "something other than a file"


def _prune(tree: SafeFolders, removed: Iterable[str]) -> None:
    """Remove the folders that the removal of files left empty."""
    for path in removed:
        folder = posixpath.dirname(path)
        with contextlib.suppress(OSError, UnsafePathError):  # not empty
            while folder:
                tree.remove(folder)
                folder = posixpath.dirname(folder)
