"""What a reader of a Git repository offers: refs, objects, config and index.

Every reader returns what ``git`` does. Each read has a time limit, ends on Ctrl-C, and
runs no program that the repository's own config names.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NoReturn, Protocol

from dvc_studio_models.errors import UnreadableRepoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

COMMIT, TREE, BLOB, TAG = "commit", "tree", "blob", "tag"
"""The kinds of Git's objects."""

NO_OID = "0" * 40
"""The id used for a ref that Git cannot read."""

MAX_OBJECT_BYTES = 64 << 20
"""The largest object that is read; DVC's files and tags have kilobytes."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR}  # packed refs and reftables need no folders
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def is_oid(text: str) -> bool:
    """Whether a text is a full object id, SHA-1 or SHA-256, in hex."""
    return _OID.fullmatch(text) is not None


def check_ref_folders(common_dir: Path, top: str) -> None:
    """Check that a folder of refs can be read, with those around and below it.

    Git, and scmrepo too, list nothing of one that they cannot read, and no error.

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


def check_unborn(reader: GitReader, branch: str | None) -> None:
    """Check that HEAD has no commit because its branch has none yet.

    Git says the same of a branch whose ref it cannot read.

    Args:
        reader: Of the repository.
        branch: That HEAD is of; None if HEAD is of none, or cannot be read.

    Raises:
        UnreadableRepoError: There may be a commit.
    """
    found = dict(reader.refs("refs/heads"))
    broken = [f"'refs/heads/{name}'" for name, oid in found.items() if oid == NO_OID]
    if broken or branch is None or branch in found:
        which = ", ".join(broken) or "the commit of HEAD"
        raise UnreadableRepoError(os.fspath(reader.common_dir), f"cannot read {which}")


@dataclass(frozen=True)
class GitObject:
    """An object of Git, with its content."""

    kind: str
    """:data:`COMMIT`, :data:`TREE`, :data:`BLOB` or :data:`TAG`."""

    data: bytes


class Objects(Protocol):
    """Reads objects by their ids, one at a time."""

    def read(self, oid: str) -> GitObject | None:
        """Read an object.

        Args:
            oid: The full id, in hex.

        Returns:
            None if the repository does not have it.

        Raises:
            UnreadableRepoError: Git cannot read it, or it is too large.
        """


class GitReader(Protocol):
    """One repository, and its working tree if it has one."""

    root: Path | None
    """Of the working tree; None in a bare repository."""

    common_dir: Path
    """The folder of refs and objects, common to all working trees."""

    def tags(self) -> list[tuple[str, str]]:
        """List the tags by name: the part after ``refs/tags/``, and the object's id.

        A ref that ``git`` calls broken comes last, with :data:`NO_OID`.

        Raises:
            UnreadableRepoError: Git cannot read all of them.
        """

    def head(self) -> str | None:
        """Return the commit of HEAD; None if its branch has none yet.

        Raises:
            UnreadableRepoError: Git cannot read it, or one of the branches.
        """

    def refs(self, folder: str) -> list[tuple[str, str]]:
        """List the refs in a folder by name, with the ids of their objects.

        A ref that ``git`` calls broken has :data:`NO_OID`.

        Args:
            folder: As ``refs/heads``; the names begin after its second part.
        """

    def current_branch(self) -> str | None:
        """Return the name of the checked-out branch, even if it has no commit."""

    def objects(self) -> AbstractContextManager[Objects]:
        """Open the objects."""

    def kinds(self, oids: Sequence[str]) -> list[str | None]:
        """Return the kind of each object; None for one that the repository lacks."""

    def read_all(self, oids: Sequence[str]) -> list[GitObject | None]:
        """Read many small objects at once; None for each that is missing."""

    def find_signature_problem(self, oid: str) -> str | None:
        """Verify the signature of a tag; return None if it is valid, else the reason.

        Args:
            oid: Of the tag's object.
        """

    def has_replacements(self) -> bool:
        """Whether objects were replaced (``git replace``)."""

    def config(self) -> list[tuple[str, str]]:
        """List the settings in Git's order, with those of included files."""

    def remote_url(self, name: str) -> str | None:
        """Return a remote's URL as ``git remote get-url`` does, None without one."""

    def tracked(self, paths: Iterable[str] | None) -> set[str]:
        """List what the index has at, above or below the top folder of each path.

        None lists all.
        """

    def untracked(self, paths: Iterable[str], *, in_any_case: bool = False) -> set[str]:
        """List the files at or below paths that Git neither tracks nor ignores.

        A clone in the working tree is listed as a folder.

        Args:
            paths: Relative to the root.
            in_any_case: Whether the working tree finds them in any case.
        """

    def find_files(self, *names: str) -> list[str]:
        """Find files of the working tree that Git does not ignore.

        Args:
            names: The last parts of their paths; ``*`` may begin one.

        Returns:
            Paths relative to the root, without those in other clones below it.
        """
