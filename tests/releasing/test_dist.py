"""``make dist`` in real clones: the same commit gives the same bytes, or none."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from signing import ssh_key

if TYPE_CHECKING:
    from tests.releasing.conftest import Clone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HOOK = """
from pathlib import Path
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        Path("dvc_studio_models/where").write_text(str(Path.cwd()))
"""


def dist(folder: Path, target: str, *, umask: int, **env: str) -> dict[str, bytes]:
    """Run ``releasing.dist`` in a clone, and return what it wrote."""
    subprocess.run(
        [sys.executable, "-m", "releasing.dist", target],
        cwd=folder,
        umask=umask,
        env={**os.environ, **env},
        check=True,
        capture_output=True,
    )
    return {each.name: each.read_bytes() for each in (folder / target).iterdir()}


def test_the_same_commit_gives_the_same_bytes_everywhere(
    clone: Clone, tmp_path: Path
) -> None:
    other = tmp_path / "another folder" / "with a longer path"
    other.parent.mkdir()
    clone.git("clone", "--quiet", clone.folder, other)
    (clone.folder / "left behind").write_text("not in Git\n")

    first = dist(clone.folder, "dist", umask=0o022, TZ="UTC0")
    second = dist(other, "out/of/it", umask=0o077, TZ="XYZ-14", LC_ALL="C", HOME="/")

    assert first == second
    kinds = sorted(Path(name).suffix for name in first)
    assert kinds == ["", ".gz", ".whl"]


def test_an_interrupt_ends_it_with_a_sentence(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nkill -INT $PPID; sleep 9\n")
    program.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        done = clone.module("dist", "dist")

    assert (done.returncode, done.stderr) == (1, "ERROR: interrupted\n")
    assert not (clone.folder / "dist").exists()


def test_a_signature_that_git_shows_is_not_taken_for_the_time(
    clone: Clone, tmp_path: Path
) -> None:
    key = ssh_key(tmp_path)
    clone.git(*key.settings, "commit", "--quiet", "--amend", "--no-edit", "--gpg-sign")
    clone.git("config", "log.showSignature", "true")
    assert "signature" in clone.run("git", "log", "-1").stdout

    assert dist(clone.folder, "dist", umask=0o022)


def test_git_converts_no_line_ends(clone: Clone, tmp_path: Path) -> None:
    other = tmp_path / "other"
    settings = ("--config", "core.autocrlf=true", "--config", "core.eol=crlf")
    clone.git("clone", "--quiet", *settings, clone.folder, other)

    first = dist(clone.folder, "dist", umask=0o022)
    second = dist(other, "dist", umask=0o022)

    assert first == second
    for name in (".ci/run", "Makefile", "dvc-studio-models.pth"):
        assert b"\r" not in (other / name).read_bytes()


@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_the_command_of_the_docs_compares_what_is_in_two_wheels(
    clone: Clone, tmp_path: Path, changed: bool
) -> None:
    text = (ROOT / "docs" / "releasing.md").read_text("utf-8")
    (block,) = re.findall(r"```console\n((?:  \$ .*\n)+)  ```", text)
    script = re.sub(r"^  \$ ", "", block, flags=re.M)
    assert "WHEEL" in script
    assert clone.module("dist", "dist").returncode == 0
    (built,) = clone.folder.glob("dist/*.whl")
    other = tmp_path / built.name
    with zipfile.ZipFile(built) as old, zipfile.ZipFile(other, "w") as new:
        for each in old.infolist():
            data = old.read(each)
            if changed and each.filename.endswith(".pth"):
                data += b"import other\n"
            new.writestr(each, data, zipfile.ZIP_DEFLATED, compresslevel=1)

    done = clone.run("bash", "-c", script.replace("WHEEL", str(other)))

    assert other.read_bytes() != built.read_bytes()
    assert (done.returncode, bool(done.stdout)) == (int(changed), changed), done.stderr


def test_the_hashes_are_those_of_the_files(clone: Clone) -> None:
    done = clone.module("dist", "dist")

    hashes = clone.read("dist/SHA256SUMS")
    files = sorted(clone.folder.glob("dist/dvc_*"))
    assert hashes.splitlines() == [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}"
        for each in files
    ]
    assert hashes in done.stdout
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=clone.folder / "dist", check=False
    )
    assert checked.returncode == 0


def test_builds_that_differ_are_refused(clone: Clone) -> None:
    (clone.folder / "hatch_build.py").write_text(HOOK)
    with (clone.folder / "pyproject.toml").open("a") as settings:
        settings.write("\n[tool.hatch.build.hooks.custom]\n")
    clone.commit()

    done = clone.module("dist", "dist")

    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: the two builds differ:\n  dvc_studio_models-")
    assert not (clone.folder / "dist").exists()


def test_what_is_not_committed_is_not_built_and_said(clone: Clone) -> None:
    clone.change("dvc_studio_models/__init__.py", "98.7.6.dev0", "98.7.7.dev0")

    done = clone.module("dist", "dist")

    assert "WARNING: built the last commit, without the uncommitted" in done.stdout
    assert list(clone.folder.glob("dist/*98.7.6.dev0*.whl"))


@pytest.mark.parametrize("version", ["98.7.6", "v98.7.7.dev0", "dev0"])
def test_another_version_than_the_one_of_the_tag_is_refused(
    clone: Clone, version: str
) -> None:
    done = clone.module("dist", "--version", version, "dist")

    said = f"ERROR: the commit has version 98.7.6.dev0, not {version}\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (clone.folder / "dist").exists()


def test_a_failed_build_shows_its_output(clone: Clone) -> None:
    clone.change("pyproject.toml", 'license = "Apache-2.0"', 'license = "None at all"')
    clone.commit()

    done = clone.module("dist", "dist")

    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: the build failed:\n")
    assert "None at all" in done.stderr


def test_the_files_pass_the_checks_of_an_index(clone: Clone) -> None:
    assert clone.module("dist", "--version", "v98.7.6.dev0", "dist").returncode == 0
    wheel, sdist = sorted(clone.folder.glob("dist/dvc_*"), key=lambda p: p.suffix)[::-1]

    checked = clone.run(BIN / "twine", "check", "--strict", wheel, sdist)
    content = clone.run(BIN / "check-wheel-contents", wheel)

    assert checked.stdout.count("PASSED") == 2, checked.stdout
    assert content.stdout == f"{wheel}: OK\n"


def test_neither_releasing_nor_tests_are_in_the_wheel(clone: Clone) -> None:
    assert clone.module("dist", "dist").returncode == 0
    (wheel,) = clone.folder.glob("dist/*.whl")
    (sdist,) = clone.folder.glob("dist/*.tar.gz")

    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    with tarfile.open(sdist) as archive:
        second = {name.split("/")[1] for name in archive.getnames()}

    assert not {"releasing", "tests"} & top
    assert {"releasing", "tests", "Makefile"} <= second
