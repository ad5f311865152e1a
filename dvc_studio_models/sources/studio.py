"""Models from Studio: its answers, and the bytes behind its signed links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.model import STUDIO, Digest
from dvc_studio_models.sources.base import common_folder
from dvc_studio_models.sources.resolve import (
    ResolvedModel,
    connect,
    infer_repo_url,
    make_renewal,
)
from dvc_studio_models.store.dvc import open_store
from dvc_studio_models.store.parts import PartStore
from dvc_studio_models.transfer.engine import fetch
from dvc_studio_models.transfer.sizes import ask_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import ModelFile, ModelRef, Pin, Progress, PullOptions
    from dvc_studio_models.sources.base import PullContext
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.part import DownloadedFile


class StudioSource:
    """Asks Studio, and downloads from storage."""

    kind = STUDIO

    def __init__(self, here: PullContext, options: PullOptions) -> None:
        """Connect to nothing yet.

        Raises:
            StudioConfigError: Settings forbid it, lack a token, or tell no repo.
        """
        self.repo = infer_repo_url(here.clone, here.settings, options)
        is_of_repo = here.clone and (
            options.repo is None or here.clone.has_remote(self.repo)
        )
        self.clone = here.clone if is_of_repo else None
        self._options = options
        self._client = connect(here.settings)
        self._answers: list[ResolvedModel] = []
        self._stores: dict[Path, Store] = {}

    def resolve(
        self,
        refs: Sequence[ModelRef],
        pins: Mapping[str, Pin],  # noqa: ARG002 - Studio knows of none
    ) -> list[ResolvedModel]:
        """Ask Studio for each.

        Raises:
            StudioError: It did not say.
        """
        answers = [
            ResolvedModel(ref, self._client.files(self.repo, ref)) for ref in refs
        ]
        self._answers += answers
        return answers

    def open_store(self, root: Path, paths: Sequence[str]) -> Store:
        """Open that of the DVC project that holds all targets, once."""
        folder = root / common_folder(paths)
        if folder not in self._stores:
            self._stores[folder] = open_store(
                folder,
                root,
                use_cache=self._options.cache,
                wait_for_lock=self._options.wait_for_lock,
            )
        return self._stores[folder]

    def expected_sizes(
        self, files: Sequence[ModelFile], options: PullOptions
    ) -> Mapping[Digest | str, int]:
        """Ask storage for sizes, where that is wished."""
        unknown = [file for file in files if file.size is None]
        if not unknown or not options.ask_sizes:
            return {}
        sizes = ask_sizes(unknown, renew=self._renew(), jobs=options.jobs)
        return {f.content: sizes[f.path] for f in unknown if f.path in sizes}

    def deliver(
        self,
        files: Sequence[ModelFile],
        store: Store,
        progress: Progress,
        *,
        jobs: int,
    ) -> Generator[list[DownloadedFile]]:
        """Download to parts."""
        parts = PartStore(store.parts, second_copy=store.needs_second_copy)
        return fetch(
            files, store=parts, renew=self._renew(), progress=progress, jobs=jobs
        )

    def _renew(self) -> Callable[[], dict[str, str]]:
        return make_renewal(self._client, self.repo, self._answers)

    def close(self) -> None:
        """Close the stores and the connections."""
        for store in self._stores.values():
            store.close()
        self._client.close()
