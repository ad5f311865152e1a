"""A project like a user's: Git, DVC and one registered model of random bytes.

DVC creates it. Its cache folder is inside the folder that nginx serves, so the objects
have the same paths as on a remote, and no byte is on the disk twice.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DVC = str(Path(sys.executable).with_name("dvc"))
MODEL = "model"
MODEL_PATH = "models/weights"
REPO_URL = "git@git.example.com:acme/models.git"
_DVC_YAML = f"artifacts:\n  {MODEL}:\n    path: {MODEL_PATH}\n    type: model\n"
_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Version:
    """One registered version."""

    name: str
    """With the leading ``v``."""

    files: Mapping[str, str]
    """Path in the repo -> MD5."""

    total_bytes: int


@dataclass(frozen=True)
class Project:
    """A repo, and its objects in the folder that nginx serves."""

    repo: Path
    objects: Path
    versions: tuple[Version, ...]
    env: Mapping[str, str]

    @property
    def latest(self) -> Version:
        """The version that a pull without a version gets."""
        return self.versions[-1]

    def clone(self, to: Path) -> Path:
        """Make a new clone, with an empty DVC cache."""
        _run("git", "clone", "-q", str(self.repo), str(to), cwd=to.parent, env=self.env)
        self.git(to, "remote", "set-url", "origin", REPO_URL)
        return to

    def git(self, folder: Path, *args: str) -> None:
        """Run Git."""
        _run("git", *args, cwd=folder, env=self.env)

    def object_path(self, md5: str) -> Path:
        """Return the path of an object."""
        return self.objects / "files" / "md5" / md5[:2] / md5[2:]

    def urls(self, version: Version, origin: str) -> dict[str, str]:
        """Return the URLs of a version's files, as Studio does.

        Args:
            version: The version.
            origin: The origin of one of nginx's ports.
        """
        base = f"{origin}/{self.objects.name}/files/md5"
        return {
            path: f"{base}/{md5[:2]}/{md5[2:]}" for path, md5 in version.files.items()
        }

    def remove(self) -> None:
        """Remove the repo and the objects."""
        shutil.rmtree(self.repo)
        shutil.rmtree(self.objects)


def make_project(
    repo: Path,
    objects: Path,
    versions: Sequence[Mapping[str, int]],
    env: dict[str, str],
) -> Project:
    """Create a project.

    Args:
        repo: Folder of the repo; it is created.
        objects: Folder of the objects, inside the one that nginx serves; it is created.
        versions: For each version, path below the model's path -> size in bytes. The
            path is ``""`` if the model is one file.
        env: Environment of Git and DVC.
    """
    repo.mkdir()
    _run("git", "init", "-q", "-b", "main", cwd=repo, env=env)
    _run(DVC, "init", "-q", cwd=repo, env=env)
    (repo / ".dvc" / "config").write_text(_DVC_CONFIG, "utf-8")
    (repo / ".dvc" / "config.local").write_text(
        f"[cache]\n    dir = {objects}\n    type = hardlink\n", "utf-8"
    )
    (repo / "dvc.yaml").write_text(_DVC_YAML, "utf-8")
    made = [
        _release(repo, objects, f"v{number}.0.0", sizes, env)
        for number, sizes in enumerate(versions, 1)
    ]
    shutil.rmtree(repo / "models" / "weights", ignore_errors=True)
    (repo / MODEL_PATH).unlink(missing_ok=True)
    return Project(repo, objects, tuple(made), env)


def _release(
    repo: Path, objects: Path, name: str, sizes: Mapping[str, int], env: dict[str, str]
) -> Version:
    target = repo / MODEL_PATH
    if target.is_dir():
        shutil.rmtree(target)
    for path, size in sizes.items():
        _fill(target / path if path else target, size)
    _run(DVC, "add", "-q", MODEL_PATH, cwd=repo, env=env)
    _run("git", "add", "--all", cwd=repo, env=env)
    _run("git", "commit", "-q", "-m", f"Train {name}", cwd=repo, env=env)
    tag = f"{MODEL}@{name}"
    _run("git", "tag", "-a", "-m", tag, tag, cwd=repo, env=env)
    return Version(name, _files(repo, objects), sum(sizes.values()))


def _fill(path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while size:
            size -= file.write(os.urandom(min(size, _PIECE_BYTES)))


def _files(repo: Path, objects: Path) -> dict[str, str]:
    """Return path -> MD5 of the model's current files, as DVC recorded them."""
    record = (repo / f"{MODEL_PATH}.dvc").read_text("utf-8")
    md5 = re.findall(r"md5: ([0-9a-f]{32}(?:\.dir)?)", record)[0]
    if not md5.endswith(".dir"):
        return {MODEL_PATH: md5}
    listing = objects / "files" / "md5" / md5[:2] / md5[2:]
    entries = json.loads(listing.read_text("utf-8"))
    return {f"{MODEL_PATH}/{entry['relpath']}": entry["md5"] for entry in entries}


def _run(*command: str, cwd: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"'{' '.join(command)}' failed: {done.stderr or done.stdout}"
        raise SystemExit(message)
