"""Where the files of a registered version are stored: Git and DVC in, objects out.

Tags are read whenever a request comes, so that new ones are seen; what a commit says
never changes and is kept.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from dvc_objects.errors import ObjectFormatError
from scmrepo.exceptions import SCMError

from dvc_studio_models import records, registry
from dvc_studio_models.model import MD5, ModelRef
from dvc_studio_models.server.kept import Kept
from dvc_studio_models.server.refusals import (
    ModelMissingError,
    NotStoredError,
    RefusedError,
)
from dvc_studio_models.server.remotes import LOCAL, Remotes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree
    from scmrepo.git import Git

    from dvc_studio_models.model import Digest, ModelVersion
    from dvc_studio_models.registry import KnownModel
    from dvc_studio_models.server.catalog import ServedRepo
    from dvc_studio_models.server.remotes import Store

logger = logging.getLogger(f"dvc.{__name__}")

KEPT_FILES = 200_000  # per repo; one takes about half a kilobyte
KEPT_VERSIONS = 10_000


@dataclass(frozen=True)
class StoredFile:
    """One file of a version, and the object that holds its content."""

    path: str
    """Relative to the Git root, with ``/``."""

    store: Store
    digest: Digest
    size: int | None
    """In bytes, where DVC recorded it."""

    @property
    def object(self) -> str:
        """Relative to the store: ``files/md5/ab/cdef...``, of DVC 2 ``ab/cdef...``."""
        folder = "files/md5/" if self.digest.algorithm == MD5 else ""
        return f"{folder}{self.digest.value[:2]}/{self.digest.value[2:]}"


@dataclass(frozen=True)
class _Output:
    """What a commit says of an output of DVC."""

    path: str
    remote: str | None
    """None for the project's default."""

    recorded: HashInfo
    digest: Digest
    size: int | None


@dataclass(frozen=True)
class _Version:
    """What a commit says of a model."""

    project: str
    path: str
    outs: tuple[_Output, ...]


@dataclass(frozen=True)
class _File:
    """A file of a model, which never changes; where it is stored may."""

    path: str
    remote: str | None
    digest: Digest
    size: int | None


class Storage:
    """One served repo: which models it has, and where their files are stored."""

    def __init__(
        self, repo: ServedRepo, *, remote: str | None, protocols: Collection[str]
    ) -> None:
        """Remember what to serve; nothing is read yet.

        Args:
            repo: The served repo.
            remote: Name of the DVC remote; None for the project's default.
            protocols: Kinds of remotes that can be signed.
        """
        self._repo = repo
        self._remotes = Remotes(repo.key, default=remote, protocols=protocols)
        self._lock = threading.Lock()  # neither scmrepo nor DVC is thread-safe
        self._models: tuple[str, tuple[KnownModel, ...]] = ("", ())
        self._versions: Kept[_Version] = Kept(KEPT_VERSIONS, size=lambda _: 1)
        self._files: Kept[tuple[_File, ...]] = Kept(KEPT_FILES, size=len)

    def warm_up(self) -> None:
        """Read a model, if there is one, so that the first request is not slow."""
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            models = self._known(scm)
        for model in models[:1]:
            with contextlib.suppress(RefusedError):
                ref = ModelRef(model.name)
                _, _, stores = self._look_up(ref)
                if all(_is_ready(store) for store in stores.values()):
                    self.find(ref)

    def find(self, ref: ModelRef) -> tuple[StoredFile, ...]:
        """Find the objects of the version that ``ref`` means now.

        Raises:
            ModelMissingError: The tags know no such model, version or stage.
            NotStoredError: The version's files cannot be told.
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
        """
        version, recorded, stores = self._look_up(ref)
        # Without the lock: a store that is silent keeps nobody else waiting.
        try:
            files = self._files.get(
                (version.commit, ref.name), lambda: _list(recorded, stores)
            )
        except _UntoldError as exc:
            raise NotStoredError(ref.name, version, str(exc)) from None
        return tuple(
            StoredFile(file.path, stores[file.remote], file.digest, file.size)
            for file in files
        )

    def store(self, project: str, name: str) -> Store:
        """Find a store by its project and name.

        Raises:
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
        """
        if known := self._remotes.known(project, name):
            return known
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            return self._remotes.find(scm, project, name)

    def _known(self, scm: Git) -> tuple[KnownModel, ...]:
        tags = registry.fingerprint(scm)
        if self._models[0] != tags:
            self._models = (tags, registry.known(scm))
        return self._models[1]

    def _resolve(self, scm: Git, ref: ModelRef) -> ModelVersion:
        models = self._known(scm)
        version = registry.select(models, ref)
        if version is None:
            raise ModelMissingError(registry.explain(models, ref))
        return version

    def _look_up(
        self, ref: ModelRef
    ) -> tuple[ModelVersion, _Version, dict[str | None, Store]]:
        """Give the version, what Git says of it, and the stores of its remotes."""
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            version = self._resolve(scm, ref)
            recorded = self._versions.get(
                (version.commit, ref.name), lambda: _read(scm, version, ref.name)
            )
            stores = {
                name: self._remotes.find(scm, recorded.project, name)
                for name in {out.remote for out in recorded.outs}
            }
        return version, recorded, stores


class _UntoldError(Exception):
    """Why the files of a version cannot be told."""


def _is_ready(store: Store) -> bool:
    """Say whether a store answers at once; open others, in seconds, but ask nothing."""
    if store.protocol == LOCAL:
        return True
    if store.protocol not in {"http", "https"}:  # whose links need nothing opened
        try:
            _ = store.remote.fs.fs
        except Exception:  # requests are answered with what is wrong
            logger.exception("cannot open the DVC remote '%s'", store.name)
    return False


def _read(scm: Git, version: ModelVersion, name: str) -> _Version:
    """Read what Git says of a model."""
    try:
        found = records.open_model(scm, version.commit, name)
        if found is None:
            raise NotStoredError(name, version, "no 'dvc.yaml' annotates it there")
        project, path = found
        outs = tuple(_recorded(out) for out in _outputs(project, path))
    except RefusedError:
        raise
    except _UntoldError as exc:
        raise NotStoredError(name, version, str(exc)) from None
    except (DvcException, SCMError, KeyError) as exc:
        raise NotStoredError(name, version, f"cannot read Git: {exc}") from exc
    if not outs:
        raise NotStoredError(name, version, f"'{path}' is not tracked by DVC")
    return _Version(project.root_dir.strip("/"), path, outs)


def _recorded(out: Output) -> _Output:
    path = out.fs_path.lstrip("/")
    digest = records.digest_of(out.hash_info)
    if digest is None:
        reason = f"DVC recorded no hash for '{path}'"
        raise _UntoldError(reason)
    return _Output(path, out.remote, out.hash_info, digest, out.meta.size)


def _list(version: _Version, stores: Mapping[str | None, Store]) -> tuple[_File, ...]:
    """Give the files of a version, by path, reading listings where there are some."""
    files = [
        file
        for out in version.outs
        for file in _expand(out, stores[out.remote])
        if _holds(version.path, file.path)
    ]
    if not files and version.outs[0].path != version.path:
        reason = f"there is no '{version.path}' in what DVC tracks"
        raise _UntoldError(reason)
    return tuple(sorted(files, key=lambda file: file.path))


def _expand(out: _Output, store: Store) -> Iterator[_File]:
    """Give the files of an output: itself, or what its listing says."""
    if not out.recorded.isdir:
        yield _File(out.path, out.remote, out.digest, out.size)
        return
    for key, meta, recorded in _listing(store, out):
        if digest := records.digest_of(recorded):
            size = meta.size if meta else None
            yield _File(posixpath.join(out.path, *key), out.remote, digest, size)


def _outputs(project: Repo, path: str) -> list[Output]:
    """Find the output at ``path``, or else those above or below it."""
    exact = records.find_output(project, path)
    found = [exact] if exact else project.index.outs
    return [
        out
        for out in found
        if out.protocol == "local"
        and out.use_cache
        and (
            _holds(path, out.fs_path.lstrip("/"))
            or _holds(out.fs_path.lstrip("/"), path)
        )
    ]


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _listing(store: Store, out: _Output) -> Tree:
    from dvc_data.hashfile.tree import Tree

    remote = store.remote
    odb = remote.odb if out.digest.algorithm == MD5 else remote.legacy_odb
    try:
        return Tree.load(odb, out.recorded)
    except FileNotFoundError:
        reason = f"the listing of '{out.path}' is not on the DVC remote; was it pushed?"
    except (ObjectFormatError, KeyError, TypeError):
        reason = f"the listing of '{out.path}' on the DVC remote is broken"
    except Exception as exc:  # every service has errors of its own
        logger.exception("cannot read from the DVC remote '%s'", store.name)
        reason = (
            f"the listing of '{out.path}' cannot be read from the DVC remote: "
            f"{_unread(exc)}"
        )
    raise _UntoldError(reason)


def _unread(exc: Exception) -> str:
    """Say why in the words of the operating system, else name the service's error."""
    said = exc.strerror if isinstance(exc, OSError) else None
    return said or type(exc).__name__
