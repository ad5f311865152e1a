"""The store of a pull outside of DVC projects: contents are in the user's cache.

Files are staged in a hidden folder beside their targets, from where they are renamed.
Pulls do not wait for each other, whatever their targets: objects enter the cache by a
rename. A cache that cannot be written is no failure of a pull.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import LocalDiskError, SiteCacheError
from dvc_studio_models.files.scratch import temporary_folder
from dvc_studio_models.log import get_logger
from dvc_studio_models.store.base import PARTS, hash_file, sweep_parts
from dvc_studio_models.store.dvc.cached import CachedStore
from dvc_studio_models.store.hidden import HiddenFolder
from dvc_studio_models.store.parts.folder import move_parts
from dvc_studio_models.store.plain import PlainStore
from dvc_studio_models.store.user.project import (
    make_user_folder,
    open_user_project,
    user_folder,
    user_receipts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dvc_studio_models.files.folders import FileStamp
    from dvc_studio_models.model import Digest
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.dvc.project import LazyProject

logger = get_logger(__name__)


def open_user_store(root: Path, cache: Path, *, read_only: bool = False) -> Store:
    """Open the store for a folder outside of DVC projects.

    If the cache cannot be written, its contents are used, and nothing is added. If it
    cannot be used at all, the store has no cache. A warning says so.

    Args:
        root: The folder to place files below; it need not exist.
        cache: The folder of the user's cache; it need not exist.
        read_only: Whether nothing may change on disk.

    Raises:
        StudioConfigError: DVC cannot read its config.
    """
    folder = user_folder(cache)
    try:
        if not read_only:
            make_user_folder(cache)
        elif not (folder / ".dvc").is_dir():
            return _open_contents(root, cache)
        project = open_user_project(cache, folder, read_only=read_only)
    except LocalDiskError as error:
        warn_of_cache(error)
        return _open_contents(root, cache)
    return UserStore(root, project, receipts=user_receipts(cache))


def warn_of_cache(error: LocalDiskError) -> None:
    """Warn that the user's cache cannot be written; without the error's hints."""
    reason = str(error).partition("\n")[0]
    logger.warning("downloaded files are not kept in the cache: %s", reason)


def _open_contents(root: Path, cache: Path) -> Store:
    """Open a store that takes contents from a cache and adds none, if there are any."""
    try:
        if not any((cache / "files").iterdir()):
            return PlainStore(root)
        spare = tempfile.TemporaryDirectory()
        with contextlib.ExitStack() as stack:
            stack.callback(spare.cleanup)
            Path(spare.name, ".dvc").mkdir()
            project = open_user_project(cache, Path(spare.name))
            return UserStore(root, project, spare=stack.pop_all())
    except (LocalDiskError, OSError):
        return PlainStore(root)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except LocalDiskError as error:
        logger.debug("%s", error)


class UserStore(CachedStore):
    """The user's cache, and files for targets below any folder."""

    def __init__(
        self,
        root: Path,
        project: LazyProject,
        *,
        receipts: Path | None = None,
        spare: contextlib.ExitStack | None = None,
    ) -> None:
        """Use an open project.

        Args:
            root: The folder to place files below.
            project: With the user's cache.
            receipts: The folder for receipts; None keeps none.
            spare: Closed at the end. With it, nothing is added to the cache.
        """
        self._hidden = HiddenFolder(root)
        self._receipts = receipts
        self._spare = spare or contextlib.ExitStack()
        super().__init__(project, self._hidden.path, use_cache=spare is None)

    @property
    def parts(self) -> Path:
        """In the cache folder, beside ``files/``; in the hidden folder without it."""
        return self._cached_parts() if self._use_cache else self._hidden.make_parts()

    @property
    def receipts(self) -> Path | None:
        """In the user's folder of the cache."""
        return self._receipts

    def _make_own(self) -> None:
        self._hidden.make()

    def sweep(self) -> None:
        """Remove them from the cache folder and from the hidden folder."""
        self._hidden.sweep()
        sweep_parts(Path(self._project.cache_folder) / PARTS, self)
        sweep_parts(self._hidden.parts, self)

    def stop_caching(self, error: LocalDiskError, digests: Iterable[Digest]) -> bool:
        """Keep new contents in the hidden folder from now on."""
        if not self._use_cache:
            return False
        warn_of_cache(error)
        self._use_cache = False
        vars(self).pop("needs_second_copy", None)
        cached = Path(self._project.cache_folder) / PARTS
        move_parts(cached, self._hidden.make_parts(), digests)
        return True

    # DVC's state, which is in the cache, is not required.

    def digest_of(self, path: Path, algorithm: str) -> Digest:
        """Hash a file, or take the hash from DVC's state if that can be used.

        Raises:
            FileNotFoundError: There is no such file.
            LocalDiskError: It cannot be read.
        """
        try:
            return super().digest_of(path, algorithm)
        except SiteCacheError:
            return hash_file(path, algorithm)

    def save_hashes(
        self,
        root: Path,
        placed: Mapping[str, Digest],
        stamps: Mapping[str, FileStamp | None],
    ) -> None:
        """Save the hashes to DVC's state if that can be written."""
        with _logged():
            super().save_hashes(root, placed, stamps)

    def add_tree(self, files: Mapping[str, Digest], digest: Digest) -> None:
        """Save the ``.dir`` object of a directory if the cache can be written."""
        with _logged():
            super().add_tree(files, digest)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Make a scratch folder. There is no lock, since DVC does not work here."""
        self._hidden.make()
        with temporary_folder(self._hidden.path) as folder:
            yield folder

    def close(self) -> None:
        """Close DVC's databases, and remove the hidden folder if it is empty."""
        self._project.close()
        self._spare.close()
        self._hidden.remove()
