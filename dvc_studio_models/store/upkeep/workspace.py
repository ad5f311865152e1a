"""What the working tree of a DVC project needs of a cache.

That is what DVC's files record, committed or not, and what is really there: a file may
be a symbolic link into the cache, or have the content of another version than DVC's
files say.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import config_errors, disk_errors
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.base import reading_file
from dvc_studio_models.store.dvc.light import DATABASE, look_up, read_config
from dvc_studio_models.store.dvc.locking import hold_lock
from dvc_studio_models.store.dvc.objects import Objects
from dvc_studio_models.store.dvc.project import (
    ensure_user_name,
    open_project_to_read,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dvc_studio_models.store.upkeep.folder import CacheFolder


def cache_folder_of(root: Path) -> Path:
    """Return the folder of the cache of a DVC project, which is not opened.

    Raises:
        StudioConfigError: DVC cannot read its config.
        LocalDiskError: The config cannot be read.
    """
    own = os.fspath(root / ".dvc")
    with config_errors(), ensure_user_name(), disk_errors(own, action="read"):
        chosen = read_config(own)["cache"].get("dir")
    return Path(os.fspath(chosen) if chosen else f"{own}/cache")


class DvcWorkspace:
    """The working tree of one DVC project."""

    def __init__(self, root: Path) -> None:
        """Open the project.

        Args:
            root: Of the DVC project.

        Raises:
            StudioConfigError, LocalDiskError: See
                :func:`project.open_project_to_read`.
        """
        self.root = Path(os.path.realpath(root))
        self.repo: Any = open_project_to_read(self.root, with_git=True)

    @property
    def cache_folder(self) -> Path:
        """The folder of the cache."""
        return Path(self.repo.cache.local_cache_dir)

    @property
    def has_own_cache(self) -> bool:
        """Whether the cache is in the project's ``.dvc`` folder, for it alone.

        A link there may lead to a cache that several projects share.
        """
        own = os.path.realpath(self.repo.dvc_dir)
        return Path(os.path.realpath(self.cache_folder)).is_relative_to(own)

    @contextlib.contextmanager
    def lock(self, *, waits: bool = False) -> Iterator[None]:
        """Hold DVC's lock of the project.

        Raises:
            LockHeldError, LockUnsupportedError, LocalDiskError: See
                :func:`locking.hold_lock`.
        """
        with hold_lock(self.repo, waits=waits):
            yield

    def close(self) -> None:
        """Close DVC's databases."""
        self.repo.close()

    def output_paths(self) -> list[str]:
        """List where the outputs are that DVC's files record.

        Raises:
            DvcException: DVC cannot read one of its files.
        """
        outs = self.repo.index.outs
        return [str(out.fs_path) for out in outs if out.protocol == "local"]

    def contents(
        self, paths: Iterable[str], cache: CacheFolder, *, reads: bool
    ) -> dict[str, set[Digest]]:
        """Return what files of the workspace have as their content, as far as known.

        A file has two hashes if the cache has objects of DVC 2.

        Args:
            paths: Absolute, of files and folders, which need not exist.
            cache: Links into it are recognised without DVC's state.
            reads: Whether to hash files whose hash DVC's state does not know.

        Raises:
            LocalDiskError: One cannot be read.
        """
        found: dict[str, set[Digest]] = defaultdict(set)
        files = []
        for path in dict.fromkeys(paths):
            for file in _files_at(path):
                if digest := _linked(file, cache):
                    found[file].add(digest)
                else:
                    files.append(file)
        database = Path(self.repo.site_cache_dir, DATABASE)
        known = look_up(database, files)
        for file in files:
            if file in known:
                with contextlib.suppress(ValueError):
                    found[file].add(Digest(known[file].algorithm, known[file].value))
            elif reads:
                with contextlib.suppress(FileNotFoundError):
                    found[file].add(Digest(MD5, self._objects.hash_of(file, MD5)))
            if reads and cache.has_legacy_objects:
                with contextlib.suppress(FileNotFoundError):
                    found[file].add(_legacy_digest(file))
        return found

    @property
    def _objects(self) -> Objects:
        return Objects(lambda: self.repo)


def _legacy_digest(path: str) -> Digest:
    """Hash a file as DVC 2 did. DVC's state keeps one hash of a file, so not this one.

    Raises:
        FileNotFoundError: There is no such file.
        LocalDiskError: It cannot be read.
    """
    from dvc_data.hashfile.hash import file_md5

    with reading_file(Path(path)):
        return Digest(MD5_DOS2UNIX, file_md5(path, name=MD5_DOS2UNIX))


def _files_at(path: str) -> Iterator[str]:
    """Yield the files and links at a path, or in the folder there."""
    with disk_errors(path, action="read"):
        try:
            found = os.stat(path)  # noqa: PTH116 - of thousands of files
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISREG(found.st_mode):
            yield path
        elif stat.S_ISDIR(found.st_mode):
            for folder, _, names in os.walk(path, onerror=_fail):
                for name in names:
                    file = os.path.join(folder, name)  # noqa: PTH118
                    if os.path.isfile(file):  # noqa: PTH113
                        yield file


def _fail(error: OSError) -> None:
    raise error


def _linked(path: str, cache: CacheFolder) -> Digest | None:
    """Return the object that a symbolic link leads to; None for any other file."""
    if not os.path.islink(path):  # noqa: PTH114
        return None
    real = os.path.realpath(path)
    return cache.digest_at(real) if cache.is_inside(real) else None


def links_into(paths: Iterable[str], cache: CacheFolder) -> dict[Digest, str]:
    """Return the objects that symbolic links of the workspace lead to.

    Args:
        paths: Absolute, of files and folders, which need not exist.
        cache: Where they lead.

    Raises:
        LocalDiskError: A folder cannot be read.
    """
    found = {}
    for path in dict.fromkeys(paths):
        for file in _files_at(path):
            if digest := _linked(file, cache):
                found[digest] = file
    return found
