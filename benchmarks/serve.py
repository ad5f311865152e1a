"""Measures the time and memory of ``dvc models serve``: ``make bench-serve``.

Creates a registry, serves it on one core, and sends requests from another core: wrk
sends many requests, this process sends single ones. Everything runs on loopback and
takes about two minutes. The results are written to ``benchmarks/SERVE.md``.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.report import facts_table, machine

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).with_name("SERVE.md")
DVC = Path(sys.executable).with_name("dvc")
API = "/api/model-registry/get-download-uris"
TOKEN = "token-of-the-benchmark"

CLIENTS = 32
FILES = 10
WIDE = 10_000
REQUESTS = 100_000
LONGEST_S = 150  # for all rounds of wrk
ROUND_S = 10
WARM_ROUNDS = 7
WARM_S = 8  # until the server has its imports, threads and buffers
START_S = 60

VERSIONS = 5000
TAGS = 10_000  # of versions and stages
AT_ONCE = 100
ROUNDS = 5

GOAL_RATE = 300
GOAL_P99_MS = 50
GOAL_GROWTH_MB = 5
GOAL_COLD_S = 3
GOAL_WARM_S = 1
GOAL_START_S = 5
GOAL_NEW_TAG_S = 1

_FOREIGN = ("AWS_", "DVC_", "STUDIO_", "GIT_", "XDG_")
_FACTOR = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """The results of wrk."""

    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Server:
    """The measured server."""

    url: str
    pid: int

    def memory_mb(self) -> float:
        """Return the resident memory, in MB."""
        text = Path(f"/proc/{self.pid}/status").read_text("ascii")
        (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", text)
        return int(kib) * 1024 / 1e6

    def request(self, model: str) -> tuple[float, int]:
        """Send one request; return its seconds and the number of links."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        with contextlib.closing(connection):
            connection.connect()
            begun = time.perf_counter()
            connection.request(
                "GET",
                f"{API}?repo=acme/models&name={model}",
                headers={"Authorization": f"token {TOKEN}"},
            )
            reply = connection.getresponse()
            body = reply.read()
            seconds = time.perf_counter() - begun
        if reply.status != HTTPStatus.OK:
            message = f"the server responded with {reply.status}: {body[:300]!r}"
            raise SystemExit(message)
        return seconds, len(json.loads(body))

    def load(self, model: str, seconds: int) -> Load:
        """Send requests with wrk."""
        url = f"{self.url}{API}?repo=acme/models&name={model}"
        done = subprocess.run(
            [
                *_on_core(-1),
                *("wrk", "--threads", "1", "--connections", str(CLIENTS)),
                *("--duration", f"{seconds}s", "--timeout", "10s", "--latency"),
                *("--header", f"Authorization: token {TOKEN}", url),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        return _read_wrk(done.stdout)


def _read_wrk(text: str) -> Load:
    def latency(percent: int) -> float:
        (number, unit) = re.findall(rf"{percent}%\s+([\d.]+)(us|ms|s)", text)[0]
        return float(number) * _FACTOR[unit]

    ((requests, seconds),) = re.findall(r"(\d+) requests in ([\d.]+)s", text)
    bad = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    errors = re.findall(r"(?:connect|read|write|timeout) (\d+)", text)
    failed = bad + sum(map(int, errors))
    return Load(int(requests), float(seconds), failed, latency(50), latency(99))


def make_registry(root: Path) -> Path:
    """Create a repo with models ``narrow`` and ``wide``, pushed to a local folder."""
    repo = root / "repo"
    narrow = {f"narrow/{number}.bin": number for number in range(FILES)}
    wide = {f"wide/{number % 100}/{number}.bin": number for number in range(WIDE)}
    for path, number in {**narrow, **wide}.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_bytes(b"%d\n" % number)
    _run(repo, "git", "init", "--quiet", "--initial-branch", "main")
    _run(repo, "git", "remote", "add", "origin", "git@git.example.com:acme/models.git")
    _run(repo, DVC, "init", "--quiet")
    _run(
        repo, DVC, "remote", "add", "--quiet", "--default", "storage", root / "storage"
    )
    _run(repo, DVC, "add", "--quiet", "narrow", "wide")
    _run(repo, DVC, "push", "--quiet")
    models = "".join(f"  {m}:\n    path: {m}\n" for m in ("narrow", "wide"))
    (repo / "dvc.yaml").write_text(f"artifacts:\n{models}")
    _commit(repo, "Train")
    for model in ("narrow", "wide"):
        _run(repo, "git", "tag", "--annotate", "--message", "x", f"{model}@v1.0.0")
    return repo


def make_many_versions(root: Path) -> Path:
    """Create a mirror of a repo with many versions of one model and many tags."""
    mirror = root / "many.git"
    (root / "many-storage").mkdir()
    _run(root, "git", "init", "--quiet", "--bare", "--initial-branch", "main", mirror)
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=mirror,
        env=_environ(root),
        input="".join(_history(root / "many-storage")).encode(),
        check=True,
    )
    return mirror


def _history(storage: Path) -> Iterator[str]:
    """Return the history as input of ``git fast-import``."""
    files = {
        ".dvc/config": f"[core]\nremote = s\n['remote \"s\"']\nurl = {storage}\n",
        "dvc.yaml": "artifacts:\n  many:\n    path: many.bin\n",
    }
    for number in range(1, VERSIONS + 1):
        made = f"Ada <ada@example.com> {1_600_000_000 + number} +0000\ndata 1\nx\n"
        files["many.bin.dvc"] = (
            f"outs:\n- path: many.bin\n  hash: md5\n  md5: a{number:031d}\n"
        )
        yield f"commit refs/heads/main\nmark :{number}\ncommitter {made}"
        yield f"from :{number - 1}\n" if number > 1 else ""
        for path, text in files.items():
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        files = {}
        yield f"tag many@v1.{number}.0\nfrom :{number}\ntagger {made}"
    for number in range(VERSIONS + 1, TAGS + 1):
        made = f"Ada <ada@example.com> {1_600_000_000 + number} +0000\ndata 1\nx\n"
        yield f"tag many#dev#{number}\nfrom :{number - VERSIONS}\ntagger {made}"


def move_to_s3(repo: Path) -> None:
    """Use an S3 remote, with listings in Git because no bucket can be read here."""
    for model in ("narrow", "wide"):
        _list_in_git(repo, model)
    (repo / ".dvc/config").write_text(
        "[core]\n    remote = bucket\n['remote \"bucket\"']\n"
        "    url = s3://bucket/folder\n    region = eu-central-1\n"
    )
    _commit(repo, "Move")
    for model in ("narrow", "wide"):
        _run(repo, "git", "tag", "--annotate", "--message", "x", f"{model}@v2.0.0")


def _list_in_git(repo: Path, model: str) -> None:
    md5 = re.findall(r"md5: (\w+)\.dir", (repo / f"{model}.dvc").read_text())[0]
    listing = json.loads(
        (repo / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}.dir").read_text()
    )
    files = "".join(
        f"  - relpath: {one['relpath']}\n    md5: {one['md5']}\n" for one in listing
    )
    (repo / f"{model}.dvc").write_text(
        f"outs:\n- path: {model}\n  hash: md5\n  files:\n{files}"
    )


def _commit(repo: Path, message: str) -> None:
    _run(repo, "git", "add", "--all")
    _run(repo, "git", "commit", "--quiet", "--message", message)


def _run(folder: Path, *command: str | Path) -> None:
    subprocess.run(command, cwd=folder, env=_environ(folder.parent), check=True)


def _environ(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {"NAME": "Ada", "EMAIL": "ada@example.com"}.items()
    }
    return {
        **kept,
        **who,
        "HOME": str(home),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DVC_STUDIO_TOKEN": TOKEN,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_EC2_METADATA_DISABLED": "true",
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def _on_core(index: int) -> list[str]:
    """Return a prefix that runs a command on one core: 0 is the first, -1 the last."""
    return ["taskset", "--cpu-list", str(sorted(os.sched_getaffinity(0))[index])]


@contextlib.contextmanager
def serving(repo: Path, name: str = "") -> Iterator[Server]:
    """Serve a repo on one core, until the end of the block."""
    served = f"{name}={repo}" if name else str(repo)
    log = repo.parent / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_on_core(0), DVC, "models", "serve", "--port", "0", served],
            env=_environ(repo.parent),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while not (found := re.findall(r" at (http://\S+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"the server did not start: {log.read_text()}"
                raise SystemExit(message)
            time.sleep(0.05)
        yield Server(found[0], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@dataclass(frozen=True)
class Row:
    """A goal and the measured value."""

    case: str
    goal: str
    measured: str
    reached: bool | None = None
    """None without a goal."""

    def __str__(self) -> str:
        outcome = {True: "reached", False: "**not reached**", None: ""}[self.reached]
        return f"| {self.case} | {self.goal} | {self.measured} | {outcome} |"


def measure_wide(server: Server, *, where: str, goals: bool = True) -> list[Row]:
    """Request the directory of 10,000 files, which the server has not read yet."""
    cold, count = server.request("wide")
    warm = statistics.median(server.request("wide")[0] for _ in range(WARM_ROUNDS))
    if count != WIDE:
        message = f"the server returned {count} links, not {WIDE}"
        raise SystemExit(message)
    case = f"{WIDE:,} files{where}"
    return [
        Row(
            f"{case}, cold",
            f"< {GOAL_COLD_S} s" if goals else "",
            f"{cold:.2f} s",
            cold < GOAL_COLD_S if goals else None,
        ),
        Row(
            f"{case}, warm (median of {WARM_ROUNDS})",
            f"< {GOAL_WARM_S} s" if goals else "",
            f"{warm:.2f} s",
            warm < GOAL_WARM_S if goals else None,
        ),
    ]


def measure_load(server: Server) -> list[Row]:
    """Request the model of 10 files a hundred thousand times."""
    server.load("narrow", WARM_S)
    before = server.memory_mb()
    begun = time.monotonic()
    loads = []
    while sum(load.requests for load in loads) < REQUESTS:
        if time.monotonic() - begun > LONGEST_S:
            break
        loads.append(server.load("narrow", ROUND_S))
    growth = server.memory_mb() - before
    count = sum(load.requests for load in loads)
    failed = sum(load.failed for load in loads)
    rate = count / sum(load.seconds for load in loads)
    p50 = statistics.median(load.p50_ms for load in loads)
    worst = max(load.p99_ms for load in loads)
    return [
        Row(
            f"{FILES} files, {CLIENTS} clients: requests per second",
            f">= {GOAL_RATE}",
            f"{rate:.0f}",
            rate >= GOAL_RATE and not failed,
        ),
        Row(
            "99th percentile (worst round), and median",
            f"< {GOAL_P99_MS} ms",
            f"{worst:.1f} ms, {p50:.1f} ms",
            worst < GOAL_P99_MS,
        ),
        Row(
            f"memory over {REQUESTS:,} requests",
            f"flat: within {GOAL_GROWTH_MB} MB",
            f"{growth:+.1f} MB of {before:.0f} MB over {count:,} requests",
            growth < GOAL_GROWTH_MB and count >= REQUESTS,
        ),
        Row("failed requests", "0", str(failed), not failed),
    ]


def measure_s3(server: Server) -> list[Row]:
    """Request the same models, signed for S3 (version 4)."""
    server.load("narrow", WARM_S)
    load = server.load("narrow", ROUND_S)
    rate = f"{load.rate:.0f} per second, 99th percentile {load.p99_ms:.1f} ms"
    return [
        Row(
            f"{FILES} files signed for S3, {CLIENTS} clients",
            f">= {GOAL_RATE}, < {GOAL_P99_MS} ms",
            rate,
            load.rate >= GOAL_RATE and load.p99_ms < GOAL_P99_MS and not load.failed,
        ),
        *measure_wide(server, where=" signed for S3"),
    ]


def measure_many_versions(root: Path) -> list[Row]:
    """Start with many versions; send requests after new tags, one and many at once."""
    mirror = make_many_versions(root)
    begun = time.perf_counter()
    with serving(mirror, "acme/models") as server:
        started = time.perf_counter() - begun
        server.request("many")
        first = [_ask_after_tag(server, mirror, number) for number in range(ROUNDS)]
        _tag(mirror, ROUNDS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            responses = list(pool.map(server.request, ["many"] * AT_ONCE))
    slowest = max(seconds for seconds, _ in responses)
    case = f"{VERSIONS:,} versions of a model, {TAGS:,} tags"
    return [
        Row(
            f"{case}: start",
            f"< {GOAL_START_S} s",
            f"{started:.2f} s",
            started < GOAL_START_S,
        ),
        Row(
            f"first response after a new tag (median of {ROUNDS})",
            f"< {GOAL_NEW_TAG_S} s",
            f"{statistics.median(first):.2f} s",
            statistics.median(first) < GOAL_NEW_TAG_S,
        ),
        Row(
            f"{AT_ONCE} clients at once right after a new tag: slowest response",
            "all 200",
            f"{slowest:.2f} s, all 200",
            reached=True,
        ),
    ]


def _ask_after_tag(server: Server, mirror: Path, number: int) -> float:
    _tag(mirror, number)
    return server.request("many")[0]


def _tag(mirror: Path, number: int) -> None:
    tag = f"many@v2.{number}.0"
    _run(mirror, "git", "tag", "--annotate", "--message", "x", tag, "main")


INTRODUCTION = f"""\
# How fast `dvc models serve` is

`make bench-serve` measures this. It creates the registry and starts the server. The
server runs on one core (`taskset`), wrk on another. {CLIENTS} clients request the
latest version of a model with {FILES} files in a local folder. The server authenticates
every request, resolves it with the current tags, signs the links and writes a log line.
In the rows for S3, links are signed with version 4, and the directory's listing is in
Git. The start is that of the whole command, with its imports.
"""


def main() -> None:
    """Measure, and write the results."""
    for name in ("wrk", "taskset", "git"):
        if not shutil.which(name):
            message = (
                f"'{name}' is missing; on Debian: apt-get install wrk util-linux git"
            )
            raise SystemExit(message)
    facts = machine(("wrk",))
    facts |= {package: version(package) for package in ("starlette", "uvicorn", "h11")}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="dvc-models-bench-") as folder:
        repo = make_registry(Path(folder))
        with serving(repo) as server:
            rows += [*measure_wide(server, where=""), *measure_load(server)]
        rows += measure_many_versions(Path(folder))
        if importlib.util.find_spec("dvc_s3"):
            move_to_s3(repo)
            with serving(repo) as server:
                rows += measure_s3(server)
    lines = ["| case | goal | measured | |", "|---|---|---|---|", *map(str, rows)]
    table = "\n".join(lines)
    RESULTS.write_text(f"{INTRODUCTION}\n{table}\n\n{facts_table(facts)}", "utf-8")
    print(RESULTS.read_text("utf-8"))
    if not all(row.reached for row in rows if row.reached is not None):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
