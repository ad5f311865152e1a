"""``make soak``: minutes of clients while everything changes; nothing may break.

Repos get new tags, moved tags, gc and repack; a mirror is fetched; the config is
changed, broken and mended; and 50 clients ask and download all the time. Every reply
must be one that was right at some moment between the request and the reply, no reply
may have a status of 500 or more, and the memory of the server must not grow.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import itertools
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.report import facts_table, machine
from benchmarks.serve.changes import MODEL, STAGES, ChangingRepo
from benchmarks.serve.load import API, TOKEN, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parents[1] / "SOAK.md"

CLIENTS = 50
SECONDS = 600
PATHS = 3  # repos that are served in place
FETCH_S = 2
LATE_S = 3 * FETCH_S + 30  # a mirror that is later is stale, and says so
CHANGE_S = 0.25
RELOAD_S = 3.0
SAMPLE_S = 1.0
LISTED_PART = 0.2  # of the requests
DOWNLOADED_PART = 0.3  # of the links
WARM_PART = 0.3  # of the time: caches and threads grow
GOAL_GROWTH_MB = 10
SHOWN = 10

MODELS = "/api/model-registry/models"


class Soak:
    """The repos, the server and the clients of one run."""

    def __init__(self, root: Path, seconds: float) -> None:
        """Create the repos, and the config."""
        self.root = root
        self.repos = [ChangingRepo.make(root, f"repo-{n}") for n in range(PATHS)]
        self.repos.append(ChangingRepo.make(root, "mirror", late_s=LATE_S))
        self.config = root / "serve.yaml"
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.memory: list[float] = []
        self._end = 0.0
        self._seconds = seconds
        self._lock = threading.Lock()
        self.write_config(0)

    def write_config(self, number: int) -> None:
        """Write the config; ``number`` changes it."""
        repos = [{"name": r.name, "path": str(r.path)} for r in self.repos[:PATHS]]
        repos.append(
            {"name": "mirror", "url": self.repos[-1].path.as_uri(), "fetch": FETCH_S}
        )
        repos[-1]["roots"] = [str(self.repos[-1].storage)]
        if number % 2:
            repos.append({"name": "twice", "path": str(self.repos[0].path)})
        sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
        other = hashlib.sha256(f"other {number}".encode()).hexdigest()
        config = {
            "listen": "127.0.0.1:0",
            "workers": 2,
            "data": str(self.root / "data"),
            "repos": repos,
            "tokens": [
                {"name": "soak", "sha256": sha256, "repos": ["repo-*", "mirror"]},
                {"name": "other", "sha256": other},
            ],
        }
        text = json.dumps(config)
        new = self.root / "serve.yaml.new"
        new.write_text(text[:-9] if number % 5 == 4 else text, "utf-8")  # noqa: PLR2004
        new.chmod(0o600)
        new.rename(self.config)

    def run(self) -> None:
        """Run it all."""
        (self.root / "data").mkdir()
        with serving(self.root, "--config", self.config, core=None) as server:
            self._wait_for_mirror(server)
            self._end = time.monotonic() + self._seconds
            targets = [(self._change, ()), (self._reload, (server,))]
            targets += [(self._ask, (server, number)) for number in range(CLIENTS)]
            threads = [
                threading.Thread(target=self._guard, args=target) for target in targets
            ]
            for thread in threads:
                thread.start()
            while self._is_on():
                self.memory.append(memory_mb(server.pid))
                time.sleep(SAMPLE_S)
            for thread in threads:
                thread.join()

    @property
    def growth_mb(self) -> float:
        """Growth of the memory from the first third to the last one, in MB."""
        used = self.memory[int(len(self.memory) * WARM_PART) :]
        third = max(1, len(used) // 3)
        return statistics.median(used[-third:]) - statistics.median(used[:third])

    def _is_on(self) -> bool:
        return time.monotonic() < self._end

    def _guard(self, target, args) -> None:
        try:
            target(*args)
        except Exception as error:  # noqa: BLE001 - reported at the end
            self._report(f"{target.__name__}: {error!r}")

    def _report(self, problem: str) -> None:
        with self._lock:
            self.problems.append(problem)

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _change(self) -> None:
        chance = random.Random(1)
        while self._is_on():
            self._count(chance.choice(self.repos).change(chance))
            time.sleep(CHANGE_S)

    def _reload(self, server: Server) -> None:
        for number in itertools.count(1):
            time.sleep(RELOAD_S)
            if not self._is_on():
                break
            self.write_config(number)
            if number % 2:
                os.kill(server.pid, signal.SIGHUP)
            self._count("reload")

    def _wait_for_mirror(self, server: Server) -> None:
        deadline = time.monotonic() + 30
        with closing(_connect(server)) as connection:
            while time.monotonic() < deadline:
                if (
                    _get(connection, f"{API}?repo=mirror&name={MODEL}")[0]
                    == HTTPStatus.OK
                ):
                    return
                time.sleep(0.1)
        message = "the mirror was not cloned"
        raise SystemExit(message)

    def _ask(self, server: Server, number: int) -> None:
        chance = random.Random(number)
        with closing(_connect(server)) as connection:
            while self._is_on():
                self._ask_once(connection, chance)
                time.sleep(chance.random() / 20)

    def _ask_once(
        self, connection: http.client.HTTPConnection, chance: random.Random
    ) -> None:
        repo = chance.choice(self.repos)
        if chance.random() < LISTED_PART:
            self._list(connection, repo, chance.choice((MODELS, f"{MODELS}/{MODEL}")))
            return
        versions = [key for key in tuple(repo.timelines) if "version" in key]
        stages = [f"stage={stage}" for stage in STAGES]
        key = chance.choice(("", chance.choice(stages), chance.choice(versions)))
        begin = time.time()
        timeline = repo.timelines.get(key)
        if timeline is None:  # its tag has been deleted
            return
        status, headers, body = _get(
            connection, f"{API}?repo={repo.name}&name={MODEL}&{key}"
        )
        self._count(f"links {status}")
        where = f"{repo.name} {key or 'latest'}"
        # A tag may have been deleted, or not be in the mirror yet.
        is_unsure = "version" in key and (repo.late_s or key not in repo.timelines)
        if status != HTTPStatus.OK:
            if not (status == HTTPStatus.NOT_FOUND and is_unsure):
                self._report(f"{where}: {status} {body[:200]!r}")
            return
        commit = headers["x-model-commit"]
        if commit not in timeline.at(begin, time.time(), late_s=repo.late_s):
            self._report(f"{where}: commit {commit[:7]} is wrong")
        (link,) = json.loads(body).values()
        self._follow(connection, link, repo.md5s[commit], chance)

    def _list(
        self, connection: http.client.HTTPConnection, repo: ChangingRepo, path: str
    ) -> None:
        status, _, body = _get(connection, f"{path}?repo={repo.name}")
        self._count(f"list {status}")
        if status != HTTPStatus.OK:
            self._report(f"{path} of {repo.name}: {status} {body[:200]!r}")

    def _follow(
        self,
        connection: http.client.HTTPConnection,
        link: str,
        md5: str,
        chance: random.Random,
    ) -> None:
        """Check a link, and download some."""
        if f"/{md5[:2]}/{md5[2:]}?" not in link:
            self._report(f"the link {urlsplit(link).path} is not of {md5}")
        if chance.random() < DOWNLOADED_PART:
            self._download(connection, link, md5)

    def _download(
        self, connection: http.client.HTTPConnection, link: str, md5: str
    ) -> None:
        parts = urlsplit(link)
        status, _, body = _get(connection, f"{parts.path}?{parts.query}")
        self._count(f"object {status}")
        if status != HTTPStatus.OK or hashlib.md5(body).hexdigest() != md5:
            self._report(f"object {md5}: {status} {body[:200]!r}")


def _connect(server: Server) -> http.client.HTTPConnection:
    parts = urlsplit(server.url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)


def _get(
    connection: http.client.HTTPConnection, target: str
) -> tuple[int, dict[str, str], bytes]:
    connection.request("GET", target, headers={"Authorization": f"token {TOKEN}"})
    reply = connection.getresponse()
    headers = {name.lower(): value for name, value in reply.getheaders()}
    return reply.status, headers, reply.read()


def memory_mb(pid: int) -> float:
    """Return the memory of a process and of its workers, in MB, shared memory once."""
    total = 0
    for each in (pid, *_children(pid)):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text("ascii")
        except OSError:
            continue
        total += int(next(li for li in text.splitlines() if "Pss:" in li).split()[1])
    return total * 1024 / 1e6


def _children(pid: int) -> Iterator[int]:
    """List the workers; not the programs that they run."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"models" in name:
            yield int(folder.name)


def soak(root: Path, seconds: float) -> Soak:
    """Run it, and return what came of it."""
    run = Soak(root, seconds)
    run.run()
    return run


def main() -> None:
    """Run it, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dvc-models-soak-") as folder:
        run = soak(Path(folder), args.seconds)
        log = (Path(folder) / "serve.log").read_text("utf-8")
    bad = ("Traceback", " status=5")
    errors = [line for line in log.splitlines() if any(each in line for each in bad)]
    growth = run.growth_mb
    rows = {
        "seconds": f"{args.seconds:.0f}",
        "clients": str(CLIENTS),
        **{name: f"{count:,}" for name, count in sorted(run.counts.items())},
        "wrong or failed": str(len(run.problems)),
        "memory": f"{statistics.median(run.memory[-10:]):.0f} MB, {growth:+.1f} MB",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    text = (
        f"# A soak of `dvc models serve`\n\n{__doc__}\n| what | how often |\n"
        f"|---|---|\n{table}\n\n{facts_table(machine(('git',)))}"
    )
    print(text)
    for problem in [*run.problems, *errors][:SHOWN]:
        print(problem, file=sys.stderr)
    if run.problems or errors or growth > GOAL_GROWTH_MB:
        raise SystemExit(1)
    RESULTS.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
