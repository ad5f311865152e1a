"""Real Python environments to install into and to break.

An ``Environment`` has DVC and everything else of the environment that runs the tests,
but for this project, as links: made in a moment, and nothing in it can be downloaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DVC = Path(sys.executable).parent / "dvc"
"""Of the environment that runs the tests."""

OURS = re.compile(r"(__editable__|_editable_impl)?_*dvc[-_.]studio[-_.]models", re.I)
BUILDS_OFFLINE = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class Environment:
    """A virtual environment in ``folder``, which is created."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.scripts = folder / Path(sysconfig.get_path("scripts")).name
        self.python = self.scripts / "python"
        names = {"base": str(folder), "platbase": str(folder)}
        scheme = sysconfig.get_default_scheme()
        self.packages = Path(sysconfig.get_path("purelib", scheme, names))
        for source in _installed():
            if not (self.packages / source.name).exists():
                (self.packages / source.name).symlink_to(source)

    def run(self, *command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, where neither the folder nor PYTHONPATH adds modules."""
        return run(*command, cwd=self.folder, PYTHONPATH="", **env)

    def dvc(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run DVC in it."""
        return self.run(self.python, "-m", "dvc", *args, **env)

    def pip(self, *args: str | Path) -> None:
        """Run pip in it, which must succeed."""
        done = self.run(self.python, "-m", "pip", *args, **BUILDS_OFFLINE)
        assert done.returncode == 0, done.stdout + done.stderr

    def files(self) -> set[Path]:
        """List what is in it, but for the links."""
        return {p for p in self.packages.parent.rglob("*") if not p.is_symlink()} | set(
            self.scripts.iterdir()
        )


def run(
    *command: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with ``env`` added to the environment."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _installed() -> Iterator[Path]:
    for folder in map(Path, sys.path):
        if folder.name in {"site-packages", "dist-packages"} and folder.is_dir():
            yield from (e for e in folder.iterdir() if not OURS.match(e.name))
