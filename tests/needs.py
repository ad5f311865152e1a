"""What tests need of their machine.

Programs and packages can be installed: without one a test skips on a developer's
machine, and fails where ``CI`` is set. A second file system and namespaces are for the
machine to give: without them a test skips anywhere, and says so.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

SHARED_MEMORY = Path("/dev/shm")


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be lacking."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need_program(name: str) -> None:
    """Go on only if it is on the PATH."""
    if shutil.which(name) is None:
        lacking(f"{name} is missing")


def need_package(module: str) -> None:
    """Go on only if this environment has it."""
    if importlib.util.find_spec(module) is None:
        name = module.replace("_", "-")
        lacking(f"{name} is missing: pip install {name}")


def other_file_system(path: Path) -> Path:
    """Give a folder that is on another file system than ``path``."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == path.stat().st_dev:
        pytest.skip("there is no second file system")
    return SHARED_MEMORY


def mount_namespace() -> list[str]:
    """Give what goes before a command that may mount."""
    command = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no mount namespace can be made")
    return command


def stranger() -> list[str]:
    """Give what goes before a command that is to run as a user without a name.

    It has no right that the modes of files do not give to their owner, who it is here.
    """
    command = ["unshare", "--user", "--map-user=6000", "--map-group=6000"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace can be made")
    return command


def give_away(path: Path) -> None:
    """Make a file or folder that of another user."""
    try:
        os.chown(path, 7777, 7777)
    except PermissionError:
        pytest.skip("only root can give a folder to another user")
