"""The models of one repository, by its tags and commits at one moment.

The tags are read once, and each commit once, for any number of models.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    FORCE_TAGS,
    RecordUnreadableError,
    StudioConfigError,
    UnreadableRepoError,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.registry.gto.tags import format_names, read_registry
from dvc_studio_models.registry.records import RecordReader

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.model import (
        ModelDetails,
        ModelRef,
        ModelSummary,
        ModelVersion,
        TagEvent,
    )
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.gto.counting import RegisteredModel
    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.registry.metrics import Measures
    from dvc_studio_models.registry.recorded import RecordedModel

logger = get_logger(__name__)


def cache_path(reader: GitReader) -> Path:
    """Return where what was read of a repository is cached.

    It is in Git's own folder: a commit can bring files into the working tree, which
    then would decide what Git is believed to say.
    """
    return reader.common_dir / "dvc-models" / "registry.json"


class GitRegistry:
    """The models that one Git repository registers and records."""

    def __init__(
        self,
        reader: GitReader,
        *,
        cache: Path | None = None,
        remote: str | None = None,
    ) -> None:
        """Store the reader; tags and commits are read when needed.

        Args:
            reader: The repository.
            cache: The file of the cache, which ``close`` writes.
            remote: The Git remote of the models, where ``git fetch`` uses another.
        """
        self._reader = reader
        self.remote = remote
        self._records = RecordReader(reader, cache=cache)

    @cached_property
    def tags(self) -> Registry:
        """The models that tags register.

        Raises:
            UnreadableRepoError: Git cannot read them.
        """
        return read_registry(self._reader, known=self._records.tags)

    @property
    def models(self) -> tuple[RegisteredModel, ...]:
        """All registered models, with their versions and stages."""
        return self.tags.models

    def list_models(self) -> list[ModelSummary]:
        """List all registered models by name; warn of tags that GTO does not read.

        Raises:
            UnreadableRepoError: Git cannot read the tags.
        """
        if tags := self.tags.all_ignored_tags():
            names = format_names("lightweight Git tags, which GTO does not read", tags)
            logger.warning("ignored %s. Run '%s'", names, FORCE_TAGS)
        return [model.summary for model in self.models]

    def read_history(self, name: str) -> tuple[TagEvent, ...]:
        """Read what tags did to a model, newest first; empty if no tag names it.

        Raises:
            UnreadableRepoError: Git cannot read the tags.
        """
        from dvc_studio_models.registry.gto.history import read_history

        return read_history(self._reader, self.tags, name)

    def resolve(self, ref: ModelRef) -> ModelVersion | None:
        """Return the version that ``ref`` selects."""
        return self.tags.resolve(ref)

    def find_unsigned(self, ref: ModelRef, version: ModelVersion) -> str | None:
        """Verify the tags that make ``ref`` this version, see :func:`find_unsigned`."""
        from dvc_studio_models.registry.gto.signed import find_unsigned

        return find_unsigned(ref, version, self.tags, self._reader)

    def read_record(self, name: str, version: ModelVersion) -> RecordedModel | None:
        """Read a model at a version's commit, see :meth:`RecordReader.read`."""
        return self._records.read(version.commit, name)

    def describe(self, name: str, version: ModelVersion | None) -> ModelDetails:
        """Describe a model and one of its versions, see :func:`describe_model`."""
        from dvc_studio_models.registry.gto.details import describe_model

        return describe_model(name, version, self.tags, self._reader, self._records)

    def read_measures(
        self, version: ModelVersion, folder: str, cache: str | None
    ) -> Measures:
        """Read metrics and params, see :meth:`RecordReader.read_measures`."""
        return self._records.read_measures(version.commit, folder, cache)

    def read_head_record(self, name: str) -> RecordedModel | None:
        """Read a model at the checked-out commit; None if it cannot be read."""
        try:
            commit = self._reader.head()
            return self._records.read(commit, name) if commit else None
        except (RecordUnreadableError, StudioConfigError, UnreadableRepoError):
            return None

    def read_blob(self, oid: str) -> bytes | None:
        """Read a file that Git tracks, see :meth:`RecordReader.read_blob`."""
        return self._records.read_blob(oid)

    def close(self, *, save: bool = True) -> None:
        """Write the cache.

        Args:
            save: Whether to write it; False if nothing may change on disk.
        """
        self._records.close(save=save)
