"""The user's own DVC remote: contents by their hashes, with the user's credentials.

Owns all access to a remote, through DVC's config, file systems and caches. The errors
of each cloud's library are translated to ours, with a reason, but without a URL, which
may contain a password.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec import Callback

from dvc_studio_models.background import ByteCounter, run_in_background
from dvc_studio_models.errors import DvcRemoteError, RemoteConfigError, disk_errors
from dvc_studio_models.files.durable import fsync_files
from dvc_studio_models.files.folders import nearest_existing
from dvc_studio_models.files.scratch import temporary_folder
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import MD5_DOS2UNIX
from dvc_studio_models.store.dvc.objects import by_algorithm
from dvc_studio_models.store.dvc.project import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dvc_studio_models.model import Digest
    from dvc_studio_models.store.dvc.objects import Objects

logger = get_logger(__name__)

NOT_ON_REMOTE = "it is not there; was it pushed with 'dvc push'?"

_MD5_LETTERS = 32  # the suffix of a directory follows them
_DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE}


class DvcRemote:
    """One remote of a DVC project."""

    def __init__(self, repo: Any, name: str | None, path: str) -> None:
        """Find the remote in DVC's config.

        Args:
            repo: DVC's own object of the project, which the caller closes.
            name: None for the project's default remote.
            path: A path whose content it stores, for messages.

        Raises:
            RemoteConfigError: There is no such remote, the package for its kind is not
                installed, or it does not store files by their hashes.
        """
        self._repo = repo
        self.name = name or repo.config["core"].get("remote") or ""
        if not self.name:
            reason = f"DVC's config has no default remote, and '{path}' names none"
            raise RemoteConfigError(reason)
        with self._config_errors():
            self._remote = repo.cloud.get_remote(name=name, command="fetch")
        if self._remote.worktree or getattr(self._remote.fs, "version_aware", False):
            reason = f"'{self.name}' is cloud-versioned; use 'dvc pull' for it"
            raise RemoteConfigError(reason)

    def read_tree(self, digest: Digest, path: str) -> bytes:
        """Read the list of a directory's files.

        Args:
            digest: The ``.dir`` hash.
            path: The directory, for messages.

        Raises:
            DvcRemoteError: It does not exist, is damaged, or cannot be read.
        """
        odb = self._odb(digest)
        try:
            raw: bytes = odb.fs.cat_file(odb.oid_to_path(digest.value))
        except Exception as error:  # noqa: BLE001 - each cloud has its own
            raise DvcRemoteError(self.name, [(path, describe_error(error))]) from None
        actual = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        if actual != digest.value[:_MD5_LETTERS]:
            reason = "the hash of its file list is different there"
            raise DvcRemoteError(self.name, [(path, reason)])
        return raw

    def fetch(
        self,
        files: Mapping[str, Digest],
        odb: Any,
        *,
        report: Callable[[int], None],
        jobs: int,
    ) -> None:
        """Download contents into a cache. DVC keeps only those with the right hash.

        Args:
            files: Path, for messages, to digest; all of one algorithm.
            odb: The cache.
            report: Called with the number of bytes so far, from this thread.
            jobs: The maximum number of connections.

        Raises:
            DvcRemoteError: The remote does not deliver some of them.
            LocalDiskError: The disk is full, or cannot be written.
        """
        paths = {digest.value: path for path, digest in files.items()}
        failed: dict[str, BaseException] = {}
        source = self._odb(next(iter(files.values())))
        count = ByteCounter()

        def work() -> None:
            with disk_errors(odb.path):  # failures of the remote are in ``failed``
                try:
                    odb.add(
                        [source.oid_to_path(value) for value in paths],
                        source.fs,
                        list(paths),
                        on_error=failed.__setitem__,
                        callback=_Callback(count),
                        batch_size=jobs,
                        verify=True,
                    )
                except FileNotFoundError:
                    if not failed:
                        raise
                finally:
                    odb.state.close()  # this thread's own connection

        run_in_background(work, count, report)
        with disk_errors(odb.path):
            for error in failed.values():
                if _is_of_disk(error, odb.path):
                    raise error
        problems = [
            (paths[value], describe_error(error)) for value, error in failed.items()
        ]
        if problems:
            raise DvcRemoteError(self.name, problems)

    def fetch_into(
        self,
        objects: Objects,
        files: Mapping[str, Digest],
        scratch: Path,
        *,
        report: Callable[[int], None],
        jobs: int,
    ) -> None:
        """Download contents into the cache of the project.

        Args:
            objects: The cache.
            files: Path, for messages, to digest.
            scratch: A folder of this package in the project.
            report: Called with the number of bytes so far, from this thread.
            jobs: The maximum number of connections.

        Raises:
            DvcRemoteError: The remote does not deliver some of them.
            LocalDiskError: The disk is full, or cannot be written.
        """
        with objects.writing(needed=True):
            for folder in {objects.odb(d.algorithm).path for d in files.values()}:
                check_writable(nearest_existing(Path(folder)))
            damaged = {p for p, digest in files.items() if objects.is_damaged(digest)}
        groups = by_algorithm(
            (digest, path) for path, digest in files.items() if path not in damaged
        )
        groups += by_algorithm((files[path], path) for path in damaged)
        before = 0
        for group in groups:
            wanted = {path: digest for digest, path in group}

            def report_all(count: int, before: int = before) -> None:
                report(before + count)

            if damaged.isdisjoint(wanted):
                odb = objects.odb(group[0][0].algorithm)
                self.fetch(wanted, odb, report=report_all, jobs=jobs)
            else:
                self._replace(objects, wanted, scratch, report=report_all, jobs=jobs)
            sizes = {path: objects.size_of(digest) for path, digest in wanted.items()}
            if lacking := [path for path, size in sizes.items() if size is None]:
                reason = "its hash is different there"
                raise DvcRemoteError(self.name, [(path, reason) for path in lacking])
            before += sum(size or 0 for size in sizes.values())

    def _replace(
        self,
        objects: Objects,
        files: Mapping[str, Digest],
        scratch: Path,
        *,
        report: Callable[[int], None],
        jobs: int,
    ) -> None:
        """Replace damaged objects of one algorithm after their content has arrived.

        DVC itself would remove them before. See :meth:`fetch_into` for the arguments.
        """
        digests = set(files.values())
        with temporary_folder(scratch) as folder:
            odb = objects.temporary_odb(folder, next(iter(digests)).algorithm)
            self.fetch(files, odb, report=report, jobs=jobs)
            paths = [(d, Path(odb.oid_to_path(d.value))) for d in digests]
            fetched = [(digest, path) for digest, path in paths if path.exists()]
            with objects.writing():
                fsync_files(path for _, path in fetched)
                objects.add(fetched)

    def _odb(self, digest: Digest) -> Any:
        is_old = digest.algorithm == MD5_DOS2UNIX
        return self._remote.legacy_odb if is_old else self._remote.odb

    @contextlib.contextmanager
    def _config_errors(self) -> Iterator[None]:
        from dvc.config import ConfigError
        from dvc_objects.fs.errors import RemoteMissingDepsError

        try:
            yield
        except ConfigError as error:
            reason = str(error).splitlines()[0].removeprefix("config file error: ")
            raise RemoteConfigError(reason) from None
        except (ImportError, RemoteMissingDepsError):
            reason = f"the package for '{self.name}' is missing, as dvc[s3] is for S3"
            raise RemoteConfigError(reason) from None
        except Exception as error:  # noqa: BLE001 - each cloud has its own
            reason = f"'{self.name}': {type(error).__name__}"
            raise RemoteConfigError(reason) from None


def configured_remotes(repo: Any, names: Iterable[str | None]) -> list[str]:
    """Return the remotes of outputs, or an empty list if DVC's config lacks one."""
    default = repo.config["core"].get("remote")
    wanted = {name or default for name in names}
    return sorted(wanted) if wanted <= set(repo.config["remote"]) else []


def is_folder(repo: Any, name: str | None) -> bool:
    """Return whether DVC's config says that a remote is a local folder."""
    config = repo.config
    remote = config["remote"].get(name or config["core"].get("remote"), {})
    return bool(remote.get("url")) and "://" not in remote["url"]


def _is_of_disk(error: BaseException, folder: str) -> bool:
    """Return whether the disk of the cache failed, and not the remote."""
    if not isinstance(error, OSError):
        return False
    inside = Path(str(error.filename)).is_relative_to(folder)
    return inside or error.errno in _DISK_ERRNOS


def describe_error(error: BaseException) -> str:
    """Return why it failed, without the library's text, which may contain secrets."""
    if isinstance(error, FileNotFoundError):
        return NOT_ON_REMOTE
    if isinstance(error, PermissionError):
        return "its credentials do not allow reading it"
    if isinstance(error, (ConnectionError, TimeoutError)):
        return "it cannot be reached"
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"it answered with HTTP status {status}"
    return f"it failed with {type(error).__name__}"


class _Callback(Callback):  # type: ignore[misc]  # fsspec is untyped
    """Adds the bytes of all files to a counter, from the threads of a file system."""

    def __init__(self, counter: ByteCounter) -> None:
        super().__init__()
        self._counter = counter

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Callback:  # noqa: ARG002
        return _FileCallback(self._counter)


class _FileCallback(Callback):  # type: ignore[misc]
    """Adds the bytes of one file."""

    def __init__(self, counter: ByteCounter) -> None:
        super().__init__()
        self._counter = counter

    def relative_update(self, inc: int = 1) -> None:
        self.value += inc
        self._counter.add(inc)

    def absolute_update(self, value: int) -> None:
        self.relative_update(value - self.value)
