"""Models without Studio: versions from local tags, hashes from Git, contents from DVC.

Contents come from the DVC cache and, where that is allowed, from the user's own DVC
remote. Needs neither a token nor a Git remote. A pinned model is what its pin says,
also in a clone that lacks its tag or its commit.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.ask import Answer, tell_repo
from dvc_studio_models.cache import DvcStore, memo_of, open_store
from dvc_studio_models.errors import (
    GitRemoteError,
    NotDvcProjectError,
    NotGitRepoError,
    NotInCacheError,
    UsageError,
    VersionUnknownError,
)
from dvc_studio_models.model import REMOTE, ModelFile, is_tree
from dvc_studio_models.registry import explain
from dvc_studio_models.source import Arrival, common_folder
from dvc_studio_models.trees import parse_tree
from dvc_studio_models.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.git import Clone
    from dvc_studio_models.model import Digest, ModelRef, Pin, PullOptions, Record
    from dvc_studio_models.progress import Progress
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
        self._remotes: dict[str, str | None] = {}

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
        answers = [self._list_files(answer, store) for answer in found]
        for answer in answers:
            self._remotes.update(dict.fromkeys(answer.paths, answer.remote))
        return answers

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
        if remote := store.configured_remote([answer.remote for answer in found]):
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
        for name in sorted({self._remotes[file.path] for file in files}, key=str):
            wanted = {
                file.path: (file, file.digest)
                for file in files
                if file.digest and self._remotes[file.path] == name
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
        with contextlib.closing(Witness(self._clone, memo=memo)) as witness:
            found = [_locate(ref, pins.get(ref.name), witness) for ref in refs]
        folder = common_folder(path for answer in found for path in _places(answer))
        self._store = open_store(root / folder, root, wait_for_lock=self._wait)
        return found, self._store

    def _list_files(self, answer: Answer, store: Store) -> Answer:
        record = answer.record
        if answer.files or record is None or record.digest is None:
            return answer
        inner = self._read_tree(record, record.digest, store)
        if inner is None:
            file = ModelFile(
                record.path,
                "",
                record.digest,
                record.size,
                is_executable=record.is_executable,
            )
            return replace(answer, files=(file,))
        files = (
            ModelFile(f"{record.path}/{path}", "", digest)
            for path, digest in sorted(inner.items())
        )
        return replace(answer, files=tuple(files))

    def _read_tree(
        self, record: Record, digest: Digest, store: Store
    ) -> Mapping[str, Digest] | None:
        """Read what is in a directory; None of a file."""
        if not is_tree(digest):
            return None
        inner = store.read_tree(digest)
        if inner is None and self.kind == REMOTE:
            remote = self._project.open_remote(record.remote)
            inner = parse_tree(remote.read_tree(digest, record.path), digest)
        if inner is None:
            raise NotInCacheError([f"{record.path} (which files it has)"])
        return inner


def _tell_repo(here: Here, options: PullOptions) -> str:
    try:
        return tell_repo(here.clone, here.settings, options)
    except GitRemoteError:
        return str(here.clone.root) if here.clone else ""


def _locate(ref: ModelRef, pin: Pin | None, witness: Witness) -> Answer:
    """Tell the version and where it lies; its files only if it is pinned."""
    if pin:
        record = witness.record(ref.name, pin.version)  # a clone may lack the commit
        files = (ModelFile(f.path, "", f.digest, f.size) for f in pin.files)
        remote = record.remote if record else None
        return Answer(ref, tuple(files), pin.version, remote=remote)
    version = witness.version(ref)
    if version is None:
        raise VersionUnknownError(ref, explain(witness.models, ref))
    record = witness.record(ref.name, version)
    if record is None or record.digest is None:
        raise VersionUnknownError(ref, f"DVC records no hash at {version.commit}")
    return Answer(ref, (), version, record, remote=record.remote)


def _places(answer: Answer) -> list[str]:
    """Name where a model lies, though its files may not be listed yet."""
    return [answer.record.path] if answer.record else answer.paths


def _holds(store: Store, answer: Answer) -> bool:
    """Whether the cache has all of a model."""
    digest = answer.record.digest if answer.record else None
    digests = [file.digest for file in answer.files] or [digest]
    if digest and is_tree(digest):
        digests = [digest, *(store.read_tree(digest) or {}).values()]
    return all(digest and store.size_of(digest) is not None for digest in digests)
