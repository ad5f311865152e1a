"""Whether Git recorded what a source serves, and which files of a model Git stores.

No I/O of its own: the registry reads tags and commits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    FORCE_TAGS,
    REFRESH_TAGS,
    CommitMissingError,
    IntegrityError,
    ObjectMissingError,
    RecordUnreadableError,
    StudioConfigError,
    UnreadableRepoError,
    UnsafePathError,
    fetch_from,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import ModelFile
from dvc_studio_models.registry.gto.tags import format_names
from dvc_studio_models.registry.recorded import expand_output, is_inside
from dvc_studio_models.sources.comparison import is_recorded
from dvc_studio_models.store.dvc.objects import tree_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.model import Digest, ModelRef, ModelVersion
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.registry.recorded import (
        RecordedFile,
        RecordedModel,
        RecordedOutput,
    )
    from dvc_studio_models.sources.comparison import ReadListing
    from dvc_studio_models.sources.resolve import ResolvedModel

logger = get_logger(__name__)


def verify_with_git(
    model: ResolvedModel, registry: GitRegistry, read_listing: ReadListing
) -> ResolvedModel:
    """Compare the hashes that a source serves with those that Git recorded.

    The local tags may lag behind Studio: for a stage or the latest version, content
    that differs stays unverified, with a warning. So does a model whose tag or commit
    the clone lacks, or whose commit it cannot read.

    Args:
        model: As the source resolved it; its version, if known, is that of a lock file.
        registry: Of the clone; models of other repos are returned as they are.
        read_listing: Reads which files are in a folder that the model is part of.

    Raises:
        IntegrityError: An explicit version has another hash in Git.
        UnsafePathError: An explicit version has its files elsewhere in Git.
        RecordUnreadableError: The clone has the commit of an explicit version, and DVC
            cannot read its files there.
        UnreadableRepoError: Git cannot read that commit, though the clone has it.
    """
    if model.record or model.ref.repo:  # it comes from Git, or from another repo
        return model
    found = _find_record(model, registry)
    if found is None:
        return model
    version, record = found
    if version is None:
        _warn_of_missing_files(model, registry.read_head_record(model.ref.name))
        return model
    if model.ref.version:
        model = _of_version(model, version, record)
    if record is None or not record.outputs:
        return model
    digests = {file.path: file.digest for file in model.files}
    if None in digests.values():
        return replace(model, unverified=(version, record))
    is_same = is_recorded(record, digests, read_listing)
    return _judge(model, version, record, registry, is_same=is_same)


def _find_record(
    model: ResolvedModel, registry: GitRegistry
) -> tuple[ModelVersion | None, RecordedModel | None] | None:
    """Return a model's version by the local tags, and what its commit records.

    Returns:
        None, after a warning, where Git cannot say, and need not.

    Raises:
        RecordUnreadableError, UnreadableRepoError: See :func:`verify_with_git`.
    """
    try:
        version = model.version or registry.resolve(model.ref)
        return version, read_record(model.ref, version, registry) if version else None
    except (RecordUnreadableError, UnreadableRepoError) as error:
        # A clone may lack objects, which says nothing against the content.
        if model.ref.version and not isinstance(error, ObjectMissingError):
            raise
        if not (model.locked and isinstance(error, CommitMissingError)):
            reason = str(error).partition("\n")[0]
            logger.warning("Git cannot verify '%s': %s", model.ref, reason)
        return None


def read_record(
    ref: ModelRef, version: ModelVersion, registry: GitRegistry
) -> RecordedModel | None:
    """Return what a version's commit records of a model, None if it has no record.

    Raises:
        RecordUnreadableError: DVC cannot read its files at that commit.
        UnreadableRepoError: Git cannot read that commit.
    """
    try:
        return registry.read_record(ref.name, version)
    except StudioConfigError as error:  # DVC's config at that commit
        raise RecordUnreadableError(ref.name, version.commit, str(error)) from None


def _of_version(
    model: ResolvedModel, version: ModelVersion, record: RecordedModel | None
) -> ResolvedModel:
    """Set the version, and take from Git what it recorded of the files.

    Raises:
        UnsafePathError: Files lie outside the model's own path.
    """
    if record is None:
        return replace(model, version=version)
    why = f"it is not in the model's path {record.path!r}"
    strays = [path for path in model.paths if not is_inside(path, record.path)]
    if strays:
        raise UnsafePathError((path, why) for path in strays)
    return replace(model, version=version, files=_fill_in(model.files, record))


def verify_downloads_with_git(
    model: ResolvedModel,
    digests: Mapping[str, Digest],
    registry: GitRegistry,
    read_listing: ReadListing,
) -> ResolvedModel:
    """Compare with Git the hashes that are known only after the download.

    Args:
        model: As :func:`verify_with_git` returned it.
        digests: Of all its files, by their paths.
        registry: See there, as for ``read_listing``.
        read_listing: See there.

    Raises:
        IntegrityError: An explicit version has another hash in Git.
    """
    if model.unverified is None:
        return model
    version, record = model.unverified
    is_same = is_recorded(record, digests, read_listing)
    verified = _judge(model, version, record, registry, is_same=is_same)
    if added := [f.path for f in verified.files if f.path not in model.paths]:
        why = "they were not known when the plan was made"
        _warn_of_git_files(added, record, version, why)
    return replace(verified, files=verified.files and _fill_in(model.files, record))


def _judge(
    model: ResolvedModel,
    version: ModelVersion,
    record: RecordedModel,
    registry: GitRegistry,
    *,
    is_same: bool | None,
) -> ResolvedModel:
    """Return the model as verified or not, and warn or raise if the content differs."""
    if is_same is None:
        return replace(model, unverified=(version, record))
    model = replace(model, unverified=None)
    if is_same:
        files = with_git_files(_fill_in(model.files, record), record, version)
        return replace(model, version=version, record=record, files=files)
    if model.ref.version:
        raise IntegrityError(
            record.path,
            expected=record.digest or f"the files of commit {version.commit[:7]}",
            actual=_served(model, record),
            source=f"Git, at {model.ref},",
            hint="If the version was registered again, run "
            f"'{fetch_from(REFRESH_TAGS, registry.remote)}'",
        )
    _warn_of_missing_files(model, record)
    ignored = registry.tags.ignored_tags(model.ref)
    logger.warning(
        "local tags say '%s' is %s, but Studio serves different content, so it cannot "
        "be verified against Git. Run '%s' to verify it",
        model.ref,
        version.registered or f"at {version.commit}",
        fetch_from(FORCE_TAGS if ignored else REFRESH_TAGS, registry.remote),
    )
    return model


def _served(model: ResolvedModel, record: RecordedModel) -> str:
    """Return the hash of what is served, in the form in which Git records it."""
    digests = {file.path: file.digest for file in model.files if file.digest}
    if list(digests) == [record.path]:
        return digests[record.path].value
    inner = {path[len(record.path) + 1 :]: digests[path] for path in digests}
    return tree_digest(inner).value if inner else "other files"


def with_git_files(
    files: tuple[ModelFile, ...], record: RecordedModel, version: ModelVersion
) -> tuple[ModelFile, ...]:
    """Add the files of a model that Git itself stores."""
    have = {file.path for file in files}
    missing = [file for file in record.git_files if file.path not in have]
    if unread := [file.path for file in missing if file.digest is None]:
        why = "they are symlinks, submodules, too large, or files of Git LFS"
        _warn_of_git_files(unread, record, version, why)
    added = (
        ModelFile(
            file.path,
            "",
            file.digest,
            file.size,
            git_oid=file.oid,
            is_executable=file.is_executable,
        )
        for file in missing
        if file.digest
    )
    return tuple(sorted((*files, *added), key=lambda file: file.path))


def _warn_of_missing_files(model: ResolvedModel, record: RecordedModel | None) -> None:
    """Warn that a model has files in Git, of a version that is not known."""
    have = set(model.paths)
    files = record.git_files if record and record.outputs else ()
    if missing := [file.path for file in files if file.path not in have]:
        what = (
            f"'{model.ref}' has files in Git that were not pulled because this clone "
            "has no tag for its version"
        )
        names = format_names(what, missing)
        logger.warning("%s. Run '%s', then pull again", names, FORCE_TAGS)


def _warn_of_git_files(
    paths: Sequence[str],
    record: RecordedModel | None,
    version: ModelVersion,
    reason: str,
) -> None:
    """Warn of files that only Git can check out."""
    what = f"files of the model in Git were not pulled because {reason}"
    folder = record.path if record else ""
    from dvc_studio_models.registry.commands import git_checkout

    logger.warning(
        "%s. Run '%s'",
        format_names(what, paths),
        git_checkout(version.commit, paths, folder=folder),
    )


def _fill_in(
    files: tuple[ModelFile, ...], record: RecordedModel
) -> tuple[ModelFile, ...]:
    """Add what Git recorded of single files: hash, size, executable bit."""
    known = {
        file.path: file
        for output in record.outputs
        for file in (output.files or _single(output))
    }

    executable = {file.path for file in record.git_files if file.is_executable}

    def filled(file: ModelFile) -> ModelFile:
        recorded = known.get(file.path)
        if recorded is None:
            if file.is_executable or file.path not in executable:
                return file
            return replace(file, is_executable=True)
        return replace(
            file,
            digest=file.digest or recorded.digest,
            size=recorded.size,
            is_executable=recorded.is_executable,
        )

    return tuple(map(filled, files))


def _single(output: RecordedOutput) -> tuple[RecordedFile, ...]:
    """Return the one file of an output that is no folder."""
    return () if output.is_folder else expand_output(output, {})
