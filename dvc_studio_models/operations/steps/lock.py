"""The meaning of ``--lock`` and ``--locked``; ``registry.lockfile`` owns the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    LocalDiskError,
    LockFileError,
    NotGitRepoError,
    NotLockedError,
    OtherRepoLockedError,
    RecordUnreadableError,
    UnreadableRepoError,
    UnsafePathError,
    UsageError,
    VersionUnknownError,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import MAX_JOBS, MIN_RATE, ModelRef, Pin, PinnedFile
from dvc_studio_models.operations.steps.names import expand_locked
from dvc_studio_models.operations.steps.prepare import read_names
from dvc_studio_models.operations.steps.report import digests_of, with_downloads
from dvc_studio_models.registry.lockfile import (
    DEFAULT_NAME,
    check_name,
    read_default,
    read_pins,
    update_pins,
)
from dvc_studio_models.registry.urls import is_same_repo, key_of, strip_secrets
from dvc_studio_models.sources import verification

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.model import Digest, PullOptions
    from dvc_studio_models.operations.steps.plan import ProjectPull
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel


logger = get_logger(__name__)


def check_options(names: Sequence[str], options: PullOptions) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: They do.
    """
    for file in (options.lock, options.locked):
        if not isinstance(file, bool):
            check_name(Path(file).name)
    problems = (
        (
            options.lock and options.locked,
            "'--lock' writes the file that '--locked' reads: use only one of them",
        ),
        (
            options.lock and options.is_partial,
            "'--lock' pins whole models: leave out '--include' and '--exclude'",
        ),
        (
            options.lock and options.dry_run,
            "'--lock' pins what was pulled, and a dry run pulls nothing",
        ),
        (
            not (names or options.locked or options.all_models),
            "no model given: name one or more, or use '--all' or '--locked'",
        ),
        (
            options.jobs is not None and not 1 <= options.jobs <= MAX_JOBS,
            f"'--jobs' must be between 1 and {MAX_JOBS}",
        ),
        (
            options.limit_rate is not None and options.limit_rate < MIN_RATE,
            "'--limit-rate' must be at least 1K",
        ),
    )
    for is_so, problem in problems:
        if is_so:
            raise UsageError(problem)


def choose_models(
    names: Sequence[str], context: PullContext, options: PullOptions
) -> tuple[list[ModelRef], dict[str, Pin]]:
    """Return the models that are asked for, and the pins of those that are pinned.

    Args:
        names: As the user typed them; with ``--locked``, none means all pinned models.
        context: See :func:`read_names`.
        options: With the lock file, and the selectors.

    Raises:
        UsageError: See :func:`read_names`; or a name has a selector beside
            ``--locked``.
        NotLockedError: The lock file lacks a model.
        OtherRepoLockedError: It has one of the same name of another repo.
        LockFileError: The lock file cannot be used.
        UnsafePathError: It names paths that must not be written.
    """
    if not options.locked:
        return read_names(names, context, options), {}
    has_selector = any("@" in name or "#" in name for name in names)
    if options.stage or options.version or has_selector:
        msg = "'--locked' sets the versions: leave out versions and stages"
        raise UsageError(msg)
    path = lock_path(options.locked, context)
    pins = read_pins(path)
    names = expand_locked(names, pins, path)
    refs = read_names(names, context, replace(options, all_models=False))
    wanted = [ref.name for ref in refs] or list(of_repo(pins, options) or pins)
    for name in wanted:
        if name not in pins:
            raise NotLockedError(name, path, pins)
        if name not in of_repo(pins, options):
            check_repos([ModelRef(name, repo=options.repo)], pins, path)
    if not wanted:
        raise LockFileError(path, "it has no models")
    return [pins[name].pinned for name in wanted], {name: pins[name] for name in wanted}


def of_repo(pins: Mapping[str, Pin], options: PullOptions) -> dict[str, Pin]:
    """Return the pins of the repo that is named with ``--repo``; without it, all."""
    url = options.repo
    return {
        name: pin
        for name, pin in pins.items()
        if not (url and pin.ref.repo) or is_same_repo(pin.ref.repo, url)
    }


def check_repos(
    refs: Iterable[ModelRef], before: Mapping[str, Pin], path: Path
) -> None:
    """Refuse to replace the pin of a model of another repo that has the same name.

    Raises:
        OtherRepoLockedError: The lock file has such a pin.
    """
    for ref in refs:
        pin = before.get(ref.name)
        if pin is None or pin.ref.repo == ref.repo:
            continue
        if not (pin.ref.repo and ref.repo and is_same_repo(pin.ref.repo, ref.repo)):
            repo = strip_secrets(ref.repo) if ref.repo else None
            raise OtherRepoLockedError(ref.name, path, pin.ref.repo, repo)


def lock_path(option: bool | str | os.PathLike[str], context: PullContext) -> Path:  # noqa: FBT001 - as in the options
    """Return the lock file: in the user's folder, or by default in the Git root.

    Raises:
        NotGitRepoError: There is no Git root.
    """
    if option is not True:
        return context.folder / str(option)
    if context.clone is None:
        raise NotGitRepoError(str(context.folder))
    return context.clone.root / DEFAULT_NAME


def check_lockable(
    models: Sequence[ResolvedModel], path: Path, registry: GitRegistry | None
) -> None:
    """Refuse models that could not be pinned, before anything is changed.

    Args:
        models: Some may be unverified until they are downloaded.
        path: Of the lock file.
        registry: Of the clone, unless all models are of other repos.

    Raises:
        VersionUnknownError: The clone could say the version of a model of its own repo,
            and does not, or the version is not registered.
        OtherRepoLockedError: The file pins a model of the same name of another repo.
        LocalDiskError: There is no folder for the file.
        LockFileError: The file that is to be updated cannot be read.
        UnsafePathError: It names paths that must not be written.
    """
    for model in models:
        if registry and model.ref.repo is None:
            _check_version(model, registry)
    if not path.parent.is_dir():
        raise LocalDiskError(path, "no such folder")
    if path.exists():
        check_repos((model.ref for model in models), read_pins(path), path)


def _check_version(model: ResolvedModel, registry: GitRegistry) -> None:
    """Check that a tag confirms the version, or that there is none for it.

    Raises:
        VersionUnknownError: The local tags say another version, or none does.
    """
    if error := registry.tags.version_error(model.ref):
        raise error
    version = model.version or (model.unverified and model.unverified[0])
    if version is None:
        has_tag = registry.resolve(model.ref) is not None
        if has_tag or not model.version_name:
            raise _unknown(model.ref, registry)
    elif not version.registered:
        raise VersionUnknownError.unregistered(model.ref, version.commit)


def _unknown(ref: ModelRef, registry: GitRegistry) -> VersionUnknownError:
    """Return the error that says why no version is known."""
    if version := registry.resolve(ref):
        try:
            verification.read_record(ref, version, registry)
        except (RecordUnreadableError, UnreadableRepoError) as error:
            why, _, hint = str(error).partition("\n")
            hint = hint or "Pull without '--lock'"
            return VersionUnknownError(ref, why, hint=hint, problem="cannot pin")
        return VersionUnknownError.outdated(ref, registry.remote)
    return VersionUnknownError(
        ref, "this clone has no tag for it", problem="cannot pin"
    )


def check_verified(
    models: Iterable[ResolvedModel], registry: GitRegistry | None
) -> None:
    """Refuse models whose content no tag confirmed, before anything is placed.

    Raises:
        VersionUnknownError: Studio may serve another version than the local tags say.
    """
    for model in models:
        if model.version or model.ref.repo or registry is None:
            continue
        if registry.resolve(model.ref):
            if model.unverified is None:
                raise VersionUnknownError.outdated(model.ref, registry.remote)
            version, record = model.unverified
            raise VersionUnknownError(
                model.ref,
                f"neither the DVC cache nor the DVC remote has the file list of the "
                f"folder that contains '{record.path}'",
                hint=f"Specify the version, as in '{model.ref.name}@{version.version}'",
            )


def pin_models(path: Path, projects: Iterable[ProjectPull]) -> None:
    """Pin what was pulled in a lock file.

    Raises:
        LockFileError: The file cannot be read any more.
        LocalDiskError: The file system refused.
    """
    pins = {}
    for project in projects:
        for model, plan in zip(project.models, project.plans, strict=True):
            digests = digests_of(model, project.downloads)
            sizes = {
                step.file.path: (done.size if done else step.size) or 0
                for step, done in with_downloads(plan, project.downloads)
            }
            pins[model.ref.name] = make_pin(model, digests, sizes)
    before = read_pins(path) if path.exists() else {}
    pins = {name: with_known(pin, before.get(name)) for name, pin in pins.items()}
    update_pins(path, pins)
    tell_unnamed(pins.values())


def make_pin(
    model: ResolvedModel, digests: Mapping[str, Digest], sizes: Mapping[str, int]
) -> Pin:
    """Return the pin of a model, given its files' hashes and sizes by their paths."""
    in_git = {file.path: file.git_oid for file in model.files}
    files = tuple(
        PinnedFile(path, digests[path], sizes[path], in_git.get(path))
        for path in sorted(digests)
    )
    return Pin(model.ref, files, model.version_name, model.commit)


def with_known(pin: Pin, before: Pin | None) -> Pin:
    """Keep the version and commit of the same content, where none is stated now."""
    if (
        before is None
        or before.files != pin.files
        or key_of(before.ref) != key_of(pin.ref)
    ):
        return pin
    if pin.version not in {None, before.version}:
        return pin
    return replace(pin, version=before.version, commit=pin.commit or before.commit)


def tell_pinned(
    refs: Iterable[ModelRef], context: PullContext, options: PullOptions
) -> None:
    """Log which models the lock file pins, if a pull does not use it.

    A version that the user gave is wanted, whatever is pinned.
    """
    is_silent = options.dry_run and not options.ask_sizes
    if options.lock or options.locked or context.clone is None or is_silent:
        return
    try:
        pins = read_default(context.clone.root)
    except (LockFileError, UnsafePathError) as error:
        logger.debug("%s", error)
        return
    pinned = [pins[ref.name] for ref in refs if ref.name in pins and not ref.version]
    if pinned:
        versions = ", ".join(f"'{pin.pinned}'" for pin in pinned)
        logger.note(
            "%s pins %s, which this pull does not use: add '--locked' to pull %s",
            DEFAULT_NAME,
            versions,
            "it" if len(pinned) == 1 else "them",
        )


def tell_unnamed(pins: Iterable[Pin]) -> None:
    """Log which pins have no version, so that their hashes alone pin them."""
    if refs := [f"'{pin.ref}'" for pin in pins if pin.version is None]:
        logger.note(
            "%s: pinned by the hashes of the files alone, because Studio does not say "
            "which version it is",
            ", ".join(refs),
        )
