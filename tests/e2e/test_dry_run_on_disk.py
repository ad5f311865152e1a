"""A dry run and a check change nothing on disk, not even the time of a folder."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import git

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

pytestmark = pytest.mark.reliability("Through `dvc`: dry runs")

MODEL = {"models/a.bin": b"a" * 1000, "models/b.bin": b"b" * 1000}
CLASHING = {"models/A.bin": b"A", "models/a.bin": b"a"}


def listing(*roots: Path) -> dict[str, tuple[int, ...]]:
    """List everything below folders with its time, size, mode and inode."""
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    found = {os.fspath(path): path.lstat() for path in paths}
    return {
        path: (stat.st_mtime_ns, stat.st_size, stat.st_mode, stat.st_ino)
        for path, stat in found.items()
    }


@pytest.fixture
def clone(tmp_path: Path, run_dvc: RunDvc) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "https://git.example.com/a/b.git")
    assert run_dvc("init", "--quiet", cwd=folder).returncode == 0
    return folder


def fresh(_pull: Callable[..., subprocess.CompletedProcess[str]], clone: Path) -> None:
    """As after ``git clone``."""
    shutil.rmtree(clone / ".dvc/tmp")
    shutil.rmtree(os.environ["DVC_SITE_CACHE_DIR"])


def pulled(pull: Callable[..., subprocess.CompletedProcess[str]], _clone: Path) -> None:
    pull()


def edited(pull: Callable[..., subprocess.CompletedProcess[str]], clone: Path) -> None:
    """DVC's state does not have the hash."""
    pull()
    (clone / "models/a.bin").write_bytes(b"an edit")


def removed(pull: Callable[..., subprocess.CompletedProcess[str]], clone: Path) -> None:
    pull()
    (clone / "models/a.bin").unlink()


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
@pytest.mark.parametrize(
    "prepare", [fresh, pulled, edited, removed], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("model", [MODEL, CLASHING], ids=["plain", "clashing"])
def test_nothing_changes_on_disk(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    home: Path,
    prepare: Callable[[Callable[..., subprocess.CompletedProcess[str]], Path], None],
    model: dict[str, bytes],
    option: str,
) -> None:
    def pull(*options: str) -> subprocess.CompletedProcess[str]:
        run = ("models", "pull", "m", *options)
        return run_dvc(*run, cwd=clone, env=studio.environ)

    studio.serve("m", file_server.publish(model))
    prepare(pull, clone)
    before = listing(clone, home)

    done = pull(option)

    assert listing(clone, home) == before
    if option == "--dry-run" and prepare is edited:
        assert done.returncode == 7
        assert "would be lost" in done.stderr
    else:
        assert done.returncode == (option == "--check" and prepare is not pulled)
        assert done.stderr == ""
