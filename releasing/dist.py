"""Builds sdist and wheel twice, compares the bytes, and writes them with their hashes.

What is built is the commit that is checked out, not the working tree. The two builds
run in folders of different names, with different umasks and time zones. The time in
the archives is the commit's (``SOURCE_DATE_EPOCH``). The build backend is the one of
the Python that runs this: ``make dist`` installs it from ``build-requirements.txt``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from releasing.refusal import RefusalError, end, git

HASHES = "SHA256SUMS"
LAST = ("-1", "--no-show-signature")  # which log.showSignature puts before the rest
SURROUNDINGS = [("first", 0o022, "UTC0"), ("the second", 0o077, "XYZ-11")]
"""Folder, umask and time zone of each build."""


def build(source: Path, target: Path, *, epoch: str, umask: int, zone: str) -> None:
    """Build sdist and wheel of the folder ``source`` into ``target``.

    Raises:
        RefusalError: The build backend failed.
    """
    command = ["-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "TZ": zone}
    done = subprocess.run(
        [sys.executable, *command, target],
        cwd=source,
        env=environment,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"the build failed:\n{done.stdout}{done.stderr}"
        raise RefusalError(message)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder, by its name."""
    files = sorted(folder.iterdir())
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def build_twice(root: Path, work: Path) -> Path:
    """Build the commit that is checked out in ``root``; return the folder of the files.

    Raises:
        RefusalError: Git or the build failed, or the two builds differ.
    """
    epoch = git(root, "log", *LAST, "--format=%ct").strip()
    made = []
    for name, umask, zone in SURROUNDINGS:
        source = work / name / "source"
        source.mkdir(parents=True)
        unpack(root, source)
        made.append(work / name / "dist")
        build(source, made[-1], epoch=epoch, umask=umask, zone=zone)
    first, second = map(hashes, made)
    if first != second:
        lines = [f"  {name}: {first.get(name)}, {second.get(name)}" for name in first]
        message = "the two builds differ:\n" + "\n".join(lines)
        raise RefusalError(message)
    return made[0]


def check_version(made: Path, version: str | None) -> None:
    """Check that the files in a folder are of a version, if one is given.

    Raises:
        RefusalError: They are of another.
    """
    for wheel in made.glob("*.whl"):
        built = wheel.name.split("-")[1]
        if version not in {None, built, f"v{built}"}:
            message = f"the commit has version {built}, not {version}"
            raise RefusalError(message)


def unpack(root: Path, target: Path) -> None:
    """Write the files of the commit that is checked out in ``root`` to ``target``."""
    command = ["git", "archive", "--format=tar", "HEAD"]
    packed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(target, filter="data")


def main() -> None:
    """Write sdist, wheel and their hashes to a folder, which is replaced."""
    parser = argparse.ArgumentParser(prog="releasing.dist", description=__doc__)
    parser.add_argument("target", type=Path, help="the folder, such as dist")
    parser.add_argument("--version", help="refuse another one; or its tag, as v1.2.0")
    args = parser.parse_args()
    target = args.target.resolve()
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        made = build_twice(root, Path(folder))
        check_version(made, args.version)
        lines = [f"{digest}  {name}\n" for name, digest in hashes(made).items()]
        (made / HASHES).write_text("".join(lines))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
    if git(root, "status", "--porcelain"):
        print("WARNING: built the last commit, without the uncommitted changes")
    commit = git(root, "log", *LAST, "--format=%h of %cI").strip()
    print(f"Built commit {commit} twice, with the same bytes:")
    print("".join(lines), end="")


if __name__ == "__main__":
    end(main)
