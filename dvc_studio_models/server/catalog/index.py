"""Where the files of a registered version are stored: tags and remotes in, objects out.

Every request checks whether refs have changed, so new tags are seen at once. What a
commit records never changes, and is cached.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.errors import (
    LocalDiskError,
    RecordUnreadableError,
    StudioConfigError,
    StudioModelsError,
    UnreadableRepoError,
)
from dvc_studio_models.model import ModelRef
from dvc_studio_models.server.catalog import presence
from dvc_studio_models.server.catalog.reading import Records
from dvc_studio_models.server.catalog.recorded import (
    FilesUnknownError,
    folders_of,
    list_files,
    why_not_pushed,
    why_not_stored,
)
from dvc_studio_models.server.catalog.tags import Tags
from dvc_studio_models.server.errors.models import (
    ModelMissingError,
    NotPushedError,
    NotStoredError,
    RepoUnreadableError,
)
from dvc_studio_models.server.errors.requests import (
    RefusedError,
    RepoNotOpenError,
    list_some,
)
from dvc_studio_models.server.repos.refs import RefsStamp
from dvc_studio_models.server.stores.configs import unreadable
from dvc_studio_models.server.stores.places import LOCAL
from dvc_studio_models.server.stores.remotes import Remotes
from dvc_studio_models.server.waiting.deadlines import waiting_for_remotes
from dvc_studio_models.server.waiting.single_flight import (
    CurrentCache,
    SingleFlightCache,
)

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from dvc_studio_models.model import ModelVersion
    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.registry.recorded import RecordedModel
    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.stores.first_seen import FirstSeen
    from dvc_studio_models.server.stores.remotes import Store

logger = logging.getLogger(f"dvc.{__name__}")

MAX_CACHED_FILES = 200_000  # per repo and cache; one takes about half a kilobyte
MAX_CACHED_CHECKS = 10_000
WARM_FOLDERS = 50  # a model of each is read before the first request


class _Found(NamedTuple):
    """The version that a request selects, and where its files are."""

    version: ModelVersion
    record: RecordedModel
    stores: dict[str | None, Store]


class ServedModel(NamedTuple):
    """The version that a request selects, and its files."""

    version: ModelVersion
    files: tuple[StoredFile, ...]


class ModelIndex:
    """One served repo: which models it has, and where their files are stored."""

    def __init__(
        self,
        repo: ServedRepo,
        *,
        protocols: Collection[str],
        seen: FirstSeen,
        verify_s: float | None = None,
    ) -> None:
        """Store the repo; tags and remotes are read when needed.

        Args:
            repo: The served repo.
            protocols: Kinds of remotes that can be signed.
            seen: What the server saw first of the repo.
            verify_s: How long, in seconds, an object counts as present after it was
                found on its remote; None skips this check.
        """
        self._repo = repo
        self._refs = RefsStamp(repo.reader.common_dir, root=repo.reader.root)
        self.remotes = Remotes(repo, protocols=protocols, seen=seen)
        self._verify_s = verify_s
        self._tags = Tags(repo, self._refs)
        self.records = Records(repo.reader)
        """What its commits record."""
        self._recorded: SingleFlightCache[RecordedModel] = SingleFlightCache(
            MAX_CACHED_FILES, size=_count_files
        )
        self._files: SingleFlightCache[tuple[StoredFile, ...]] = SingleFlightCache(
            MAX_CACHED_FILES, size=len
        )
        self._present: SingleFlightCache[bool] = SingleFlightCache(MAX_CACHED_CHECKS)
        self._answers: CurrentCache[ServedModel] = CurrentCache(
            MAX_CACHED_FILES, size=lambda answer: len(answer.files)
        )

    def warm_up(self) -> None:
        """Read a model of each folder, so that the first requests are not slow.

        What is wrong with a project's remote is logged. Remotes on other machines are
        opened in a thread of their own.
        """
        with contextlib.suppress(StudioModelsError):  # requests get the reason
            self.remotes.places()  # before the repo changes, even without a model
        logged: set[str] = set()
        for ref in self.samples():
            try:
                self._warm_up(ref)
            except RefusedError as error:
                if error.for_log not in logged:
                    logger.warning("repo '%s': %s", self._repo.key, error.for_log)
                logged.add(error.for_log)

    def samples(self) -> list[ModelRef]:
        """Return a model of each folder, as each folder may be a DVC project."""
        folders: dict[str, str] = {}
        for model in self.registry().models:
            folders.setdefault(model.name.rpartition(":")[0], model.name)
        return [ModelRef(name) for name in list(folders.values())[:WARM_FOLDERS]]

    def _warm_up(self, ref: ModelRef) -> None:
        key = self.key(ref)
        found = self.look_up(ref)
        far = [store for store in found.stores.values() if store.protocol != LOCAL]
        if far:
            threading.Thread(target=_open, args=(far,), daemon=True).start()
        else:
            self._cache_answer(key, self._list_and_verify(ref, found))

    def find(self, ref: ModelRef) -> ServedModel:
        """Find the version that ``ref`` selects now, and its objects.

        Raises:
            ModelMissingError: No tag registers such a model, version or stage.
            NotStoredError: The version's files cannot be listed.
            NotPushedError: Some are not on their remote, where that is verified.
            ConfigUnreadableError: DVC cannot read its config.
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
            RemoteFolderMissingError: The remote is a folder that is not there.
            RemoteUnreadableError: The remote cannot be read.
            RepoUnreadableError: Git cannot read this server's copy of the repo.
            GitSilentError: Another thread has been reading Git for too long.
            StorageSilentError: Another thread has been reading a remote for too long.
            BusyError: Too many requests wait for DVC remotes.
        """
        key = self.key(ref)  # of before: what changes while this runs is not missed
        if key and (cached := self._answers.peek(key)):
            return cached
        return self._cache_answer(key, self._list_and_verify(ref, self.look_up(ref)))

    def known_store(self, project: str, name: str, version: str | None) -> Store | None:
        """Return a store that was found before."""
        return self.remotes.known(project, name, version)

    def store(self, project: str, name: str, version: str | None) -> Store:
        """Find a store, see :meth:`Remotes.find`.

        Raises:
            RepoUnreadableError: Git cannot read this server's copy of the repo.
        """
        with self.git_errors():
            return self.remotes.find(project, name, commit=version)

    def key(self, ref: ModelRef) -> object:
        """Return a value that changes when the answer may; None while refs change."""
        refs = self._refs.read()
        return refs and ((refs, self.remotes.stamp(), self._period()), ref)

    def _period(self) -> int:
        """Return the number of the period for which a verification is valid."""
        return int(time.monotonic() // self._verify_s) if self._verify_s else 0

    def _cache_answer(self, key: object, model: ServedModel) -> ServedModel:
        return model if key is None else self._answers.get(key, lambda: model)

    def _list_and_verify(self, ref: ModelRef, found: _Found) -> ServedModel:
        """List the files of a version, and look for those that may not be stored."""
        version, recorded, stores = found
        key = (version.commit, ref.name, *stores.values())
        unpushed = [each for each in recorded.outputs if not each.is_pushed]
        try:
            files = self._list(key, recorded, stores)
        except FilesUnknownError as exc:
            reason = why_not_pushed(unpushed[0].path) if unpushed else str(exc)
            raise NotStoredError(ref.name, version, reason) from None
        uncertain = [f for f in files if any(each.holds(f.path) for each in unpushed)]
        if uncertain:  # they may have been pushed before

            def not_stored(lost: Sequence[StoredFile]) -> RefusedError:
                return NotStoredError(ref.name, version, why_not_pushed(lost[0].path))

            self._verify(("unpushed", *key, self._period()), uncertain, not_stored)
        if self._verify_s:

            def not_pushed(lost: Sequence[StoredFile]) -> RefusedError:
                paths = [file.path for file in lost]
                return NotPushedError(ref.name, version, paths, of=len(files))

            self._verify(("all", *key, self._period()), files, not_pushed)
        return ServedModel(version, files)

    def _list(
        self, key: object, record: RecordedModel, stores: Mapping[str | None, Store]
    ) -> tuple[StoredFile, ...]:
        """List the files of a version; the listing of a folder is on a remote."""
        if (cached := self._files.peek(key)) is not None:
            return cached
        if not folders_of(record):
            return self._files.get(key, lambda: list_files(record, stores))
        with waiting_for_remotes():
            return self._files.get(key, lambda: list_files(record, stores))

    def _verify(
        self,
        key: object,
        files: Sequence[StoredFile],
        error: Callable[[Sequence[StoredFile]], RefusedError],
    ) -> None:
        """Raise an error of the files whose objects are not on their remote."""

        def look() -> bool:
            if lost := presence.find_missing(files):
                raise error(lost)
            return True

        if not self._present.peek(key):
            with waiting_for_remotes():
                self._present.get(key, look)

    def registry(self) -> Registry:
        """Return what tags register now, see :meth:`Tags.registry`."""
        return self._tags.registry()

    def whole_registry(self) -> Registry:
        """Return what tags register now, if Git can read all of them.

        Raises:
            RepoUnreadableError: It cannot.
        """
        with self.git_errors():
            registry = self.registry()
        self._refuse_unread([tag.tag for tag in registry.unreadable])
        return registry

    def _refuse_unread(self, tags: list[str]) -> None:
        if tags:
            reason = f"Git cannot read {list_some(tags)}, or the commit is missing"
            raise RepoUnreadableError(self._repo.label, reason)

    def look_up(self, ref: ModelRef) -> _Found:
        """Find a version, its record and its stores; no remote is read."""
        with self.git_errors():
            registry = self.registry()
            self._refuse_unread(registry.unreadable_tags(ref))
            version = registry.resolve(ref)
            if version is None:
                raise ModelMissingError(registry.describe_missing(ref))
            recorded = self._recorded.get(
                (version.commit, ref.name), lambda: self._read(version, ref.name)
            )
            stores = {
                name: self.remotes.find(recorded.project, name, commit=version.commit)
                for name in recorded.remotes
            }
        return _Found(version, recorded, stores)

    def _read(self, version: ModelVersion, name: str) -> RecordedModel:
        """Read what a commit records.

        Raises:
            NotStoredError: Nothing that is on a DVC remote.
        """
        try:
            with self.records.open() as records:
                record = records.read(version.commit, name)
        except StudioConfigError as exc:
            raise unreadable(exc, self._repo.key) from None
        except RecordUnreadableError as exc:
            raise NotStoredError(name, version, exc.reason) from None
        if record is None:
            raise NotStoredError(name, version, "no 'dvc.yaml' annotates it there")
        if why := why_not_stored(record, version):
            raise NotStoredError(name, version, why)
        return record

    @contextlib.contextmanager
    def git_errors(self) -> Iterator[None]:
        """Translate errors of Git; paths of this machine go to the log only."""
        try:
            yield
        except (LocalDiskError, UnreadableRepoError) as exc:
            logger.error("%s", str(exc).partition("\n")[0])  # noqa: TRY400 - it is known
            if not os.path.exists(self._repo.reader.common_dir / "HEAD"):  # noqa: PTH110
                raise RepoNotOpenError([self._repo.label]) from None
            folder = os.fspath(self._repo.reader.common_dir)
            reason = exc.reason.replace(folder, "its folder")
            raise RepoUnreadableError(self._repo.label, reason) from None


def _count_files(record: RecordedModel) -> int:
    outputs = sum(1 + len(output.files) for output in record.outputs)
    return outputs + len(record.git_files)


def _open(stores: Iterable[Store]) -> None:
    """Import packages and fetch credentials, which takes seconds or longer."""
    for store in stores:
        if store.protocol not in {"http", "https"}:  # whose links need nothing opened
            try:
                _ = store.remote.fs.fs
            except Exception:  # requests are answered with the error
                logger.exception("cannot open the DVC remote '%s'", store.name)
