"""Measures HTTP clients: what many small GETs cost in one Python process.

    python -m benchmarks.clients [--rounds N]

Each client runs in a new process. It downloads all files from nginx, hashes each body
with MD5 and writes it to a new file. The clients run in turn, every other round in
reverse order.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.bare import BUFFER_BYTES, download, write
from benchmarks.measure import Runner, Runs, compile_packages
from benchmarks.needs import require
from benchmarks.report import table
from benchmarks.servers import HOST, serving_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Usage

    Save = Callable[[str, bytes], None]

THREADS = 4
CONNECTIONS = 16
WORK = {"1,000 x 100 KiB": (1_000, 100 << 10), "10,000 x 2 KiB": (10_000, 2 << 10)}
UNITS = ("CPU, s", "wall, s")
LIBRARIES = ("requests", "urllib3", "aiohttp", "pycurl")
NOTHING = "none (start of Python)"
OK = 200


def main() -> None:
    """Measure all clients and print a table, or be one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        urls = Path("urls").read_text("utf-8").split()
        CLIENTS[args.client](urls, functools.partial(save, Path("files")))
        return
    print(measure(args.rounds))


def save(folder: Path, url: str, body: bytes) -> None:
    """Hash a body and write it to a file."""
    hashlib.md5(body, usedforsecurity=False).hexdigest()
    write(f"{folder}/{url.rpartition('/')[2]}", body)


# Clients


def with_threads(urls: list[str], work: Callable[[list[str]], None]) -> None:
    """Divide the URLs between threads."""
    shares = [urls[number::THREADS] for number in range(min(THREADS, len(urls)))]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, shares))


def use_nothing(urls: list[str], save: Save) -> None:
    """Only start Python."""


def use_requests(urls: list[str], save: Save) -> None:
    """Use one ``requests.Session`` for all threads."""
    import requests

    session = requests.Session()
    session.trust_env = False

    def work(mine: list[str]) -> None:
        for url in mine:
            response = session.get(url)
            response.raise_for_status()
            save(url, response.content)

    with_threads(urls, work)


def use_urllib3(urls: list[str], save: Save) -> None:
    """Use one pool of urllib3 for all threads."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=THREADS)

    def work(mine: list[str]) -> None:
        for url in mine:
            response = pool.request("GET", url)
            check(response.status)
            save(url, response.data)

    with_threads(urls, work)


def use_http_client(urls: list[str], save: Save) -> None:
    """Use one connection of ``http.client`` for each thread."""
    from http.client import HTTPConnection

    def work(mine: list[str]) -> None:
        with closing(HTTPConnection(urlsplit(mine[0]).netloc)) as connection:
            for url in mine:
                connection.request("GET", urlsplit(url).path)
                response = connection.getresponse()
                check(response.status)
                save(url, response.read())

    with_threads(urls, work)


def use_aiohttp(urls: list[str], save: Save) -> None:
    """Use one session of aiohttp, in one thread."""
    import aiohttp

    async def work(session: aiohttp.ClientSession, mine: list[str]) -> None:
        for url in mine:
            async with session.get(url) as response:
                check(response.status)
                save(url, await response.read())

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector) as session:
            shares = (urls[number::CONNECTIONS] for number in range(CONNECTIONS))
            await asyncio.gather(*(work(session, share) for share in shares))

    asyncio.run(run())


def use_pycurl_threads(urls: list[str], save: Save) -> None:
    """Use one easy handle of libcurl for each thread."""
    import pycurl

    def work(mine: list[str]) -> None:
        curl = pycurl.Curl()
        curl.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
        curl.setopt(pycurl.NOSIGNAL, 1)
        for url in mine:
            pieces: list[bytes] = []
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.WRITEFUNCTION, pieces.append)
            curl.perform()
            check(curl.getinfo(pycurl.RESPONSE_CODE))
            save(url, b"".join(pieces))
        curl.close()

    with_threads(urls, work)


def use_pycurl_multi(urls: list[str], save: Save) -> None:
    """Use one multi handle of libcurl, in one thread."""
    for url, body in download(urls, CONNECTIONS):
        save(url, body)


def check(status: int) -> None:
    """Exit unless a response is 200."""
    if status != OK:
        raise SystemExit(status)


CLIENTS: dict[str, Callable[[list[str], Save], None]] = {
    f"`requests`, {THREADS} threads": use_requests,
    f"urllib3, {THREADS} threads": use_urllib3,
    f"`http.client`, {THREADS} threads": use_http_client,
    f"aiohttp, {CONNECTIONS} connections": use_aiohttp,
    f"`pycurl`, {THREADS} threads": use_pycurl_threads,
    f"`pycurl` multi, {CONNECTIONS} connections": use_pycurl_multi,
    NOTHING: use_nothing,
}


# Measurement


def measure(rounds: int) -> str:
    """Return a Markdown table of CPU time and wall time."""
    require()
    compile_packages()
    columns = []
    with tempfile.TemporaryDirectory(prefix="dvc-models-bench-") as name:
        folder = Path(name)
        served = folder / "served"
        served.mkdir()
        runner = Runner(dict(os.environ), folder / "output.log")
        with serving_files(folder / "nginx", served) as storage:
            origin = f"http://{HOST}:{storage.ports.open}"
            for count, size in WORK.values():
                urls = make_files(served, count, size, origin)
                columns.append(run_in_turn(runner, folder / "work", urls, rounds))
    head = ["client", *(f"{work}: {unit}" for work in WORK for unit in UNITS)]
    rows = [
        [name, *(cell for column in columns for cell in _cells(column[name]))]
        for name in CLIENTS
    ]
    libraries = (f"{name} {version(name)}" for name in LIBRARIES)
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    facts = ", ".join((today, f"Python {python_version()}", *libraries))
    return f"{facts}; medians of {rounds} rounds.\n\n{table(head, rows)}"


def make_files(served: Path, count: int, size: int, origin: str) -> list[str]:
    """Create random files in a folder of nginx, and return their URLs."""
    names = [f"{size}-{number:05}.bin" for number in range(count)]
    for name in names:
        (served / name).write_bytes(os.urandom(size))
    return [f"{origin}/{name}" for name in names]


def run_in_turn(
    runner: Runner, folder: Path, urls: list[str], rounds: int
) -> dict[str, Runs]:
    """Run all clients in turn, each time with an empty folder."""
    usages: dict[str, list[Usage]] = {name: [] for name in CLIENTS}
    for turn in range(rounds):
        for name in CLIENTS if turn % 2 == 0 else reversed(CLIENTS):
            (folder / "files").mkdir(parents=True)
            (folder / "urls").write_text("\n".join(urls), "utf-8")
            command = [sys.executable, "-m", "benchmarks.clients", "--client", name]
            usages[name].append(runner.run(command, folder))
            written = len(list((folder / "files").iterdir()))
            if name != NOTHING and written != len(urls):
                message = f"{name}: {written} of {len(urls)} files"
                raise SystemExit(message)
            shutil.rmtree(folder)
    return {name: Runs(tuple(taken)) for name, taken in usages.items()}


def _cells(runs: Runs) -> tuple[str, str]:
    return f"{runs.cpu_s:.2f}", f"{runs.seconds:.2f}"


if __name__ == "__main__":
    main()
