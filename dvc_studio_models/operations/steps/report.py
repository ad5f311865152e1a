"""Reports the result of a pull, and makes receipts. No I/O."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.files.receipts import Receipt
from dvc_studio_models.model import Digest, FileResult, ModelResult, PullResult
from dvc_studio_models.operations.steps.plan import (
    DOWNLOAD,
    LINK,
    REMOVE,
    RENAME,
    UNCHANGED,
)
from dvc_studio_models.registry.urls import repo_id
from dvc_studio_models.sources.resolve import object_version_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from dvc_studio_models.model import ModelFile
    from dvc_studio_models.operations.steps.plan import (
        Plan,
        PreparedPull,
        ProjectPull,
        Step,
    )
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.parts.part import DownloadedFile

    Downloads = Mapping[str, DownloadedFile]
    Sizes = Mapping[Digest | str, int]

_DONE = {
    UNCHANGED: "unchanged",
    RENAME: "renamed",
    LINK: "linked",
    DOWNLOAD: "downloaded",
}


def build_result(
    prepared: PreparedPull, *, began: float = 0, sizes: Sizes | None = None
) -> PullResult:
    """Return the result of a pull; with ``sizes``, of a dry run.

    Args:
        prepared: The pull, with what was downloaded.
        began: When, by the monotonic clock, in seconds.
        sizes: In bytes, of contents whose size is not known otherwise.
    """
    results = {
        model.ref: _model_result(model, plan, project.downloads, sizes)
        for project in prepared.projects
        for model, plan in zip(project.models, project.plans, strict=True)
    }
    return PullResult(
        prepared.source.repo,
        tuple(results[model.ref] for model in prepared.models),
        sum(d.size for p in prepared.projects for d in p.downloads.values()),
        time.monotonic() - began,
        prepared.source.kind,
    )


def _model_result(
    model: ResolvedModel, plan: Plan, downloads: Downloads, sizes: Sizes | None
) -> ModelResult:
    verifier = "git" if model.record else "lock" if model.locked else None
    if model.record and model.signed:
        verifier = "git+signature"
    by_path = {
        step.file.path: _file_result(step, downloaded, sizes, verifier)
        for step, downloaded in with_downloads(plan, downloads)
    }
    removed = "removed" if sizes is None else REMOVE
    return ModelResult(
        model.ref,
        model.version_name,
        model.commit,
        (
            *(by_path[path] for path in model.paths),
            *(FileResult(path, None, None, removed, None) for path in plan.leftovers),
        ),
    )


def _file_result(
    step: Step,
    downloaded: DownloadedFile | None,
    sizes: Sizes | None,
    verifier: str | None,
) -> FileResult:
    """Return the result of one file.

    Args:
        step: The step for it.
        downloaded: Its download, if any.
        sizes: See :func:`build_result`.
        verifier: Git or the lock file, if it verified the model.
    """
    size = step.size
    if sizes is not None and size is None:
        size = sizes.get(step.file.content)
    digest = downloaded.digest if downloaded else step.file.digest
    return FileResult(
        step.file.path,
        downloaded.size if downloaded else size,
        digest.value if digest else None,
        step.action if sizes is not None else _DONE[step.action],
        verifier or _verified_by(step.file, downloaded),
    )


def _verified_by(file: ModelFile, downloaded: DownloadedFile | None) -> str | None:
    """Return how a file is verified without Git and the lock file."""
    if downloaded:
        return downloaded.verified_by
    if file.digest is None:
        return None
    return "url" if Digest.from_url(file.url) else "size"


def with_downloads(
    plan: Plan, downloads: Downloads
) -> Iterator[tuple[Step, DownloadedFile | None]]:
    """Yield every step with its download, if any."""
    by_content = {each.file.content: each for each in downloads.values()}
    for step in plan.steps:
        downloaded = by_content.get(step.file.content)
        yield step, downloaded if step.action == DOWNLOAD else None


def digests_of(model: ResolvedModel, downloads: Downloads) -> dict[str, Digest]:
    """Return the hashes of all files, also those known only from the download."""
    return {
        file.path: file.digest or downloads[file.path].digest for file in model.files
    }


def new_receipts(
    project: ProjectPull, known: Iterable[Receipt], root: Path, *, is_partial: bool
) -> list[tuple[ResolvedModel, Receipt]]:
    """Return the receipts of the models that differ from the known ones."""
    before_of = {receipt.key: receipt for receipt in known}
    new = []
    for model in project.models:
        ids = {file.path: object_version_id(file.url) for file in model.files}
        receipt = Receipt(
            model.ref.name,
            str(root),
            model.version.version if model.version else model.version_name,
            model.commit,
            digests_of(model, project.downloads),
            model.ref.selector,
            {path: version_id for path, version_id in ids.items() if version_id},
            model.ref.repo,
            repo_id(model.ref.repo) if model.ref.repo else None,
        )
        before = before_of.get(receipt.key)
        if before and is_partial:
            receipt = _join(before, receipt)
        if before != receipt:
            new.append((model, receipt))
    return new


def ended_claims(
    new: Iterable[Receipt], known: Iterable[Receipt]
) -> tuple[list[Receipt], list[Receipt]]:
    """Return the receipts of other repos that claim files which are placed anew.

    A receipt without a repo, of an earlier release, may be of the same model.

    Returns:
        The receipts with the files that are left, and those to discard.
    """
    left, ended = [], []
    new = list(new)
    for receipt in known:
        placed = {
            path
            for each in new
            if each.repo_id != receipt.repo_id
            for path in each.files
        }
        files = {path: d for path, d in receipt.files.items() if path not in placed}
        if len(files) == len(receipt.files):
            continue
        is_same_name = receipt.repo is None and any(
            each.model == receipt.model for each in new
        )
        if is_same_name or not files:
            ended.append(receipt)
        else:
            objects = {p: name for p, name in receipt.objects.items() if p in files}
            left.append(replace(receipt, files=files, objects=objects))
    return left, ended


def _join(before: Receipt, receipt: Receipt) -> Receipt:
    """Add the files that a partial pull left there.

    The files of two versions are of none.
    """
    left = {p: digest for p, digest in before.files.items() if p not in receipt.files}
    if not left:
        return receipt
    if (before.version, before.commit) != (receipt.version, receipt.commit):
        receipt = replace(receipt, version=None, commit=None)
    objects = {p: name for p, name in before.objects.items() if p in left}
    return replace(
        receipt,
        files={**left, **receipt.files},
        objects={**objects, **receipt.objects},
    )
