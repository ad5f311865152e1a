"""The repos of models that are named without one: as pinned, or as pulled before."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.model import ModelRef, Pin, PullOptions
    from dvc_studio_models.sources.context import PullContext


def with_known_repos(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
) -> list[ModelRef]:
    """Set the repos of models that are pinned, or that only an earlier pull knows.

    Args:
        refs: Without repos.
        pins: Of the lock file; others were pulled before.
        context: With the clone and its receipts.
        options: Whether a repo is named, which then counts.

    Raises:
        UnreadableRepoError: Git cannot read the tags.
    """
    if options.repo is not None or context.clone is None:
        return list(refs)
    repos = {name: pin.ref.repo for name, pin in pins.items()}
    tags = context.open_registry(refs).tags
    unknown = [r for r in refs if r.name not in pins and tags.find(r.name) is None]
    if unknown:
        pulled = _pulled_repos(context)
        repos.update((ref.name, pulled.get(ref.name)) for ref in unknown)
    return [replace(ref, repo=repos.get(ref.name)) for ref in refs]


def _pulled_repos(context: PullContext) -> dict[str, str | None]:
    from dvc_studio_models.operations.inventory import Inventory

    with contextlib.closing(Inventory(context.folder, context.clone)) as inventory:
        return {receipt.model: receipt.repo for receipt in inventory.receipts()}
