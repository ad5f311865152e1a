"""Which model and version a file is, by its hash.

It is compared with all versions of the clone, with what was pulled (receipts, records
of caches) and with the lock file. Uses no network, and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.errors import LocalDiskError, UsageError
from dvc_studio_models.log import get_logger
from dvc_studio_models.operations.contents import folders_of, read_cached
from dvc_studio_models.operations.inventory import Inventory
from dvc_studio_models.operations.project import hash_path
from dvc_studio_models.operations.show import repo_label
from dvc_studio_models.operations.steps.lock import lock_path
from dvc_studio_models.operations.steps.prepare import open_context
from dvc_studio_models.registry.lockfile import read_pins
from dvc_studio_models.registry.recorded import expand_output, is_inside
from dvc_studio_models.registry.urls import is_same_repo
from dvc_studio_models.store.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dvc_studio_models.model import Digest, ModelVersion, PullOptions
    from dvc_studio_models.registry.gto.counting import RegisteredModel
    from dvc_studio_models.sources.context import PullContext

logger = get_logger(__name__)


@dataclass(frozen=True)
class Match:
    """A version that has a file of the same content."""

    model: str
    version: str | None
    """None for a commit without a version, and where it is not known."""

    commit: str | None
    path: str
    """Of the file or folder in the model's repo."""

    stages: tuple[str, ...] = ()
    """The stages that the version is in, by the local tags."""

    repo: str | None = None
    """The URL of the model's repo; None if it is that of the clone."""


@dataclass(frozen=True)
class IdentifiedFile:
    """One file or folder, and what it is."""

    path: str
    """As it was given."""

    md5: str | None
    """None for a folder that DVC refuses to hash."""

    matches: tuple[Match, ...]
    model: str | None = None
    """The model at whose path it is, whatever its content."""

    @property
    def modified(self) -> bool:
        """Whether it is at a model's path, and has the content of no version."""
        return self.model is not None and not self.matches


@dataclass(frozen=True)
class WhichResult:
    """What each file is."""

    files: tuple[IdentifiedFile, ...]
    unread: tuple[str, ...] = ()
    """Versions of folders whose files are not known: the cache lacks the list."""


class _Known(NamedTuple):
    """A content that belongs to a version."""

    digest: Digest
    match: Match
    placed: Path | None = None
    """Where a pull has placed it."""


def identify(paths: Sequence[str], options: PullOptions) -> WhichResult:
    """Identify files.

    Args:
        paths: Of files or folders, anywhere.
        options: With the user's folder.

    Raises:
        UsageError: No path is given.
        LocalDiskError: A file is missing or cannot be read.
        StudioModelsError: The clone cannot be read.
    """
    if not paths:
        msg = "no file given: name one or more"
        raise UsageError(msg)
    with contextlib.ExitStack() as stack:
        context = open_context(replace(options, out=options.folder, dry_run=True))
        stack.callback(context.close)
        inventory = None
        if context.clone:
            inventory = Inventory(context.folder, context.clone)
            stack.callback(inventory.close)
        unread: list[str] = []
        known = list(_known_contents(context, inventory, options, unread))
        files = tuple(_identify(path, known, context, inventory) for path in paths)
        return WhichResult(files, tuple(unread))


def _identify(
    path: str,
    known: Sequence[_Known],
    context: PullContext,
    inventory: Inventory | None,
) -> IdentifiedFile:
    target = Path(os.path.abspath(context.folder / path))  # noqa: PTH100 - of a link
    if not (target.is_file() or target.is_dir()):
        reason = "it is not a file or folder"
        if not os.path.lexists(target):
            reason = "no such file or directory"
        raise LocalDiskError(path, reason, action="read")
    digests = _Digests(target, inventory)
    matches: dict[tuple[str, ...], Match] = {}
    for content in known:
        if content.digest == digests.of(content.digest):
            match = content.match
            key = (match.model, match.version or match.commit or "", match.repo or "")
            matches.setdefault(key, match)
    found = _without_vague(list(matches.values()))
    model = _model_at(target, known, inventory)
    return IdentifiedFile(path, digests.md5, found, model)


def _without_vague(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Leave out matches without a version of models that have one with a version."""
    named = {(match.model, match.repo) for match in matches if match.commit}
    return tuple(
        match
        for match in matches
        if match.commit or match.version or (match.model, match.repo) not in named
    )


class _Digests:
    """The hashes of one file, each computed when it is needed."""

    def __init__(self, target: Path, inventory: Inventory | None) -> None:
        self._target = target
        self._inventory = inventory
        self._found: dict[str, Digest | None] = {}

    def of(self, like: Digest) -> Digest | None:
        """Return the hash of the same algorithm."""
        return self._of(like.algorithm)

    @property
    def md5(self) -> str | None:
        """The hash as DVC 3 has it."""
        digest = self._of("md5")
        return digest.value if digest else None

    def _of(self, algorithm: str) -> Digest | None:
        if algorithm not in self._found:
            self._found[algorithm] = self._hash(algorithm)
        return self._found[algorithm]

    def _hash(self, algorithm: str) -> Digest | None:
        found = None
        if self._inventory and self._target.is_relative_to(self._inventory.root):
            path = self._target.relative_to(self._inventory.root).as_posix()
            project = self._inventory.project_of(path)
            found = project.digest_of(self._target, algorithm)
        return found or hash_path(self._target, algorithm)


def _model_at(
    target: Path, known: Iterable[_Known], inventory: Inventory | None
) -> str | None:
    """Return the model at whose path a file is."""
    placed = (content.match.model for content in known if content.placed == target)
    if inventory and target.is_relative_to(inventory.root):
        path = target.relative_to(inventory.root).as_posix()
        for name, at in inventory.annotated.items():
            if at and is_inside(path, at):
                return name
    return next(placed, None)


# What is known


def _known_contents(
    context: PullContext,
    inventory: Inventory | None,
    options: PullOptions,
    unread: list[str],
) -> Iterator[_Known]:
    """Yield the contents of all versions; ``unread`` receives those not known."""
    caches = []
    if inventory:
        for model in inventory.registered():
            yield from _of_model(model, inventory, unread)
        yield from _of_receipts(inventory)
        yield from _of_lock(context, inventory)
        caches = inventory.caches
    with contextlib.suppress(LocalDiskError):  # the user has no cache
        caches.append(context.find_user_cache().folder)
    own = repo_label(context, options) if context.clone else None
    for cache in dict.fromkeys(caches):
        yield from _of_cache(cache, own)


def _of_model(
    model: RegisteredModel, inventory: Inventory, unread: list[str]
) -> Iterator[_Known]:
    for version in model.list_commits():
        stages = tuple(stage for stage, at in model.stages.items() if at == version)
        for path, digest in _contents(model.name, version, inventory, unread):
            match = Match(model.name, version.registered, version.commit, path, stages)
            yield _Known(digest, match)


def _contents(
    name: str, version: ModelVersion, inventory: Inventory, unread: list[str]
) -> Iterator[tuple[str, Digest]]:
    """Yield each file and folder of a version, with its hash."""
    record = inventory.read_record(name, version)
    if record is None:
        unread.append(f"{name}@{version.version}")
        return
    folders = {
        output.digest: read_cached(output, inventory) for output in folders_of(record)
    }
    for output in record.outputs:
        if output.digest and is_inside(output.path, record.path):
            yield output.path, output.digest
        if output.digest in folders and folders[output.digest] is None:
            unread.append(f"{name}@{version.version}")
            continue
        listings = {digest: listing for digest, listing in folders.items() if digest}
        for file in expand_output(output, listings):  # type: ignore[arg-type]
            if is_inside(file.path, record.path):
                yield file.path, file.digest
    yield from ((f.path, f.digest) for f in record.git_files if f.digest)


def _of_receipts(inventory: Inventory) -> Iterator[_Known]:
    for receipt in inventory.receipts():
        for path, digest in receipt.files.items():
            match = Match(
                receipt.model, receipt.version, receipt.commit, path, (), receipt.repo
            )
            yield _Known(digest, match, Path(receipt.root, path))


def _of_lock(context: PullContext, inventory: Inventory) -> Iterator[_Known]:
    path = lock_path(True, context)  # noqa: FBT003 - the default one
    for name, pin in (read_pins(path) if path.exists() else {}).items():
        for file in pin.files:
            match = Match(name, pin.version, pin.commit, file.path, (), pin.ref.repo)
            yield _Known(file.digest, match, inventory.root / file.path)


def _of_cache(cache: Path, own: str | None) -> Iterator[_Known]:
    """Yield what was pulled through a cache; ``own`` is the URL of the clone's repo."""
    records, _ = read_usage(cache)
    for record in records:
        is_own = own is not None and is_same_repo(record.repo, own)
        repo = None if is_own else record.repo
        for path, digest in [*record.files.items(), *record.trees.items()]:
            match = Match(record.model, record.version, record.commit, path, (), repo)
            yield _Known(digest, match, Path(record.root, path))
