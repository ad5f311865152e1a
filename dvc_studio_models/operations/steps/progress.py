"""Adds up the progress of the downloads of a pull, by model. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.model import ModelProgress, PullProgress
from dvc_studio_models.operations.steps.plan import DOWNLOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dvc_studio_models.model import ModelFile
    from dvc_studio_models.operations.steps.plan import Plan, PreparedPull
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.parts.part import DownloadedFile

    Report = Callable[[PullProgress], None]


@dataclass
class _Counts:
    """The downloads of one model."""

    files_total: int = 0
    total: int | None = 0
    files: int = 0
    done: int = 0
    shown: int = 0
    """The most that was reported: bytes of a finished file are noted a bit later."""


class DownloadProgress:
    """The progress of one delivery at a time, added to that of the others."""

    def __init__(self, report: Report, prepared: PreparedPull) -> None:
        """Count what is to be downloaded; report nothing yet."""
        self._report = report
        self._models: dict[str, _Counts] = {}
        self._model_of: dict[str, _Counts] = {}
        self._waiting: dict[str, int | None] = {}
        """The sizes of files that are not finished, in bytes."""
        self._partial: Mapping[str, int] = {}
        self._before = self._done = 0
        self._after: int | None = 0
        for project in prepared.projects:
            expected = {file.path: file for file in project.to_download()}
            for model, plan in zip(project.models, project.plans, strict=True):
                paths = [step.file.path for step in plan.steps]
                files = [expected[path] for path in paths if path in expected]
                self._expect(model, plan, files)

    def _expect(
        self, model: ResolvedModel, plan: Plan, files: Sequence[ModelFile]
    ) -> None:
        if not files:
            return
        counts = self._models[model.ref.name] = _Counts(len(files))
        sizes = [file.size for file in files]
        counts.total = _sum(sizes)
        if counts.total is None:
            counts.total = _missing_bytes(model, plan)
        for file, size in zip(files, sizes, strict=True):
            self._model_of[file.path] = counts
            self._waiting[file.path] = size

    @property
    def has_begun(self) -> bool:
        """Whether a file was delivered."""
        return self._done > 0

    def drop(self, files: Iterable[ModelFile]) -> None:
        """Expect files no more: another project has downloaded them."""
        for file in files:
            size, counts = self._waiting.pop(file.path), self._model_of[file.path]
            counts.files_total -= 1
            if counts.total is not None:
                counts.total = None if size is None else counts.total - size

    def start(self, files: Sequence[ModelFile]) -> None:
        """Start to deliver files, all others of which are delivered before or later."""
        now = {file.path for file in files}
        later = [size for path, size in self._waiting.items() if path not in now]
        self._before, self._after = self._done, _sum(later)

    def note_files(self, partial: Mapping[str, int]) -> None:
        """See :class:`~dvc_studio_models.model.Progress`."""
        self._partial = partial

    def update(self, done: int, total: int | None) -> None:
        """Report the bytes of all deliveries."""
        if total is not None and self._after is not None:
            total = self._before + total + self._after
        else:
            total = _sum([counts.total for counts in self._models.values()])
        self._send(self._before + done, total)

    def finish(self, batch: Iterable[DownloadedFile]) -> None:
        """Note files that were delivered."""
        for downloaded in batch:
            self._waiting.pop(downloaded.file.path, None)
            counts = self._model_of[downloaded.file.path]
            counts.files += 1
            counts.done += downloaded.size
            self._done += downloaded.size

    def end(self) -> None:
        """Report that all files are there."""
        if self._models:
            for counts in self._models.values():
                counts.total = counts.done
            self._partial = {}
            self._send(self._done, self._done)

    def _send(self, done: int, total: int | None) -> None:
        for counts in self._models.values():
            counts.shown = max(counts.shown, counts.done)
        partial: dict[int, int] = {}
        for path in self._partial.keys() & self._waiting.keys():
            key = id(self._model_of[path])
            partial[key] = partial.get(key, 0) + self._partial[path]
        is_one = len(self._models) == 1
        models = []
        for name, counts in self._models.items():
            arrived = counts.done + partial.get(id(counts), 0)
            counts.shown = max(counts.shown, done if is_one else arrived)
            size = total if is_one else counts.total
            models.append(
                ModelProgress(
                    name, counts.shown, size, counts.files, counts.files_total
                )
            )
        self._report(
            PullProgress(
                done,
                total,
                sum(model.files for model in models),
                sum(model.files_total for model in models),
                tuple(models),
            )
        )


def _sum(sizes: Iterable[int | None]) -> int | None:
    """Add sizes in bytes; None if one is unknown."""
    known = 0
    for size in sizes:
        if size is None:
            return None
        known += size
    return known


def _missing_bytes(model: ResolvedModel, plan: Plan) -> int | None:
    """Return how many bytes to download, if Git recorded the size of a whole folder."""
    size = model.record.size if model.record else None
    contents = {step.file.content for step in plan.steps}
    if size is None or len(contents) < len(plan.steps):
        return None
    here = _sum(step.size for step in plan.steps if step.action != DOWNLOAD)
    return None if here is None else max(0, size - here)
