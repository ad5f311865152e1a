"""Checks for the programs and system features that tests need.

Programs and packages can be installed. If one is missing, the test is skipped on a
developer's machine and fails if ``CI`` is set. A second file system, namespaces and
what only Linux has depend on the machine. If one is missing, the test is always
skipped, with a reason.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import folding_fs
import pytest
from dvc.version import version_tuple
from dvc_data.hashfile.state import State
from packaging.version import Version

CAN_WAIT = version_tuple[:2] >= (3, 61)
"""Whether DVC has ``--wait-for-lock``."""

KNOWS_MODES = Version(metadata.version("dvc-data")) >= Version("3.16")
"""Whether ``dvc checkout`` knows an executable file from a changed one."""

SAVES_MANY = hasattr(State, "save_many")
"""Whether DVC's state saves many hashes in one transaction."""

if TYPE_CHECKING:
    from collections.abc import Iterator

LINUX_PROGRAMS = {"setarch", "setpriv", "strace", "systemd-analyze", "unshare"}
SHARED_MEMORY = Path("/dev/shm")


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where everything must be installed."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need_program(name: str, path: str | None = None) -> None:
    """Skip the test unless the program is on PATH, or on another path like it."""
    if shutil.which(name, path=path) is None:
        if name in LINUX_PROGRAMS and sys.platform != "linux":
            pytest.skip(f"only Linux has {name}")
        lacking(f"{name} is missing")


def without_rights() -> list[str]:
    """Return a prefix of commands, with which root reads only what modes allow."""
    if os.geteuid() != 0:
        return []
    need_program("setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@contextlib.contextmanager
def closed(path: Path, mode: int = 0) -> Iterator[None]:
    """Take rights on a file or folder away from everybody."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def need_package(module: str) -> None:
    """Skip the test unless the package is installed."""
    if importlib.util.find_spec(module) is None:
        name = module.replace("_", "-")
        lacking(f"{name} is missing: pip install {name}")


def need_proc() -> None:
    """Skip the test unless the system shows its processes as files, as Linux does."""
    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc")


def need_full_device() -> Path:
    """Return a device that is always full; skip the test where there is none."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    return full


def need_waiting() -> None:
    """Skip the test unless DVC has ``--wait-for-lock``."""
    if not CAN_WAIT:
        pytest.skip("DVC before 3.61 has no --wait-for-lock")


def other_file_system(path: Path) -> Path:
    """Return a folder on another file system than ``path``."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == path.stat().st_dev:
        pytest.skip("there is no second file system")
    return SHARED_MEMORY


@contextlib.contextmanager
def folding_file_system(kind: str, home: Path) -> Iterator[Path]:
    """Mount a file system that finds names as macOS does, until the context ends.

    Args:
        kind: See ``folding_fs``.
        home: An empty folder for its files and its mount point.
    """
    inside, mount_point = home / "inside", home / "mounted"
    inside.mkdir()
    mount_point.mkdir()
    with contextlib.ExitStack() as stack:
        try:
            mounting = folding_fs.mounted(kind, inside, mount_point)
            path = stack.enter_context(mounting)
        except folding_fs.CannotMountError as error:
            reason = f"{folding_fs.DEVICE} mounts no file system: {error}"
            if os.geteuid() == 0 and folding_fs.DEVICE.exists():
                lacking(reason)
            pytest.skip(reason)
        yield path


def mount_namespace() -> list[str]:
    """Return a prefix for commands that need to mount file systems."""
    need_program("unshare")
    command = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no mount namespace can be made")
    return command


def stranger() -> list[str]:
    """Return a prefix that runs a command as a user without a name.

    The user owns the test's files, and has no rights beyond the modes of files.
    """
    need_program("unshare")
    command = ["unshare", "--user", "--map-user=6000", "--map-group=6000"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace can be made")
    return command


def give_away(path: Path) -> None:
    """Change the owner of a file or folder to another user."""
    try:
        os.chown(path, 7777, 7777)
    except PermissionError:
        pytest.skip("only root can give a folder to another user")
