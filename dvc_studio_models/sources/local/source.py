"""Models without Studio: versions from local tags, hashes from Git, contents from DVC.

Contents come from the DVC cache and, where that is allowed, from the user's own DVC
remote. Needs neither a token nor a Git remote. A pinned model is what its pin says,
also in a clone that lacks its tag or its commit.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    GitRemoteError,
    NotDvcProjectError,
    NotGitRepoError,
    NotInCacheError,
    NotStoredError,
    UsageError,
)
from dvc_studio_models.model import REMOTE, ModelFile
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.registry.recorded import expand
from dvc_studio_models.sources.base import common_folder
from dvc_studio_models.sources.local.keepers import Keepers
from dvc_studio_models.sources.local.location import locate
from dvc_studio_models.sources.resolve import ResolvedModel, infer_repo_url
from dvc_studio_models.sources.verification import with_git_files
from dvc_studio_models.store.dvc import DvcStore, open_store
from dvc_studio_models.store.project import tag_cache_path

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import (
        Digest,
        ModelRef,
        Pin,
        Progress,
        PullOptions,
    )
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.registry.recorded import Listing, RecordedOutput
    from dvc_studio_models.sources.base import PullContext
    from dvc_studio_models.sources.local.location import Location
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.part import DownloadedFile


class LocalSource:
    """Answers from the clone; brings from the DVC cache, or the DVC remote."""

    def __init__(self, here: PullContext, kind: str, options: PullOptions) -> None:
        """Look at nothing yet.

        Raises:
            NotGitRepoError: There is no clone.
            UsageError: Another repo than the clone's is asked for.
        """
        if here.clone is None:
            raise NotGitRepoError(str(here.folder))
        if options.repo is not None and not here.clone.has_remote(options.repo):
            msg = (
                f"'--repo' is not a remote of this clone, and '--source {kind}' reads "
                "only this clone"
            )
            raise UsageError(msg)
        self.kind = kind
        self.clone: Clone | None = here.clone
        self.repo = _infer_repo(here, options)
        self._clone = here.clone
        self._wait = options.wait_for_lock
        self._folder = here.folder
        self._store: Store | None = None
        self._locations: list[Location] = []
        self._keep = not options.dry_run

    def resolve(
        self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]
    ) -> list[ResolvedModel]:
        """Tell from pins, tags and Git what each is.

        Raises:
            VersionUnknownError: The local tags do not know it, or Git no hash of it.
            NotDvcProjectError: No DVC project holds all of them.
            NotInCacheError: The list of a directory's files is in no place that may
                be asked.
            DvcRemoteError: The remote did not deliver it.
        """
        store = self._locate(refs, pins)
        answers = [location.answer for location in self._locations]
        if not isinstance(store, DvcStore) and any(a.record for a in answers):
            raise NotDvcProjectError(str(self._clone.root))
        return [self._list_files(answer, store) for answer in answers]

    def find_way(
        self,
        refs: Sequence[ModelRef],
        pins: Mapping[str, Pin],
        *,
        imports_only: bool = False,
    ) -> str | None:
        """Tell whether the cache has all of these models, or which remote may.

        Args:
            refs: The models.
            pins: Of those that are pinned.
            imports_only: Whether to tell it only where another repo keeps some of them.

        Raises:
            StudioModelsError: As :meth:`answer`.
        """
        store = self._locate(refs, pins)
        outputs = [out for each in self._locations for out in each.outputs]
        if imports_only and not any(out.is_of_another_repo for out in outputs):
            return None
        found = [location.answer for location in self._locations]
        names = ", ".join(
            f"{a.ref.name}@{a.version.version}" for a in found if a.version
        )
        if all(_holds(store, answer) for answer in found):
            return f"All files of {names} are in the DVC cache: use '--source cache'"
        if isinstance(store, DvcStore) and (who := self._keepers.describe()):
            return (
                f"{who} may have {names}, the version by local tags: use "
                "'--source remote'"
            )
        return None

    def open_store(self, root: Path, paths: Sequence[str]) -> Store:  # noqa: ARG002
        """Give the clone's own, wherever the files are to lie."""
        return self._opened

    def expected_sizes(
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

    def deliver(
        self,
        files: Sequence[ModelFile],
        store: Store,  # noqa: ARG002 - it is ours
        progress: Progress,
        *,
        jobs: int,
    ) -> Generator[list[DownloadedFile]]:
        """Bring from the remote into the cache.

        Raises:
            NotInCacheError: No remote may be asked.
            RemoteConfigError: None is configured.
            DvcRemoteError: It did not deliver.
        """
        self._refuse_missing(files)
        yield from self._keepers.fetch(files, progress, jobs=jobs)

    def close(self) -> None:
        """Close the store, and the repos of imports."""
        if "_keepers" in vars(self):
            self._keepers.close()
        if self._store is not None:
            self._store.close()

    def _refuse_missing(self, files: Sequence[ModelFile]) -> None:
        if files and self.kind != REMOTE:
            found = [each.output_of(f.path) for each in self._locations for f in files]
            imported = any(output and output.is_of_another_repo for output in found)
            raise NotInCacheError([file.path for file in files], imported=imported)

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

    @cached_property
    def _keepers(self) -> Keepers:
        return Keepers(
            self._project, self._locations, here=self._folder, root=self._clone.root
        )

    # What

    def _locate(self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]) -> Store:
        """Tell the versions and where they lie, and open the store that holds all."""
        root = self._clone.root
        caches = (tag_cache_path(root / ref.folder, root) for ref in refs)
        cache = next(filter(None, caches), None)
        registry = GitRegistry(self._clone.reader, cache=cache)
        with contextlib.closing(registry):
            found = [locate(ref, pins.get(ref.name), registry) for ref in refs]
        self._locations = found
        folder = common_folder(path for each in found for path in each.places)
        self._store = open_store(root / folder, root, wait_for_lock=self._wait)
        return self._store

    def _list_files(self, answer: ResolvedModel, store: Store) -> ResolvedModel:
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
            listing = self._keepers.read_listing(output, keep=self._keep)
        if listing is None:
            what = f"{output.path} (which files it has)"
            raise NotInCacheError([what], imported=output.is_of_another_repo)
        return listing


def _infer_repo(here: PullContext, options: PullOptions) -> str:
    try:
        return infer_repo_url(here.clone, here.settings, options)
    except GitRemoteError:
        return str(here.clone.root) if here.clone else ""


def _holds(store: Store, answer: ResolvedModel) -> bool:
    """Whether the cache has all of a model."""
    digests: list[Digest | None] = [file.digest for file in answer.files]
    for output in answer.record.outputs if answer.record else ():
        digests.append(output.digest)
        if output.digest and output.is_folder:
            digests += (store.read_tree(output.digest) or {}).values()
    return all(digest and store.size_of(digest) is not None for digest in digests)
