"""What a running server saw first of its repos, which counts until it stops.

A config that is applied again, or a worker in place of another one, changes none of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.server.stores.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from dvc_studio_models.server.config.values import RepoConfig

    Record = Mapping[str, Any]
    """A JSON object; those with places have them in ``places``."""


class Which(NamedTuple):
    """What makes an entry of the config the same one, whatever else it says."""

    where: str
    """Its URL without a password, or its path."""

    remote: str | None
    """The remote that the operator has chosen."""

    @classmethod
    def of(cls, config: RepoConfig) -> Which:
        """Return which repo an entry means."""
        path = os.path.abspath(config.path)  # noqa: PTH100 - without '..'
        return cls(strip_secrets(config.url) if config.url else path, config.remote)


class FirstSeen:
    """Records of repos; the first one of each kind stays.

    Workers share them in a folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Begin without records.

        Args:
            folder: Of the workers, which only this user can read; None if there is one
                process only.
        """
        self._folder = folder
        self._known: dict[tuple[Which, str], Record] = {}
        self._roots: dict[Which, tuple[str, ...] | None] = {}
        self.on_place: Callable[[], None] = lambda: None
        """Called when the place of a project in a folder is seen, in any thread."""

    def apply(self, repos: Iterable[RepoConfig]) -> None:
        """Forget the repos that are not served any more."""
        roots = {Which.of(each): each.roots for each in repos}
        gone = self._roots.keys() - roots.keys()
        self._roots = roots
        for key in [key for key in tuple(self._known) if key[0] in gone]:
            del self._known[key]
        for repo in gone:
            for file in self._files(repo):
                file.unlink(missing_ok=True)

    def get(
        self, repo: Which, kind: str, make: Callable[[], Record | None]
    ) -> Record | None:
        """Return the first record of a kind.

        Args:
            repo: Of which it is.
            kind: Tells the repo's records apart.
            make: Makes the record if there is none; None is not kept.

        Raises:
            LocalDiskError: The folder cannot be read or written.
        """
        key = (repo, kind)
        if key in self._known:
            return self._known[key]
        with self._errors():
            record = self._read(key)
        if record is None:
            record = make()
            if record is None:
                return None
            with self._errors():
                record = self._write(key, record)
        return self._known.setdefault(key, record)

    def is_new(self, repo: Which, kind: str) -> bool:
        """Whether this is the first call for a kind, in any worker."""
        mark = secrets.token_hex(8)
        return self.get(repo, kind, lambda: {"mark": mark}) == {"mark": mark}

    def places_of_others(self, repo: Which) -> Iterator[Place]:
        """List the roots, or else the known places, of all other repos."""
        for other, roots in self._roots.items():
            if other.where == repo.where:
                continue
            if roots is not None:
                yield from map(Place.of_url, roots)
                continue
            for record in self._records(other):
                yield from map(Place.of_json, record.get("places", ()))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise LocalDiskError(str(self._folder), exc.strerror or "?") from None

    def _records(self, repo: Which) -> Iterator[Record]:
        if self._folder is None:
            yield from [
                record for key, record in tuple(self._known.items()) if key[0] == repo
            ]
        for file in self._files(repo):
            with self._errors(), contextlib.suppress(FileNotFoundError):
                yield _load(file)

    def _read(self, key: tuple[Which, str]) -> Record | None:
        if self._folder is None:
            return None
        try:
            return _load(self._folder / _name(*key))
        except FileNotFoundError:
            return None

    def _write(self, key: tuple[Which, str], record: Record) -> Record:
        """Keep a record, unless another worker has been faster; return what is kept."""
        if self._folder is None:
            return record
        folder = self._folder
        new, file = folder / f".{secrets.token_hex(8)}", folder / _name(*key)
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                json.dump(record, opened)
            os.link(new, file)  # at once, and only if there is none
        except FileExistsError:
            return _load(file)
        finally:
            new.unlink(missing_ok=True)
        return record

    def _files(self, repo: Which) -> list[Path]:
        return [*self._folder.glob(f"{_digest(repo)}-*")] if self._folder else []


def _load(file: Path) -> Record:
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def _name(repo: Which, kind: str) -> str:
    return f"{_digest(repo)}-{_digest(kind)}.json"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]
