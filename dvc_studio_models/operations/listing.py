"""The models of one repo: by the tags of its clone, else as its server lists them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.model import ABSENT, ListedModel, WorkspaceState
from dvc_studio_models.operations.inventory import Inventory
from dvc_studio_models.operations.steps.prepare import open_context
from dvc_studio_models.registry.urls import repo_id
from dvc_studio_models.sources.registered import is_of_clone, list_registered
from dvc_studio_models.sources.resolve import infer_repo_url

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelSummary, PullOptions
    from dvc_studio_models.sources.context import PullContext


def list_models(options: PullOptions) -> list[ListedModel]:
    """List the models of the repo that the options name.

    Args:
        options: With the repo's URL.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    with contextlib.ExitStack() as stack:
        # Nothing is placed, so outside of Git a repo's URL is enough.
        context = open_context(replace(options, out=options.out or options.folder))
        stack.callback(context.close)
        here: list[ListedModel] = []
        if context.clone is not None:
            inventory = Inventory(context.folder, context.clone)
            stack.callback(inventory.close)
            here = inventory.list_models()
            if is_of_clone(context, options) and inventory.registry.models:
                return [model for model in here if model.repo is None]
        return _list_remote(here, context, options)


def _list_remote(
    here: list[ListedModel], context: PullContext, options: PullOptions
) -> list[ListedModel]:
    """List the models of another repo, and what of them is in the workspace."""
    url = infer_repo_url(context.clone, context.settings, options)
    is_own = is_of_clone(context, options)
    known = {
        model.name: model
        for model in here
        if (is_own and model.repo is None)
        or (model.repo is not None and repo_id(model.repo) == repo_id(url))
    }
    return [
        _with_workspace(model, known.get(model.name), None if is_own else url)
        for model in list_registered(context, options)
    ]


def _with_workspace(
    model: ModelSummary, here: ListedModel | None, repo: str | None
) -> ListedModel:
    return ListedModel(
        model.name,
        here.path if here else None,
        here.workspace if here else WorkspaceState(ABSENT),
        model.latest,
        model.stages,
        model.versions,
        repo,
        here.locked if here else None,
    )
