"""A pull without a cache that fails while placing files does not download twice."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from fetching import noise
from needs import need_program
from projects import git

from dvc_studio_models import pull
from dvc_studio_models.errors import TargetChangedError, UnsafePathError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

pytestmark = pytest.mark.reliability("Through `dvc`: a placement that fails")

MODEL = {
    "models/a.bin": noise(2 << 20, 1),
    "models/b.bin": noise(2 << 20, 2),
    "models/small.bin": noise(1000, 3),
    "other/c.bin": noise(2 << 20, 4),
}
SMALL_BYTES = 1000
"""So much may be downloaded again after a kill."""


@dataclass(frozen=True)
class Place:
    """A folder without a cache, and how to pull into it."""

    folder: Path
    root: Path
    options: dict[str, Any]

    def pull(self, **options: Any) -> None:
        pull("m", folder=self.folder, **self.options, **options)

    def content(self) -> dict[str, bytes]:
        """Read all files but those of Git and DVC."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file()
            if not path.is_relative_to(self.root / ".git")
            if not path.is_relative_to(self.root / ".dvc")
            if path.name not in {".dvcignore", ".gitignore"}
        }


@pytest.fixture(params=["no cache", "no DVC project", "another folder"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    for name, value in studio.environ.items():
        monkeypatch.setenv(name, value)
    studio.serve("m", file_server.publish(MODEL))
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "https://git.example.com/a/b.git")
    if request.param != "no DVC project":
        assert run_dvc("init", "--quiet", cwd=folder).returncode == 0
    if request.param == "another folder":
        return Place(folder, tmp_path / "out", {"out": "../out", "cache": False})
    return Place(folder, folder, {"cache": False})


def make_target(root: Path) -> None:
    (root / "models").mkdir(parents=True, exist_ok=True)
    (root / "models/b.bin").write_bytes(b"mine")


def take_target_away(root: Path) -> None:
    (root / "models/b.bin").unlink()


def make_parent(root: Path) -> None:
    """Make the last file fail, after the others are placed."""
    root.mkdir(exist_ok=True)
    (root / "other").write_bytes(b"mine")


def take_parent_away(root: Path) -> None:
    (root / "other").unlink()


@pytest.mark.parametrize(
    ("change", "undo", "error"),
    [
        pytest.param(make_target, take_target_away, TargetChangedError, id="target"),
        pytest.param(make_parent, take_parent_away, UnsafePathError, id="parent"),
    ],
)
def test_after_a_refusal_nothing_is_downloaded_again(
    place: Place,
    file_server: FileServer,
    change: Callable[[Path], None],
    undo: Callable[[Path], None],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        place.pull(progress=lambda _done, _total: change(place.root))
    undo(place.root)
    served = file_server.bytes_served
    place.pull()

    assert file_server.bytes_served == served
    assert place.content() == MODEL


PULL = """
import sys
from dvc_studio_models import pull
pull("m", folder=sys.argv[1], **eval(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        pytest.param("fsync:error=ENOSPC", 0, id="disk-full"),
        pytest.param("linkat:signal=INT:when=2", 0, id="Ctrl-C"),
        pytest.param("linkat:signal=KILL:when=2", SMALL_BYTES, id="kill"),
        pytest.param("mkdirat:signal=INT:when=2", 0, id="Ctrl-C-new-folders"),
        pytest.param("mkdirat:signal=KILL:when=2", SMALL_BYTES, id="kill-new-folders"),
    ],
)
def test_after_a_fault_nothing_is_downloaded_again(
    place: Place, tmp_path: Path, file_server: FileServer, fault: str, again: int
) -> None:
    """The second ``linkat`` into a folder of the model places its second file.

    The second ``mkdirat`` in the root makes way for the second new folder.
    """
    need_program("strace")
    calls = tmp_path / "calls"
    call = fault.partition(":")[0]
    folder = {"linkat": place.root / "models", "mkdirat": place.root}.get(call)
    only = ["-P", folder] if folder else []
    if call == "linkat":
        (place.root / "models").mkdir(parents=True)
    trace = ["-e", f"trace={call}", "-e", f"inject={fault}", *only]
    run = [sys.executable, "-c", PULL, place.folder, repr(place.options)]
    done = subprocess.run(
        ["strace", "-f", "-y", "-o", calls, *trace, *run],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0, calls.read_text()
    served = file_server.bytes_served
    assert served >= sum(map(len, MODEL.values()))

    place.pull()

    assert file_server.bytes_served - served <= again, calls.read_text()
    assert place.content() == MODEL
