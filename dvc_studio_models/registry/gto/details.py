"""Everything that Git says of one model: versions, history, path, size.

For ``dvc models show``, and for the server's listing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.model import ModelDetails
from dvc_studio_models.registry.gto.history import list_versions, read_history
from dvc_studio_models.registry.recorded import Annotation

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelVersion
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.registry.records import RecordReader


def describe_model(
    name: str,
    version: ModelVersion | None,
    registry: Registry,
    reader: GitReader,
    records: RecordReader,
) -> ModelDetails:
    """Describe a model, and one version of it.

    Args:
        name: Of the model, which may be deprecated.
        version: The version to describe, or None.
        registry: The tags of the repository.
        reader: The repository.
        records: Reads its commits.

    Raises:
        UnreadableRepoError: Git cannot read the tags, or the commit.
        RecordUnreadableError: DVC cannot read its files there.
        StudioConfigError: DVC cannot read its config at that commit.
    """
    history = read_history(reader, registry, name)
    model = registry.find(name)
    record = records.read(version.commit, name) if version else None
    said = records.read_annotation(version.commit, name) if version else None
    said = said or Annotation()
    nfiles, size = record.totals if record else (None, None)
    return ModelDetails(
        name,
        version.registered if version else None,
        version.commit if version else None,
        record.path if record else None,
        said.type,
        said.description,
        said.labels,
        size,
        nfiles,
        model.summary.stages if model else {},
        list_versions(model, history) if model else (),
        history,
    )
