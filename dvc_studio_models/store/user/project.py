"""The user's cache as DVC opens it: a project of its own, which has no Git.

Its settings are DVC's global ones, but for the folder of the cache. DVC's state is in
it, so that it can be mounted in another container and no file is hashed again; but not
on a network's file system, where hosts that share a SQLite database would damage it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

from dvc_studio_models.errors import config_errors, disk_errors
from dvc_studio_models.files.scratch import hide_from_git
from dvc_studio_models.store.dvc.light import read_config
from dvc_studio_models.store.dvc.project import (
    RECEIPTS,
    LazyProject,
    check_writable,
    ensure_user_name,
    own_folder,
    with_any_site_cache,
)

_PRIVATE = 0o700
_READABLE = 0o755
_USERS = "users"
_LEAST_BYTES = 1 << 20
"""What DVC's databases may need."""


_NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs"),
    *("nfs4", "smb3", "smbfs", "virtiofs"),
}
"""Types of file systems; those of FUSE are taken for such, too."""


def user_folder(cache: Path) -> Path:
    """Return the folder of this user in a cache, which others may use too."""
    return cache / _USERS / str(os.getuid())


def user_receipts(cache: Path) -> Path:
    """Return where the receipts of this user's pulls through a cache are."""
    return own_folder(user_folder(cache)) / RECEIPTS


def user_folders(cache: Path) -> list[Path]:
    """List the folders of all users of a cache.

    Raises:
        LocalDiskError: They cannot be listed.
    """
    users = cache / _USERS
    with disk_errors(users, action="read"):
        try:
            # Finder makes a file `.DS_Store` in each folder that it shows.
            return sorted(user for user in users.iterdir() if user.name.isdecimal())
        except FileNotFoundError:
            return []


def make_user_folder(cache: Path) -> Path:
    """Make the folder of this user in a cache, and the cache if it does not exist.

    A new cache is readable by this user only, and hidden from Git.

    Raises:
        LocalDiskError: The file system refuses, the cache cannot be written, or its
            disk is full.
    """
    folder = user_folder(cache)
    with disk_errors(cache):
        if not cache.exists():
            _make_cache(cache)
        users = folder.parent
        if not users.is_dir():
            mode = stat.S_IMODE(cache.stat().st_mode)
            users.mkdir(exist_ok=True)
            users.chmod(mode)
        if not folder.is_dir():
            # Others may read it, so that they can prune a cache that is theirs, too.
            mode = users.stat().st_mode & _READABLE
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
        (folder / ".dvc").mkdir(exist_ok=True)
        _check_owner(folder)
        for each in (cache, folder / ".dvc"):
            check_writable(each)
        if shutil.disk_usage(cache).free < _LEAST_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return folder


def _check_owner(folder: Path) -> None:
    """Refuse a folder that another user has made where others may make folders.

    Raises:
        PermissionError: It is such a folder.
    """
    is_shared = folder.parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_shared and folder.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "its folder is of another user")


def _make_cache(cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        cache.mkdir(mode=_PRIVATE)
    opened = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        hide_from_git(opened)
    finally:
        os.close(opened)


def open_user_project(
    cache: Path, folder: Path, *, read_only: bool = False
) -> LazyProject:
    """Open the project in a user's folder, with the cache of the user.

    Args:
        cache: The folder of the cache.
        folder: Of the user, or another one with a folder ``.dvc``.
        read_only: Whether nothing may change on disk.

    Raises:
        StudioConfigError: DVC cannot read its config.
        LocalDiskError: The file system refuses.
    """
    root, config = os.fspath(folder), _config_of(cache, folder)
    return with_any_site_cache(
        lambda: LazyProject(root, config=config, read_only=read_only)
    )


def _config_of(cache: Path, folder: Path) -> Any:
    """Return DVC's global config, changed for the user's cache.

    Copies are always allowed, since the targets may be on any file system. A cache that
    a group may write is shared by it.
    """
    own = folder / ".dvc"
    with config_errors(), ensure_user_name(), disk_errors(own, action="read"):
        config = read_config(os.fspath(own))
    config["cache"].pop("local", None)
    config["cache"]["dir"] = os.fspath(cache)
    with contextlib.suppress(FileNotFoundError):
        if cache.stat().st_mode & stat.S_IWGRP:
            config["cache"].setdefault("shared", "group")
    types = config["cache"].get("type")
    if types and "copy" not in types:
        config["cache"]["type"] = [*types, "copy"]
    if not is_on_network(own):
        config["core"]["site_cache_dir"] = os.fspath(own / "tmp" / "site")
    return config


def is_on_network(folder: Path, *, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether a folder is on a file system that hosts may share.

    Args:
        folder: It exists.
        mounts: The kernel's list of mounts; without it, nothing is known to be.
            On macOS, psutil lists them.
    """
    return (
        _is_remote_on_macos(folder)
        if sys.platform == "darwin"
        else _is_network_mount(folder, mounts)
    )


def _is_network_mount(folder: Path, mounts: Path) -> bool:
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError), mounts.open() as lines:
        for line in lines:
            fields = line.split()
            if fields[2] == wanted:
                kind = fields[fields.index("-") + 1]
                return kind in _NETWORK or kind.startswith("fuse.")
    return False


def _is_remote_on_macos(folder: Path) -> bool:
    """Return whether a folder is on a volume without the flag ``MNT_LOCAL``.

    No mount point is looked at, since a server that is gone would not answer. Folders
    of the system's data volume are listed below ``/``, which is local like it.
    """
    import psutil  # type: ignore[import-untyped]

    real = Path(os.path.realpath(folder))
    mounts = psutil.disk_partitions(all=True)
    around = [each for each in mounts if real.is_relative_to(each.mountpoint)]
    if not around:
        return False
    nearest = max(around, key=lambda mount: len(mount.mountpoint))
    return "local" not in nearest.opts.split(",")
