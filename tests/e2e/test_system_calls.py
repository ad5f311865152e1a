"""System calls of a pull of many small files: counts do not depend on the machine.

They are those of an environment with the packages that users have. DVC looks into each
package that is installed, so the packages of tests would count too.
"""

from __future__ import annotations

import compileall
import os
import random
import subprocess
import sysconfig
import venv
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from environments import ROOT
from needs import SAVES_MANY, need_program
from packaging.requirements import Requirement
from projects import Project, commit_all, init_project, write
from servers import FileServer, StudioServer
from warm import COVERAGE

from benchmarks.strace import read_counts, traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = 1000
FIRST = {
    "fsync": 50 if SAVES_MANY else 100,
    "syncfs": 10,
    "open": 4_500,
    "stat": 13_000,
    "futex": 20_000,
}
NOTHING = {"fsync": 0, "syncfs": 0, "open": 1_250, "stat": 9_500, "futex": 1_000}
DVC_YAML = "artifacts:\n  many:\n    path: models/many\n    type: model\n"


def needed(name: str, extra: str = "") -> set[str]:
    """Return the names of a distribution and of all that it depends on."""
    found: set[str] = set()
    waiting = {(name, extra)}
    seen = set()
    while waiting:
        seen.add(pair := waiting.pop())
        name, extra = pair
        found.add(name)
        for line in metadata.requires(name) or ():
            other = Requirement(line)
            if other.marker is None or other.marker.evaluate({"extra": extra}):
                pairs = {(other.name, each) for each in other.extras or {""}}
                waiting |= pairs - seen
    return found


@pytest.fixture(scope="module")
def dvc(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Run DVC with this project, its dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    names = {"base": str(folder), "platbase": str(folder)}
    scheme = sysconfig.get_default_scheme()
    packages = Path(sysconfig.get_path("purelib", scheme, names))
    for name in needed("dvc-studio-models"):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or ()}
        for top in tops - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(distribution.locate_file(top)))
    compileall.compile_dir(ROOT / "dvc_studio_models", quiet=1)
    return [folder / Path(sysconfig.get_path("scripts")).name / "python", "-m", "dvc"]


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Project, Mapping[str, str]]]:
    """A project with a model of many small files, and a client's environment."""
    noise = random.Random(0)
    files = {f"models/many/{n:04}.bin": noise.randbytes(2048) for n in range(FILES)}
    project = init_project(tmp_path_factory.mktemp("many") / "project")
    write(project.repo, {"dvc.yaml": DVC_YAML.encode(), **files})
    with Repo(str(project.repo)) as repo:
        repo.add([str(project.repo / "models/many")])
    commit_all(project, "Train")
    project.tag("many@v1.0.0")
    with StudioServer() as studio, FileServer() as server:
        studio.serve("many", server.publish(files))
        yield project, studio.environ


@pytest.fixture
def clone(served: tuple[Project, Mapping[str, str]], tmp_path: Path) -> Path:
    return served[0].clone(tmp_path / "clone")


@pytest.fixture
def env(served: tuple[Project, Mapping[str, str]]) -> dict[str, str]:
    """Without coverage, which opens files itself."""
    names = (name for name in os.environ if not name.startswith(COVERAGE))
    return {**{name: os.environ[name] for name in names}, **served[1]}


def pull(dvc: list[str | Path], clone: Path, env: dict[str, str]) -> dict[str, int]:
    """Pull, and return the number of system calls of each group."""
    need_program("strace")
    log = clone.parent / "calls"
    done = subprocess.run(
        [*traced(log, FIRST), *dvc, "models", "pull", "many"],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((clone / "models/many").iterdir())) == FILES
    return read_counts(log.read_text())


def above(counts: Mapping[str, int], limits: Mapping[str, int]) -> dict[str, int]:
    return {group: counts[group] for group in limits if counts[group] > limits[group]}


@pytest.mark.clock  # where copies are slow, threads make them, and wait for each other
@pytest.mark.parametrize("link", ["hardlink", "copy"])
def test_a_pull_of_small_files_makes_few_system_calls(
    dvc: list[str | Path], clone: Path, env: dict[str, str], link: str
) -> None:
    config = ["config", "--local", "cache.type", link]
    subprocess.run([*dvc, *config], cwd=clone, check=True)

    counts = pull(dvc, clone, env)

    assert above(counts, FIRST) == {}


def test_a_pull_with_nothing_to_do_neither_flushes_nor_opens_the_files(
    dvc: list[str | Path], clone: Path, env: dict[str, str]
) -> None:
    pull(dvc, clone, env)

    counts = pull(dvc, clone, env)

    assert above(counts, NOTHING) == {}
