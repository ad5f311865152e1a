"""The source that asks Studio for models, and downloads them from its signed URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.model import DEFAULT_JOBS, STUDIO
from dvc_studio_models.sources.resolve import (
    ResolvedModel,
    connect,
    infer_repo_url,
    make_renewal,
)
from dvc_studio_models.store.dvc.light import importing_dvc
from dvc_studio_models.store.dvc.project import own_folder, project_around

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from dvc_studio_models.model import (
        Digest,
        ModelFile,
        ModelRef,
        Pin,
        Progress,
        PullOptions,
    )
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.parts.part import DownloadedFile


class StudioSource:
    """Asks Studio, and downloads from storage."""

    kind = STUDIO

    def __init__(self, context: PullContext, options: PullOptions) -> None:
        """Connect to nothing yet.

        Raises:
            StudioConfigError: The settings forbid it, lack a token, or name no repo.
        """
        self.repo = infer_repo_url(context.clone, context.settings, options)
        is_of_repo = context.clone and (
            options.repo is None or context.clone.has_remote(self.repo)
        )
        self.clone = context.clone if is_of_repo else None
        root = context.clone.root if context.clone else context.folder
        project = project_around(context.folder, root)
        self._own = own_folder(project) if project else None
        self._client = connect(context.settings)
        self._models: list[ResolvedModel] = []

    def resolve(
        self,
        refs: Sequence[ModelRef],
        pins: Mapping[str, Pin],  # noqa: ARG002 - Studio knows no pins
    ) -> list[ResolvedModel]:
        """Ask Studio for each model.

        Raises:
            StudioError: Studio does not know it, or did not answer.
        """
        with importing_dvc(self._own):
            models = [
                ResolvedModel(ref, self._client.files(self.repo, ref)) for ref in refs
            ]
        self._models += models
        return models

    def expected_sizes(
        self, files: Sequence[ModelFile], options: PullOptions
    ) -> Mapping[Digest | str, int]:
        """Ask storage for sizes, if the options want it."""
        unknown = [file for file in files if file.size is None]
        if not unknown or not options.ask_sizes:
            return {}
        from dvc_studio_models.transfer.sizes import ask_sizes

        jobs = options.jobs or DEFAULT_JOBS
        sizes = ask_sizes(unknown, renew=self._renew(), jobs=jobs)
        return {f.content: sizes[f.path] for f in unknown if f.path in sizes}

    def deliver(
        self,
        files: Sequence[ModelFile],
        store: Store,
        progress: Progress,
        *,
        jobs: int | None,
        reserved: int = 0,
    ) -> Generator[list[DownloadedFile]]:
        """Download to parts, see ``transfer``."""
        from dvc_studio_models.store.parts.folder import PartStore
        from dvc_studio_models.transfer.engine import fetch

        parts = PartStore(store.parts, second_copy=store.needs_second_copy)
        return fetch(
            files,
            store=parts,
            renew=self._renew(),
            progress=progress,
            jobs=jobs,
            reserved=reserved,
        )

    def _renew(self) -> Callable[[], dict[str, str]]:
        return make_renewal(self._client, self.repo, self._models)

    def close(self) -> None:
        """Close the connections to Studio."""
        self._client.close()
