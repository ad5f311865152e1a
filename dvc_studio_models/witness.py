"""What the clone's own tags and commits say of models, as of one moment.

Tags are read once, and commits through one history, however many models are asked
about; what they say is ``registry``'s and ``records``'s.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.records import Records
from dvc_studio_models.registry import known, select

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.git import Clone
    from dvc_studio_models.model import ModelRef, ModelVersion, Record
    from dvc_studio_models.registry import KnownModel


class Witness:
    """One clone, asked about many models."""

    def __init__(self, clone: Clone, *, memo: Path | None = None) -> None:
        """Read no tag yet.

        Args:
            clone: Stays the caller's.
            memo: File for what was read, which ``close`` completes.
        """
        self._scm = clone.scm
        self._memo = memo
        self._records = Records(clone.scm, memo=memo)

    @cached_property
    def models(self) -> tuple[KnownModel, ...]:
        """All that count, with their versions and stages."""
        return known(self._scm, memo=self._memo)

    def version(self, ref: ModelRef) -> ModelVersion | None:
        """Find what ``ref`` means by the tags."""
        return select(self.models, ref)

    def record(self, name: str, version: ModelVersion) -> Record | None:
        """Read what Git recorded of a model, see :meth:`Records.read`."""
        return self._records.read(version.commit, name)

    def close(self) -> None:
        """Save what was read."""
        self._records.close()
