"""Which models are registered: by the clone's tags, or, in another repo, its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioConfigError, StudioError
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import STUDIO
from dvc_studio_models.sources.resolve import infer_repo_url, is_named_by_setting

if TYPE_CHECKING:
    from dvc_studio_models.http.studio.listing import ListingClient
    from dvc_studio_models.model import (
        ModelDetails,
        ModelRef,
        ModelSummary,
        PullOptions,
    )
    from dvc_studio_models.sources.context import PullContext

logger = get_logger(__name__)


def is_of_clone(context: PullContext, options: PullOptions) -> bool:
    """Whether the models are of the clone's own repo, whose tags register them.

    Raises:
        UnreadableRepoError: Git cannot read the tags.
    """
    clone = context.clone
    if clone is None:
        return False
    if options.repo is not None:
        return clone.has_remote(options.repo)
    if not is_named_by_setting(clone, context.settings, options):
        return True
    # The setting may name this repo by a URL that only Studio uses.
    url = infer_repo_url(clone, context.settings, options)
    return clone.has_remote(url) or bool(context.open_registry().models)


def list_registered(context: PullContext, options: PullOptions) -> list[ModelSummary]:
    """List the registered models by name.

    Raises:
        UnreadableRepoError: Git cannot read the tags.
        StudioError: The models are of another repo, and its server did not list them.
    """
    if is_of_clone(context, options):
        models = context.open_registry().list_models()
        return models or _ask_for_missing_tags(context, options)
    url = infer_repo_url(context.clone, context.settings, options)
    return _connect(context).list_models(url)


def _ask_for_missing_tags(
    context: PullContext, options: PullOptions
) -> list[ModelSummary]:
    """Ask the server for the models of a clone without tags, as CI systems make it."""
    if options.source not in {None, STUDIO}:
        return []
    try:
        url = infer_repo_url(context.clone, context.settings, options)
        return _connect(context).list_models(url)
    except (StudioConfigError, StudioError) as error:
        logger.debug("no tags, and no list of models: %s", error)
        return []


def describe_remote(ref: ModelRef, repo_url: str, context: PullContext) -> ModelDetails:
    """Ask the server for a model of another repo.

    Raises:
        StudioError: It does not know the model, cannot list any, or did not answer.
    """
    return _connect(context).describe(repo_url, ref)


def _connect(context: PullContext) -> ListingClient:
    """Connect to the server of the settings.

    Raises:
        StudioOfflineError: The settings forbid to contact it.
        TokenMissingError: The settings have no token.
    """
    from dvc_studio_models.http.studio.listing import ListingClient

    return ListingClient(context.connect())
