"""The source that needs no Studio: versions from tags, hashes from Git, files from DVC.

Files come from the DVC cache and, if allowed, from the user's own DVC remote. Needs
neither a token nor a Git remote. A pinned model is what its pin says, also in a clone
that lacks its tag or its commit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    GitRemoteError,
    NotDvcProjectError,
    NotGitRepoError,
    NotInCacheError,
    NotStoredError,
    UsageError,
)
from dvc_studio_models.model import DEFAULT_JOBS, REMOTE, ModelFile
from dvc_studio_models.registry.recorded import expand
from dvc_studio_models.sources.local.location import locate
from dvc_studio_models.sources.local.remotes import Remotes
from dvc_studio_models.sources.resolve import ResolvedModel, infer_repo_url
from dvc_studio_models.sources.verification import with_git_files
from dvc_studio_models.store.dvc.store import DvcStore

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from dvc_studio_models.model import Digest, ModelRef, Pin, Progress, PullOptions
    from dvc_studio_models.registry.recorded import Listing, RecordedOutput
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.local.location import Location
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.parts.part import DownloadedFile


class LocalSource:
    """Resolves in the clone; delivers from the DVC cache or the DVC remote."""

    def __init__(self, context: PullContext, kind: str, options: PullOptions) -> None:
        """Read nothing yet.

        Raises:
            NotGitRepoError: There is no clone.
            UsageError: ``--repo`` names another repo than the clone's.
        """
        if context.clone is None:
            raise NotGitRepoError(str(context.folder))
        if options.repo is not None and not context.clone.has_remote(options.repo):
            msg = (
                f"'--repo' is not a remote of this clone, and '--source {kind}' reads "
                "only this clone"
            )
            raise UsageError(msg)
        self.kind = kind
        self._root = context.clone.root
        self._context = context
        self._saves_listings = not options.dry_run
        self._locations: list[Location] = []
        self._remotes: dict[Store, Remotes] = {}
        try:
            self.repo = infer_repo_url(context.clone, context.settings, options)
        except GitRemoteError:
            self.repo = str(self._root)

    def resolve(
        self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]
    ) -> list[ResolvedModel]:
        """Resolve models by pins, tags and Git.

        Raises:
            VersionUnknownError: The local tags lack it, or Git has no hash of it.
            NotDvcProjectError: A model lies in no DVC project.
            NotInCacheError: The listing of a folder is not in the cache, and no remote
                may be asked.
            DvcRemoteError: The remote did not deliver a listing.
        """
        self._locate(refs, pins)
        for location in self._locations:
            if location.model.record:
                self._project_of(location)
        return [self._list_files(location) for location in self._locations]

    def suggest(
        self, refs: Sequence[ModelRef], pins: Mapping[str, Pin], *, imports_only: bool
    ) -> str | None:
        """Say which source has all of these models; None if none can.

        The content of cached objects is not read, which could take minutes.

        Args:
            refs: The models.
            pins: Of those that are pinned.
            imports_only: Whether to suggest nothing unless another repo stores one.

        Raises:
            StudioModelsError: See :meth:`resolve`.
        """
        self._locate(refs, pins)
        outputs = [out for each in self._locations for out in each.outputs]
        if imports_only and not any(out.is_of_another_repo for out in outputs):
            return None
        found = [(each.model, self._store_of(each)) for each in self._locations]
        names = ", ".join(_name_of(model) for model, _ in found)
        if self.are_cached(refs, pins):
            return f"All files of {names} are in the DVC cache: use '--source cache'"
        projects = {self._require_project(store) for _, store in found}
        described = {self._remotes_of(project).describe() for project in projects}
        if None in described:
            return None
        versions = "versions" if len(found) > 1 else "version"
        return (
            f"{' and '.join(sorted(filter(None, described)))} may have {names} "
            f"({versions} from local tags): use '--source remote'"
        )

    def are_cached(self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]) -> bool:
        """Whether the cache has an object for every file of these models.

        Raises:
            StudioModelsError: See :meth:`resolve`.
        """
        self._locate(refs, pins)
        found = [(each.model, self._store_of(each)) for each in self._locations]
        return all(_is_cached(model, store) for model, store in found)

    def expected_sizes(
        self,
        files: Sequence[ModelFile],
        options: PullOptions,  # noqa: ARG002 - for Studio's source
    ) -> Mapping[Digest | str, int]:
        """Return no sizes, and check that a missing file may be fetched.

        Raises:
            NotInCacheError: The cache lacks files, and no remote may be asked.
        """
        self._refuse_missing(files)
        return {}

    def deliver(
        self,
        files: Sequence[ModelFile],
        store: Store,
        progress: Progress,
        *,
        jobs: int | None,
        reserved: int = 0,  # noqa: ARG002 - DVC writes, and looks at no free space
    ) -> Generator[list[DownloadedFile]]:
        """Fetch from the DVC remote into the cache, or from the repo of an import.

        Raises:
            NotInCacheError: No remote may be asked.
            RemoteConfigError: No remote is configured.
            DvcRemoteError: The remote did not deliver.
        """
        self._refuse_missing(files)
        remotes = self._remotes_of(self._require_project(store))
        yield from remotes.fetch(files, progress, jobs=jobs or DEFAULT_JOBS)

    def close(self) -> None:
        """Close the repos of imports."""
        for remotes in self._remotes.values():
            remotes.close()

    def _refuse_missing(self, files: Sequence[ModelFile]) -> None:
        if files and self.kind != REMOTE:
            found = [each.output_of(f.path) for each in self._locations for f in files]
            imported = any(output and output.is_of_another_repo for output in found)
            raise NotInCacheError([file.path for file in files], imported=imported)

    # Where

    def _locate(self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]) -> None:
        registry = self._context.open_registry()
        self._locations = [locate(ref, pins.get(ref.name), registry) for ref in refs]

    def _store_of(self, location: Location) -> Store:
        return self._context.open_store(self._root, location.places)

    def _project_of(self, location: Location) -> DvcStore:
        return self._require_project(self._store_of(location))

    def _require_project(self, store: Store) -> DvcStore:
        if not isinstance(store, DvcStore):
            raise NotDvcProjectError(str(self._root))
        return store

    def _remotes_of(self, store: DvcStore) -> Remotes:
        if store not in self._remotes:
            theirs = [e for e in self._locations if self._store_of(e) is store]
            self._remotes[store] = Remotes(
                store, theirs, folder=self._context.folder, root=self._root
            )
        return self._remotes[store]

    # What

    def _list_files(self, location: Location) -> ResolvedModel:
        model, record = location.model, location.model.record
        if model.files or record is None:
            return model
        listings = {
            output.digest: self._read_listing(output, self._project_of(location))
            for output in record.outputs
            if output.digest and output.is_folder and not output.files
        }
        found = expand(record, listings)
        if not found:
            reason = f"the folder that DVC tracks does not contain '{record.path}'"
            raise NotStoredError(model.ref, reason)
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
        assert model.version  # noqa: S101 - a record is of a version
        return replace(model, files=with_git_files(files, record, model.version))

    def _read_listing(self, output: RecordedOutput, store: DvcStore) -> Listing:
        """Read which files are in a folder.

        Raises:
            NotInCacheError: The cache lacks the listing, and no remote may be asked.
            DvcRemoteError: The remote did not deliver it.
        """
        assert output.digest  # noqa: S101 - only what has a hash has a listing
        listing = store.read_tree(output.digest)
        if listing is None and self.kind == REMOTE:
            remotes = self._remotes_of(store)
            listing = remotes.read_listing(output, save=self._saves_listings)
        if listing is None:
            missing = f"{output.path} (which files it has)"
            raise NotInCacheError([missing], imported=output.is_of_another_repo)
        return listing


def _name_of(model: ResolvedModel) -> str:
    """Name a model with its version, a commit where a stage has none."""
    if model.version:
        return f"{model.ref.name}@{model.version.version}"
    return str(model.ref)


def _is_cached(model: ResolvedModel, store: Store) -> bool:
    """Whether the cache has an object for every file of a model."""
    digests: list[Digest | None] = [file.digest for file in model.files]
    for output in model.record.outputs if model.record else ():
        digests.append(output.digest)
        if output.digest and output.is_folder:
            digests += (store.read_tree(output.digest) or {}).values()
    return all(digest and store.has_object(digest) for digest in digests)
