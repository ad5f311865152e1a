"""Opening a DVC project, and the paths of our files in it.

DVC needs the user's name, and writes databases to its *site cache*, a folder that the
users of a machine may share. A container may have neither. Errors name what is refused.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import getpass
import os
import stat
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dvc_studio_models.errors import (
    LocalDiskError,
    SiteCacheError,
    StudioConfigError,
    config_errors,
    disk_errors,
)
from dvc_studio_models.model import MD5_DOS2UNIX
from dvc_studio_models.store.dvc.light import (
    DATABASE,
    find_project,
    find_site_cache,
    read_config,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dvc_studio_models.model import Digest


REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors of a file system that must not be written, even if it has space."""

_SITE_CACHE = "DVC_SITE_CACHE_DIR"

T = TypeVar("T")

RECEIPTS = "receipts"


def project_around(folder: Path, root: Path) -> Path | None:
    """Return the root of the DVC project that holds a folder, or None.

    Args:
        folder: Need not exist.
        root: The search ends here.
    """
    for candidate in (folder, *folder.parents):
        if (candidate / ".dvc").is_dir():
            return candidate
        if candidate == root:
            break
    return None


def project_above(folder: Path) -> Path | None:
    """Return the root of the DVC project that a folder is in, or None.

    DVC searches up to a mount point. This also ends below a folder in which everybody
    may make a project, as ``/tmp``.

    Args:
        folder: Its real path; it need not exist.
    """
    for candidate in (folder, *folder.parents):
        with contextlib.suppress(FileNotFoundError):
            if candidate.stat().st_mode & stat.S_IWOTH:
                return None
        if (candidate / ".dvc").is_dir():
            return candidate
        if os.path.ismount(candidate):
            return None
    return None


def own_folder(project: Path) -> Path:
    """Return the folder in which a DVC project keeps files of this package."""
    return project / ".dvc" / "tmp" / "models"


def receipts_folder(folder: Path, root: Path) -> Path | None:
    """Return where the project around a folder keeps receipts.

    See :func:`project_around`.
    """
    project = project_around(folder, root)
    return project and own_folder(project) / RECEIPTS


def open_project(
    root: Path | str,
    *,
    config: Any = None,
    read_only: bool = False,
    with_git: bool = False,
    **options: Any,
) -> Any:
    """Open a DVC project.

    Args:
        root: The root of the project.
        config: A parsed config of DVC's. It is used if it is of this project, so that
            DVC does not parse the files again.
        read_only: Whether nothing may change on disk, see ``read_only``.
        with_git: Whether DVC opens Git too, to leave out what Git ignores.
        options: Arguments of DVC's own class.

    Raises:
        StudioConfigError: DVC cannot read the project's config.
        SiteCacheError: DVC's site cache cannot be written.
        LocalDiskError: The file system refuses.
    """
    import sqlite3

    from dvc.repo import Repo
    from scmrepo.noscm import NoSCM

    # Where it can be helped, DVC does not open Git itself, which it does with libgit2.
    scm = None if with_git else NoSCM(os.fspath(root))
    kind: type[Repo] = Repo
    if config is not None and config.dvc_dir == os.fspath(Path(root, ".dvc")):
        kind = type("ConfiguredRepo", (Repo,), {"config": config})
    with config_errors(), ensure_user_name():
        try:
            if read_only:
                from dvc_studio_models.store.dvc.read_only import make_read_only

                kind = make_read_only(kind)
            return kind(os.fspath(root), scm=scm, **options)
        except sqlite3.DatabaseError as error:
            raise SiteCacheError(_site_cache_of(root), str(error)) from None
        except UnicodeDecodeError:
            msg = (
                f"DVC cannot read a file of '{root}', as '.dvcignore': it is not UTF-8"
            )
            raise StudioConfigError(msg) from None
        except OSError as error:
            refused = (
                SiteCacheError if _is_of_site_cache(error, root) else LocalDiskError
            )
            reason = (error.strerror or str(error)).lower()
            raise refused(refused_path(error, root), reason) from None


class LazyProject:
    """A DVC project, which DVC opens when more than its hashes is needed.

    It is opened at once if DVC has never opened it before, or if nothing may change on
    disk: then DVC makes a copy of its database.
    """

    def __init__(
        self, root: str, *, config: Any, read_only: bool, **options: Any
    ) -> None:
        """Find the project, see :func:`open_project` for the arguments.

        Raises:
            StudioConfigError: DVC cannot read the project's config.
            SiteCacheError, LocalDiskError: See :func:`open_project`.
        """
        self._open = functools.partial(
            open_project, root, config=config, read_only=read_only, **options
        )
        self._found = None
        if not read_only:
            with config_errors(), ensure_user_name(), disk_errors(root, action="read"):
                self._found = find_project(root, config)
        if self._found is None:
            _ = self.repo

    @cached_property
    def repo(self) -> Any:
        """DVC's own object of the project."""
        return self._open()

    @property
    def cache_folder(self) -> str:
        """The folder of the cache."""
        if self._found:
            return self._found.cache_folder
        return str(self.repo.cache.local_cache_dir)

    def object_path(self, digest: Digest) -> str:
        """Return the path of an object of the cache, which need not exist."""
        value, folder = digest.value, self.cache_folder
        if digest.algorithm != MD5_DOS2UNIX:
            folder = f"{folder}/files/md5"
        return f"{folder}/{value[:2]}/{value[2:]}"

    @property
    def database(self) -> Path:
        """DVC's database of hashes, which may not exist."""
        if self._found:
            return self._found.database
        return Path(self.repo.site_cache_dir, DATABASE)

    def close(self) -> None:
        """Close DVC's databases."""
        if "repo" in vars(self):
            self.repo.close()


def open_project_to_read(root: Path | str, **options: Any) -> Any:
    """Open a DVC project, without DVC's site cache if that cannot be written.

    Raises:
        StudioConfigError, LocalDiskError: See :func:`open_project`.
    """
    return with_any_site_cache(lambda: open_project(root, **options))


def with_any_site_cache(open_it: Callable[[], T]) -> T:
    """Open a project with a temporary site cache if DVC's cannot be written.

    Then DVC hashes all files again, since their hashes are in the site cache.

    Raises:
        SiteCacheError: No other folder can be written either.
    """
    try:
        return open_it()
    except SiteCacheError as refused:
        try:
            spare = tempfile.TemporaryDirectory()
        except OSError:
            raise refused from None
        with _environ(_SITE_CACHE, spare.name):
            project = open_it()
        weakref.finalize(project, spare.cleanup)
        return project


@contextlib.contextmanager
def ensure_user_name() -> Iterator[None]:
    """Set a user name if the password file has none, since DVC needs one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        with _environ("LOGNAME", f"uid-{os.getuid()}"):
            yield
    else:
        yield


def refused_path(error: OSError, default: Path | str) -> Path:
    """Return the path that was refused: a file, or its deepest existing folder.

    Args:
        error: The error of the file system.
        default: The path if the error names none.
    """
    path = Path(_named(error) or default)
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def check_writable(folder: Path) -> None:
    """Check that the mode of a folder allows to make files in it.

    Raises:
        PermissionError: It does not.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _named(error: OSError) -> str | None:
    """Return the path that an error names; of two paths, the target."""
    named = error.filename2 or error.filename
    return os.fsdecode(named) if isinstance(named, (str, bytes)) else None


def _is_of_site_cache(error: OSError, root: Path | str) -> bool:
    """Return whether an error is about DVC's site cache or a parent of it."""
    named = Path(_named(error) or root)
    site_cache = Path(_site_cache_of(root))
    return named.is_relative_to(site_cache) or site_cache.is_relative_to(named)


@contextlib.contextmanager
def _environ(name: str, value: str) -> Iterator[None]:
    """Set an environment variable until the context ends."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _site_cache_of(root: Path | str) -> str:
    """Return the path of DVC's site cache for a project."""
    try:
        config: Any = read_config(os.fspath(Path(root, ".dvc")))
    except OSError:  # the config cannot be read
        config = {"core": {}}
    return find_site_cache(config)
