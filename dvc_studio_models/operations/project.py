"""One DVC project of the working tree: its annotated models, and hashes of its files.

Reads through DVC and its state, and changes nothing.
"""
# ruff: noqa: TID251 - DVC reads the working tree

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import LocalDiskError, StudioConfigError, disk_errors
from dvc_studio_models.files.paths import compose
from dvc_studio_models.files.receipts import Receipt, Receipts
from dvc_studio_models.log import get_logger
from dvc_studio_models.registry.outputs import digest_of
from dvc_studio_models.store.dvc.objects import Objects, parse_tree, tree_digest
from dvc_studio_models.store.dvc.project import (
    open_project_to_read,
    project_around,
    receipts_folder,
)
from dvc_studio_models.store.user.location import find_user_cache
from dvc_studio_models.store.user.project import user_receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_studio_models.model import Digest

logger = get_logger(__name__)


def _receipts_outside(root: Path) -> list[Receipt]:
    """Read the receipts of a clone without a DVC project, in the user's cache."""
    try:
        cache = find_user_cache().folder
    except LocalDiskError:  # pulls keep none
        return []
    return Receipts(user_receipts(cache)).load(root)


def hash_path(path: Path, algorithm: str) -> Digest | None:
    """Hash a file or folder that is in no DVC project.

    Returns:
        None for what ``dvc add`` refuses: a folder with a ``.dvcignore`` file.
    """
    from dvc_data.hashfile.build import IgnoreInCollectedDirError, build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs import MemoryFileSystem, localfs

    odb = HashFileDB(MemoryFileSystem(), "/none", hash_name=algorithm)
    with disk_errors(path, action="read"):
        try:
            _, _, built = build(odb, os.fspath(path), localfs, algorithm, dry_run=True)
        except IgnoreInCollectedDirError:
            return None
    return digest_of(built.hash_info)


def _files_of(meta: Any, content: Any) -> dict[str, tuple[Digest, int | None]]:
    """List the files of what DVC has built: relative path to hash and size."""
    from dvc_data.hashfile.tree import Tree

    is_folder = isinstance(content, Tree)
    found = list(content) if is_folder else [((), meta, content.hash_info)]
    return {
        "/".join(key): (digest, meta.size if meta else None)
        for key, meta, hashed in found
        if (digest := digest_of(hashed))
    }


def _lists_decomposed(content: Any) -> bool:
    from dvc_data.hashfile.tree import Tree

    return isinstance(content, Tree) and any(
        compose(name) != name for key, *_ in content for name in key
    )


def find_composed(folder: Path, name: str) -> str:
    """Return the composed form of a relative path, if it leads to the same file.

    HFS+ lists names decomposed, whatever form they were given in.
    """
    composed = compose(name)
    if composed == name:
        return name
    with contextlib.suppress(OSError):
        if (folder / composed).samefile(folder / name):
            return composed
    return name


class LocalProject:
    """A DVC project of the clone, or the clone itself if it has none."""

    def __init__(self, root: Path, git_root: Path) -> None:
        """Read the receipts.

        A project whose config DVC cannot read is ignored, with a warning.

        Args:
            root: Of the DVC project.
            git_root: The search ends here.
        """
        self.receipts: list[Receipt] = []
        self._root = root
        self._known: dict[tuple[Path, str], Digest | None] = {}
        self._composed: dict[tuple[Path, str], Digest] = {}
        if project_around(root, git_root) is None:
            self.receipts = _receipts_outside(git_root)
            return
        try:
            self._repo = open_project_to_read(root, uninitialized=True)
        except StudioConfigError as error:
            logger.warning("ignored the DVC project '%s': %s", root, error)
            self._repo = None
        else:
            self.receipts = Receipts(receipts_folder(root, git_root)).load(git_root)

    def close(self) -> None:
        """Close DVC's databases."""
        if vars(self).get("_repo"):
            self._repo.close()

    @cached_property
    def _repo(self) -> Any:
        return open_project_to_read(self._root, uninitialized=True)

    def annotated(self, dvc_yaml: Path) -> Iterator[tuple[str, object]]:
        """Yield the models of one ``dvc.yaml``, with their paths as written there."""
        from dvc.dvcfile import load_file
        from dvc.exceptions import DvcException

        if self._repo is None:
            return
        try:
            artifacts = load_file(self._repo, os.fspath(dvc_yaml)).artifacts
        except (DvcException, OSError) as exc:
            logger.warning("ignored '%s': %s", dvc_yaml, exc)
            return
        for name, artifact in artifacts.items():
            if artifact.get("type") in {None, "model"}:
                yield name, artifact.get("path")

    def read_tree(self, digest: Digest) -> dict[str, Digest] | None:
        """List the files in a folder, from the cache; None if it lacks the list."""
        if not (self._repo and self._repo.cache.local):
            return None
        objects = Objects(lambda: self._repo)
        if objects.size_of(digest) is None:
            return None
        return parse_tree(Path(objects.path_of(digest)).read_bytes(), digest)

    @property
    def cache_folder(self) -> Path | None:
        """The folder of the DVC cache; None if there is none."""
        has_cache = self._repo and self._repo.cache.local
        return Path(self._repo.cache.local_cache_dir) if has_cache else None

    def size_in_cache(self, digest: Digest) -> int | None:
        """Return the size of an object in bytes, None if the cache lacks it.

        Its content is not read.
        """
        if not (self._repo and self._repo.cache.local):
            return None
        path = Path(Objects(lambda: self._repo).path_of(digest))
        return path.stat().st_size if path.is_file() else None

    def digest_of(self, path: Path, algorithm: str) -> Digest | None:
        """Hash a file or a directory as ``dvc add`` would, through DVC's state."""
        if (path, algorithm) not in self._known:
            self._known[path, algorithm] = self._hash(path, algorithm)
        return self._known[path, algorithm]

    def holds(self, path: Path, digest: Digest) -> bool:
        """Whether a file or a directory has a hash.

        Where the names in a directory are listed in another form of Unicode than Git
        records, as on HFS+, it has the hash of its composed names, too.
        """
        found = self.digest_of(path, digest.algorithm)
        return digest in (found, self._composed.get((path, digest.algorithm)))

    def list_content(
        self, path: Path, algorithm: str
    ) -> dict[str, tuple[Digest, int | None]]:
        """Hash a file, or all files of a folder: relative path to hash and size.

        The path of a file by itself is empty. Empty if there is nothing.
        """
        built = self._build(path, algorithm)
        return _files_of(*built) if built else {}

    def _hash(self, path: Path, algorithm: str) -> Digest | None:
        built = self._build(path, algorithm)
        if built is None:
            return None
        if _lists_decomposed(built[1]):
            files = _files_of(*built).items()
            composed = {
                find_composed(path, name): digest for name, (digest, _) in files
            }
            self._composed[path, algorithm] = tree_digest(composed)
        return digest_of(built[1].hash_info)

    def _build(self, path: Path, algorithm: str) -> tuple[Any, Any] | None:
        """Build DVC's object of a path; None if there is nothing."""
        from dvc_data.hashfile.build import IgnoreInCollectedDirError, build
        from dvc_objects.fs import localfs

        with disk_errors(path, action="read"):
            try:
                _, meta, content = build(
                    self._odb(algorithm),
                    os.fspath(path),
                    localfs,
                    algorithm,
                    dry_run=True,
                    ignore=self._repo and self._repo.dvcignore,
                )
            except (FileNotFoundError, IgnoreInCollectedDirError):
                return None  # a link to nothing within, or what `dvc add` refuses
        return meta, content

    def _odb(self, algorithm: str) -> Any:
        """Return the cache, to read from; an empty one if there is none."""
        from dvc_data.hashfile.db import HashFileDB
        from dvc_objects.fs import MemoryFileSystem

        odb = self._repo and Objects(lambda: self._repo).odb(algorithm)
        return odb or HashFileDB(MemoryFileSystem(), "/none", hash_name=algorithm)
