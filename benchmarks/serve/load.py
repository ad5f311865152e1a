"""Starts the server that is measured, and sends requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

DVC = Path(sys.executable).with_name("dvc")
API = "/api/model-registry/get-download-uris"
TOKEN = "token-of-the-benchmark"
CLIENTS = 32
START_S = 60

_FOREIGN = ("AWS_", "DVC_", "STUDIO_", "GIT_", "PROMETHEUS_", "XDG_")
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
    repo: str = "acme/models"

    def memory_mb(self) -> float:
        """Return the resident memory, in MB."""
        text = Path(f"/proc/{self.pid}/status").read_text("ascii")
        (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", text)
        return int(kib) * 1024 / 1e6

    def request(self, model: str, repo: str = "") -> tuple[float, int]:
        """Send one request; return its seconds and the number of links."""
        seconds, body, _ = self.ask(model, repo)
        return seconds, len(json.loads(body))

    def ask(self, model: str, repo: str = "") -> tuple[float, bytes, str | None]:
        """Send one request; return its seconds, the reply, and the version."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        with contextlib.closing(connection):
            connection.connect()
            begun = time.perf_counter()
            connection.request(
                "GET",
                f"{API}?repo={repo or self.repo}&name={model}",
                headers={"Authorization": f"token {TOKEN}"},
            )
            reply = connection.getresponse()
            body = reply.read()
            seconds = time.perf_counter() - begun
        if reply.status != HTTPStatus.OK:
            message = f"the server responded with {reply.status}: {body[:300]!r}"
            raise SystemExit(message)
        return seconds, body, reply.getheader("X-Model-Version")

    def load(
        self,
        model: str,
        seconds: int,
        *,
        clients: int = CLIENTS,
        script: Path | None = None,
    ) -> Load:
        """Send requests with wrk.

        Args:
            model: What the requests are for.
            seconds: How long.
            clients: How many at once.
            script: Chooses other requests, in Lua.
        """
        url = f"{self.url}{API}?repo={self.repo}&name={model}"
        done = subprocess.run(
            [
                *on_core(-1),
                *("wrk", "--threads", "1", "--connections", str(clients)),
                *("--duration", f"{seconds}s", "--timeout", "10s", "--latency"),
                *(("--script", str(script)) if script else ()),
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


def run(folder: Path, *command: str | Path) -> None:
    """Run a command in a folder."""
    subprocess.run(command, cwd=folder, env=environ(folder.parent), check=True)


def environ(home: Path) -> dict[str, str]:
    """Return the environment of this process, with nothing of its user."""
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


def on_core(index: int) -> list[str]:
    """Return a prefix that runs a command on one core: 0 is the first, -1 the last."""
    return ["taskset", "--cpu-list", str(sorted(os.sched_getaffinity(0))[index])]


@contextlib.contextmanager
def serving(
    home: Path, *args: str | Path, core: int | None = 0, repo: str = "acme/models"
) -> Iterator[Server]:
    """Run ``dvc models serve`` until the end of the block.

    Args:
        home: The server's home, and where its log is written.
        args: Of the command.
        core: The one that it runs on; None for all.
        repo: The one that requests are for.
    """
    log = home / "serve.log"
    prefix = [] if core is None else on_core(core)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, DVC, "models", "serve", *args],
            env=environ(home),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while not (found := re.findall(r" at (http://[^\s\"]+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"the server did not start: {log.read_text()}"
                raise SystemExit(message)
            time.sleep(0.02)
        yield Server(found[0], process.pid, repo)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
