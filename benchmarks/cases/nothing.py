"""Cases of pulls that have nothing to download, beside DVC's own commands.

There are two equal workspaces, one for each tool.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from benchmarks import tools
from benchmarks.cases.bench import KIB, MIB, remove_placed
from benchmarks.cases.small import tiny
from benchmarks.measure import Runs
from benchmarks.project import DVC, MODEL, MODEL_PATH
from benchmarks.report import Goal, Result
from benchmarks.tools import PULL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.cases.bench import Bench
    from benchmarks.measure import Usage
    from benchmarks.project import Project
    from benchmarks.tools import Work

_NOTHING = (f"{PULL} (nothing to do)", "dvc status")
_DELETED = (f"{PULL} (deleted)", "dvc checkout (deleted)")
_SWITCHED = (f"{PULL} (switched)", "dvc checkout (switched)")
_MANY_STATUS = 1.3
_ONE_STATUS = 0.7
_MIXED_STATUS = 1.3
_MOST_CHECKOUTS = 2
_DELETED_ROUNDS = 3


class _Pair:
    """The two workspaces, and the usage of the commands that ran in them."""

    def __init__(self, bench: Bench, work: Work) -> None:
        self.bench = bench
        self.work = work
        self.ours = bench.folder / "ours"
        self.theirs = bench.folder / "theirs"
        self._usages: dict[str, list[Usage]] = {}

    @property
    def folders(self) -> tuple[Path, Path]:
        return self.ours, self.theirs

    def run(self, names: tuple[str, str], model: str, theirs: str, turn: int) -> None:
        """Pull in one workspace and run a command of DVC in the other."""
        pairs = [(names[0], self.ours, ["models", "pull", model])]
        pairs.append((names[1], self.theirs, [theirs]))
        for name, folder, command in pairs if turn % 2 == 0 else pairs[::-1]:
            usage = self.bench.runner.run([DVC, *command], folder)
            self._usages.setdefault(name, []).append(usage)

    def nothing(self, turn: int) -> None:
        """Compare with ``dvc status``."""
        self.run(_NOTHING, MODEL, "status", turn)

    def deleted(self, turn: int) -> None:
        """Delete the model in both workspaces, and compare with ``dvc checkout``."""
        for folder in self.folders:
            remove_placed(folder)
        self.run(_DELETED, MODEL, "checkout", turn)

    def switched(self, turn: int) -> None:
        """Switch to each version, and compare with ``dvc checkout``."""
        for version in self.work.project.versions:
            tag = f"{MODEL}@{version.name}"
            pointer = f"{MODEL_PATH}.dvc"
            self.work.project.git(self.theirs, "checkout", "-q", tag, "--", pointer)
            self.run(_SWITCHED, tag, "checkout", turn)

    def forget(self) -> None:
        """Drop the usages so far: the first round warms up."""
        self._usages.clear()

    def rows(self) -> dict[str, Runs]:
        """Return the usages by command."""
        names = [name for pair in (_NOTHING, _DELETED, _SWITCHED) for name in pair]
        rows = {
            name: Runs(tuple(self._usages[name]))
            for name in names
            if name in self._usages
        }
        self.bench.pulls += [rows[name] for name in rows if name.startswith(PULL)]
        return rows


@contextlib.contextmanager
def _pair(bench: Bench, project: Project, *models: str) -> Iterator[_Pair]:
    """Place the models, one after another, in two new workspaces."""
    work = bench.work(project, bench.storage.ports.open)
    pair = _Pair(bench, work)
    try:
        for folder in pair.folders:
            project.clone(folder)
            for name in models:
                bench.runner.run([DVC, "models", "pull", name], folder)
        bench.storage.traffic()
        yield pair
        tools.check(bench.runner, work, pair.ours)
    finally:
        for folder in pair.folders:
            shutil.rmtree(folder, ignore_errors=True)


def two_versions(bench: Bench) -> Result:
    """Measure a model of large and small files, in two versions."""
    sizes = {"large.bin": bench.scaled(256 * MIB)}
    sizes |= {f"{number:04}.bin": 100 * KIB for number in range(bench.scaled(200))}
    project = bench.project("cached", [sizes, sizes])
    with _pair(bench, project, f"{MODEL}@v1.0.0", MODEL) as pair:
        for turn in range(bench.rounds + 1):
            pair.nothing(turn)
            pair.deleted(turn)
            pair.switched(turn)
            if turn == 0:
                pair.forget()
        rows = pair.rows()
    requests = bench.storage.traffic().requests
    text = (
        "A directory with a file of 256 MiB and 200 files of 100 KiB, in two versions. "
        "Both are in the cache. There are two equal workspaces, one for each tool. "
        "`git checkout` selects the version for `dvc checkout`; its time is not "
        f"counted. {_asks(bench)} Requests to storage: {requests}."
    )
    goals = [_status_goal(bench, "nothing to do", rows, _MIXED_STATUS)]
    for case, names in (("deleted", _DELETED), ("switched", _SWITCHED)):
        goals.append(_checkout_goal(f"cached, {case}", rows, names, _MOST_CHECKOUTS))
    none = Goal("cached", "no request to storage", str(requests), requests == 0)
    return Result("Nothing to download", text, rows, _NOTHING[1], (*goals, none))


def many_files(bench: Bench) -> Result:
    """Measure a model of 10,000 files that are placed, and one that was deleted."""
    with _pair(bench, tiny(bench), MODEL) as pair:
        for turn in range(bench.rounds + 1):
            pair.nothing(turn)
            pair.nothing(turn + 1)
            if turn <= _DELETED_ROUNDS:
                pair.deleted(turn)
            if turn == 0:
                pair.forget()
        rows = pair.rows()
    case = "nothing to do, 10,000 files"
    goals = (
        _status_goal(bench, case, rows, _MANY_STATUS),
        _checkout_goal("10,000 files deleted, in the cache", rows, _DELETED, 1),
    )
    text = f"The directory of 10,000 files of 2 KiB. {_asks(bench)}"
    return Result("10,000 files in the cache", text, rows, _NOTHING[1], goals)


def one_file(bench: Bench) -> Result:
    """Measure a model of one file that is placed."""
    project = bench.project("one", [{"": bench.scaled(MIB)}])
    with _pair(bench, project, MODEL) as pair:
        for turn in range(2 * bench.rounds + 1):
            pair.nothing(turn)
            if turn == 0:
                pair.forget()
        rows = pair.rows()
    case = "nothing to do, one file"
    goals = (_status_goal(bench, case, rows, _ONE_STATUS),)
    rows["dvc --version"] = bench.startup()
    text = f"A model of one file of 1 MiB. {_asks(bench)}"
    return Result("One file in the cache", text, rows, _NOTHING[1], goals)


def _asks(bench: Bench) -> str:
    return f"A pull asks Studio, which takes {bench.request_s() * 1e3:.1f} ms here."


def _status_goal(
    bench: Bench, case: str, rows: Mapping[str, Runs], times: float
) -> Goal:
    nothing, status = (rows[name].seconds for name in _NOTHING)
    limit = times * status + bench.request_s()
    wanted = f"<= {times} x `dvc status` + one request = {limit:.2f} s"
    return Goal(case, wanted, f"{nothing:.2f} s", nothing <= limit)


def _checkout_goal(
    case: str, rows: Mapping[str, Runs], names: tuple[str, str], times: int
) -> Goal:
    ratio = rows[names[0]].seconds / rows[names[1]].seconds
    if times == 1:
        return Goal(case, "faster than `dvc checkout`", f"{ratio:.2f} x", ratio < 1)
    wanted = f"<= {times} x `dvc checkout`"
    return Goal(case, wanted, f"{ratio:.2f} x", ratio <= times)
