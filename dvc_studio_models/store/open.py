"""Opens the store for a folder: that of the DVC project around it, or a plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc_studio_models.store.dvc.project import project_around
from dvc_studio_models.store.dvc.store import DvcStore
from dvc_studio_models.store.plain import PlainStore

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.store.base import Store


def open_store(
    folder: Path,
    root: Path,
    *,
    use_cache: bool = True,
    wait_for_lock: bool = False,
    config: Any = None,
    read_only: bool = False,
) -> Store:
    """Open the store for files below ``folder``.

    Args:
        folder: The deepest folder that contains all of them; it need not exist.
        root: The search for a DVC project ends here.
        use_cache: Whether to keep downloaded files in the DVC cache.
        wait_for_lock: Whether to wait for other DVC processes without a limit.
        config: Of some DVC project, see :func:`project.open_project`.
        read_only: Whether nothing may change on disk.

    Raises:
        StudioConfigError: DVC cannot read the project's config.
        LocalDiskError: The file system refuses.
    """
    project = project_around(folder, root)
    if project is None:
        return PlainStore(root)
    return DvcStore(
        project,
        use_cache=use_cache,
        wait_for_lock=wait_for_lock,
        config=config,
        read_only=read_only,
    )
