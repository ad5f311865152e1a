"""Measures pulls and lists in clones with few and with many tags.

    python -m benchmarks.tags [--dvc DVC] [--rounds N]

``--dvc`` runs another environment's ``dvc``, to compare two versions of this package.
The clone's DVC remote is a folder, and all versions have the same content, so the rows
differ only in the work of Git and in the reading of its tags.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS = {"10 tags, one model": (10, 1), "3,000 tags, one model": (3000, 1)}
COUNTS |= {
    "10,000 tags, 100 models": (10_000, 100),
    "10,000 tags, one model": (10_000, 1),
}
"""Title -> number of tags, number of models."""

PULL = ("models", "pull", "m0", "--source", "remote")
LIMIT_S = 300
_DVC_CONFIG = """\
[core]
    remote = storage
    analytics = false
    check_update = false
['remote "storage"']
    url = {storage}
"""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dvc", default=str(Path(sys.executable).with_name("dvc")))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print("| tags | first pull, s | the next pull, s | list, s |\n|---|---|---|---|")
    for title, (count, models) in COUNTS.items():
        with tempfile.TemporaryDirectory() as folder:
            times = measure(Path(folder), args.dvc, count, models, rounds=args.rounds)
        print(f"| {title} | {' | '.join(times)} |", flush=True)


def measure(
    folder: Path, dvc: str, count: int, models: int, *, rounds: int
) -> list[str]:
    """Return the median times of the commands in seconds, each round in a new clone."""
    env = environment(folder)
    make_repo(folder, dvc, count, models, env)
    rows = []
    for number in range(rounds):
        clone = folder / f"clone-{number}"
        run(["git", "clone", "-q", str(folder / "repo"), str(clone)], folder, env)
        commands = (PULL, PULL, ("models", "list"))
        rows.append([seconds([dvc, *command], clone, env) for command in commands])
        shutil.rmtree(clone)
    return [f"{statistics.median(column):.2f}" for column in zip(*rows, strict=True)]


def environment(folder: Path) -> dict[str, str]:
    """Return an environment without the user's settings."""
    home = {"HOME": "home", "DVC_SITE_CACHE_DIR": "site", "XDG_CACHE_HOME": "cache"}
    names = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "XDG_CONFIG_HOME")
    places = {**home, **{name: name.lower() for name in names}}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "GIT_"))}
    ours = {name: str(folder / place) for name, place in places.items()}
    who = {
        f"GIT_{role}_{key}": "ada@example.com"
        for role in ("AUTHOR", "COMMITTER")
        for key in ("NAME", "EMAIL")
    }
    return {**kept, **ours, **who, "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1"}


def make_repo(
    folder: Path, dvc: str, count: int, models: int, env: Mapping[str, str]
) -> None:
    """Create a repo with ``count`` tags, spread over its models."""
    repo = folder / "repo"
    repo.mkdir()
    run(["git", "init", "-q", "-b", "main"], repo, env)
    run([dvc, "init", "-q"], repo, env)
    config = _DVC_CONFIG.format(storage=folder / "storage")
    (repo / ".dvc/config").write_text(config)
    (repo / "m.bin").write_bytes(b"model")
    names = [f"m{number}" for number in range(models)]
    entries = "".join(f"  {name}: {{path: m.bin, type: model}}\n" for name in names)
    (repo / "dvc.yaml").write_text(f"artifacts:\n{entries}")
    run([dvc, "add", "-q", "m.bin"], repo, env)
    run([dvc, "push", "-q"], repo, env)
    run(["git", "add", "-A"], repo, env)
    run(["git", "commit", "-qm", "m"], repo, env)
    head = run(["git", "rev-parse", "HEAD"], repo, env).strip()
    tags = (
        f"tag {names[n % models]}@v{n // models}.0.0\nfrom {head}\n"
        f"tagger Ada <ada@example.com> {1_700_000_000 + n} +0000\ndata 1\nm\n"
        for n in range(count)
    )
    run(["git", "fast-import", "--quiet"], repo, env, given="".join(tags))


def seconds(command: list[str], cwd: Path, env: Mapping[str, str]) -> float:
    """Return the wall time of a command, in seconds."""
    began = time.perf_counter()
    run(command, cwd, env)
    return time.perf_counter() - began


def run(
    command: list[str], cwd: Path, env: Mapping[str, str], given: str | None = None
) -> str:
    """Run a command that must succeed, and return its output."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    ).stdout


if __name__ == "__main__":
    main()
