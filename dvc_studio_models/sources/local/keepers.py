"""Who keeps the files of models that DVC stores: DVC remotes, and repos of imports.

Each output is brought from its own keeper, and from nobody else.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import DvcRemoteError
from dvc_studio_models.sources.local.imports import SourceRepo
from dvc_studio_models.sources.local.listings import read_remote_listing
from dvc_studio_models.store.part import DownloadedFile
from dvc_studio_models.store.parts import PartStore
from dvc_studio_models.store.remote import NOT_THERE, DvcRemote, configured_remotes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from dvc_studio_models.model import ModelFile, Progress
    from dvc_studio_models.registry.recorded import Listing, RecordedOutput
    from dvc_studio_models.sources.local.location import Location
    from dvc_studio_models.store.dvc import DvcStore

    Keeper = DvcRemote | RecordedOutput


class Keepers:
    """Those of some models of one DVC project."""

    def __init__(
        self, store: DvcStore, locations: Sequence[Location], *, here: Path, root: Path
    ) -> None:
        """Contact nobody yet.

        Args:
            store: Of the project; stays the caller's.
            locations: Of the models.
            here: The folder of the user.
            root: Of the clone.
        """
        self._store = store
        self._locations = locations
        self._here, self._root = here, root
        self._sources: dict[str, SourceRepo] = {}

    def describe(self) -> str | None:
        """Name them all; None where DVC's config lacks one."""
        outputs = [output for each in self._locations for output in each.outputs]
        if outputs and all(output.is_of_another_repo for output in outputs):
            return "The repo that it is imported from"
        remotes = {name for each in self._locations for name in each.remotes}
        names = [f"'{name}'" for name in configured_remotes(self._store.repo, remotes)]
        if not names:
            return None
        return f"The DVC remote{'s' if names[1:] else ''} {', '.join(names)}"

    def read_listing(self, output: RecordedOutput, *, keep: bool) -> Listing:
        """Read what is in a folder.

        Args:
            output: The folder.
            keep: Whether the cache gets the listing, too.

        Raises:
            RemoteConfigError: There is no remote that can be used.
            DvcRemoteError: The remote did not deliver it.
            ImportSourceError: The repo of the import did not.
        """
        if not output.is_of_another_repo:
            with self._explained():
                return read_remote_listing(self._store, output, keep=keep)
        listing = self._source_of(output).read_listing(output)
        if keep:
            assert output.digest  # noqa: S101 - only what has a hash has a listing
            self._store.add_tree(listing, output.digest)
        return listing

    def fetch(
        self, files: Sequence[ModelFile], progress: Progress, *, jobs: int
    ) -> Generator[list[DownloadedFile]]:
        """Bring contents into the cache, or to parts where another repo has them.

        Raises:
            RemoteConfigError: There is no remote that can be used.
            DvcRemoteError: A remote did not deliver.
            ImportSourceError: The repo of an import did not.
        """
        sizes = [file.size for file in files if file.size is not None]
        total = sum(sizes) if len(sizes) == len(files) else None
        before = 0
        for keeper, wanted in self._by_keeper(files):

            def tell(count: int, before: int = before) -> None:
                progress.update(before + count, total)

            if isinstance(keeper, DvcRemote):
                arrivals = self._fetch_remote(keeper, wanted, tell, jobs)
            else:
                arrivals = self._fetch_import(keeper, wanted, tell, jobs)
            before += sum(arrival.size for arrival in arrivals)
            yield arrivals

    def close(self) -> None:
        """Close the repos of imports."""
        for source in self._sources.values():
            source.close()

    def _by_keeper(
        self, files: Sequence[ModelFile]
    ) -> list[tuple[Keeper, dict[str, ModelFile]]]:
        """Group files by who keeps them.

        Raises:
            RemoteConfigError: There is no remote that can be used for some: told
                before anything is brought.
        """
        groups: dict[str, tuple[Keeper, dict[str, ModelFile]]] = {}
        for file in files:
            output = self._output_of(file.path)
            imported = output if output and output.is_of_another_repo else None
            key = imported.path if imported else f"remote {file.remote}"
            if key not in groups:
                keeper = imported or self._remote_of(file.path, file.remote)
                groups[key] = (keeper, {})
            groups[key][1][file.path] = file
        return [groups[key] for key in sorted(groups)]

    def _output_of(self, path: str) -> RecordedOutput | None:
        found = (location.output_of(path) for location in self._locations)
        return next((output for output in found if output), None)

    def _remote_of(self, path: str, name: str | None) -> DvcRemote:
        return DvcRemote(self._store.repo, name, path)

    def _fetch_remote(
        self,
        remote: DvcRemote,
        wanted: Mapping[str, ModelFile],
        tell: Callable[[int], None],
        jobs: int,
    ) -> list[DownloadedFile]:
        """Bring from a DVC remote into the cache."""
        digests = {path: file.digest for path, file in wanted.items() if file.digest}
        with self._explained():
            self._store.fetch(remote, digests, tell=tell, jobs=jobs)
        return [
            DownloadedFile(
                wanted[path], digest, self._store.size_of(digest) or 0, "git"
            )
            for path, digest in digests.items()
        ]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of what DVC does not push that it is that."""
        try:
            yield
        except DvcRemoteError as error:
            raise DvcRemoteError(
                error.name,
                [(path, self._explain(path, why)) for path, why in error.problems],
            ) from None

    def _explain(self, path: str, reason: str) -> str:
        output = self._output_of(path)
        if reason == NOT_THERE and output and not output.is_pushed:
            return "it is not there; DVC does not push it because of 'push: false'"
        return reason

    def _fetch_import(
        self,
        output: RecordedOutput,
        wanted: Mapping[str, ModelFile],
        tell: Callable[[int], None],
        jobs: int,
    ) -> list[DownloadedFile]:
        """Bring from the repo of an import to parts."""
        digests = {path: file.digest for path, file in wanted.items() if file.digest}
        store = PartStore(self._store.parts)
        source = self._source_of(output)
        parts = source.fetch(digests, output, store, tell=tell, jobs=jobs)
        return [
            DownloadedFile(wanted[path], digests[path], part.size or 0, "git", part)
            for path, part in parts.items()
        ]

    def _source_of(self, output: RecordedOutput) -> SourceRepo:
        """Open the repo that something was imported from, once."""
        assert output.origin  # noqa: S101 - it is an import
        if output.path not in self._sources:
            inner = (self._root / output.origin.file).parent
            folders = [self._here, inner, Path(self._store.repo.root_dir)]
            source = SourceRepo(self._store.repo, output.origin, folders)
            self._sources[output.path] = source
        return self._sources[output.path]
