"""Reads ``serve.yaml``, and says what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.server.config.document import (
    MAX_CHARACTERS,
    Document,
    NotYamlError,
)
from dvc_studio_models.server.config.kinds import Place
from dvc_studio_models.server.config.schema import SERVE
from dvc_studio_models.server.config.token_file import is_public, read_regular

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.server.config.document import Keys
    from dvc_studio_models.server.config.values import RepoConfig, ServeConfig


class ConfigSource(Protocol):
    """The flags of ``dvc models serve``, or a ``serve.yaml``."""

    needs_a_repo: bool
    """Whether the start fails if no repo at all can be opened."""

    port_option: str
    """What sets the port, for messages."""

    @property
    def files(self) -> Collection[Path]:
        """The files that the config was read from, or that were missing."""

    def read(self) -> ServeConfig:
        """Read the config, with all its files, as it is now.

        Raises:
            StudioModelsError: It is wrong.
        """


class ServeConfigError(StudioConfigError):
    """A config of the server has mistakes."""

    def __init__(self, path: Path, mistakes: Sequence[str]) -> None:
        """Store what is wrong.

        Args:
            path: The file.
            mistakes: A line for each, which begins with file and line number.
        """
        self.path, self.mistakes = path, tuple(mistakes)
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        # Not indented: a list of indented lines would be shortened.
        lines = "".join(f"\n{mistake}" for mistake in mistakes)
        super().__init__(f"the config has {count}:{lines}")


class ConfigFile:
    """A ``serve.yaml``, which may be read again and again."""

    needs_a_repo = False
    port_option = "listen"

    def __init__(self, path: Path) -> None:
        """Store the path; :meth:`read` opens the file."""
        self._path = path
        self.files: Collection[Path] = {path}
        """The files that the config was read from at last, or that were missing."""

    def read(self) -> ServeConfig:
        """Read the config and the secrets that it names.

        A repo with a secret that cannot be read has this as its ``problem``.

        Raises:
            StudioConfigError: It cannot be read.
            ServeConfigError: It has mistakes; all of them are named.
        """
        document, config, place = self._read()
        if config is None or place.mistakes:
            raise self._error(document, place.mistakes)
        return config

    def check(
        self,
        find_problems: Callable[[Sequence[RepoConfig]], Mapping[int, str]],
        find_doubts: Callable[[ServeConfig], Iterable[tuple[Keys, str]]] = lambda _: (),
    ) -> tuple[ServeConfig, Sequence[str]]:
        """Read the config as :meth:`read` does, and check what it names.

        Args:
            find_problems: Returns the numbers of the repos that cannot be served, and
                why.
            find_doubts: Returns what is probably not meant so, and where.

        Returns:
            The config, and a line for each doubt.

        Raises:
            StudioConfigError, ServeConfigError: See :meth:`read`.
        """
        document, config, place = self._read()
        mistakes = [*place.mistakes, *place.unread]
        if config and not mistakes:
            problems = find_problems(config.repos)
            mistakes = [
                (("repos", number, "path"), problems[number]) for number in problems
            ]
        if config is None or mistakes:
            raise self._error(document, mistakes)
        return config, self._lines(document, find_doubts(config))

    def _read(self) -> tuple[Document, ServeConfig | None, Place]:
        document, status = self._parse()
        place = Place(self._path.absolute().parent, is_public=is_public(status))
        config: ServeConfig | None = SERVE.read(document.value, place)
        self.files = {self._path, *place.files}
        return document, config, place

    def _error(
        self, document: Document, mistakes: Iterable[tuple[Keys, str]]
    ) -> ServeConfigError:
        """Return the error that names mistakes with their lines."""
        return ServeConfigError(self._path, self._lines(document, mistakes))

    def _lines(
        self, document: Document, mistakes: Iterable[tuple[Keys, str]]
    ) -> list[str]:
        found = sorted(
            (document.line(keys), f"{dotted(keys)}{what}") for keys, what in mistakes
        )
        return [f"{self._path}:{line}: {what}" for line, what in found]

    def _parse(self) -> tuple[Document, os.stat_result]:
        try:
            content, status = read_regular(self._path, MAX_CHARACTERS)
            return Document(content.decode("utf-8-sig")), status
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            msg = f"cannot read the config '{self._path}': {reason}"
            raise StudioConfigError(msg) from None
        except NotYamlError as exc:
            where = f":{exc.line}" if exc.line else ""
            mistake = f"{self._path}{where}: {exc.reason}"
            raise ServeConfigError(self._path, [mistake]) from None


def dotted(keys: Keys) -> str:
    """Write keys as ``repos[0].fetch: ``; empty for the top."""
    text = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in keys)
    return f"{text.lstrip('.')}: " if keys else ""
