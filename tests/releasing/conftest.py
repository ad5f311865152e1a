"""A real clone of this repository, which is ready to release 98.7.6."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "dvc_studio_models/__init__.py"
PLACEHOLDER = "https://" + "git.example.com/dvc-studio-models"
OVERLAID = [
    ".gitattributes",
    "Makefile",
    "releasing",
    "CHANGELOG.md",
    "CITATION.cff",
    "pyproject.toml",
    PACKAGE,
]
"""Read from the working tree, so that a test sees what is not committed yet."""


class Clone:
    """A clone on the branch main, with an origin to push to."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder = folder
        self.origin = origin

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def module(self, name: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the clone's own ``releasing``."""
        return self.run(sys.executable, "-m", f"releasing.{name}", *args)

    def shell(self, line: str) -> None:
        done = self.run("bash", "-c", line)
        assert done.returncode == 0, done.stdout + done.stderr

    def git(self, *args: str | Path) -> str:
        done = self.run("git", *args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file, where it must be."""
        text = self.read(name)
        assert old in text
        (self.folder / name).write_text(text.replace(old, new), "utf-8")

    def commit(self, subject: str = "Change") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)

    def state(self) -> tuple[str, ...]:
        """Return all that a refused command must leave as it was."""
        return (
            self.git("rev-parse", "HEAD"),
            self.git("status", "--porcelain"),
            self.git("tag", "--list"),
            self.git("worktree", "list"),
        )


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """The clone as it is in Git."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ada@example.com")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    for name in [name for name in os.environ if name.startswith("COV_")]:
        monkeypatch.delenv(name)
    clone = Clone(tmp_path / "clone", tmp_path / "origin.git")
    command = ["git", "clone", "--quiet", "--no-tags", ROOT, clone.folder]
    subprocess.run(command, check=True, capture_output=True)
    clone.git("switch", "--quiet", "--force-create", "main")
    for name in OVERLAID:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, clone.folder / name, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / name, clone.folder / name)
    clone.commit()
    clone.git("clone", "--quiet", "--bare", clone.folder, clone.origin)
    clone.git("remote", "set-url", "origin", str(clone.origin))
    return clone


@pytest.fixture
def clone(fresh: Clone) -> Clone:
    """The clone with an address, something to release, and the version before it."""
    settings = fresh.read("pyproject.toml")
    settings = settings.replace(PLACEHOLDER, "https://git.acme.test/ours")
    (fresh.folder / "pyproject.toml").write_text(settings, "utf-8")
    (line,) = re.findall(r"^__version__ = .*$", fresh.read(PACKAGE), re.M)
    fresh.change(PACKAGE, line, '__version__ = "98.7.6.dev0"')
    added = "## [Unreleased]\n\n### Added\n\n- A test, see\n  [docs/x.md](docs/x.md).\n"
    fresh.change("CHANGELOG.md", "## [Unreleased]\n", added)
    fresh.commit("Get ready")
    return fresh
