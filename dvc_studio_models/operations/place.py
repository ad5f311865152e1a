"""What a pull takes down of the files that it placed, for DVC and for later pulls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.files.receipts import Receipt
from dvc_studio_models.operations.report import digests_of
from dvc_studio_models.registry.recorded import is_inside
from dvc_studio_models.sources.resolve import object_version_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dvc_studio_models.model import Digest, PullOptions
    from dvc_studio_models.operations.prepare import PreparedPull
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.part import DownloadedFile


def save_receipts(
    ready: PreparedPull, arrived: Mapping[str, DownloadedFile], options: PullOptions
) -> None:
    """Tell DVC the hashes, and the next pull what this one placed."""
    root, store = ready.workspace.root, ready.store
    known = {receipt.model: receipt for receipt in ready.receipts.load(root)}
    for answer in ready.answers:
        named = ((file.path, object_version_id(file.url)) for file in answer.files)
        receipt = Receipt(
            answer.ref.name,
            str(root),
            answer.version.version if answer.version else None,
            answer.version.commit if answer.version else None,
            digests_of(answer, arrived),
            answer.ref.selector,
            {path: name for path, name in named if name},
        )
        before = known.get(receipt.model)
        if before and options.is_partial:
            receipt = _join(before, receipt)
        if before == receipt:
            continue
        placed = {root / path: digest for path, digest in receipt.files.items()}
        store.save_hashes(placed)
        _keep_trees(answer, receipt.files, store)
        ready.receipts.save(receipt)


def _join(before: Receipt, receipt: Receipt) -> Receipt:
    """Keep what a partial pull left there; files of two versions are of none."""
    kept = {p: digest for p, digest in before.files.items() if p not in receipt.files}
    if not kept:
        return receipt
    if before.commit != receipt.commit:
        receipt = replace(receipt, version=None, commit=None)
    objects = {p: name for p, name in before.objects.items() if p in kept}
    return replace(
        receipt,
        files={**kept, **receipt.files},
        objects={**objects, **receipt.objects},
    )


def _keep_trees(
    answer: ResolvedModel, digests: Mapping[str, Digest], store: Store
) -> None:
    """Give DVC the listings of whole folders, which Studio does not serve."""
    record = answer.record
    for output in record.outputs if record else ():
        if record and output.is_folder and is_inside(output.path, record.path):
            assert output.digest  # noqa: S101 - a folder has the hash of its listing
            at = len(output.path) + 1
            inner = {p[at:]: d for p, d in digests.items() if output.holds(p)}
            store.add_tree(inner, output.digest)
