"""The interface of a source: names in, files of models out, then their contents.

``studio`` is one source; the clone with the user's own DVC remote, or with nothing but
the DVC cache, is another (``local``). A source opens no store and places nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from dvc_studio_models.model import (
        Digest,
        ModelFile,
        ModelRef,
        Pin,
        Progress,
        PullOptions,
    )
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.parts.part import DownloadedFile


class Source(Protocol):
    """Resolves names to files, and delivers their contents."""

    kind: str
    """One of ``model.SOURCES``."""

    repo: str
    """The repo's URL, as results show it; of several, that of the clone or the first.
    Set by :meth:`resolve`."""

    def resolve(
        self, refs: Sequence[ModelRef], pins: Mapping[str, Pin]
    ) -> list[ResolvedModel]:
        """Return the files of models, in the order of ``refs``.

        A model that is returned names its repo only if that is not the clone's own: the
        clone's Git can verify all others.

        Args:
            refs: Of a pinned model, the version that is pinned.
            pins: Of the pinned models, by their names.

        Raises:
            StudioModelsError: A model is not found, or the source cannot be used.
        """

    def expected_sizes(
        self, files: Sequence[ModelFile], options: PullOptions
    ) -> Mapping[Digest | str, int]:
        """Return sizes in bytes that only the source knows, by content.

        Args:
            files: What would be delivered.
            options: Whether storage may be asked.

        Raises:
            StudioModelsError: It is clear by now that a file could not be delivered.
        """

    def deliver(
        self,
        files: Sequence[ModelFile],
        store: Store,
        progress: Progress,
        *,
        jobs: int | None,
        reserved: int = 0,
    ) -> Generator[list[DownloadedFile]]:
        """Bring contents into the store or to its parts, and yield them once verified.

        Args:
            files: Each content once; all of one DVC project.
            store: The store of that project.
            progress: Updated from this thread.
            jobs: The most connections at a time; None for the default.
            reserved: Bytes that are to stay free on the disk for what is written later.

        Raises:
            StudioModelsError: A content was not delivered.
        """

    def close(self) -> None:
        """Close the connections."""
