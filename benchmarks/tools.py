"""The commands of the tools. Each starts with no files and downloads all of them.

Tools that do not support models get the URLs; ``dvc`` asks Studio for them. Each tool
may use as many connections as a pull, except ``dvc artifacts get``, which has no option
for it.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import Runs, Usage
from benchmarks.project import DVC, MODEL, REPO_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from benchmarks.measure import Runner
    from benchmarks.project import Project

PULL = "dvc models pull"
PULL_LINKED = "dvc models pull, cache.type hardlink"
GET = "dvc artifacts get"
CURL = "curl"
CURL_MANY = "curl --parallel --parallel-max 16"
CURL_WIDE = "curl --parallel --parallel-max 64"
CHECKOUT = "dvc checkout"
BARE = "bare prototype"
ARIA2C = "aria2c"
CONNECTIONS = 16
WIDE_CONNECTIONS = 64
GET_CONNECTIONS = 4 * (os.cpu_count() or 1)  # the default of dvc_objects' file systems
MD5SUM = "md5sum"
LIST = "files.list"
SUMS = "files.md5"
FEW_ROUNDS = 2  # for tools whose time depends only on the limit of the port


@dataclass(frozen=True)
class Work:
    """The latest version of a project's model, at one of nginx's ports."""

    project: Project
    origin: str

    @property
    def urls(self) -> dict[str, str]:
        """Path in the repo -> URL."""
        return self.project.urls(self.project.latest, self.origin)


@dataclass(frozen=True)
class Tool:
    """A tool that downloads the files."""

    name: str
    prepare: Callable[[Work, Path], list[str]]
    """Creates the folder and returns the command to run in it."""

    verifies: bool = False
    """Whether the tool verifies hashes. If so, only its first result is checked."""


def then_md5sum(name: str) -> str:
    """Return the row name for a tool followed by ``md5sum``."""
    return f"{name}, then {MD5SUM}"


def pull(work: Work, folder: Path) -> list[str]:
    """Pull into a new clone, through the DVC cache."""
    work.project.clone(folder)
    return [DVC, "models", "pull", MODEL]


def pull_linked(work: Work, folder: Path) -> list[str]:
    """Pull with hard links between the cache and the workspace."""
    command = pull(work, folder)
    local = folder / ".dvc" / "config.local"
    local.write_text("[cache]\n    type = hardlink\n", "utf-8")
    return command


def pull_as_get(work: Work, folder: Path) -> list[str]:
    """Pull with as many connections as ``dvc artifacts get`` uses."""
    return [*pull(work, folder), "--jobs", str(GET_CONNECTIONS)]


def artifacts_get(work: Work, folder: Path) -> list[str]:
    """Download from the same Studio with DVC's own command."""
    _ = work
    folder.mkdir()
    return [DVC, "artifacts", "get", REPO_URL, MODEL]


def curl(name: str, connections: int) -> Tool:
    """Return a tool that downloads several files in parallel with curl."""

    def prepare(work: Work, folder: Path) -> list[str]:
        folder.mkdir()
        lines = [f"url = {url}\noutput = {path}\n" for path, url in work.urls.items()]
        (folder / LIST).write_text("".join(lines), "utf-8")
        parallel = ["--parallel", "--parallel-max", str(connections)]
        return ["curl", "-sS", "--fail", "--create-dirs", *parallel, "-K", LIST]

    return Tool(name, prepare)


def aria2c(*options: str) -> Tool:
    """Return a tool that runs aria2c with ``options``."""

    def prepare(work: Work, folder: Path) -> list[str]:
        folder.mkdir()
        lines = [f"{url}\n  out={path}\n" for path, url in work.urls.items()]
        (folder / LIST).write_text("".join(lines), "utf-8")
        quiet = ["--no-conf", "-q", "--file-allocation=none"]
        return [ARIA2C, *quiet, *options, "-i", LIST]

    return Tool(" ".join([ARIA2C, *options]), prepare)


def checkout(work: Work, folder: Path) -> list[str]:
    """Copy from the folder that nginx serves, which is a DVC cache."""
    work.project.clone(folder)
    local = folder / ".dvc" / "config.local"
    local.write_text(f"[cache]\n    dir = {work.project.objects}\n", "utf-8")
    return [DVC, "checkout"]


def bare(name: str, *options: str) -> Tool:
    """Return a tool that runs :mod:`benchmarks.bare` with ``options``."""

    def prepare(work: Work, folder: Path) -> list[str]:
        work.project.clone(folder)
        command = [sys.executable, "-m", "benchmarks.bare", REPO_URL, MODEL]
        return [*command, *options]

    return Tool(name, prepare, verifies=True)


def md5sum(work: Work, folder: Path) -> list[str]:
    """Hash the files that nginx serves. No verified download can be faster."""
    folder.mkdir()
    files = work.project.latest.files
    sums = [f"{md5}  {work.project.object_path(md5)}\n" for md5 in files.values()]
    (folder / SUMS).write_text("".join(sums), "utf-8")
    return _check_sums()


TOOL_PULL = Tool(PULL, pull, verifies=True)
TOOL_PULL_LINKED = Tool(PULL_LINKED, pull_linked, verifies=True)
TOOL_PULL_AS_GET = Tool(f"{PULL} --jobs {GET_CONNECTIONS}", pull_as_get, verifies=True)
TOOL_GET = Tool(GET, artifacts_get)
TOOL_CHECKOUT = Tool(CHECKOUT, checkout, verifies=True)
TOOL_CURL = curl(CURL, CONNECTIONS)
TOOL_CURL_MANY = curl(CURL_MANY, CONNECTIONS)
TOOL_CURL_WIDE = curl(CURL_WIDE, WIDE_CONNECTIONS)
TOOL_BARE = bare(BARE)
TOOL_BARE_LINKED = bare(f"{BARE}, hard links", "--links")
TOOL_BARE_WIDE = bare(BARE, "--connections", str(WIDE_CONNECTIONS))
TOOL_MD5SUM = Tool(MD5SUM, md5sum, verifies=True)


def run_in_turn(
    runner: Runner,
    work: Work,
    folder: Path,
    tools: Sequence[Tool],
    *,
    rounds: int,
    few: Collection[str] = (),
) -> dict[str, Runs]:
    """Run every tool in turn, each time with an empty folder.

    Args:
        runner: Measures the commands.
        work: The files to download.
        folder: Created and removed by every run.
        tools: The tools in order; every other round is in reverse order.
        rounds: The number of rounds.
        few: Names of the tools that only run :data:`FEW_ROUNDS` rounds.
    """
    usages: dict[str, list[Usage]] = {}
    for number in range(rounds):
        for tool in tools if number % 2 == 0 else reversed(tools):
            if tool.name in few and number >= FEW_ROUNDS:
                continue
            hashed = not tool.verifies or number == 0
            done = _run_once(runner, work, folder, tool, hashed=hashed)
            for name, usage in done.items():
                usages.setdefault(name, []).append(usage)
    return {name: Runs(tuple(taken)) for name, taken in usages.items()}


def _run_once(
    runner: Runner, work: Work, folder: Path, tool: Tool, *, hashed: bool
) -> dict[str, Usage]:
    """Run a tool and, if ``hashed``, check its files with ``md5sum``."""
    try:
        usage = runner.run(tool.prepare(work, folder), folder)
        if tool.name == MD5SUM or not hashed:
            return {tool.name: usage}
        hashing = check(runner, work, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if tool.verifies:
        return {tool.name: usage}
    return {tool.name: usage, then_md5sum(tool.name): usage + hashing}


def check(runner: Runner, work: Work, folder: Path) -> Usage:
    """Check that a folder contains the latest version, and return the usage."""
    sums = [f"{md5}  {path}\n" for path, md5 in work.project.latest.files.items()]
    (folder / SUMS).write_text("".join(sums), "utf-8")
    return runner.run(_check_sums(), folder)


def _check_sums() -> list[str]:
    return [MD5SUM, "--check", "--quiet", SUMS]
