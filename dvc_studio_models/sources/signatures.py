"""``--require-signed``: only content that a signed tag vouches for is pulled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    FORCE_TAGS,
    REFRESH_TAGS,
    SignatureError,
    fetch_from,
)

if TYPE_CHECKING:
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.sources.resolve import ResolvedModel


def verify_tags(model: ResolvedModel, registry: GitRegistry | None) -> ResolvedModel:
    """Verify the signatures of a model's tags, before anything is downloaded.

    Content that Git cannot verify before it is downloaded is left to
    :func:`check_signed`.

    Args:
        model: As Git verified it.
        registry: Of the clone, unless all models are of other repos.

    Raises:
        SignatureError: A tag is not signed by a known key, or no tag of this clone is
            of the model.
    """
    ref = model.ref
    if ref.repo is not None or registry is None:
        why = "it is of another repo, whose tags are not in this clone"
        raise SignatureError(ref, why, hint="Pull it in a clone of its repo")
    version = model.version or (model.unverified and model.unverified[0])
    if not version:
        if registry.resolve(ref) is None:
            why = "this clone has no tag for it"
            hint = f"Run '{fetch_from(FORCE_TAGS, registry.remote)}'"
            raise SignatureError(ref, why, hint=hint)
        raise _not_verified(model, registry)
    if model.record is None and model.unverified is None:
        raise _not_verified(model, registry)
    if problem := registry.find_unsigned(ref, version):
        raise SignatureError(ref, problem)
    return replace(model, signed=True)


def check_signed(model: ResolvedModel, registry: GitRegistry | None) -> None:
    """Refuse content that Git has not verified.

    Raises:
        SignatureError: It is not what the tagged commit records.
    """
    if model.record is None:
        raise _not_verified(model, registry)


def _not_verified(model: ResolvedModel, registry: GitRegistry | None) -> SignatureError:
    remote = registry.remote if registry else None
    return SignatureError(
        model.ref,
        "its content could not be verified against Git, so no tag vouches for it",
        hint=f"Run '{fetch_from(REFRESH_TAGS, remote)}', and pull whole models",
    )
