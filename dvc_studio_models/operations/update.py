"""Renewing a lock file: what its stages, or the latest versions, are by now.

No file is downloaded. Hashes are those of the links, or of Git; sizes are those of Git,
of the lock file before, or of storage.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    ContentUnknownError,
    LockFileError,
    NoModelMatchesError,
    NotLockedError,
    UnsafePathError,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.model import STUDIO, Digest, ModelRef, Pin
from dvc_studio_models.operations.status import resolve_known
from dvc_studio_models.operations.steps import prepare
from dvc_studio_models.operations.steps.lock import (
    check_lockable,
    check_repos,
    check_verified,
    lock_path,
    make_pin,
    of_repo,
    tell_unnamed,
    with_known,
)
from dvc_studio_models.operations.steps.names import expand_locked, with_known_repos
from dvc_studio_models.registry.lockfile import check_name, read_pins, update_pins
from dvc_studio_models.store.dvc.objects import tree_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dvc_studio_models.model import PullOptions
    from dvc_studio_models.operations.steps.plan import PreparedPull
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel

_LATEST = ("@latest", "@greatest")
"""Selectors of the latest version, which a parsed reference does not have."""


@dataclass(frozen=True)
class ModelUpdate:
    """One model of a lock file, before and after."""

    before: Pin | None
    """None if the lock file did not have it."""

    after: Pin
    """Equal to ``before`` if nothing has changed."""

    @property
    def ref(self) -> ModelRef:
        """What is pinned: a stage, a version or the latest; with its repo."""
        return self.after.ref

    @property
    def moved(self) -> bool:
        """Whether the lock file has, or had, another pin."""
        return self.before != self.after


@dataclass(frozen=True)
class UpdateResult:
    """The outcome of one update."""

    lock: Path
    """The lock file."""

    repo: str | None
    """See :attr:`PullResult.repo`; None if no source was asked."""

    models: tuple[ModelUpdate, ...]
    """By name."""

    left_out: tuple[ModelRef, ...] = ()
    """Pins that could not be renewed, because Studio does not know them any more."""

    @property
    def up_to_date(self) -> bool:
        """Whether no pin has changed."""
        return not any(model.moved for model in self.models)


def update(
    names: Sequence[str], options: PullOptions, *, check: bool = False
) -> UpdateResult:
    """Renew pins of a lock file.

    All models that are named are pinned, or none. Without names, what Studio does not
    know any more is left out, with a warning, and its pin stays.

    Args:
        names: Or globs. A name with a selector changes a pin, or adds one; without, it
            is renewed as it was requested. No name means all pins of a stage or of the
            latest version.
        options: Which lock file, repo and source.
        check: Whether to write nothing.

    Raises:
        NotLockedError: The lock file lacks a name that has no selector.
        ContentUnknownError: A hash or a size is known only from a download.
        StudioModelsError: Another one; the lock file is as it was.
    """
    if not isinstance(options.lock, bool):
        check_name(Path(options.lock).name)
    options = replace(options, lock=options.lock or True, dry_run=check)
    with contextlib.ExitStack() as stack:
        context = prepare.open_context(options)
        stack.callback(context.close)
        path = lock_path(options.lock, context)
        is_new = bool(names or options.all_models) and not path.exists()
        before = {} if is_new else read_pins(path)
        refs, stay = _choose(names, before, path, context, options)
        after = {pin.ref.name: pin for pin in stay}
        repo = None
        if refs:
            is_named = bool(names or options.all_models)
            look_up = prepare.resolve_models if is_named else resolve_known
            source, models = look_up(refs, {}, context, options, stack)
            prepared = _prepare(source, models, context, options)
            check_lockable(prepared.models, path, prepared.registry)
            check_verified(prepared.models, prepared.registry)
            pins = _make_pins(prepared, before, options)
            pins = {name: with_known(pins[name], before.get(name)) for name in pins}
            after.update(pins)
            repo = source.repo
            if not check and any(pins[name] != before.get(name) for name in pins):
                with prepared.projects[0].store.lock():
                    update_pins(path, pins)
                tell_unnamed(pins.values())
        found = (ModelUpdate(before.get(name), after[name]) for name in sorted(after))
        left_out = tuple(ref for ref in refs if ref.name not in after)
        return UpdateResult(path, repo, tuple(found), left_out)


# Which models


def _choose(
    names: Sequence[str],
    before: Mapping[str, Pin],
    path: Path,
    context: PullContext,
    options: PullOptions,
) -> tuple[list[ModelRef], list[Pin]]:
    """Return what to look up, and the pins that stay: versions named by name alone.

    Raises:
        UsageError: A name is not valid.
        NotLockedError: A name has no selector and no pin.
        LockFileError: There is nothing to renew.
    """
    if not names and not options.all_models:
        return _find_moving(before, path, options), []
    selects = bool(options.stage or options.version)
    refs, explicit = _read_names(names, before, path, context, options)
    wanted = []
    stay = []
    for ref in with_known_repos(refs, before, context, options):
        pin = before.get(ref.name)
        if pin and ref.name not in of_repo(before, options):
            check_repos([replace(ref, repo=options.repo)], before, path)
        is_new = pin is None and options.all_models
        if selects or ref.selector or ref.name in explicit or is_new:
            wanted.append(ref)
        elif pin is None:
            raise NotLockedError(ref.name, path, before)
        elif pin.ref.version:
            stay.append(pin)
        else:
            wanted.append(replace(pin.ref, repo=ref.repo))
    return wanted, stay


def _find_moving(
    before: Mapping[str, Pin], path: Path, options: PullOptions
) -> list[ModelRef]:
    """Return the pins of a stage or of the latest version.

    Raises:
        LockFileError: The lock file has no pins, or none of the repo that is named.
    """
    if not before:
        raise LockFileError(path, "it has no models")
    pins = of_repo(before, options).values()
    if not pins:
        raise LockFileError(path, "it has no models of that repo")
    return [pin.ref for pin in pins if not pin.ref.version]


def _read_names(
    names: Sequence[str],
    before: Mapping[str, Pin],
    path: Path,
    context: PullContext,
    options: PullOptions,
) -> tuple[list[ModelRef], set[str]]:
    """Read the names, and return which of them select the latest version.

    ``--all`` without a version or stage means all that is locked, too.
    """
    if not options.all_models:
        if not (options.stage or options.version):
            names = expand_locked(names, before, path)
        alone = replace(options, version=None, stage=None)
        latest = [name for name in names if name.endswith(_LATEST)]
        explicit = {ref.name for ref in prepare.read_names(latest, context, alone)}
        return prepare.read_names(names, context, options), explicit
    try:
        refs = prepare.read_names(names, context, options)
    except NoModelMatchesError:
        if not before:
            raise
        refs = []
    if not (options.stage or options.version):
        found = {ref.name for ref in refs}
        refs += [ModelRef(name) for name in before if name not in found]
    return refs, set()


# Which contents


def _prepare(
    source: Source,
    models: Sequence[ResolvedModel],
    context: PullContext,
    options: PullOptions,
) -> PreparedPull:
    """Check the paths, and add the hashes that Git and earlier pulls know.

    Raises:
        UnsafePathError: A path must not be written.
        StudioModelsError: See :func:`prepare.verify_with_git`.
    """
    problems = [
        (path, problem)
        for model in models
        for path in model.paths
        if (problem := path_problem(path))
    ]
    if problems:
        raise UnsafePathError(problems, source=prepare.source_label(source, {}))
    workspace = prepare.open_workspace(context, options)
    prepared = prepare.open_stores(source, models, workspace, context, options)
    prepared = prepared.change_models(prepare.with_known_digests)
    return prepare.verify_with_git(prepared, together=False)


def _make_pins(
    prepared: PreparedPull, before: Mapping[str, Pin], options: PullOptions
) -> dict[str, Pin]:
    """Return the pin of each model.

    Raises:
        ContentUnknownError: A hash or a size is known only from a download.
    """
    digests = {model.ref.name: _digests_of(model) for model in prepared.models}
    sizes: dict[Digest | str, int] = {}
    for pin in before.values():
        sizes.update((file.digest, file.size) for file in pin.files)
    sizes.update(_recorded_sizes(prepared))
    files = [file for model in prepared.models for file in model.files]
    if unknown := [file for file in files if file.content not in sizes]:
        asking = replace(options, ask_sizes=True)
        sizes.update(prepared.source.expected_sizes(unknown, asking))
    return {
        model.ref.name: make_pin(
            model, digests[model.ref.name], _sizes_of(model, sizes)
        )
        for model in prepared.models
    }


def _digests_of(model: ResolvedModel) -> dict[str, Digest]:
    digests = {file.path: file.digest for file in model.files if file.digest}
    for path in model.paths:
        if path not in digests:
            reason = "neither its link nor Git has its hash"
            raise ContentUnknownError(model.ref, path, reason)
    return digests


def _sizes_of(
    model: ResolvedModel, sizes: Mapping[Digest | str, int]
) -> dict[str, int]:
    for file in model.files:
        if file.content not in sizes:
            reason = "storage did not say its size"
            raise ContentUnknownError(model.ref, file.path, reason)
    return {file.path: sizes[file.content] for file in model.files}


def _recorded_sizes(prepared: PreparedPull) -> Iterator[tuple[Digest | str, int]]:
    """Yield the sizes that Git has; and those in the cache, if that is the source."""
    looks_in_cache = prepared.source.kind != STUDIO
    for project in prepared.projects:
        for file in (file for model in project.models for file in model.files):
            size = file.size
            if size is None and file.digest and looks_in_cache:
                size = project.store.size_of(file.digest)
            if size is not None:
                yield file.content, size


def content_hash(pin: Pin) -> str:
    """Return one hash of the files of a pin, as DVC has for a file or a folder."""
    if len(pin.files) == 1:
        return pin.files[0].digest.value
    return tree_digest(_by_path(pin)).value


def _by_path(pin: Pin) -> dict[str, Digest]:
    return {file.path: file.digest for file in pin.files}
