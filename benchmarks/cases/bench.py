"""The state that all cases share, and goals that compare two rows."""

from __future__ import annotations

import shutil
import statistics
from typing import TYPE_CHECKING

from benchmarks.measure import Runs
from benchmarks.project import DVC, MODEL, MODEL_PATH, make_project
from benchmarks.report import Goal
from benchmarks.servers import HOST
from benchmarks.tools import PULL, Work, run_in_turn

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Runner
    from benchmarks.project import Project
    from benchmarks.servers import Storage, Studio
    from benchmarks.tools import Tool

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DVC_VERSION = "dvc --version"
_MOST_MB = 150
_REQUESTS = 20


class Bench:
    """The state that all cases share. Only one project is on the disk at a time."""

    def __init__(
        self,
        folder: Path,
        runner: Runner,
        storage: Storage,
        studio: Studio,
        *,
        rounds: int,
        scale: float,
    ) -> None:
        self.folder = folder
        self.runner = runner
        self.storage = storage
        self.studio = studio
        self.rounds = rounds
        self.scale = scale
        self.pulls: list[Runs] = []
        """All pulls that were measured, for their peak memory."""

        self._key = ""
        self._project: Project | None = None
        self._startup: Runs | None = None

    @property
    def cold(self) -> Path:
        """The folder of a cold run, which does not exist yet."""
        return self.folder / "work"

    def scaled(self, amount: int) -> int:
        """Scale a size or a count."""
        return max(1, round(amount * self.scale))

    def project(self, key: str, versions: Sequence[Mapping[str, int]]) -> Project:
        """Return the project ``key``; create it if it is not the current one."""
        if key != self._key:
            self.close()
            repo, objects = self.folder / "repo", self.folder / "served" / key
            self._key = key
            self._project = make_project(repo, objects, versions, self.runner.env)
        assert self._project is not None
        return self._project

    def folder_project(self, key: str, count: int, size: int) -> Project:
        """Return the project of a folder of ``count`` files of ``size`` bytes."""
        width = len(str(count - 1))
        names = (f"{number:0{width}}.bin" for number in range(self.scaled(count)))
        return self.project(key, [dict.fromkeys(names, size)])

    def close(self) -> None:
        """Remove the project."""
        if self._project is not None:
            self._project.remove()
        self._key, self._project = "", None

    def work(self, project: Project, port: int) -> Work:
        """Make Studio return URLs of the project at one of nginx's ports."""
        origin = f"http://{HOST}:{port}"
        for version in project.versions:
            self.studio.publish(MODEL, version.name, project.urls(version, origin))
        work = Work(project, origin)
        self.studio.publish(MODEL, None, work.urls)
        return work

    def compare(
        self, work: Work, candidates: Sequence[Tool], *, few: Collection[str] = ()
    ) -> dict[str, Runs]:
        """Run the tools in turn."""
        rows = run_in_turn(
            self.runner, work, self.cold, candidates, rounds=self.rounds, few=few
        )
        self.pulls += [runs for name, runs in rows.items() if name.startswith(PULL)]
        return rows

    def startup(self) -> Runs:
        """Measure the start of ``dvc``, once."""
        if self._startup is None:
            self._startup = self.repeat([DVC, "--version"])
        return self._startup

    def repeat(self, command: list[str], cwd: Path | None = None) -> Runs:
        """Run the same command ``rounds`` times, after one run that is not measured."""
        folder = cwd or self.folder
        self.runner.run(command, folder)
        runs = [self.runner.run(command, folder) for _ in range(self.rounds)]
        return Runs(tuple(runs))

    def request_s(self) -> float:
        """Return the median duration of a request to Studio, in seconds."""
        return statistics.median(self.studio.request_s(MODEL) for _ in range(_REQUESTS))


def faster(
    case: str,
    rows: Mapping[str, Runs],
    other: str,
    *,
    times: float = 1,
    who: str = PULL,
) -> Goal:
    """Return the goal to be ``times`` times as fast as another tool."""
    ratio = rows[other].seconds / rows[who].seconds
    wanted = f">= {times:g} x faster than `{other}`"
    if times == 1:
        wanted = f"faster than `{other}`"
    return Goal(f"{case}, `{who}`", wanted, f"{ratio:.2f} x", ratio >= times)


def most_memory(bench: Bench) -> Goal:
    """Compare the highest peak of all measured pulls with the goal."""
    peak = max(runs.peak_bytes for runs in bench.pulls) / 1e6
    wanted = f"peak RSS <= {_MOST_MB} MB in every case"
    return Goal("memory", wanted, f"{peak:.0f} MB at most", peak <= _MOST_MB)


def remove_placed(folder: Path) -> None:
    """Remove the model from a workspace."""
    placed = folder / MODEL_PATH
    if placed.is_dir():
        shutil.rmtree(placed)
    else:
        placed.unlink()
