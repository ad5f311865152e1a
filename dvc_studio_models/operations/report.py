"""What became of each file: of a pull, or of one that was only planned. No I/O."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.model import Digest, FileResult, ModelResult, PullResult
from dvc_studio_models.operations.plan import (
    DOWNLOAD,
    LINK,
    REMOVE,
    UNCHANGED,
    Plan,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dvc_studio_models.model import ModelFile
    from dvc_studio_models.operations.prepare import PreparedPull
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.part import DownloadedFile

_DONE = {UNCHANGED: "unchanged", LINK: "linked", DOWNLOAD: "downloaded"}


def build_result(
    source: Source,
    ready: PreparedPull,
    arrived: Mapping[str, DownloadedFile],
    began: float,
    *,
    sizes: Mapping[Digest | str, int] | None = None,
) -> PullResult:
    """Say what was done; in a dry run, where ``sizes`` are given, what would be."""
    dry_run = sizes is not None
    results = {
        step.file.path: _file_result(step, done, sizes)
        for step, done in with_downloads(ready.plan, arrived)
    }
    models = tuple(
        ModelResult(
            answer.ref,
            answer.version.registered if answer.version else None,
            answer.version.commit if answer.version else None,
            (
                *(_vouched(results[path], answer) for path in answer.paths),
                *_removed(ready.plan, answer, dry_run=dry_run),
            ),
        )
        for answer in ready.answers
    )
    downloaded = sum(done.size for done in arrived.values())
    seconds = time.monotonic() - began
    return PullResult(source.repo, models, downloaded, seconds, source.kind)


def _file_result(
    step: Step, done: DownloadedFile | None, sizes: Mapping[Digest | str, int] | None
) -> FileResult:
    size = step.size
    if sizes is not None and size is None:
        size = sizes.get(step.file.content)
    digest = done.digest if done else step.file.digest
    return FileResult(
        step.file.path,
        done.size if done else size,
        digest.value if digest else None,
        step.action if sizes is not None else _DONE[step.action],
        done.verified_by if done else _verified_by(step.file),
    )


def _verified_by(file: ModelFile) -> str | None:
    """Tell what vouches for what was there; a hash of an earlier pull does not."""
    if file.digest is None:
        return None
    return "url" if Digest.from_url(file.url) else "size"


def _removed(
    plan: Plan, answer: ResolvedModel, *, dry_run: bool
) -> Iterator[FileResult]:
    action = REMOVE if dry_run else "removed"
    for path, model in plan.leftovers.items():
        if model == answer.ref.name:
            yield FileResult(path, None, None, action, None)


def _vouched(result: FileResult, answer: ResolvedModel) -> FileResult:
    """Name what is above all that storage says."""
    if answer.record:
        return replace(result, verified_by="git")
    return replace(result, verified_by="lock") if answer.locked else result


def with_downloads(
    plan: Plan, arrived: Mapping[str, DownloadedFile]
) -> Iterator[tuple[Step, DownloadedFile | None]]:
    """Tell for every file what, if anything, was brought for it."""
    by_content = {done.file.content: done for done in arrived.values()}
    for step in plan.steps:
        done = by_content.get(step.file.content)
        yield step, done if step.action == DOWNLOAD else None


def digests_of(
    answer: ResolvedModel, arrived: Mapping[str, DownloadedFile]
) -> dict[str, Digest]:
    """Tell the hashes of all files, those that only the download told too."""
    return {
        file.path: file.digest or arrived[file.path].digest for file in answer.files
    }
