"""Where a config comes from, so that a running server can read it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from dvc_studio_models.server.config.values import ServeConfig


class ConfigSource(Protocol):
    """The flags of ``dvc models serve``, or a ``serve.yaml``."""

    needs_a_repo: bool
    """Whether the start fails if no repo at all can be opened."""

    @property
    def files(self) -> Collection[Path]:
        """The files that the config was read from, or that were missing."""

    def read(self) -> ServeConfig:
        """Read the config, with all its files, as it is now.

        Raises:
            StudioModelsError: It is wrong.
        """
