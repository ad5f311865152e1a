"""The source that asks Studio for models, and downloads them from its signed URLs.

The models of one pull may be of several repos.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.model import DEFAULT_JOBS, STUDIO
from dvc_studio_models.sources.resolve import (
    ResolvedModel,
    connect,
    infer_repo_url,
    is_named_by_setting,
    make_renewal,
)
from dvc_studio_models.store.dvc.light import importing_dvc
from dvc_studio_models.store.dvc.project import own_folder, project_around

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

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
            StudioConfigError: The settings forbid it, or lack a token.
        """
        self.repo = ""
        self._context, self._options = context, options
        self._made_before = _made_by_pulls(context, options)
        self._limit_rate = options.limit_rate
        self._client = connect(context)
        self._models: list[ResolvedModel] = []

    def resolve(
        self,
        refs: Sequence[ModelRef],
        pins: Mapping[str, Pin],  # noqa: ARG002 - Studio knows no pins
    ) -> list[ResolvedModel]:
        """Ask Studio for each model.

        Raises:
            GitRemoteError: A model names no repo, and none can be inferred.
            StudioError: Studio does not know it, or did not answer.
        """
        refs = [self._with_repo(ref) for ref in refs]
        own = any(ref.repo is None for ref in refs)
        self.repo = self._default_repo if own else refs[0].repo or ""
        with importing_dvc(self._made_before):
            models = [self._ask(ref) for ref in refs]
        self._models += models
        return models

    def _ask(self, ref: ModelRef) -> ResolvedModel:
        files, stated = self._client.find(ref.repo or self._default_repo, ref)
        return ResolvedModel(ref, files, stated=stated)

    # Repos

    def _with_repo(self, ref: ModelRef) -> ModelRef:
        """Set the repo of a model, or None if it is the clone's own."""
        named = None if self._options.repo is not None else ref.repo
        url = named or self._default_repo
        return replace(ref, repo=None if self._is_own(url, ref, named) else url)

    def _is_own(self, url: str, ref: ModelRef, named: str | None) -> bool:
        """Whether a model is of the clone's own repo, whose tags can verify it.

        Args:
            url: Of the model's repo.
            ref: The model.
            named: The same URL, if a pin or a receipt named it.
        """
        context, options = self._context, self._options
        if context.clone is None:
            return False
        by_setting = is_named_by_setting(context.clone, context.settings, options)
        if named is None and options.repo is None and not by_setting:
            return True  # the URL is that of a remote
        if context.clone.has_remote(url):
            return True
        # The setting may name this repo by a URL that only Studio uses.
        if not by_setting or url != self._default_repo:
            return False
        registry = context.open_registry()
        is_registered = registry.tags.find(ref.name) is not None
        return is_registered or registry.read_head_record(ref.name) is not None

    @cached_property
    def _default_repo(self) -> str:
        """The repo of models that name none."""
        context = self._context
        return infer_repo_url(context.clone, context.settings, self._options)

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
            limit_rate=self._limit_rate,
        )

    def _renew(self) -> Callable[[], dict[str, str]]:
        return make_renewal(self._client, self.repo, self._models)

    def close(self) -> None:
        """Do nothing: the connection to Studio is the context's."""


def _made_by_pulls(context: PullContext, options: PullOptions) -> Path | None:
    """Return a folder that exists if there was a pull, and DVC is rarely needed."""
    if options.out is not None and options.cache:
        return context.folder / options.out
    root = context.clone.root if context.clone else context.folder
    project = project_around(context.folder, root)
    return own_folder(project) if project else None
