"""A DVC project that is opened without a change on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc_studio_models.store.dvc.light import DATABASE, find_site_cache


def make_read_only(kind: Any) -> Any:
    """Make a class of DVC projects that write only to a temporary folder.

    DVC writes to its databases even when it only reads. So it gets a copy of its
    database of hashes. Hashes that it adds are lost.
    """
    temporary = tempfile.TemporaryDirectory()
    site_cache = Path(temporary.name, "site-cache")

    class ReadOnlyRepo(kind):  # type: ignore[misc]  # DVC is untyped
        @cached_property
        def _has_databases(self) -> bool:
            """Whether DVC can find its databases without making files for that."""
            repos = Path(find_site_cache(self.config), "repo")
            return Path(self.dvc_dir, "tmp", "btime").is_file() and repos.is_dir()

        @property
        def tmp_dir(self) -> str:
            own = Path(self.dvc_dir, "tmp")
            return os.fspath(own if self._has_databases else site_cache)

        @property
        def site_cache_dir(self) -> str:
            if self._has_databases and not site_cache.exists():
                _copy_hashes(Path(super().site_cache_dir), site_cache)
            return os.fspath(site_cache)

        def close(self) -> None:
            super().close()
            temporary.cleanup()

    return ReadOnlyRepo


def _copy_hashes(source: Path, target: Path) -> None:
    """Copy DVC's database of hashes, unless it changes during the copy."""
    import sqlite3

    folder = target / DATABASE.parent
    folder.mkdir(parents=True)
    try:
        for file in (source / DATABASE.parent).glob(f"{DATABASE.name}*"):
            shutil.copyfile(file, folder / file.name)
        with contextlib.closing(sqlite3.connect(folder / DATABASE.name)) as copy:
            is_whole = copy.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except (OSError, sqlite3.Error):
        is_whole = False
    if not is_whole:
        shutil.rmtree(folder)
