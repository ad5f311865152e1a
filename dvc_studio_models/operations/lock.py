"""Which models are asked for: by name, or by a lock file; and new pins of what came.

Owns what ``--lock`` and ``--locked`` mean. The file itself is ``lockfile``'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    LocalDiskError,
    LockFileError,
    NotGitRepoError,
    NotLockedError,
    UsageError,
    VersionUnknownError,
)
from dvc_studio_models.model import MAX_JOBS, ModelRef, Pin, PinnedFile
from dvc_studio_models.registry.lockfile import (
    DEFAULT_NAME,
    check_name,
    read_pins,
    update_pins,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.model import Digest, FileResult, PullOptions
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.sources.base import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel

Asked = tuple[list[ModelRef], dict[str, Pin]]
"""Models in their order, and the pins of those that are pinned, by their names."""


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
            not (names or options.locked),
            "no model given: name one or more, or use '--locked'",
        ),
        (
            not 1 <= options.jobs <= MAX_JOBS,
            f"'--jobs' must be between 1 and {MAX_JOBS}",
        ),
    )
    for is_so, problem in problems:
        if is_so:
            raise UsageError(problem)


def read_names(
    names: Sequence[str], here: PullContext, *, stage: str | None, version: str | None
) -> list[ModelRef]:
    """Read what the user names, each model once.

    Args:
        names: As the user gave them.
        here: Where a name without folder may mean that folder's model.
        stage: For every name without a selector of its own; so is ``version``.
        version: With or without the leading ``v``.

    Raises:
        UsageError: A name cannot be read, or two want different versions of one model.
    """
    refs = [ModelRef.parse(name, version=version, stage=stage) for name in names]
    if here.clone:
        refs = [here.clone.qualify(ref, here.folder) for ref in refs]
    by_name: dict[str, ModelRef] = {}
    for ref in refs:
        if by_name.setdefault(ref.name, ref) != ref:
            msg = f"'{ref.name}' is given twice: {by_name[ref.name]}, {ref}"
            raise UsageError(msg)
    return list(by_name.values())


def choose(
    names: Sequence[str],
    here: PullContext,
    options: PullOptions,
    *,
    stage: str | None,
    version: str | None,
) -> Asked:
    """Read what is asked for.

    Args:
        names: See :func:`read_names`, as for ``here``, ``stage`` and ``version``; with
            ``--locked`` none means all that are pinned.
        here: See there.
        options: For the lock file.
        stage: See there.
        version: See there.

    Raises:
        UsageError: See there; or a name selects something beside ``--locked``.
        NotLockedError: The lock file does not have it.
        LockFileError: The lock file cannot be used.
        UnsafePathError: It names paths that must not be written.
    """
    refs = read_names(names, here, stage=stage, version=version)
    if not options.locked:
        return refs, {}
    if stage or version or any("@" in name or "#" in name for name in names):
        msg = "'--locked' sets the versions: leave out versions and stages"
        raise UsageError(msg)
    path = lock_path(options.locked, here)
    pins = read_pins(path)
    wanted = [ref.name for ref in refs] or list(pins)
    for name in wanted:
        if name not in pins:
            raise NotLockedError(name, path, pins)
    if not wanted:
        raise LockFileError(path, "it has no models")
    return [pins[name].pinned for name in wanted], {name: pins[name] for name in wanted}


def lock_path(option: bool | str | os.PathLike[str], here: PullContext) -> Path:  # noqa: FBT001 - as in the options
    """Tell which file is meant: relative to the user's folder, or the Git root's.

    Raises:
        NotGitRepoError: There is no Git root.
    """
    if option is not True:
        return here.folder / str(option)
    if here.clone is None:
        raise NotGitRepoError(str(here.folder))
    return here.clone.root / DEFAULT_NAME


def check_lockable(
    answers: Iterable[ResolvedModel], path: Path, registry: GitRegistry | None
) -> None:
    """Refuse, before anything is changed, what could not be pinned after it.

    Args:
        answers: Of the models; before the download, some may be unverified.
        path: Of the lock file.
        registry: Of the models' clone; None where there is none.

    Raises:
        VersionUnknownError: Nothing tells which version a model is, or it is none.
        LocalDiskError: There is no folder for the file.
        LockFileError: The file that is to be updated cannot be read.
        UnsafePathError: It names paths that must not be written.
    """
    for answer in answers:
        if registry and (error := registry.tags.version_error(answer.ref)):
            raise error
        version = answer.version or (answer.unverified and answer.unverified[0])
        if not version:
            raise _unknown(answer.ref, registry)
        if not version.registered:
            raise VersionUnknownError.unregistered(
                answer.ref, answer.ref.name, version.commit
            )
    if not path.parent.is_dir():
        raise LocalDiskError(path, "no such folder")
    if path.exists():
        read_pins(path)


def _unknown(ref: ModelRef, registry: GitRegistry | None) -> VersionUnknownError:
    """Say why no version is known."""
    if registry is None:
        why = "a pin needs the tags of its repo, and this is not a clone of it"
        return VersionUnknownError(ref, why, hint="Lock it in a clone of that repo")
    if registry.resolve(ref):
        return VersionUnknownError.outdated(ref, registry.remote)
    return VersionUnknownError(ref, "this clone has no tag for it, and a pin needs one")


def check_verified(
    answers: Iterable[ResolvedModel], registry: GitRegistry | None
) -> None:
    """Refuse, before anything is placed, models that no tag could be found for.

    Raises:
        VersionUnknownError: Studio may serve another version than the local tags say.
    """
    for answer in answers:
        if answer.version is None:
            if answer.unverified is None:
                remote = registry.remote if registry else None
                raise VersionUnknownError.outdated(answer.ref, remote)
            version, record = answer.unverified
            raise VersionUnknownError(
                answer.ref,
                f"neither the DVC cache nor the DVC remote has the file list of the "
                f"folder that contains '{record.path}'",
                hint="Specify the version, as in "
                f"'{answer.ref.name}@{version.version}'",
            )


def pin(
    path: Path,
    pulled: Iterable[tuple[ResolvedModel, Mapping[str, Digest], Sequence[FileResult]]],
) -> None:
    """Take down in a lock file what was pulled.

    Args:
        path: Of the lock file.
        pulled: Each model, the digests of its files by their paths, and the files.

    Raises:
        LockFileError: The file cannot be read any more.
        LocalDiskError: The file system refused.
    """
    pins = {}
    for answer, digests, files in pulled:
        assert answer.version  # noqa: S101 - else ``check_lockable`` has refused
        sizes = {file.path: file.size or 0 for file in files}
        kept_in_git = {file.path: file.git_oid for file in answer.files}
        pins[answer.ref.name] = Pin(
            answer.ref,
            answer.version,
            tuple(
                PinnedFile(at, digests[at], sizes[at], kept_in_git.get(at))
                for at in sorted(digests)
            ),
        )
    update_pins(path, pins)
