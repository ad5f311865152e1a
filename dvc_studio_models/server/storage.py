"""Where the files of a registered version are stored: tags and remotes in, objects out.

Tags are looked at whenever a request comes, so that new ones are seen; what a commit
says never changes and is kept.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_objects.errors import ObjectFormatError

from dvc_studio_models import records, registry
from dvc_studio_models.model import MD5, ModelRef
from dvc_studio_models.server import presence
from dvc_studio_models.server.kept import Kept
from dvc_studio_models.server.recorded import (
    RecordedFile,
    RecordedModel,
    UntoldError,
    holds,
    read_model,
)
from dvc_studio_models.server.refusals import (
    ModelMissingError,
    NotPushedError,
    NotStoredError,
    RefusedError,
    RemoteUnreadableError,
)
from dvc_studio_models.server.remotes import LOCAL, Remotes
from dvc_studio_models.server.watch import Refs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dvc_data.hashfile.tree import Tree
    from scmrepo.git import Git

    from dvc_studio_models.model import Digest, ModelVersion
    from dvc_studio_models.registry import KnownModel
    from dvc_studio_models.server.catalog import ServedRepo
    from dvc_studio_models.server.recorded import RecordedOutput
    from dvc_studio_models.server.remotes import Store

logger = logging.getLogger(f"dvc.{__name__}")

KEPT_FILES = 200_000  # per repo and kind of answer; one takes about half a kilobyte
KEPT_CHECKS = 10_000


@dataclass(frozen=True)
class StoredFile:
    """One file of a version, and the object that holds its content."""

    path: str
    """Relative to the Git root, with ``/``."""

    store: Store
    digest: Digest
    size: int | None
    """In bytes, where DVC recorded it."""

    object: str
    """Relative to the store: ``files/md5/ab/cdef...``, of DVC 2 ``ab/cdef...``; where
    it is cloud-versioned, the file's own path and ``?versionId=...``."""


class Storage:
    """One served repo: which models it has, and where their files are stored."""

    def __init__(
        self,
        repo: ServedRepo,
        *,
        remote: str | None,
        protocols: Collection[str],
        verify_s: float | None = None,
    ) -> None:
        """Remember what to serve; nothing is read yet.

        Args:
            repo: The served repo.
            remote: Name of the DVC remote; None for the project's default.
            protocols: Kinds of remotes that can be signed.
            verify_s: For how long, in seconds, objects that were on their remote are
                believed to be there still; None to believe it without asking.
        """
        self._repo = repo
        self._refs = Refs(repo.git_dir)
        self._remotes = Remotes(repo.key, default=remote, protocols=protocols)
        self._verify_s = verify_s
        self._lock = threading.Lock()  # neither scmrepo nor DVC is thread-safe
        self._models: tuple[str, tuple[KnownModel, ...]] = ("", ())
        self._recorded: Kept[RecordedModel] = Kept(
            KEPT_FILES, size=lambda one: one.size
        )
        self._files: Kept[tuple[StoredFile, ...]] = Kept(KEPT_FILES, size=len)
        self._present: Kept[bool] = Kept(KEPT_CHECKS, size=lambda _: 1)
        self._answers: Kept[tuple[StoredFile, ...]] = Kept(KEPT_FILES, size=len)

    def warm_up(self) -> None:
        """Read a model, if there is one, so that the first request is not slow.

        What may have to ask others is done later, in a thread of its own.
        """
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            models = self._known(scm)
        for model in models[:1]:
            with contextlib.suppress(RefusedError):
                ref = ModelRef(model.name)
                _, _, stores = self._look_up(ref)
                far = [one for one in stores.values() if one.protocol != LOCAL]
                if far:
                    opening = threading.Thread(target=_open, args=(far,), daemon=True)
                    opening.start()
                else:
                    self.find(ref)

    def recall(self, ref: ModelRef) -> tuple[StoredFile, ...] | None:
        """Give what :meth:`find` found, if nothing has changed since. Takes no time."""
        key = self._key(ref)
        return self._answers.peek(key) if key else None

    def find(self, ref: ModelRef) -> tuple[StoredFile, ...]:
        """Find the objects of the version that ``ref`` means now.

        Raises:
            ModelMissingError: The tags know no such model, version or stage.
            NotStoredError: The version's files cannot be told.
            NotPushedError: Some are not on their remote, where that is verified.
            ConfigUnreadableError: DVC cannot read its config.
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
            RemoteUnreadableError: The remote cannot be asked.
        """
        key = self._key(ref)  # of before: what changes while this runs is not missed
        if key is None:
            return self._find(ref)
        return self._answers.get(key, lambda: self._find(ref))

    def store(self, project: str, name: str) -> Store:
        """Find a store by its project and name.

        Raises:
            ConfigUnreadableError: DVC cannot read its config.
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
        """
        if known := self._remotes.known(project, name):
            return known
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            return self._remotes.find(scm, project, name)

    def _key(self, ref: ModelRef) -> object:
        """Give what an answer depends on, None while refs are changing."""
        refs = self._refs.stamp()
        return refs and (ref, refs, self._remotes.stamp(), self._period())

    def _period(self) -> int:
        """Number the times for which what was verified is believed."""
        return int(time.monotonic() // self._verify_s) if self._verify_s else 0

    def _find(self, ref: ModelRef) -> tuple[StoredFile, ...]:
        version, recorded, stores = self._look_up(ref)
        key = (version.commit, ref.name, *stores.values())
        # Without the lock: a store that is silent keeps nobody else waiting.
        try:
            files = self._files.get(key, lambda: _list(recorded, stores))
        except UntoldError as exc:
            raise NotStoredError(ref.name, version, str(exc)) from None
        if self._verify_s:
            self._present.get(
                (*key, self._period()), lambda: _verify(files, ref.name, version)
            )
        return files

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
    ) -> tuple[ModelVersion, RecordedModel, dict[str | None, Store]]:
        """Give the version, what Git says of it, and the stores of its remotes."""
        with self._lock, contextlib.closing(self._repo.open()) as scm:
            version = self._resolve(scm, ref)
            recorded = self._recorded.get(
                (version.commit, ref.name), lambda: read_model(scm, version, ref.name)
            )
            stores = {
                name: self._remotes.find(scm, recorded.project, name)
                for name in {out.file.remote for out in recorded.outs}
            }
        return version, recorded, stores


def _open(stores: Iterable[Store]) -> None:
    """Import packages and fetch credentials, which takes seconds, or longer."""
    for store in stores:
        if store.protocol not in {"http", "https"}:  # whose links need nothing opened
            try:
                _ = store.remote.fs.fs
            except Exception:  # requests are answered with what is wrong
                logger.exception("cannot open the DVC remote '%s'", store.name)


def _list(
    model: RecordedModel, stores: Mapping[str | None, Store]
) -> tuple[StoredFile, ...]:
    """Give the files of a version, by path, reading listings where there are some."""
    files = [
        file
        for out in model.outs
        for file in _expand(out, stores[out.file.remote])
        if holds(model.path, file.path)
    ]
    if not files and model.outs[0].file.path != model.path:
        reason = f"there is no '{model.path}' in what DVC tracks"
        raise UntoldError(reason)
    files.sort(key=lambda file: file.path)
    return tuple(_stored(file, stores[file.remote], model.project) for file in files)


def _expand(out: RecordedOutput, store: Store) -> Iterator[RecordedFile]:
    """Give the files of an output: itself, or what its listing says."""
    if out.files:
        yield from out.files
    elif not out.hash_info.isdir:
        yield out.file
    else:
        for key, meta, recorded in _listing(store, out):
            if digest := records.digest_of(recorded):
                path = posixpath.join(out.file.path, *key)
                size = meta.size if meta else None
                yield RecordedFile(path, out.file.remote, digest, size)


def _listing(store: Store, out: RecordedOutput) -> Tree:
    from dvc_data.hashfile.tree import Tree

    path, algorithm = out.file.path, out.file.digest.algorithm
    try:
        try:
            return Tree.load(store.objects(algorithm), out.hash_info)
        except FileNotFoundError:
            presence.doubt(store, algorithm, out.hash_info.value)
            reason = f"the listing of '{path}' is not on the DVC remote; was it pushed?"
        except (ObjectFormatError, KeyError, TypeError):
            reason = f"the listing of '{path}' on the DVC remote is broken"
    except Exception as exc:  # every service has errors of its own
        logger.exception("cannot read from the DVC remote '%s'", store.name)
        raise RemoteUnreadableError(store.name, exc) from None
    raise UntoldError(reason)


def _stored(file: RecordedFile, store: Store, project: str) -> StoredFile:
    if store.is_versioned:
        name = _versioned_object(file, store, project)
    else:
        folder = "files/md5/" if file.digest.algorithm == MD5 else ""
        name = f"{folder}{file.digest.value[:2]}/{file.digest.value[2:]}"
    return StoredFile(file.path, store, file.digest, file.size, name)


def _versioned_object(file: RecordedFile, store: Store, project: str) -> str:
    if file.version is None or file.version.remote not in {store.name, ""}:
        reason = (
            f"Git does not know which version '{file.path}' has on the cloud-versioned "
            f"DVC remote '{store.name}'; run 'dvc push', commit, and register that"
        )
        raise UntoldError(reason)
    inside = file.path.removeprefix(f"{project}/") if project else file.path
    return f"{inside}?versionId={file.version.id}"


def _verify(files: Sequence[StoredFile], name: str, version: ModelVersion) -> bool:
    """Refuse files whose objects are not on their remote."""
    try:
        lost = presence.missing(files)
    except Exception as exc:  # every service has errors of its own
        remotes = "', '".join(sorted({file.store.name for file in files}))
        logger.exception("cannot read from the DVC remote '%s'", remotes)
        raise RemoteUnreadableError(remotes, exc) from None
    if lost:
        paths = [file.path for file in lost]
        raise NotPushedError(name, version, paths, of=len(files))
    return True
