"""Helpers for tests of the transfer engine."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import random
import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dvc_studio_models.model import MD5, Digest, ModelFile, SilentProgress
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.transfer.engine import Tuning, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from servers import FileServer

    from dvc_studio_models.model import Progress
    from dvc_studio_models.store.parts.part import DownloadedFile

RANGE = 1 << 20
EVEN = Tuning(range_bytes=RANGE, first_bytes=RANGE, small_bytes=RANGE, ramp=1)
IMPATIENT = replace(EVEN, idle_s=10, backoff_s=lambda _tries, _headers: 0.0)

HURRIED = replace(IMPATIENT, idle_s=1)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit files to ``size`` bytes; larger writes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@functools.cache
def noise(size: int, seed: int = 0) -> bytes:
    """Return random bytes, the same for the same arguments."""
    return random.Random(seed).randbytes(size)


SMALL = noise(100_000)
LARGE = noise(2 * RANGE + 12_345)  # three ranges


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Fetcher:
    """Publishes contents on a server, and downloads them as a pull does."""

    def __init__(self, server: FileServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.renewals = 0

    def publish(
        self, *contents: bytes, size: int | None = None, expires_s: float = 3600
    ) -> list[ModelFile]:
        """Store contents; return the files that Studio would list."""
        files = []
        for number, content in enumerate(contents):
            url = self.server.sign(self.server.store(content), expires_s=expires_s)
            digest = Digest(MD5, md5(content))
            files.append(ModelFile(f"m/{number}.bin", url, digest, size))
        return files

    def renew(self, files: Sequence[ModelFile]) -> Mapping[str, str]:
        """Return new links, as Studio would."""
        self.renewals += 1
        paths = {file.path: file.url.split("?")[0] for file in files}
        origin = self.server.origin()
        return {
            name: self.server.sign(url.removeprefix(origin))
            for name, url in paths.items()
        }

    def stream(
        self,
        files: Sequence[ModelFile],
        *,
        jobs: int = 4,
        tuning: Tuning = IMPATIENT,
        renew: Callable[[], Mapping[str, str]] | None = None,
        progress: Progress | None = None,
    ) -> Generator[list[DownloadedFile]]:
        """Start to download files, as a pull does."""
        return fetch(
            files,
            store=PartStore(self.folder),
            renew=renew or (lambda: self.renew(files)),
            progress=progress or SilentProgress(),
            jobs=jobs,
            tuning=tuning,
        )

    def fetch(
        self, files: Sequence[ModelFile], **options: Any
    ) -> dict[str, DownloadedFile]:
        """Download all files; return path -> downloaded file."""
        batches = self.stream(files, **options)
        return {done.file.path: done for batch in batches for done in batch}

    def bring(self, content: bytes, **options: Any) -> bytes:
        """Publish one content, download it, and return the downloaded bytes."""
        files = self.publish(content)
        (done,) = self.fetch(files, **options).values()
        assert done.size == done.part.path.stat().st_size
        got = done.part.path.read_bytes()
        done.part.discard()
        return got

    @property
    def parts(self) -> list[str]:
        """Names of the files and folders in the folder of parts."""
        return sorted(path.name for path in self.folder.glob("*"))
