"""Reads a repository with scmrepo, where the ``git`` program is not installed.

That is common in containers. What scmrepo's backend cannot read, such as objects that a
partial clone lacks, raises an error that says so.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    NotGitRepoError,
    ObjectTooLargeError,
    UnreadableRepoError,
)
from dvc_studio_models.registry.git.reader import (
    MAX_OBJECT_BYTES,
    NO_OID,
    GitObject,
    check_ref_folders,
    check_unborn,
    is_oid,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class LibraryReader:
    """One repository; see :class:`dvc_studio_models.registry.git.reader.GitReader`."""

    def __init__(self, repo: Any) -> None:
        """Wrap an open repository.

        Args:
            repo: A ``Repo`` of dulwich, scmrepo's backend.
        """
        self._repo = repo
        self._lock = threading.RLock()  # dulwich is not thread-safe
        self.root = None if repo.bare else Path(os.path.realpath(repo.path))
        self.common_dir = Path(repo.commondir())

    @classmethod
    def find(cls, folder: Path) -> LibraryReader:
        """Find the repository that a folder is in, see :func:`open_reader`."""
        from scmrepo.exceptions import SCMError
        from scmrepo.git import Git

        try:
            # dulwich before 1.0 does not follow a link into a clone.
            repo = Git(os.path.realpath(folder)).dulwich.repo
        except SCMError:
            raise NotGitRepoError(os.fspath(folder)) from None
        except Exception as error:  # noqa: BLE001 - no common base
            raise _unreadable(os.fspath(folder), error) from None
        return cls(repo)

    # Refs

    def tags(self) -> list[tuple[str, str]]:
        """List the tags by name."""
        return self._refs(b"refs/tags")

    def refs(self, folder: str) -> list[tuple[str, str]]:
        """List the refs in a folder, also broken ones."""
        base = os.fsencode(folder)
        readable = dict(self._refs(base))
        with self._errors():
            names = sorted(map(os.fsdecode, self._repo.refs.keys(base)))
        return [(name, readable.get(name, NO_OID)) for name in names]

    def _refs(self, folder: bytes) -> list[tuple[str, str]]:
        check_ref_folders(self.common_dir, os.fsdecode(folder))
        with self._errors():
            found = sorted(self._repo.refs.as_dict(folder).items())
        named = ((os.fsdecode(name), os.fsdecode(oid)) for name, oid in found)
        return [(name, oid) for name, oid in named if is_oid(oid)]

    def head(self) -> str | None:
        """Return the commit of HEAD."""
        with self._errors(), contextlib.suppress(KeyError):
            oid = os.fsdecode(self._repo.head())
            if is_oid(oid):
                return oid
        check_unborn(self, self.current_branch())
        return None

    def current_branch(self) -> str | None:
        """Return the name of the branch that is checked out."""
        with self._errors():
            followed, _ = self._repo.refs.follow(b"HEAD")
        name = os.fsdecode(followed[-1])
        prefix = "refs/heads/"
        return name.removeprefix(prefix) if name.startswith(prefix) else None

    # Objects

    @contextlib.contextmanager
    def objects(self) -> Iterator[LibraryReader]:
        """Open the objects; closes their packs at the end."""
        try:
            yield self
        finally:
            with self._lock:
                self._repo.object_store.close()

    def read(self, oid: str) -> GitObject | None:
        """Read an object."""
        with self._errors():
            try:
                found = self._repo[self._replaced(oid)]
            except KeyError:
                return None
            if found.raw_length() > MAX_OBJECT_BYTES:
                reason = f"object {oid} is larger than {MAX_OBJECT_BYTES >> 20} MiB"
                raise ObjectTooLargeError(os.fspath(self._where), reason)
            return GitObject(found.type_name.decode(), found.as_raw_string())

    def _replaced(self, oid: str) -> bytes:
        """Return the id of the object that ``git replace`` set for another."""
        seen = set()
        current = oid.encode()
        while current not in seen:
            seen.add(current)
            replacement = self._repo.refs.read_ref(b"refs/replace/" + current)
            current = replacement or current
        return current

    def kinds(self, oids: Sequence[str]) -> list[str | None]:
        """Return the kind of each object."""
        return [found.kind if found else None for found in self.read_all(oids)]

    def read_all(self, oids: Sequence[str]) -> list[GitObject | None]:
        """Read many small objects at once."""
        with self.objects():
            return [self.read(oid) for oid in oids]

    def has_replacements(self) -> bool:
        """Whether objects were replaced."""
        return bool(self._refs(b"refs/replace"))

    def find_signature_problem(self, _oid: str) -> str | None:
        """Return that signatures cannot be verified."""
        return "the program 'git' is needed to verify signatures"

    # The clone

    def config(self) -> list[tuple[str, str]]:
        """List the settings."""
        with self._errors():
            stack = self._repo.get_config_stack()
            return [
                (_full_name(section, name), os.fsdecode(value))
                for backend in reversed(stack.backends)
                for section in backend.sections()
                for name, value in backend.items(section)
            ]

    def remote_url(self, name: str) -> str | None:
        """Return a remote's URL."""
        from dulwich.config import apply_instead_of

        with self._errors():
            stack = self._repo.get_config_stack()
            try:
                url = stack.get((b"remote", os.fsencode(name)), b"url")
            except KeyError:
                return None
            return str(apply_instead_of(stack, os.fsdecode(url)))

    def tracked(self, paths: Iterable[str] | None) -> set[str]:
        """List what the index has at, above or below the top folder of each path."""
        wanted = None if paths is None else list(paths)
        tops = {os.fsencode(path.partition("/")[0]) for path in wanted or ()}
        with self._errors():
            index = self._repo.open_index()
            return {
                os.fsdecode(name)
                for name in index
                if wanted is None or name.partition(b"/")[0] in tops
            }

    def untracked(
        self,
        paths: Iterable[str],
        *,
        in_any_case: bool = False,  # noqa: ARG002 - the file system finds them
    ) -> set[str]:
        """List the files at or below paths that Git neither tracks nor ignores."""
        from dulwich.ignore import IgnoreFilterManager

        assert self.root  # noqa: S101 - a bare repository has no working tree
        found: set[str] = set()
        for path in paths:
            target = self.root / path
            found.update(
                os.path.relpath(os.path.join(at, name), self.root)  # noqa: PTH118
                for at, _, names in os.walk(target)
                for name in names
            )
            if os.path.lexists(target) and not target.is_dir():
                found.add(path)
        with self._errors():
            ignored = IgnoreFilterManager.from_repo(self._repo)
            found -= {path for path in found if ignored.is_ignored(path)}
        return found - self.tracked(found)

    def find_files(self, *names: str) -> list[str]:
        """Find files of the working tree that Git does not ignore."""
        from dulwich.ignore import IgnoreFilterManager

        assert self.root  # noqa: S101 - a bare repository has no working tree
        with self._errors():
            ignored = IgnoreFilterManager.from_repo(self._repo)
        found = []
        for at, folders, files in os.walk(self.root):
            inner = Path(at).relative_to(self.root)
            if inner.parts and ".git" in {*folders, *files}:
                folders.clear()
                continue
            paths = ((inner / file).as_posix() for file in files)
            found += [
                path for path in paths if f"/{path}".endswith(tuple(_ends(names)))
            ]
            folders[:] = [
                name
                for name in folders
                if name != ".git"
                and not ignored.is_ignored(f"{(inner / name).as_posix()}/")
            ]
        return sorted(path for path in found if not ignored.is_ignored(path))

    # Errors

    @property
    def _where(self) -> Path:
        return self.root or self.common_dir

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate dulwich's errors, which have no common base class."""
        try:
            with self._lock:
                yield
        except (KeyError, UnreadableRepoError):
            raise
        except Exception as error:  # noqa: BLE001 - no common base
            raise _unreadable(os.fspath(self._where), error) from None


def _ends(names: Iterable[str]) -> list[str]:
    return [name[1:] if name.startswith("*") else f"/{name}" for name in names]


def _full_name(section: tuple[bytes, ...], name: bytes) -> str:
    """Write a setting's name as ``git config --list`` does."""
    first, *rest = map(os.fsdecode, section)
    return ".".join([first.lower(), *rest, os.fsdecode(name).lower()])


def _unreadable(folder: str, error: Exception) -> UnreadableRepoError:
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
    else:  # its text may quote a password in the config
        reason = "scmrepo does not support its format, and git is not installed"
    return UnreadableRepoError(folder, reason)
