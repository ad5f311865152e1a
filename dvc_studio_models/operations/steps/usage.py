"""Notes in the caches which versions of models are pulled through them, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.operations.steps.report import with_downloads
from dvc_studio_models.registry.recorded import is_inside
from dvc_studio_models.store.usage import UsageRecord, write_usage

if TYPE_CHECKING:
    from dvc_studio_models.model import Digest
    from dvc_studio_models.operations.steps.plan import Plan, PreparedPull, ProjectPull
    from dvc_studio_models.sources.resolve import ResolvedModel


def record_usage(prepared: PreparedPull) -> None:
    """Write the records of all models whose hashes are known, or touch them.

    It is done before downloads, so that nobody takes what is in the cache for unused,
    and again afterwards, when all hashes are known.
    """
    for project in prepared.projects:
        cache = project.store.cache_folder
        if cache is None:
            continue
        records = [
            _record_of(model, plan, project, prepared)
            for model, plan in zip(project.models, project.plans, strict=True)
        ]
        write_usage(cache, filter(None, records), anew=bool(project.downloads))


def _record_of(
    model: ResolvedModel, plan: Plan, project: ProjectPull, prepared: PreparedPull
) -> UsageRecord | None:
    files: dict[str, Digest] = {}
    sizes: dict[str, int] = {}
    for step, downloaded in with_downloads(plan, project.downloads):
        digest = downloaded.digest if downloaded else step.file.digest
        size = downloaded.size if downloaded else step.size
        if digest is None:
            return None
        files[step.file.path] = digest
        if size is not None:
            sizes[step.file.path] = size
    outputs = model.record.outputs if model.record else ()
    return UsageRecord(
        model.ref.name,
        model.ref.repo or prepared.source.repo,
        model.version_name,
        model.commit,
        files,
        sizes,
        {
            output.path: output.digest
            for output in outputs
            if output.digest and output.is_folder
            if model.record and is_inside(output.path, model.record.path)
        },
        str(prepared.workspace.root),
        model.ref.selector,
    )
