"""Fetching files from where DVC stores them: DVC remotes, and the repos of imports.

Each output is fetched from its own remote or repo, and from no other.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import DvcRemoteError
from dvc_studio_models.sources.local.imports import SourceRepo
from dvc_studio_models.sources.local.listings import read_remote_listing
from dvc_studio_models.store.dvc.remote import (
    NOT_ON_REMOTE,
    DvcRemote,
    configured_remotes,
)
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.store.parts.part import DownloadedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelFile, Progress
    from dvc_studio_models.registry.recorded import Listing, RecordedOutput
    from dvc_studio_models.sources.local.location import Location
    from dvc_studio_models.store.dvc.store import DvcStore

    _Remote = DvcRemote | RecordedOutput


class Remotes:
    """The remotes and repos that store some models of one DVC project."""

    def __init__(
        self,
        store: DvcStore,
        locations: Sequence[Location],
        *,
        folder: Path,
        root: Path,
    ) -> None:
        """Store the models' locations; remotes are opened when needed.

        Args:
            store: Of the project; the caller closes it.
            locations: Of the models.
            folder: Of the user.
            root: Of the clone.
        """
        self._store = store
        self._locations = locations
        self._folder, self._root = folder, root
        self._sources: dict[str, SourceRepo] = {}

    def describe(self) -> str | None:
        """Describe all of them for a message; None if DVC's config lacks one."""
        outputs = [output for each in self._locations for output in each.outputs]
        if outputs and all(output.is_of_another_repo for output in outputs):
            return "The repo that it is imported from"
        remotes = {name for each in self._locations for name in each.remotes}
        names = [f"'{name}'" for name in configured_remotes(self._store.repo, remotes)]
        if not names:
            return None
        return f"The DVC remote{'s' if names[1:] else ''} {', '.join(names)}"

    def read_listing(self, output: RecordedOutput, *, save: bool) -> Listing:
        """Read which files are in a folder.

        Args:
            output: The folder.
            save: Whether to add the listing to the cache.

        Raises:
            RemoteConfigError: There is no remote that can be used.
            DvcRemoteError: The remote did not deliver it.
            ImportSourceError: The repo of the import did not.
        """
        if not output.is_of_another_repo:
            with self._explained():
                return read_remote_listing(self._store, output, save=save)
        listing = self._source_of(output).read_listing(output)
        if save:
            assert output.digest  # noqa: S101 - only what has a hash has a listing
            self._store.add_tree(listing, output.digest)
        return listing

    def fetch(
        self, files: Sequence[ModelFile], progress: Progress, *, jobs: int
    ) -> Generator[list[DownloadedFile]]:
        """Fetch contents into the cache; those of another repo into parts.

        Raises:
            RemoteConfigError: There is no remote that can be used.
            DvcRemoteError: A remote did not deliver.
            ImportSourceError: The repo of an import did not.
        """
        sizes = [file.size for file in files if file.size is not None]
        total = sum(sizes) if len(sizes) == len(files) else None
        before = 0
        for remote, wanted in self._by_remote(files):

            def report(count: int, before: int = before) -> None:
                progress.update(before + count, total)

            if isinstance(remote, DvcRemote):
                batch = self._fetch_remote(remote, wanted, report, jobs)
            else:
                batch = self._fetch_import(remote, wanted, report, jobs)
            before += sum(downloaded.size for downloaded in batch)
            yield batch

    def close(self) -> None:
        """Close the repos of imports."""
        for source in self._sources.values():
            source.close()

    def _by_remote(
        self, files: Sequence[ModelFile]
    ) -> list[tuple[_Remote, dict[str, ModelFile]]]:
        """Group files by where they are stored.

        Raises:
            RemoteConfigError: There is no remote that can be used for some files.
        """
        groups: dict[str, tuple[_Remote, dict[str, ModelFile]]] = {}
        for file in files:
            output = self._output_of(file.path)
            imported = output if output and output.is_of_another_repo else None
            key = imported.path if imported else f"remote {file.remote}"
            if key not in groups:
                repo = self._store.repo
                remote = imported or DvcRemote(repo, file.remote, file.path)
                groups[key] = (remote, {})
            groups[key][1][file.path] = file
        return [groups[key] for key in sorted(groups)]

    def _output_of(self, path: str) -> RecordedOutput | None:
        found = (location.output_of(path) for location in self._locations)
        return next((output for output in found if output), None)

    def _fetch_remote(
        self,
        remote: DvcRemote,
        wanted: Mapping[str, ModelFile],
        report: Callable[[int], None],
        jobs: int,
    ) -> list[DownloadedFile]:
        """Fetch from a DVC remote into the cache."""
        digests = {path: file.digest for path, file in wanted.items() if file.digest}
        with self._explained():
            self._store.fetch(remote, digests, report=report, jobs=jobs)
        return [
            DownloadedFile(
                wanted[path], digest, self._store.size_of(digest) or 0, "git"
            )
            for path, digest in digests.items()
        ]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Add to an error that DVC does not push a file."""
        try:
            yield
        except DvcRemoteError as error:
            raise DvcRemoteError(
                error.name,
                [(path, self._explain(path, why)) for path, why in error.problems],
            ) from None

    def _explain(self, path: str, reason: str) -> str:
        output = self._output_of(path)
        if reason == NOT_ON_REMOTE and output and not output.is_pushed:
            return "it is not there; DVC does not push it because of 'push: false'"
        return reason

    def _fetch_import(
        self,
        output: RecordedOutput,
        wanted: Mapping[str, ModelFile],
        report: Callable[[int], None],
        jobs: int,
    ) -> list[DownloadedFile]:
        """Fetch from the repo of an import into parts."""
        digests = {path: file.digest for path, file in wanted.items() if file.digest}
        store = PartStore(self._store.parts)
        source = self._source_of(output)
        parts = source.fetch(digests, output, store, report=report, jobs=jobs)
        return [
            DownloadedFile(wanted[path], digests[path], part.size or 0, "git", part)
            for path, part in parts.items()
        ]

    def _source_of(self, output: RecordedOutput) -> SourceRepo:
        """Open the repo that something was imported from, once."""
        assert output.origin  # noqa: S101 - it is an import
        if output.path not in self._sources:
            inner = (self._root / output.origin.file).parent
            folders = [self._folder, inner, Path(self._store.repo.root_dir)]
            source = SourceRepo(self._store.repo, output.origin, folders)
            self._sources[output.path] = source
        return self._sources[output.path]
