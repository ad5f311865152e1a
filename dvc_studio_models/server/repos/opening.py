"""Opens one repo with Git, which may hang, fail, and succeed later."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    NotGitRepoError,
    StudioConfigError,
    StudioModelsError,
)
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.server.repos.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.server.config.values import RepoConfig


HOME_RANKS = {0, 2}
"""Of the names that the config gives a repo, and of its remote ``origin``."""


@dataclass(frozen=True)
class Opened:
    """A repo and its names; the most reliable name has the lowest rank."""

    reader: GitReader
    identities: list[tuple[int, Identity]]


class Opening:
    """One repo that is being opened, each attempt in a thread of its own."""

    def __init__(self, config: RepoConfig) -> None:
        """Store the config; :meth:`start` opens the repo."""
        self.config = config
        place = os.path.normpath(Path(config.path).absolute())
        given = [each for each in (config.url, *config.aliases) if each]
        first = config.name or (given or [place])[0]
        who = Identity.of(first)
        self.label = str(who) if config.name or given else Path(place).name
        """Its name in replies to clients: never a path of this machine."""
        self.name = config.name or who.stem
        """The name that tokens' globs match."""
        named = [config.name] if config.name else []
        self.names = {Identity.of(each) for each in (*named, *given, place)}
        """Its names before Git has read its remotes."""
        self.has_url = bool(given)
        """Whether the config names a URL, and not only a path."""
        self.opened: Opened | None = None
        self.error: Exception | None = None
        """Why the last attempt failed."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._is_running = False

    @property
    def is_silent(self) -> bool:
        """Whether Git has not responded at all, not even with an error."""
        return self.opened is None and self.error is None

    @property
    def reason(self) -> str:
        """Why it is not open, in one sentence without a path."""
        if self.error is None:
            return "Git does not respond"
        if self.config.problem:
            return "its config names a secret that cannot be read"
        if isinstance(self.error, NotGitRepoError) and self.config.url:
            return "it has not been cloned yet"
        if isinstance(self.error, NotGitRepoError):
            return f"its path is {self.error.reason}"
        return "Git cannot read it"

    def start(
        self, on_opened: Callable[[Opening], None], *, again: bool = False
    ) -> None:
        """Start an attempt, unless one is running.

        Args:
            on_opened: Called in the thread of the attempt, if it succeeds.
            again: Read the names of a repo again that is open; they may have changed.
        """
        with self._lock:
            if self._is_running or (self.opened and not again):
                return
            self._is_running = True
            self._ended.clear()
        threading.Thread(target=self._work, args=(on_opened,), daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the attempt; return whether it has ended."""
        return self._ended.wait(seconds)

    def _work(self, on_opened: Callable[[Opening], None]) -> None:
        try:
            if problem := self.config.problem:
                msg = f"the repo '{self.name}' is not served: {problem}"
                raise StudioConfigError(msg)  # noqa: TRY301
            # This may hang, as all that follows.
            self.names.add(Identity.of(os.path.realpath(self.config.path)))
            reader = self.opened.reader if self.opened else _open(self.config.path)
            self.opened = Opened(reader, list(_identities(reader, self.config)))
            on_opened(self)
        except Exception as error:  # noqa: BLE001 - for whoever waits
            self.error = self.error if self.opened else error
        finally:
            with self._lock:
                self._is_running = False
            self._ended.set()

    @property
    def message(self) -> str:
        """Why it is not open, for the operator."""
        if isinstance(self.error, NotGitRepoError) and self.config.url:
            return f"the mirror of '{self.name}' has not been cloned yet"
        if isinstance(self.error, StudioModelsError):
            return str(self.error).partition("\n")[0]
        if self.error:
            reason = getattr(self.error, "strerror", None) or type(self.error).__name__
            return f"cannot open '{self.config.path}': {reason}"
        return f"Git does not respond for the repo '{self.config.path}'"


def _open(path: str) -> GitReader:
    if not Path(path).is_dir():
        raise NotGitRepoError(path, "not a folder")
    # A mirror may belong to another user; the operator has named it.
    try:
        return open_reader(Path(os.path.realpath(path)), trusted=True)
    except NotGitRepoError:
        raise NotGitRepoError(path, "not a Git repository") from None


def _identities(
    reader: GitReader, config: RepoConfig
) -> Iterator[tuple[int, Identity]]:
    """List the names of the repo; the most reliable one has the lowest rank.

    A fork may have its parent as second remote, so that name comes last.
    """
    for name in (config.url, *config.aliases):
        if name:
            yield 0, Identity.of(name)
    if config.name:
        yield 0, Identity.of(config.name)
    # Its path as it was given, too: a clone through a symlink has it as its URL.
    place = os.fspath(reader.root or reader.common_dir)
    for each in (place, os.path.normpath(Path(config.path).absolute())):
        yield 1, Identity.of(each)
    for remote, url in _remotes(reader):
        yield (2 if remote == "origin" else 3), Identity.of(url)


def _remotes(reader: GitReader) -> Iterable[tuple[str, str]]:
    """List names and URLs of the remotes, as configured and as Git rewrites them."""
    for key, url in reader.config():
        name, _, setting = key.removeprefix("remote.").rpartition(".")
        if key.startswith("remote.") and setting == "url":
            yield name, url
            if rewritten := reader.remote_url(name):
                yield name, rewritten
