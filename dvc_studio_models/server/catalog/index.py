"""Where the files of a registered version are stored: tags and remotes in, objects out.

Tags are looked at whenever a request comes, so that new ones are seen; what a commit
says never changes and is kept.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.errors import (
    LocalDiskError,
    RecordUnreadableError,
    StudioConfigError,
    UnreadableRepoError,
)
from dvc_studio_models.model import ModelRef
from dvc_studio_models.registry.records import Records
from dvc_studio_models.registry.tags import fingerprint, format_names, read_registry
from dvc_studio_models.server.catalog import presence
from dvc_studio_models.server.catalog.configs import unreadable
from dvc_studio_models.server.catalog.errors import (
    GitSilentError,
    ModelMissingError,
    NotPushedError,
    NotStoredError,
    RefusedError,
    RemoteUnreadableError,
    RepoUnreadableError,
)
from dvc_studio_models.server.catalog.memo import Kept
from dvc_studio_models.server.catalog.recorded import (
    UntoldError,
    folders_of,
    list_files,
    why_not_pushed,
    why_not_stored,
)
from dvc_studio_models.server.catalog.refs import Refs
from dvc_studio_models.server.catalog.remotes import LOCAL, Remotes
from dvc_studio_models.server.catalog.shared import SharedRead
from dvc_studio_models.server.patience import asking_remotes

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
    from dvc_studio_models.registry.recorded import (
        RecordedModel,
    )
    from dvc_studio_models.registry.tags import Registry
    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.catalog.remotes import Store
    from dvc_studio_models.server.catalog.repos import ServedRepo

logger = logging.getLogger(f"dvc.{__name__}")

KEPT_FILES = 200_000  # per repo and kind of answer; one takes about half a kilobyte
KEPT_CHECKS = 10_000
WARM_FOLDERS = 50  # whose models are looked at before the first request


class _Found(NamedTuple):
    """What a request means by the tags, and where its files are."""

    version: ModelVersion
    record: RecordedModel
    stores: dict[str | None, Store]


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
        self._refs = Refs(repo.reader.common_dir, root=repo.reader.root)
        self._remotes = Remotes(repo, default=remote, protocols=protocols)
        self._verify_s = verify_s
        self._registry: tuple[str, Registry] | None = None
        self._tags = SharedRead(self._read_tags)
        self._recorded: Kept[RecordedModel] = Kept(
            KEPT_FILES, size=_count_files, silent=GitSilentError
        )
        self._files: Kept[tuple[StoredFile, ...]] = Kept(KEPT_FILES, size=len)
        self._present: Kept[bool] = Kept(KEPT_CHECKS, size=lambda _: 1)
        self._answers: Kept[tuple[StoredFile, ...]] = Kept(KEPT_FILES, size=len)

    def warm_up(self) -> None:
        """Read a model of each folder, so that the first requests are not slow.

        What is wrong with a project's remote is told then. What may have to ask others
        is done later, in a thread of its own.
        """
        folders: dict[str, str] = {}
        for model in self._tags.get().models:
            folders.setdefault(model.name.rpartition(":")[0], model.name)
        told: set[str] = set()
        for name in list(folders.values())[:WARM_FOLDERS]:
            try:
                self._warm_up(ModelRef(name))
            except RefusedError as error:
                if str(error) not in told:
                    logger.warning("repo '%s': %s", self._repo.key, error)
                told.add(str(error))

    def _warm_up(self, ref: ModelRef) -> None:
        key = self._key(ref)
        found = self._look_up(ref)
        far = [store for store in found.stores.values() if store.protocol != LOCAL]
        if far:
            threading.Thread(target=_open, args=(far,), daemon=True).start()
        else:
            self._keep(key, self._settle(ref, found))

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
            RemoteFolderMissingError: The remote is a folder that is not there.
            RemoteUnreadableError: The remote cannot be asked.
            RepoUnreadableError: Git cannot read this server's copy of the repo.
            GitSilentError, StorageSilentError, BusyError: See :class:`Patience`.
        """
        key = self._key(ref)  # of before: what changes while this runs is not missed
        return self._keep(key, self._settle(ref, self._look_up(ref)))

    def known_store(self, project: str, name: str, version: str | None) -> Store | None:
        """Give a store that was found before. Takes no time."""
        return self._remotes.known(project, name, version)

    def store(self, project: str, name: str, version: str | None) -> Store:
        """Find a store by its project and name, and the version that it is of.

        Raises:
            ConfigUnreadableError: DVC cannot read its config.
            RemoteMissingError: There is no such DVC remote.
            RemoteTypeError: The remote is of a kind that cannot be signed.
            RepoUnreadableError: Git cannot read this server's copy of the repo.
        """
        with self._git_errors():
            return self._remotes.find(project, name, commit=version)

    def _key(self, ref: ModelRef) -> object:
        """Give what an answer depends on, None while refs are changing."""
        refs = self._refs.stamp()
        return refs and (ref, refs, self._remotes.stamp(), self._period())

    def _period(self) -> int:
        """Number the times for which what was verified is believed."""
        return int(time.monotonic() // self._verify_s) if self._verify_s else 0

    def _keep(
        self, key: object, files: tuple[StoredFile, ...]
    ) -> tuple[StoredFile, ...]:
        return files if key is None else self._answers.get(key, lambda: files)

    def _settle(self, ref: ModelRef, found: _Found) -> tuple[StoredFile, ...]:
        """List the files of what was found, and look for them where that is wanted."""
        version, recorded, stores = found
        key = (version.commit, ref.name, *stores.values())
        kept_back = [each for each in recorded.outputs if not each.is_pushed]
        try:
            files = self._list(key, recorded, stores)
        except UntoldError as exc:
            reason = why_not_pushed(kept_back[0].path) if kept_back else str(exc)
            raise NotStoredError(ref.name, version, reason) from None
        doubtful = [f for f in files if any(each.holds(f.path) for each in kept_back)]
        if doubtful:  # it may have been pushed before

            def refuse(lost: Sequence[StoredFile]) -> RefusedError:
                return NotStoredError(ref.name, version, why_not_pushed(lost[0].path))

            self._verify(("kept back", *key, self._period()), doubtful, refuse)
        if self._verify_s:

            def tell(lost: Sequence[StoredFile]) -> RefusedError:
                paths = [file.path for file in lost]
                return NotPushedError(ref.name, version, paths, of=len(files))

            self._verify(("all", *key, self._period()), files, tell)
        return files

    def _list(
        self, key: object, record: RecordedModel, stores: Mapping[str | None, Store]
    ) -> tuple[StoredFile, ...]:
        """List the files of a version, which may have to be read from a remote."""
        if (known := self._files.peek(key)) is not None:
            return known
        if not folders_of(record):
            return self._files.get(key, lambda: list_files(record, stores))
        with asking_remotes():
            return self._files.get(key, lambda: list_files(record, stores))

    def _verify(
        self,
        key: object,
        files: Sequence[StoredFile],
        refuse: Callable[[Sequence[StoredFile]], RefusedError],
    ) -> None:
        """Refuse files whose objects are not on their remote."""

        def look() -> bool:
            if lost := _missing(files):
                raise refuse(lost)
            return True

        if not self._present.peek(key):
            with asking_remotes():
                self._present.get(key, look)

    def _read_tags(self) -> Registry:
        tags = self._repo.reader.tags()
        stamp = fingerprint(tags)
        if self._registry is None or self._registry[0] != stamp:
            registry = read_registry(self._repo.reader, tags)
            if ignored := registry.all_ignored_tags():
                names = format_names("lightweight Git tags are ignored", ignored)
                logger.warning("repo '%s': %s", self._repo.key, names)
            if registry.unreadable:  # what Git lacks now, it may have in a moment
                return registry
            self._registry = (stamp, registry)
        return self._registry[1]

    def _look_up(self, ref: ModelRef) -> _Found:
        """Find the version, what Git says of it, and the stores of its remotes."""
        with self._git_errors():
            registry = self._tags.get()
            if tags := registry.unreadable_tags(ref):
                reason = f"Git cannot read {', '.join(tags)}, or lacks the commit"
                raise RepoUnreadableError(self._repo.label, reason)
            version = registry.resolve(ref)
            if version is None:
                raise ModelMissingError(registry.describe_missing(ref))
            recorded = self._recorded.get(
                (version.commit, ref.name), lambda: self._read(version, ref.name)
            )
            stores = {
                name: self._remotes.find(recorded.project, name, commit=version.commit)
                for name in recorded.remotes
            }
        return _Found(version, recorded, stores)

    def _read(self, version: ModelVersion, name: str) -> RecordedModel:
        """Read what a commit records.

        Raises:
            NotStoredError: Nothing that DVC has stored.
        """
        try:
            with contextlib.closing(
                Records(self._repo.reader, contents=False)
            ) as records:
                record = records.read(version.commit, name)
        except StudioConfigError as exc:
            raise unreadable(exc) from None
        except RecordUnreadableError as exc:
            reason = f"cannot read Git: {exc.reason}"
            raise NotStoredError(name, version, reason) from None
        if record is None:
            raise NotStoredError(name, version, "no 'dvc.yaml' annotates it there")
        if why := why_not_stored(record, version):
            raise NotStoredError(name, version, why)
        return record

    @contextlib.contextmanager
    def _git_errors(self) -> Iterator[None]:
        """Say what Git cannot read; the path of this machine is for the log alone."""
        try:
            yield
        except (LocalDiskError, UnreadableRepoError) as exc:
            logger.error("%s", str(exc).partition("\n")[0])  # noqa: TRY400 - it is known
            raise RepoUnreadableError(self._repo.label, exc.reason) from None


def _count_files(record: RecordedModel) -> int:
    outputs = sum(1 + len(output.files) for output in record.outputs)
    return outputs + len(record.git_files)


def _open(stores: Iterable[Store]) -> None:
    """Import packages and fetch credentials, which takes seconds, or longer."""
    for store in stores:
        if store.protocol not in {"http", "https"}:  # whose links need nothing opened
            try:
                _ = store.remote.fs.fs
            except Exception:  # requests are answered with what is wrong
                logger.exception("cannot open the DVC remote '%s'", store.name)


def _missing(files: Sequence[StoredFile]) -> list[StoredFile]:
    """Find the files whose object is not on its remote.

    Raises:
        RemoteUnreadableError: A remote cannot be asked.
    """
    try:
        return presence.missing(files)
    except Exception as exc:  # every service has errors of its own
        remotes = "', '".join(sorted({file.store.name for file in files}))
        logger.exception("cannot read from the DVC remote '%s'", remotes)
        raise RemoteUnreadableError(remotes, exc) from None
