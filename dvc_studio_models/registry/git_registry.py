"""What the tags and commits of one repository say of models, as of one moment.

Tags are read once, and each commit once, however many models are asked about.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    RecordUnreadableError,
    StudioConfigError,
    UnreadableRepoError,
)
from dvc_studio_models.registry.records import RecordReader
from dvc_studio_models.registry.tags import read_registry

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.model import ModelRef, ModelVersion
    from dvc_studio_models.registry.counting import RegisteredModel
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.registry.recorded import RecordedModel
    from dvc_studio_models.registry.tags import Registry


class GitRegistry:
    """One repository, asked about many models."""

    def __init__(
        self,
        reader: GitReader,
        *,
        cache: Path | None = None,
        remote: str | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            reader: Stays the caller's.
            remote: The Git remote of the models, where ``git fetch`` takes another.
            cache: File for what is read of commits, which ``close`` completes.
        """
        self._reader = reader
        self.remote = remote
        self._records = RecordReader(reader, cache=cache)

    @cached_property
    def tags(self) -> Registry:
        """What the tags register.

        Raises:
            UnreadableRepoError: Git cannot read them.
        """
        return read_registry(self._reader)

    @property
    def models(self) -> tuple[RegisteredModel, ...]:
        """All models that count, with their versions and stages."""
        return self.tags.models

    def resolve(self, ref: ModelRef) -> ModelVersion | None:
        """Return what ``ref`` means by the tags."""
        return self.tags.resolve(ref)

    def read_record(self, name: str, version: ModelVersion) -> RecordedModel | None:
        """Read what Git recorded of a model, see :meth:`RecordReader.read`."""
        return self._records.read(version.commit, name)

    def read_head_record(self, name: str) -> RecordedModel | None:
        """Read what the commit that is checked out records; None if it cannot be."""
        commit = self._reader.head()
        try:
            return self._records.read(commit, name) if commit else None
        except (RecordUnreadableError, StudioConfigError, UnreadableRepoError):
            return None

    def read_blob(self, oid: str) -> bytes | None:
        """Read a file that Git tracks, see :meth:`RecordReader.read_blob`."""
        return self._records.read_blob(oid)

    def close(self) -> None:
        """Save what was read."""
        self._records.close()
