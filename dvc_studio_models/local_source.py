"""Models without Studio: versions from local tags, hashes from Git, contents from DVC.

Contents come from the DVC cache and, where that is allowed, from the user's own DVC
remote. Needs neither a token nor a Git remote. A pinned model is what its pin says,
also in a clone that lacks its tag or its commit.
"""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.ask import Answer, tell_repo, with_git_files
from dvc_studio_models.cache import DvcStore, memo_of, open_store
from dvc_studio_models.errors import (
    GitRemoteError,
    NotDvcProjectError,
    NotGitRepoError,
    NotInCacheError,
    NotStoredError,
    RecordUnreadableError,
    UnreadableRepoError,
    UsageError,
    VersionUnknownError,
)
from dvc_studio_models.listings import read_remote_listing
from dvc_studio_models.model import REMOTE, ModelFile
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.registry.recorded import expand, is_inside
from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.source import Arrival, common_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import (
        Digest,
        ModelRef,
        ModelVersion,
        Pin,
        PullOptions,
    )
    from dvc_studio_models.progress import Progress
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.registry.recorded import (
        Listing,
        Record,
        RecordedOutput,
    )
    from dvc_studio_models.source import Here
    from dvc_studio_models.store import Store


class LocalSource:
    """Answers from the clone; brings from the DVC cache, or the DVC remote."""

    def __init__(self, here: Here, kind: str, options: PullOptions) -> None:
        """Look at nothing yet.

        Raises:
            NotGitRepoError: There is no clone.
            UsageError: Another repo than the clone's is asked for.
        """
        if here.clone is None:
            raise NotGitRepoError(str(here.folder))
        if options.repo is not None and not here.clone.has_remote(options.repo):
            msg = f"'--source {kind}' reads this clone, of which '--repo' is no remote"
            raise UsageError(msg)
        self.kind = kind
        self.clone: Clone | None = here.clone
        self.repo = _tell_repo(here, options)
        self._clone = here.clone
        self._wait = options.wait_for_lock
        self._store: Store | None = None
        self._keep = not options.dry_run

    def answer(self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]) -> list[Answer]:
        """Tell from pins, tags and Git what each is.

        Raises:
            VersionUnknownError: The local tags do not know it, or Git no hash of it.
            NotDvcProjectError: No DVC project holds all of them.
            NotInCacheError: The list of a directory's files is in no place that may
                be asked.
            DvcRemoteError: The remote did not deliver it.
        """
        found, store = self._locate(refs, pins)
        if not isinstance(store, DvcStore) and any(a.record for a in found):
            raise NotDvcProjectError(str(self._clone.root))
        return [self._list_files(answer, store) for answer in found]

    def find_way(self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]) -> str | None:
        """Tell whether the cache has all of these models, or which remote may.

        Raises:
            StudioModelsError: As :meth:`answer`.
        """
        found, store = self._locate(refs, pins)
        names = ", ".join(
            f"{a.ref.name}@{a.version.version}" for a in found if a.version
        )
        if all(_holds(store, answer) for answer in found):
            return f"All files of {names} are in the DVC cache: use '--source cache'"
        if not isinstance(store, DvcStore):
            return None
        remotes = [name for answer in found for name in _remotes_of(answer)]
        if remote := store.configured_remote(remotes):
            return (
                f"The DVC remote '{remote}' may have {names}, which it is by the local "
                "tags: use '--source remote'"
            )
        return None

    def open_store(self, root: Path, paths: Sequence[str]) -> Store:  # noqa: ARG002
        """Give the clone's own, wherever the files are to lie."""
        return self._opened

    def foresee(
        self,
        files: Sequence[ModelFile],
        options: PullOptions,  # noqa: ARG002 - for Studio's source
    ) -> Mapping[Digest | str, int]:
        """Tell no sizes, but whether the cache lacks files.

        Raises:
            NotInCacheError: It does, and no remote may be asked.
        """
        self._refuse_missing(files)
        return {}

    def fetch(
        self,
        files: Sequence[ModelFile],
        store: Store,  # noqa: ARG002 - it is ours
        progress: Progress,
        *,
        jobs: int,
    ) -> Generator[list[Arrival]]:
        """Bring from the remote into the cache.

        Raises:
            NotInCacheError: No remote may be asked.
            RemoteConfigError: None is configured.
            DvcRemoteError: It did not deliver.
        """
        self._refuse_missing(files)
        sizes = [file.size for file in files if file.size is not None]
        total = sum(sizes) if len(sizes) == len(files) else None
        before = 0
        for name in sorted({file.remote for file in files}, key=str):
            wanted = {
                file.path: (file, file.digest)
                for file in files
                if file.digest and file.remote == name
            }

            def tell(count: int, before: int = before) -> None:
                progress.update(before + count, total)

            self._project.fetch(
                self._project.open_remote(name),
                {path: digest for path, (_, digest) in wanted.items()},
                tell=tell,
                jobs=jobs,
            )
            arrivals = [
                Arrival(file, digest, self._opened.size_of(digest) or 0, "git")
                for file, digest in wanted.values()
            ]
            before += sum(arrival.size for arrival in arrivals)
            yield arrivals

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _refuse_missing(self, files: Sequence[ModelFile]) -> None:
        if files and self.kind != REMOTE:
            raise NotInCacheError([file.path for file in files])

    # Where

    @property
    def _opened(self) -> Store:
        assert self._store is not None  # noqa: S101 - ``answer`` comes before all else
        return self._store

    @property
    def _project(self) -> DvcStore:
        if not isinstance(self._opened, DvcStore):
            raise NotDvcProjectError(str(self._clone.root))
        return self._opened

    # What

    def _locate(
        self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]
    ) -> tuple[list[Answer], Store]:
        """Tell the versions and where they lie, and open the store that holds all."""
        root = self._clone.root
        memos = (memo_of(root / ref.folder, root) for ref in refs)
        memo = next(filter(None, memos), None)
        registry = GitRegistry(self._clone.reader, cache=memo)
        with contextlib.closing(registry):
            found = [_locate(ref, pins.get(ref.name), registry) for ref in refs]
        folder = common_folder(path for answer in found for path in _places(answer))
        self._store = open_store(root / folder, root, wait_for_lock=self._wait)
        return found, self._store

    def _list_files(self, answer: Answer, store: Store) -> Answer:
        record = answer.record
        if answer.files or record is None:
            return answer
        listings = {
            output.digest: self._read_listing(output, store)
            for output in record.outputs
            if output.digest and output.is_folder and not output.files
        }
        found = expand(record, listings)
        if not found:
            reason = f"there is no '{record.path}' in the folder that DVC tracks"
            raise NotStoredError(answer.ref, reason)
        files = tuple(
            ModelFile(
                file.path,
                "",
                file.digest,
                file.size,
                file.remote,
                is_executable=file.is_executable,
            )
            for file in found
        )
        assert answer.version  # noqa: S101 - a record is of a version
        return replace(answer, files=with_git_files(files, record, answer.version))

    def _read_listing(self, output: RecordedOutput, store: Store) -> Listing:
        """Read what is in a folder.

        Raises:
            NotInCacheError: The cache does not know, and no remote may be asked.
            DvcRemoteError: The remote did not deliver it.
        """
        assert output.digest  # noqa: S101 - only what has a hash has a listing
        listing = store.read_tree(output.digest)
        if listing is None and self.kind == REMOTE:
            listing = read_remote_listing(self._project, output, keep=self._keep)
        if listing is None:
            raise NotInCacheError([f"{output.path} (which files it has)"])
        return listing


def _tell_repo(here: Here, options: PullOptions) -> str:
    try:
        return tell_repo(here.clone, here.settings, options)
    except GitRemoteError:
        return str(here.clone.root) if here.clone else ""


def _locate(ref: ModelRef, pin: Pin | None, registry: GitRegistry) -> Answer:
    """Tell the version and where it lies; its files only if it is pinned."""
    if pin:
        return _locate_pinned(ref, pin, registry)
    if tags := registry.tags.doubtful(ref):
        raise VersionUnknownError.lightweight(ref, tags)
    version = registry.resolve(ref)
    if version is None:
        raise VersionUnknownError(ref, registry.tags.describe_missing(ref))
    record = registry.record(ref.name, version)
    if record is None:
        reason = f"no 'dvc.yaml' annotates it at {version.commit[:7]}"
        raise NotStoredError(ref, reason)
    _refuse_unstored(ref, record, version)
    return Answer(ref, (), version, record)


def _locate_pinned(ref: ModelRef, pin: Pin, registry: GitRegistry) -> Answer:
    """List what is pinned; the clone may lack the commit that says which remotes."""
    record = None
    with contextlib.suppress(RecordUnreadableError, UnreadableRepoError):
        record = registry.record(ref.name, pin.version)
    remotes = {out.path: out.remote for out in (record.outputs if record else ())}
    files = (
        ModelFile(
            f.path,
            "",
            f.digest,
            f.size,
            next((r for at, r in remotes.items() if is_inside(f.path, at)), None),
            f.git_oid,
        )
        for f in pin.files
    )
    return Answer(ref, tuple(files), pin.version)


def _refuse_unstored(ref: ModelRef, record: Record, version: ModelVersion) -> None:
    """Refuse a model that DVC stores nowhere, and say what it is.

    Raises:
        NotStoredError: It is Git's own, or an import that was not downloaded.
    """
    if not record.outputs:
        if not record.git_files:
            reason = f"'{record.path}' is not tracked at {version.commit[:7]}"
            raise NotStoredError(ref, reason)
        path = shlex.quote(record.path)
        raise NotStoredError(
            ref,
            f"'{record.path}' is kept in Git itself, not in DVC",
            f"Run 'git checkout {version.commit} -- {path}'",
        )
    for output in record.outputs:
        if output.digest is None:
            origin = output.origin and strip_secrets(output.origin.url)
            source = f" from '{origin}'" if origin else ""
            raise NotStoredError(
                ref,
                f"'{output.path}' is imported{source} without its hash"
                if origin
                else f"DVC recorded no hash of '{output.path}'",
                f"Run 'dvc pull {shlex.quote(output.path)}'" if origin else None,
            )


def _remotes_of(answer: Answer) -> set[str | None]:
    """Name the remotes that keep a model; None is the project's default one."""
    files = {file.remote for file in answer.files if not file.git_oid}
    return files or (answer.record.remotes if answer.record else set())


def _places(answer: Answer) -> list[str]:
    """Name where a model lies, though its files may not be listed yet."""
    return [answer.record.path] if answer.record else answer.paths


def _holds(store: Store, answer: Answer) -> bool:
    """Whether the cache has all of a model."""
    digests: list[Digest | None] = [file.digest for file in answer.files]
    for output in answer.record.outputs if answer.record else ():
        digests.append(output.digest)
        if output.digest and output.is_folder:
            digests += (store.read_tree(output.digest) or {}).values()
    return all(digest and store.size_of(digest) is not None for digest in digests)
