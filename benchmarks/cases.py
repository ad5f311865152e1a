"""The benchmark cases: the work, the tools that do it, and the goals.

Goals compare medians of one run of the benchmark.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import tools
from benchmarks.measure import Runs
from benchmarks.project import DVC, MODEL, MODEL_PATH, make_project
from benchmarks.report import Goal, Result
from benchmarks.servers import DELAY_MS, HOST, RATE_BYTES_S
from benchmarks.tools import (
    CURL,
    GET,
    GET_CONNECTIONS,
    MD5SUM,
    PULL,
    PULL_LINKED,
    TOOL_CURL,
    TOOL_GET,
    TOOL_MD5SUM,
    TOOL_PULL,
    TOOL_PULL_AS_GET,
    TOOL_PULL_LINKED,
    Work,
    aria2c,
    run_in_turn,
    then_md5sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from benchmarks.measure import Runner, Usage
    from benchmarks.project import Project
    from benchmarks.servers import Storage, Studio
    from benchmarks.tools import Tool

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DVC_VERSION = "dvc --version"
_ARIA2C_SPLIT = aria2c("-x16", "-s16", "-k1M")
_ARIA2C_MANY = aria2c("-j16")
_ARIA2C_EIGHT = aria2c("-j8", "-x2", "-s2", "-k1M")
_MOST_MB = 150
_MOST_RESUMED = 0.55
_MOST_CHECKOUTS = 2
_REQUESTS = 20
_HOOK_RUNS = 20
_HOOK_MS = 0.25
_MEMORY_TOLERANCE = 1.1


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


# Large files


def _large(bench: Bench) -> Project:
    return bench.project("large", [{"": bench.scaled(GIB)}])


def large_open(bench: Bench) -> Result:
    """Measure 1 GiB without a limit."""
    work = bench.work(_large(bench), bench.storage.ports.open)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET, TOOL_CURL, _ARIA2C_SPLIT]
    rows = bench.compare(work, [*candidates, TOOL_MD5SUM])
    limit = 1.15 * rows[MD5SUM].seconds + bench.startup().seconds
    case = "1 GiB open"
    goals = [
        Goal(
            f"{case}, `{name}`",
            f"<= 1.15 x `md5sum` + `{DVC_VERSION}` = {limit:.2f} s",
            f"{rows[name].seconds:.2f} s",
            rows[name].seconds <= limit,
        )
        for name in (PULL, PULL_LINKED)
    ]
    goals += [
        _faster(case, rows, then_md5sum(name), who=who)
        for who in (PULL, PULL_LINKED)
        for name in (CURL, _ARIA2C_SPLIT.name, GET)
    ]
    text = (
        "One file, from nginx without a limit. No tool that verifies can be faster "
        "than `md5sum`. Without reflinks, `dvc models pull` copies from the cache, as "
        "`dvc pull` does; with `cache.type hardlink` it does not."
    )
    return Result(case, text, rows, PULL, tuple(goals))


def large_throttled(bench: Bench) -> Result:
    """Measure 1 GiB from a storage that limits each connection."""
    work = bench.work(_large(bench), bench.storage.ports.throttled)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET, TOOL_CURL, _ARIA2C_SPLIT]
    rows = bench.compare(work, candidates, few={GET, CURL})
    case = "1 GiB throttled"
    goals = tuple(
        _faster(case, rows, other, times=times, who=who)
        for who in (PULL, PULL_LINKED)
        for other, times in ((GET, 8), (CURL, 8), (then_md5sum(_ARIA2C_SPLIT.name), 1))
    )
    text = (
        f"The same file, limited to {RATE_BYTES_S // 1_000_000} MB/s per connection; "
        f"a new connection measured {bench.storage.limited_rate / 1e6:.0f} MB/s."
    )
    return Result(case, text, rows, PULL, goals)


def eight_throttled(bench: Bench) -> Result:
    """Measure a model of several large files."""
    sizes = {f"part{number}.bin": bench.scaled(128 * MIB) for number in range(8)}
    project = bench.project("eight", [sizes])
    work = bench.work(project, bench.storage.ports.throttled)
    candidates = [TOOL_PULL, TOOL_GET, TOOL_CURL, _ARIA2C_EIGHT]
    rows = bench.compare(work, candidates)
    text = (
        "A directory, with the same limit. Each tool uses 16 connections, except curl "
        f"(one per file) and `{GET}` (up to {GET_CONNECTIONS})."
    )
    return Result("8 x 128 MiB throttled", text, rows, PULL)


def resumed(bench: Bench) -> Result:
    """Kill a pull when half of the bytes are written, and pull again."""
    project = _large(bench)
    work = bench.work(project, bench.storage.ports.open)
    size = project.latest.total_bytes
    shares = []
    for _ in range(bench.rounds):
        command = tools.pull_linked(work, bench.cold)
        bench.runner.interrupt(command, bench.cold, at_bytes=size // 2)
        bench.storage.traffic()
        bench.pulls.append(Runs((bench.runner.run(command, bench.cold),)))
        shares.append(bench.storage.traffic().body_bytes / size)
        tools.check(bench.runner, work, bench.cold)
        shutil.rmtree(bench.cold)
    share = statistics.median(shares)
    goal = Goal(
        "resume at 50 %",
        "downloads <= 55 % of the bytes",
        f"{share:.1%} ({min(shares):.1%} to {max(shares):.1%})",
        share <= _MOST_RESUMED,
    )
    text = (
        f"1 GiB open: SIGKILL when half of the bytes are written, then `{PULL}` again, "
        "with `cache.type hardlink`, which writes no byte twice. The second pull "
        "downloaded, according to nginx's log:"
    )
    lines = ["| round | share of the file |", "|--:|--:|"]
    lines += [f"| {number} | {share:.1%} |" for number, share in enumerate(shares, 1)]
    return Result("Interrupted", text, goals=(goal,), table="\n".join(lines))


# Small files


def _many(bench: Bench, port: int) -> Work:
    count = bench.scaled(1000)
    sizes = {f"{number:04}.bin": 100 * KIB for number in range(count)}
    return bench.work(bench.project("many", [sizes]), port)


def many_open(bench: Bench) -> Result:
    """Measure 1,000 files of 100 KiB without a delay."""
    work = _many(bench, bench.storage.ports.open)
    candidates = [TOOL_PULL, TOOL_PULL_LINKED, TOOL_GET, TOOL_CURL, _ARIA2C_MANY]
    rows = bench.compare(work, [*candidates, TOOL_MD5SUM])
    case = "1,000 x 100 KiB open"
    text = (
        "A directory of small files. Each tool uses 16 connections, except "
        f"`{GET}`, which uses {GET_CONNECTIONS}."
    )
    goals = tuple(
        _faster(case, rows, GET, times=1.5, who=who) for who in (PULL, PULL_LINKED)
    )
    return Result(case, text, rows, PULL, goals)


def many_far(bench: Bench) -> Result:
    """Measure 1,000 files of 100 KiB with a delay."""
    work = _many(bench, bench.storage.ports.far)
    candidates = [TOOL_PULL, TOOL_PULL_AS_GET, TOOL_GET, TOOL_CURL, _ARIA2C_MANY]
    rows = bench.compare(work, candidates)
    case = f"1,000 x 100 KiB at {DELAY_MS} ms"
    goals = (
        _faster(case, rows, GET, times=3),
        _faster(case, rows, _ARIA2C_MANY.name),
    )
    text = (
        f"The same, but every response arrives {DELAY_MS} ms later. Studio's responses "
        "and new connections are not delayed."
    )
    return Result(case, text, rows, PULL, goals)


# Nothing to download


def cached(bench: Bench) -> Result:
    """Compare pulls that download nothing with DVC's own commands."""
    sizes = {"large.bin": bench.scaled(256 * MIB)}
    sizes |= {f"{number:04}.bin": 100 * KIB for number in range(bench.scaled(200))}
    project = bench.project("cached", [sizes, sizes])
    work = bench.work(project, bench.storage.ports.open)
    ours, theirs = bench.folder / "ours", bench.folder / "theirs"
    try:
        for folder in (ours, theirs):
            project.clone(folder)
            for name in (f"{MODEL}@v1.0.0", MODEL):
                bench.runner.run([DVC, "models", "pull", name], folder)
        bench.storage.traffic()
        rows = _without_download(bench, work, ours, theirs)
    finally:
        shutil.rmtree(ours, ignore_errors=True)
        shutil.rmtree(theirs, ignore_errors=True)
    requests = bench.storage.traffic().requests
    bench.pulls += [runs for name, runs in rows.items() if name.startswith(PULL)]
    request_s = statistics.median(
        bench.studio.request_s(MODEL) for _ in range(_REQUESTS)
    )
    text = (
        "A directory with a file of 256 MiB and 200 files of 100 KiB, in two versions. "
        "Both are in the cache. There are two equal workspaces, one for each tool. "
        "`git checkout` selects the version for `dvc checkout`; its time is not "
        f"counted. A pull asks Studio, which takes {request_s * 1e3:.1f} ms here. "
        f"Requests to storage: {requests}."
    )
    goals = _cached_goals(rows, request_s, requests)
    return Result("Nothing to download", text, rows, _NOTHING[1], goals)


_NOTHING = (f"{PULL} (nothing to do)", "dvc status")
_DELETED = (f"{PULL} (deleted)", "dvc checkout (deleted)")
_SWITCHED = (f"{PULL} (switched)", "dvc checkout (switched)")


def _without_download(
    bench: Bench, work: Work, ours: Path, theirs: Path
) -> dict[str, Runs]:
    usages: dict[str, list[Usage]] = {}

    def run_both(names: tuple[str, str], model: str, theirs_does: str) -> None:
        pairs = [(names[0], ours, ["models", "pull", model])]
        pairs.append((names[1], theirs, [theirs_does]))
        for name, folder, command in pairs if number % 2 == 0 else pairs[::-1]:
            usage = bench.runner.run([DVC, *command], folder)
            usages.setdefault(name, []).append(usage)

    for number in range(bench.rounds + 1):
        run_both(_NOTHING, MODEL, "status")
        for folder in (ours, theirs):
            shutil.rmtree(folder / MODEL_PATH)
        run_both(_DELETED, MODEL, "checkout")
        for version in work.project.versions:
            tag = f"{MODEL}@{version.name}"
            work.project.git(theirs, "checkout", "-q", tag, "--", f"{MODEL_PATH}.dvc")
            run_both(_SWITCHED, tag, "checkout")
        if number == 0:
            usages.clear()  # the first round warms up
    tools.check(bench.runner, work, ours)
    names = (*_NOTHING, *_DELETED, *_SWITCHED)
    return {name: Runs(tuple(usages[name])) for name in names}


def _cached_goals(
    rows: Mapping[str, Runs], request_s: float, requests: int
) -> tuple[Goal, ...]:
    nothing, status = (rows[name].seconds for name in _NOTHING)
    limit = 1.3 * status + request_s
    goals = [
        Goal(
            "nothing to do",
            f"<= 1.3 x `dvc status` + one request = {limit:.2f} s",
            f"{nothing:.2f} s",
            nothing <= limit,
        )
    ]
    for case, names in (("deleted", _DELETED), ("switched", _SWITCHED)):
        ratio = rows[names[0]].seconds / rows[names[1]].seconds
        wanted = f"<= {_MOST_CHECKOUTS} x `dvc checkout`"
        reached = ratio <= _MOST_CHECKOUTS
        goals.append(Goal(f"cached, {case}", wanted, f"{ratio:.2f} x", reached))
    none = Goal("cached", "no request to storage", str(requests), requests == 0)
    return (*goals, none)


# Start-up and memory


def startup(bench: Bench) -> Result:
    """Measure the start of the commands."""
    rows = {
        DVC_VERSION: bench.startup(),
        "dvc models pull --help": bench.repeat([DVC, "models", "pull", "--help"]),
        "python -c pass": bench.repeat([sys.executable, "-c", "pass"]),
    }
    return Result("Start-up", "", rows, DVC_VERSION)


def memory(bench: Bench) -> Result:
    """Measure the peak memory for 1 GiB and for 4 GiB."""
    peaks = []
    for project in (_large(bench), None):
        huge = project or bench.project("huge", [{"": bench.scaled(4 * GIB)}])
        work = bench.work(huge, bench.storage.ports.open)
        once = run_in_turn(bench.runner, work, bench.cold, [TOOL_PULL], rounds=1)
        bench.pulls.append(once[PULL])
        peaks.append(once[PULL].peak_bytes)
    ratio = peaks[1] / peaks[0]
    goal = Goal(
        "memory",
        "the same for 1 GiB and 4 GiB",
        f"{peaks[0] / 1e6:.0f} and {peaks[1] / 1e6:.0f} MB",
        ratio <= _MEMORY_TOLERANCE,
    )
    table = (
        "| file | peak, MB |\n|---|--:|\n"
        f"| 1 GiB | {peaks[0] / 1e6:.0f} |\n| 4 GiB | {peaks[1] / 1e6:.0f} |"
    )
    return Result(
        "Memory",
        f"Peak memory of `{PULL}`, without a limit.",
        goals=(goal,),
        table=table,
    )


def most_memory(bench: Bench) -> Goal:
    """Compare the highest peak of all measured pulls with the goal."""
    peak = max(runs.peak_bytes for runs in bench.pulls) / 1e6
    wanted = f"peak RSS <= {_MOST_MB} MB in every case"
    return Goal("memory", wanted, f"{peak:.0f} MB at most", peak <= _MOST_MB)


def hook(bench: Bench) -> Result:
    """Measure the time that the plugin adds to the start of Python and ``dvc``."""
    script = Path(__file__).with_name("hook.py")
    runs = str(max(2, bench.scaled(_HOOK_RUNS)))
    done = subprocess.run(
        [sys.executable, script, runs], stdout=subprocess.PIPE, text=True, check=True
    )
    table = done.stdout.strip()
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()]
    cost_ms = next(float(row[-1]) for row in cells if row[0] == "`python -c pass`")
    goal = Goal("hook", "about 0.2 ms", f"{cost_ms:.2f} ms", abs(cost_ms) <= _HOOK_MS)
    return Result("The hook", "", goals=(goal,), table=table)


def _faster(
    case: str,
    rows: Mapping[str, Runs],
    other: str,
    *,
    times: float = 1,
    who: str = PULL,
) -> Goal:
    ratio = rows[other].seconds / rows[who].seconds
    wanted = f">= {times:g} x faster than `{other}`"
    if times == 1:
        wanted = f"faster than `{other}`"
    return Goal(f"{case}, `{who}`", wanted, f"{ratio:.2f} x", ratio >= times)


CASES: dict[str, Callable[[Bench], Result]] = {
    "startup": startup,
    "large": large_open,
    "throttled": large_throttled,
    "resume": resumed,
    "memory": memory,
    "eight": eight_throttled,
    "many": many_open,
    "far": many_far,
    "cached": cached,
    "hook": hook,
}
"""Ordered so that each project is created once."""

LARGEST_BYTES = {
    "large": GIB,
    "throttled": GIB,
    "resume": GIB,
    "memory": 4 * GIB,
    "eight": GIB,
    "many": 100 * MIB,
    "far": 100 * MIB,
    "cached": GIB,
}
"""Size of the largest project of a case, in bytes. It is on the disk up to three
times: on the server, in the cache and in the workspace."""
