"""Fetching files of a ``dvc import`` from the repo and commit that they come from.

Reads such a repo through DVC's own ``DVCFileSystem``, as ``dvc pull`` does. A committed
file names the repo's URL: one that would run a program is refused, and so are settings
that name files in which programs can be named. Content counts only with the hash that
this repo's Git recorded.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import posixpath
import re
import threading
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dvc_studio_models.background import ByteCounter, Workers, run_in_background
from dvc_studio_models.errors import ImportSourceError, StudioModelsError, disk_errors
from dvc_studio_models.model import Digest
from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.store.dvc.objects import tree_digest
from dvc_studio_models.store.dvc.remote import describe_error
from dvc_studio_models.store.parts.folder import PartStore, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.registry.recorded import Import, Listing, RecordedOutput
    from dvc_studio_models.store.parts.part import Part

SILENT_S = 300.0
"""How long a source repo may send nothing, in seconds; to clone one takes time."""

_SCHEMES = {"file", "git", "git+ssh", "http", "https", "ssh"}
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")  # Git would run git-remote-NAME
_NAMES_A_FILE = {"configpath", "credentialpath"}  # of AWS: they can name programs
_SPEAK_OF_URLS = ("dvc.repo", "dvc.scm", "dvc.fs")  # and of passwords in them
_CHUNK_BYTES = 1 << 20
_TICK_S = 0.1


class SourceRepo:
    """A repo that something was imported from, at the commit of the import."""

    def __init__(self, repo: Any, origin: Import, folders: Sequence[Path]) -> None:
        """Check the repo's address; the repo is opened when needed.

        Args:
            repo: DVC's own object of the importing project, which the caller closes.
            origin: What DVC recorded.
            folders: Bases of a relative path; the first that contains it is used.

        Raises:
            ImportSourceError: A program would be run to reach it.
        """
        self._repo = repo
        self._origin = origin
        self._url = strip_secrets(origin.url)
        if why := _why_refused(origin.url):
            raise ImportSourceError(self._url, [(origin.file, why)])
        self._place = _place_of(origin.url, folders)

    def read_listing(self, output: RecordedOutput) -> Listing:
        """List the files in a folder, as it was imported.

        Raises:
            ImportSourceError: The repo failed, or has different content.
        """
        assert output.digest  # noqa: S101 - only what has a hash has a listing
        algorithm = output.digest.algorithm
        found: Listing = {}

        def work() -> None:
            self._open()
            root = self._path_of(output, output.path)
            for path in self._fs.find(root):
                inner = posixpath.relpath(path.lstrip("/"), root)
                found[inner] = self._hash(path, algorithm)

        with self._errors(output.path):
            run_in_background(work, ByteCounter(), lambda _: None, silent_s=SILENT_S)
        if not found or tree_digest(found) != output.digest:
            why = "its files there are not those that were imported"
            self._refuse({output.path: why})
        return found

    def fetch(
        self,
        files: Mapping[str, Digest],
        output: RecordedOutput,
        store: PartStore,
        *,
        report: Callable[[int], None],
        jobs: int,
    ) -> dict[str, Part]:
        """Fetch contents into parts, and verify them.

        Args:
            files: Path to digest, of files of ``output``.
            output: What was imported.
            store: Folder of parts.
            report: Called from this thread with the bytes so far.
            jobs: The most files at a time.

        Raises:
            ImportSourceError: The repo did not deliver, or has different content.
            LocalDiskError: The disk is full, or refuses to be written.
        """
        parts = {path: store.create(key_of(files[path])) for path in files}
        problems: dict[str, str] = {}
        count = ByteCounter()

        def bring(path: str) -> None:
            source = self._path_of(output, path)
            if why := self._try(source, parts[path], files[path], count):
                problems[path] = why

        def work() -> None:
            self._open()
            _run_all([functools.partial(bring, path) for path in files], count, jobs)

        with _discarding(parts.values()):
            with self._errors(next(iter(files))):
                run_in_background(work, count, report, silent_s=SILENT_S)
            self._refuse(problems)
        return parts

    def close(self) -> None:
        """Close what DVC has opened."""
        if "_fs" in vars(self):
            self._fs.close()

    def _refuse(self, problems: Mapping[str, str]) -> None:
        if problems:
            raise ImportSourceError(self._url, sorted(problems.items()))

    def _try(
        self, source: str, part: Part, digest: Digest, count: ByteCounter
    ) -> str | None:
        """Copy a file to a part; return the reason if that failed."""
        try:
            is_right = self._copy(source, part, digest, count)
        except (InterruptedError, StudioModelsError):
            raise
        except Exception as error:  # noqa: BLE001 - each host has its own
            return _why(error)
        return None if is_right else "its hash is different there"

    def _copy(
        self, source: str, part: Part, digest: Digest, count: ByteCounter
    ) -> bool:
        """Copy a file to a part, and return whether its hash is right."""
        from dvc_data.hashfile.hash import fobj_md5

        with self._fs.open(source, "rb") as stream:
            with disk_errors(part.path):
                part_file = part.open()
            with part_file:
                tee = _Tee(stream, part, part_file, count)
                actual = fobj_md5(tee, chunk_size=_CHUNK_BYTES, name=digest.algorithm)
        part.describe(tee.position, None)
        return bool(actual == digest.value)

    def _hash(self, path: str, algorithm: str) -> Digest:
        from dvc_data.hashfile.hash import file_md5

        known = self._fs.info(path).get(algorithm)
        return Digest(algorithm, known or file_md5(path, self._fs, name=algorithm))

    def _open(self) -> None:
        """Open the repo, and refuse DVC remotes in its config that name programs."""
        _refuse_files(_committed(self._fs.repo))

    def _path_of(self, output: RecordedOutput, path: str) -> str:
        """Return a file's path in the source repo."""
        assert self._origin.path is not None  # noqa: S101 - it is of a repo
        inner = path[len(output.path) + 1 :]
        return posixpath.normpath(posixpath.join(self._origin.path, inner)).lstrip("/")

    @functools.cached_property
    def _fs(self) -> Any:
        """Open the repo, as DVC opens it for an import (``dvc.dependency.repo``)."""
        from dvc.config import Config
        from dvc.fs import DVCFileSystem

        given = self._origin.config or {}
        config = Config.load_file(given) if isinstance(given, str) else deepcopy(given)
        _refuse_files(config)
        cache = {**self._repo.config["cache"], "dir": self._repo.cache.local_cache_dir}
        config["cache"] = cache
        remote = self._origin.remote
        settings = remote if isinstance(remote, dict) else None
        _refuse_files({"remote": {"": settings or {}}})
        return DVCFileSystem(
            url=self._place,  # DVC 3.50 takes no other name
            rev=self._origin.rev,
            subrepos=True,
            repo_factory=_open_inner,
            config=config,
            remote=None if settings else remote,
            remote_config=settings,
        )

    @contextlib.contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Raise an error with the reason, without the library's words and addresses."""
        try:
            with _quiet():
                yield
        except StudioModelsError:
            raise
        except Exception as error:  # noqa: BLE001 - each host has its own
            raise ImportSourceError(self._url, [(path, _why(error))]) from None


class _Tee:
    """Reads a file, and writes what is read to a part."""

    def __init__(self, stream: Any, part: Part, file: Any, count: ByteCounter) -> None:
        self._stream, self._part, self._file = stream, part, file
        self._count = count
        self.position = 0

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        self._count.add(len(data))
        with disk_errors(self._part.path):
            self._part.write(self._file, self.position, data)
        self.position += len(data)
        return data


@contextlib.contextmanager
def _discarding(parts: Iterable[Part]) -> Iterator[None]:
    """Remove the parts if not all of them arrive."""
    try:
        yield
    except BaseException:
        for part in parts:
            part.discard()
        raise


class _RefusedError(Exception):
    """A setting could run a program."""


def _why_refused(url: str) -> str | None:
    """Return why a repo must not be contacted; None if it may be."""
    parts = urlsplit(url)
    if _HELPER.match(url) or (parts.scheme not in _SCHEMES and "://" in url):
        return "its address is not of type file, git, http or ssh, and is refused"
    host = parts.netloc or url.partition(":")[0]
    if url.startswith("-") or host.rpartition("@")[2].startswith("-"):
        return "its address starts with '-', which programs treat as an option"
    return None


def _place_of(url: str, folders: Sequence[Path]) -> str:
    """Make a relative path absolute, if one of the folders has it."""
    if "://" in url or posixpath.isabs(url):
        return url
    found = (folder / url for folder in folders if (folder / url).exists())
    return os.path.normpath(next(found, url))


def _refuse_files(config: Mapping[str, Any]) -> None:
    """Refuse settings of DVC remotes with which a repo could run programs."""
    for name, remote in config.get("remote", {}).items():
        if named := _NAMES_A_FILE.intersection(remote):
            msg = f"its DVC remote '{name}' sets '{min(named)}', which is refused"
            raise _RefusedError(msg)


def _committed(repo: Any) -> Mapping[str, Any]:
    """Read the config in a repo's commit, without this machine's."""
    return repo.config.read("repo") if repo.dvc_dir else {}


def _open_inner(*args: Any, **kwargs: Any) -> Any:
    """Open a DVC project inside a source repo."""
    from dvc.repo import Repo

    repo = Repo(*args, **kwargs)
    _refuse_files(_committed(repo))
    return repo


def _run_all(
    tasks: Sequence[Callable[[], None]], count: ByteCounter, jobs: int
) -> None:
    """Run tasks on threads, until all are done or the caller stops waiting."""
    workers = Workers(jobs)
    left = [len(tasks)]
    lock = threading.Lock()

    def run(task: Callable[[], None]) -> None:
        task()
        with lock:
            left[0] -= 1
            if not left[0]:
                workers.end()

    workers.add(functools.partial(run, task) for task in tasks)
    while not workers.ended:
        workers.pause(_TICK_S)
        if count.stopped:
            workers.end(InterruptedError())
    if workers.error:
        raise workers.error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence DVC, which with ``-v`` logs addresses with passwords."""
    loggers = [logging.getLogger(name) for name in _SPEAK_OF_URLS]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)


def _why(error: BaseException) -> str:
    """Return why a source repo failed."""
    from dvc.config import ConfigError
    from dvc.scm import CloneError, RevError, SCMError

    if isinstance(error, _RefusedError):
        return str(error)
    if isinstance(error, CloneError):
        return "it cannot be cloned"
    if isinstance(error, RevError):
        return "it no longer has the commit of the import"
    if isinstance(error, SCMError):
        return "it is not a Git repository that DVC can read"
    if isinstance(error, ConfigError):
        return "its DVC config has no usable remote"
    return describe_error(error)
