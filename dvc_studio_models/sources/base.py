"""Where models come from: what the flow asks of it, whichever it is.

A *source* answers names with files, and brings the contents that are missing. Studio is
one (``studio_source``), the clone with the user's own DVC remote, or with the DVC cache
alone, another (``local_source``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import (
        Digest,
        ModelFile,
        ModelRef,
        Pin,
        Progress,
        PullOptions,
    )
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.sources.settings import Settings
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.part import DownloadedFile


@dataclass(frozen=True)
class PullContext:
    """Where the user stands."""

    folder: Path
    clone: Clone | None
    settings: Settings


class Source(Protocol):
    """Answers names with files, and brings their contents."""

    kind: str
    """One of ``model.SOURCES``."""

    repo: str
    """The repo, as results name it."""

    clone: Clone | None
    """The clone whose Git can vouch for what is answered."""

    def resolve(
        self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]
    ) -> list[ResolvedModel]:
        """Tell the files of models.

        Args:
            refs: In the order of the answers; of a pinned model its very version.
            pins: By the models' names, of those that are pinned.
        """

    def open_store(self, root: Path, paths: Sequence[str]) -> Store:
        """Open the store of what is to be placed at ``paths`` below ``root``.

        It is closed with the source.
        """

    def expected_sizes(
        self, files: Sequence[ModelFile], options: PullOptions
    ) -> Mapping[Digest | str, int]:
        """Tell sizes that nothing else tells, of what would be brought, by content.

        Raises:
            StudioModelsError: It is known by now that it could not be brought.
        """

    def deliver(
        self,
        files: Sequence[ModelFile],
        store: Store,
        progress: Progress,
        *,
        jobs: int,
    ) -> Generator[list[DownloadedFile]]:
        """Bring contents, each once, into the store or to parts, verified."""

    def close(self) -> None:
        """Release what is open, the store too."""


def common_folder(paths: Iterable[str]) -> str:
    """Name the deepest folder that all files lie in, empty for the root."""
    parents = [path.rpartition("/")[0] for path in paths]
    return os.path.commonpath(parents) if all(parents) else ""
