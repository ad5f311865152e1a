"""Which models are registered: in the clone's tags, or in another repo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import UsageError

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelSummary, PullOptions
    from dvc_studio_models.sources.context import PullContext


def is_of_clone(context: PullContext, options: PullOptions) -> bool:
    """Whether the models are of the clone's own repo, whose tags register them."""
    if context.clone is None:
        return False
    return options.repo is None or context.clone.has_remote(options.repo)


def list_registered(context: PullContext, options: PullOptions) -> list[ModelSummary]:
    """List the registered models by name.

    Raises:
        UsageError: They are of another repo.
        UnreadableRepoError: Git cannot read the tags.
    """
    if not is_of_clone(context, options):
        msg = "'--all' and globs need a clone of the models' repo"
        raise UsageError(msg)
    return context.open_registry([]).list_models()
