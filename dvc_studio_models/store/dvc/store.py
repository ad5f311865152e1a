"""The store of a DVC project: its cache, its receipts, and DVC's lock."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.files.scratch import sweep, temporary_folder
from dvc_studio_models.store.base import PARTS, sweep_parts
from dvc_studio_models.store.dvc.cached import CachedStore
from dvc_studio_models.store.dvc.locking import hold_lock
from dvc_studio_models.store.dvc.project import RECEIPTS, LazyProject, own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dvc_studio_models.errors import LocalDiskError
    from dvc_studio_models.model import Digest
    from dvc_studio_models.store.dvc.remote import DvcRemote


class DvcStore(CachedStore):
    """The cache of a DVC project."""

    def __init__(
        self,
        root: Path,
        *,
        use_cache: bool,
        wait_for_lock: bool,
        config: Any = None,
        read_only: bool = False,
    ) -> None:
        # DVC's databases, and the paths in them, are found by the real path.
        real = os.path.realpath(root)
        wait = {"_wait_for_lock": True} if wait_for_lock else {}  # from DVC 3.61 on
        project = LazyProject(real, config=config, read_only=read_only, **wait)
        super().__init__(project, own_folder(Path(real)), use_cache=use_cache)
        self._waits = wait_for_lock

    @property
    def parts(self) -> Path:
        """In the cache folder beside ``files/``; without the cache, in ``.dvc/tmp``."""
        return self._cached_parts() if self._use_cache else self._own / PARTS

    @property
    def receipts(self) -> Path | None:
        """In ``.dvc/tmp``, which Git ignores."""
        return self._own / RECEIPTS

    def sweep(self) -> None:
        """Remove them from the cache folder and from ``.dvc/tmp``."""
        sweep(self._own)
        for folder in (Path(self._project.cache_folder), self._own):
            sweep_parts(folder / PARTS, self)

    def fetch(
        self,
        remote: DvcRemote,
        files: Mapping[str, Digest],
        *,
        report: Callable[[int], None],
        jobs: int,
    ) -> None:
        """Download contents into the cache, see :meth:`DvcRemote.fetch_into`."""
        scratch = self._own
        remote.fetch_into(self._objects, files, scratch, report=report, jobs=jobs)

    def stop_caching(self, error: LocalDiskError, digests: Iterable[Digest]) -> bool:  # noqa: ARG002
        """Return False: a pull into a project needs its cache, or ``--no-cache``."""
        return False

    @contextlib.contextmanager
    def lock(self) -> Iterator[Path]:
        """Hold DVC's own lock of the project.

        Raises:
            LocalDiskError: It cannot be written.
            LockHeldError: Another process holds it.
            LockUnsupportedError: The file system has no locks.
        """
        with (
            hold_lock(self.repo, waits=self._waits),
            temporary_folder(self._own) as folder,
        ):
            yield folder

    def close(self) -> None:
        """Close DVC's databases."""
        self._project.close()
