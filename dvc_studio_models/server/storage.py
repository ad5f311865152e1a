"""Where the files of a registered version are stored: Git and DVC in, objects out.

Tags are read whenever a request comes, so that new ones are seen; what a commit says
never changes and is kept.
"""

from __future__ import annotations

import contextlib
import posixpath
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from dvc_objects.errors import ObjectFormatError
from scmrepo.exceptions import SCMError

from dvc_studio_models import registry
from dvc_studio_models.model import MD5, ModelRef
from dvc_studio_models.server.refusals import (
    ModelMissingError,
    NotStoredError,
    RefusedError,
)
from dvc_studio_models.server.remotes import Remotes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.tree import Tree
    from scmrepo.git import Git

    from dvc_studio_models.model import Digest, ModelVersion
    from dvc_studio_models.registry import KnownModel
    from dvc_studio_models.server.catalog import ServedRepo
    from dvc_studio_models.server.remotes import Store

KEPT_FILES = 200_000  # per repo; one takes about half a kilobyte


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
class _Recorded:
    """What a commit says of a file."""

    path: str
    remote: str | None
    """None for the project's default."""

    digest: Digest
    size: int | None


@dataclass(frozen=True)
class _Version:
    """What a commit says of a model."""

    project: str
    files: tuple[_Recorded, ...]


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
        self._kept: OrderedDict[tuple[str, str], _Version] = OrderedDict()

    def warm_up(self) -> None:
        """Read a model, if there is one, so that the first request is not slow."""
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            models = self._known(scm)
        for model in models[:1]:
            with contextlib.suppress(RefusedError):
                self.find(ModelRef(model.name))

    def find(self, ref: ModelRef) -> tuple[StoredFile, ...]:
        """Find the objects of the version that ``ref`` means now.

        Raises:
            ModelMissingError: The tags know no such model, version or stage.
            NotStoredError: The version's files cannot be told.
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
        """
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            version = self._keep(scm, self._resolve(scm, ref), ref.name)
            stores = {
                name: self._remotes.find(scm, version.project, name)
                for name in {file.remote for file in version.files}
            }
        return tuple(
            StoredFile(file.path, stores[file.remote], file.digest, file.size)
            for file in version.files
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

    def _keep(self, scm: Git, version: ModelVersion, name: str) -> _Version:
        key = (version.commit, name)
        if key not in self._kept:
            self._kept[key] = self._read(scm, version, name)
        self._kept.move_to_end(key)
        while sum(len(kept.files) for kept in self._kept.values()) > KEPT_FILES:
            if len(self._kept) == 1:
                break
            self._kept.popitem(last=False)
        return self._kept[key]

    def _read(self, scm: Git, version: ModelVersion, name: str) -> _Version:
        try:
            found = registry.open_model(scm, version.commit, name)
            if found is None:
                raise NotStoredError(name, version, "no 'dvc.yaml' annotates it there")
            files = tuple(self._files(scm, *found))
        except RefusedError:
            raise
        except _UntoldError as exc:
            raise NotStoredError(name, version, str(exc)) from None
        except (DvcException, SCMError, KeyError) as exc:
            raise NotStoredError(name, version, f"cannot read Git: {exc}") from exc
        return _Version(found[0].root_dir.strip("/"), files)

    def _files(self, scm: Git, project: Repo, path: str) -> list[_Recorded]:
        outs = _outputs(project, path)
        if not outs:
            reason = f"'{path}' is not tracked by DVC"
            raise _UntoldError(reason)
        files = [file for out in outs for file in self._expand(scm, project, out)]
        files = [file for file in files if _holds(path, file.path)]
        if not files and outs[0].fs_path != f"/{path}":
            reason = f"there is no '{path}' in what DVC tracks"
            raise _UntoldError(reason)
        return sorted(files, key=lambda file: file.path)

    def _expand(self, scm: Git, project: Repo, out: Output) -> Iterator[_Recorded]:
        """Give the files of an output: itself, or what its listing says."""
        path = out.fs_path.lstrip("/")
        digest = registry.digest_of(out.hash_info)
        if digest is None:
            reason = f"DVC recorded no hash for '{path}'"
            raise _UntoldError(reason)
        if not out.hash_info.isdir:
            yield _Recorded(path, out.remote, digest, out.meta.size)
            return
        store = self._remotes.find(scm, project.root_dir.strip("/"), out.remote)
        for key, meta, recorded in _listing(store, path, out):
            if inner := registry.digest_of(recorded):
                size = meta.size if meta else None
                yield _Recorded(posixpath.join(path, *key), out.remote, inner, size)


class _UntoldError(Exception):
    """Why the files of a version cannot be told."""


def _outputs(project: Repo, path: str) -> list[Output]:
    """Find the output at ``path``, or else those above or below it."""
    exact = registry.find_output(project, path)
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


def _listing(store: Store, path: str, out: Output) -> Tree:
    from dvc_data.hashfile.tree import Tree

    remote = store.remote
    odb = remote.odb if out.hash_info.name == MD5 else remote.legacy_odb
    try:
        return Tree.load(odb, out.hash_info)
    except FileNotFoundError:
        reason = f"the listing of '{path}' is not on the DVC remote; was it pushed?"
    except (ObjectFormatError, OSError, KeyError, TypeError):
        reason = f"the listing of '{path}' on the DVC remote is broken"
    raise _UntoldError(reason)
