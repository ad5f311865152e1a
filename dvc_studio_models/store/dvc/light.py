"""DVC's config and state, read without ``dvc.repo`` and DVC's file systems.

Their import takes longer than all else that a pull does if nothing has changed. The
results are those of DVC's own code. Where this module returns None, DVC has to open the
project.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import importlib
import json
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from dvc_studio_models.model import MD5, MD5_DOS2UNIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DATABASE = Path("hashes", "local", "cache.db")
"""The database of hashes in the folder of a project in DVC's site cache."""

_STATE_VERSION = 1
"""``dvc_data.hashfile.state.State.HASH_VERSION``."""

_QUERY = (
    "SELECT key, value FROM Cache "
    "WHERE raw = 1 AND key IN (SELECT value FROM json_each(?))"
)


class KnownFile(NamedTuple):
    """A file whose hash is in DVC's state, and that has not changed since."""

    algorithm: str
    value: str
    """The hash in hex."""

    size: int
    """In bytes."""


@dataclass(frozen=True)
class LightProject:
    """A DVC project, as far as it is known without DVC."""

    cache_folder: str
    database: Path
    """Of hashes; it exists."""


# Config


def find_dvc_dir(folder: Path) -> str | None:
    """Return the folder ``.dvc`` of the project that a folder is in, as DVC finds it.

    Args:
        folder: Its real path.
    """
    if not folder.is_dir():
        return None
    for place in (folder, *folder.parents):
        if (place / ".dvc").is_dir():
            return os.fspath(place / ".dvc")
        if os.path.ismount(place):
            break
    return None


def read_config(dvc_dir: str | None) -> Any:
    """Parse DVC's config at all levels, as an object of DVC's own class.

    Args:
        dvc_dir: The folder ``.dvc`` of the project, if there is one.

    Raises:
        ConfigError: DVC cannot read it.
        OSError: The file system refuses.
    """
    return _config_class()(dvc_dir)


@functools.cache
def _config_class() -> Callable[[str | None], Any]:
    from dvc import config as dvc_config
    from dvc.config import Config

    if not hasattr(dvc_config, "_parse_named"):  # of a later DVC
        return Config  # type: ignore[no-any-return]

    class PlainConfig(Config):  # type: ignore[misc]  # DVC is untyped
        """Reads files with Python alone; DVC's file systems are imported when used."""

        def __init__(self, dvc_dir: str | None) -> None:
            self.dvc_dir = self.local_dvc_dir = dvc_dir
            self.load()

        @functools.cached_property
        def fs(self) -> Any:
            from dvc.fs import LocalFileSystem

            return LocalFileSystem()

        @property
        def wfs(self) -> Any:
            return self.fs

        @functools.cached_property
        def files(self) -> dict[str, str]:
            shared = {level: self.get_dir(level) for level in self.SYSTEM_LEVELS}
            return {
                **{level: f"{at}/{self.CONFIG}" for level, at in shared.items()},
                **_own_files(self.dvc_dir),
            }

        def _load_config(self, level: str) -> Any:
            try:
                parsed = _parse(self.files[level])
            except FileNotFoundError:
                return {}
            return dvc_config._parse_named(dvc_config._lower_keys(parsed))

    return PlainConfig


def _own_files(dvc_dir: str | None) -> dict[str, str]:
    if dvc_dir is None:
        return {}
    return {"repo": f"{dvc_dir}/config", "local": f"{dvc_dir}/config.local"}


def _parse(path: str) -> dict[str, Any]:
    from configobj import ConfigObj, ConfigObjError
    from dvc.config import ConfigError

    with open(path) as file:  # noqa: PTH123 - as DVC does
        try:
            parsed: dict[str, Any] = ConfigObj(file).dict()
        except (UnicodeDecodeError, ConfigObjError) as error:
            raise ConfigError(str(error)) from error
    return parsed


# Places


def find_site_cache(config: Any) -> str:
    """Return the path of DVC's site cache, by the environment and a parsed config."""
    import inspect

    from dvc.dirs import site_cache_dir

    configured = config["core"].get("site_cache_dir")
    if inspect.signature(site_cache_dir).parameters:
        return str(site_cache_dir(configured))
    return str(configured or site_cache_dir())  # of DVC before 3.56


def find_project(root: str, config: Any) -> LightProject | None:
    """Find the cache and the database of a project that DVC has opened before.

    Args:
        root: Its real path.
        config: Of some DVC project; not used if it is of another one.
    """
    dvc_dir = os.path.join(root, ".dvc")  # noqa: PTH118
    if config is None or config.dvc_dir != dvc_dir:
        config = read_config(dvc_dir)
    cache = config["cache"]
    folder = cache.get("dir") or os.path.join(dvc_dir, "cache")  # noqa: PTH118
    if cache.get("local") or "://" in folder:
        return None
    database = _find_database(root, config)
    return LightProject(os.fspath(folder), database) if database else None


def _find_database(root: str, config: Any) -> Path | None:
    """Return the path of the database of hashes, as ``Repo.site_cache_dir`` has it."""
    from dvc.version import version_tuple

    try:
        created = os.path.getmtime(f"{root}/.dvc/tmp/btime")  # noqa: PTH204
    except OSError:
        return None
    token = str((root, None, created, getpass.getuser(), version_tuple[0], 0))
    name = hashlib.md5(token.encode(), usedforsecurity=False).hexdigest()
    database = Path(find_site_cache(config), "repo", name, DATABASE)
    return database if database.is_file() else None


# Importing the rest


@contextlib.contextmanager
def importing_dvc(own: Path | None) -> Iterator[None]:
    """Import what DVC opens a project with on a thread, while the caller waits.

    This takes as long as a reply of Studio. Nothing is imported if there was a pull
    before: then DVC is rarely needed.

    Args:
        own: A folder that pulls make: ours in the project, or the one to place files
            under. None where DVC is not needed.
    """
    if own is None or own.is_dir():
        yield
        return
    thread = threading.Thread(target=_import_dvc, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system refuses
        yield
        return
    try:
        yield
    finally:  # two threads must not import modules that import each other
        thread.join()


def _import_dvc() -> None:
    with contextlib.suppress(ImportError):  # raised again where it is used
        for name in ("dvc.repo", "dvc.cachemgr", "dvc.scm", "dvc.stage.cache"):
            importlib.import_module(name)


# State


def look_up(database: Path, paths: Iterable[str]) -> dict[str, KnownFile]:
    """Return the files that have the hash that DVC's state knows, in one query.

    Args:
        database: DVC's database of hashes.
        paths: Of files. Links are followed; the state knows a file by the real path
            of its folder.
    """
    paths = list(paths)
    keys = dict(zip(_keys(paths), paths, strict=True))
    return {keys[key]: known for key, known, _ in look_up_keys(database, keys)}


def look_up_keys(
    database: Path, keys: Iterable[str]
) -> Iterator[tuple[str, KnownFile, os.stat_result]]:
    """Yield the files that have the hash that DVC's state knows, with their status.

    Args:
        database: DVC's database of hashes.
        keys: The paths by which the state knows the files.
    """
    for key, raw in _read_rows(database, list(keys)):
        with contextlib.suppress(OSError):
            found = os.stat(key)  # noqa: PTH116 - of thousands of files
            if known := _match(raw, found):
                yield key, known, found


def state_key(path: Path | str) -> str:
    """Return the path by which DVC's state knows a file."""
    return next(_keys([os.fspath(path)]))


def _keys(paths: Iterable[str]) -> Iterator[str]:
    real = functools.cache(os.path.realpath)
    for path in paths:
        folder, _, name = path.rpartition(os.sep)
        yield f"{real(folder or os.curdir)}{os.sep}{name}"


def _read_rows(database: Path, keys: list[str]) -> list[tuple[str, str]]:
    """Read the values of keys; none if the database cannot be read."""
    import sqlite3

    uri = f"file:{quote(os.fsencode(database))}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(_QUERY, (json.dumps(keys),)).fetchall()
    except sqlite3.Error:  # DVC reports it, if it has the same trouble
        return []


def _match(raw: str, found: os.stat_result) -> KnownFile | None:
    """Return what the state says of a file; None if the file has changed since."""
    try:
        entry = json.loads(raw)
        version, hash_info = entry.get("version"), entry["hash_info"]
        if entry["checksum"] != _checksum(found) or not stat.S_ISREG(found.st_mode):
            return None
        ((algorithm, value),) = hash_info.items()
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if version is None and algorithm == MD5:
        algorithm = MD5_DOS2UNIX
    elif version is not None and version > _STATE_VERSION:
        return None
    return KnownFile(algorithm, str(value), found.st_size)


def _checksum(found: os.stat_result) -> str:
    """Return the number by which DVC's state knows that a file has not changed."""
    # ``fsspec.utils.tokenize`` of a list
    text = str(([found.st_ino, found.st_mtime, found.st_size],))
    return str(int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16))
