"""The least that a pull of small files has to do, to show what the machine allows.

It starts with DVC's imports, asks Studio, downloads each body into memory, hashes it,
writes it once under a temporary name of the cache and renames it. One flush makes the
cache durable. The folder is built beside its path and renamed once, and DVC's state
is saved in one transaction. It looks at nothing that was there before, restores nothing
after an error, and does not read Git.

    python -m benchmarks.bare REPO MODEL [--connections N] [--links]

Run it in a clone without the model, with Studio's URL and token in the environment.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pycurl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ENDPOINT = "/api/model-registry/get-download-uris"
BUFFER_BYTES = 1 << 18
WAIT_S = 1.0
OK = 200
READ_ONLY = 0o444


def main() -> None:
    """Pull a model whose files are in one folder."""
    from dvc.repo import Repo

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repo", help="URL of the repo as registered in Studio")
    parser.add_argument("model")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--links", action="store_true")
    args = parser.parse_args()
    urls = ask_studio(args.repo, args.model)
    with Repo() as repo:
        cache = Path(repo.cache.local.path)
        for folder in {md5_of(url)[:2] for url in urls.values()}:
            (cache / folder).mkdir(parents=True, exist_ok=True)
        for url, body in download(urls.values(), args.connections):
            keep(cache, md5_of(url), body)
        keep_listing(cache, urls)
        flush_file_system(cache)
        placed = place(cache, urls, links=args.links)
        flush_file_system(Path.cwd())
        save_states(repo, placed)


def ask_studio(repo: str, model: str) -> Mapping[str, str]:
    """Return path in the repo -> URL."""
    query = urlencode({"repo": repo, "name": model})
    url = f"{os.environ['DVC_STUDIO_URL']}{ENDPOINT}?{query}"
    token = {"Authorization": f"token {os.environ['DVC_STUDIO_TOKEN']}"}
    with urlopen(Request(url, headers=token)) as response:
        urls: Mapping[str, str] = json.load(response)
    return urls


def md5_of(url: str) -> str:
    """Return the MD5 of an object, from its URL."""
    return "".join(url.partition("?")[0].rsplit("/", 2)[1:])


def download(urls: Iterable[str], connections: int) -> Iterator[tuple[str, bytes]]:
    """Download over some connections in one thread; return each URL with its body."""
    waiting = iter(urls)
    multi = pycurl.CurlMulti()
    running = sum(_start(multi, _new_curl(), waiting) for _ in range(connections))
    while running:
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise SystemExit(failed[0][2])
        for curl in done:
            multi.remove_handle(curl)
            if curl.getinfo(pycurl.RESPONSE_CODE) != OK:
                raise SystemExit(curl.getinfo(pycurl.RESPONSE_CODE))
            url, body = curl.url, b"".join(curl.pieces)
            running += _start(multi, curl, waiting) - 1
            yield url, body
        if not done:
            multi.select(WAIT_S)
    multi.close()


def _new_curl() -> Any:
    curl = pycurl.Curl()
    curl.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
    curl.setopt(pycurl.NOSIGNAL, 1)
    return curl


def _start(multi: Any, curl: Any, waiting: Iterator[str]) -> bool:
    url = next(waiting, None)
    if url is None:
        return False
    curl.url, curl.pieces = url, []
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEFUNCTION, curl.pieces.append)
    multi.add_handle(curl)
    return True


def keep(cache: Path, md5: str, body: bytes) -> None:
    """Write a body to the cache if it has this MD5."""
    if hashlib.md5(body, usedforsecurity=False).hexdigest() != md5:
        message = f"{md5} has other content"
        raise SystemExit(message)
    folder = f"{cache}/{md5[:2]}"
    write(f"{folder}/.{md5}.tmp", body, READ_ONLY)
    os.rename(f"{folder}/.{md5}.tmp", f"{folder}/{md5[2:]}")  # noqa: PTH104 - faster


def keep_listing(cache: Path, urls: Mapping[str, str]) -> None:
    """Write DVC's list of the folder's files to the cache."""
    names = {path.rpartition("/")[2]: md5_of(url) for path, url in urls.items()}
    entries = [{"md5": names[name], "relpath": name} for name in sorted(names)]
    body = json.dumps(entries).encode()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    (cache / md5[:2]).mkdir(exist_ok=True)
    keep(cache, md5, body)
    kept = cache / md5[:2] / md5[2:]
    kept.rename(f"{kept}.dir")


def write(path: str, body: bytes, mode: int = 0o666) -> None:
    """Write a new file with one call."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(file, body)
    finally:
        os.close(file)


def flush_file_system(folder: Path) -> None:
    """Flush all data of the folder's file system."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)


def place(cache: Path, urls: Mapping[str, str], *, links: bool) -> Mapping[str, str]:
    """Build the folder beside its path and rename it; return path -> MD5."""
    target = Path.cwd() / PurePosixPath(next(iter(urls))).parent
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.tmp")
    beside.mkdir()
    transfer = os.link if links else shutil.copyfile
    placed = {}
    for path, url in urls.items():
        md5, name = md5_of(url), path.rpartition("/")[2]
        transfer(f"{cache}/{md5[:2]}/{md5[2:]}", f"{beside}/{name}")
        placed[f"{target}/{name}"] = md5
    beside.rename(target)
    return placed


def save_states(repo: Any, placed: Mapping[str, str]) -> None:
    """Save the hashes to DVC's state in one transaction."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_objects.fs.local import localfs

    infos = [(path, HashInfo("md5", md5), None) for path, md5 in placed.items()]
    repo.state.save_many(infos, localfs)


if __name__ == "__main__":
    main()
