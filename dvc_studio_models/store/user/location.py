"""Which folder is the cache of the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dvc_studio_models.errors import LocalDiskError, config_errors, disk_errors
from dvc_studio_models.store.dvc.light import read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "DVC_STUDIO_MODELS_CACHE"


class UserCache(NamedTuple):
    """The cache of the user."""

    folder: Path
    """By its real path; it need not exist."""

    is_shared: bool
    """Whether it is ``cache.dir`` of DVC's config, so that projects use it, too."""


def find_user_cache(
    chosen: str | os.PathLike[str] | None = None,
    *,
    config: Any = None,
    environ: Mapping[str, str] | None = None,
) -> UserCache:
    """Return the user's cache.

    It is the one chosen; else that of ``DVC_STUDIO_MODELS_CACHE``; else ``cache.dir``
    of DVC's global or system config; else a folder among the user's caches.

    Args:
        chosen: By an option.
        config: A parsed config of DVC's. It is used if it is of no project, so that
            the files are not parsed again.
        environ: Defaults to the process's environment.

    Raises:
        StudioConfigError: DVC cannot read its config.
        LocalDiskError: The config cannot be read, or the user has no home folder.
    """
    env = os.environ if environ is None else environ
    folder = os.fspath(chosen or "") or env.get(VARIABLE)
    configured = None if folder else _configured(config)
    path = os.path.expanduser(folder or configured or _default())
    return UserCache(Path(os.path.realpath(path)), configured is not None)


def _default() -> str:
    import platformdirs

    try:
        folder = platformdirs.user_cache_dir("dvc-studio-models", appauthor=False)
    except RuntimeError:  # of platformdirs 4.14 and later
        folder = "~"
    if not os.path.isabs(folder):  # noqa: PTH117
        reason = "this user has no home folder; set DVC_STUDIO_MODELS_CACHE"
        raise LocalDiskError("~/.cache", reason)
    return folder


def _configured(config: Any) -> str | None:
    """Return ``cache.dir`` of the config levels that belong to no project."""
    if config is None or config.dvc_dir is not None:
        with config_errors(), disk_errors("DVC's config", action="read"):
            config = read_config(None)
    folder = config["cache"].get("dir")
    return folder if folder and "://" not in folder else None
