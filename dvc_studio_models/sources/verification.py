"""Whether Git vouches for what Studio serves, and what of a model Git keeps itself.

No I/O of its own: tags and commits are the registry's to read.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    FORCE_TAGS,
    REFRESH_TAGS,
    CommitMissingError,
    IntegrityError,
    RecordUnreadableError,
    UnreadableRepoError,
    UnsafePathError,
    fetch_from,
)
from dvc_studio_models.files.paths import outside
from dvc_studio_models.model import ModelFile
from dvc_studio_models.registry.commands import git_checkout
from dvc_studio_models.registry.recorded import expand_output
from dvc_studio_models.sources.comparison import is_recorded
from dvc_studio_models.store.trees import tree_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.model import Digest, ModelVersion
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.registry.recorded import (
        RecordedFile,
        RecordedModel,
        RecordedOutput,
    )
    from dvc_studio_models.sources.comparison import ReadListing
    from dvc_studio_models.sources.resolve import ResolvedModel

logger = logging.getLogger(f"dvc.{__name__}")


def verify_with_git(
    answer: ResolvedModel, registry: GitRegistry, read_listing: ReadListing
) -> ResolvedModel:
    """Compare what Studio serves with what Git recorded, where the clone has the tag.

    For a stage or the latest version the local tags may lag behind Studio; then the
    answer stays unverified, with a warning. So it does where Git cannot be read.

    Args:
        answer: As Studio gave it, and a lock file held it to its commit.
        registry: Of a clone of that very repo.
        read_listing: Returns what is in a folder that the model is part of.

    Raises:
        IntegrityError: An explicit version has another hash in Git.
        UnsafePathError: An explicit version has its files elsewhere in Git.
    """
    if answer.record:  # it is Git that gave it
        return answer
    try:
        version = answer.version or registry.resolve(answer.ref)
        record = registry.read_record(answer.ref.name, version) if version else None
    except (RecordUnreadableError, UnreadableRepoError) as error:
        if not (answer.locked and isinstance(error, CommitMissingError)):
            reason = str(error).partition("\n")[0]
            logger.warning("Git cannot verify '%s': %s", answer.ref, reason)
        return answer
    if version is None:
        _warn_of_missing_files(answer, registry.read_head_record(answer.ref.name))
        return answer
    if answer.ref.version:
        answer = _of_version(answer, version, record)
    if record is None or not record.outputs:
        return answer
    digests = {file.path: file.digest for file in answer.files}
    if None in digests.values():
        return replace(answer, unverified=(version, record))
    is_same = is_recorded(record, digests, read_listing)
    return _judge(answer, version, record, registry, is_same=is_same)


def _of_version(
    answer: ResolvedModel, version: ModelVersion, record: RecordedModel | None
) -> ResolvedModel:
    """Take from Git what an explicit version is, and refuse files that it lacks."""
    if record is None:
        return replace(answer, version=version)
    if strays := list(outside(answer.paths, record.path)):
        raise UnsafePathError(strays)
    return replace(answer, version=version, files=_fill_in(answer.files, record))


def verify_downloads_with_git(
    answer: ResolvedModel,
    digests: Mapping[str, Digest],
    registry: GitRegistry,
    read_listing: ReadListing,
) -> ResolvedModel:
    """Compare with Git what could not be compared before the download.

    Args:
        answer: As :func:`verify_with_git` returned it.
        digests: Of all its files, by their paths.
        registry: See there, as for ``read_listing``.
        read_listing: See there.

    Raises:
        IntegrityError: An explicit version has another hash in Git.
    """
    if answer.unverified is None:
        return answer
    version, record = answer.unverified
    is_same = is_recorded(record, digests, read_listing)
    verified = _judge(answer, version, record, registry, is_same=is_same)
    if added := [f.path for f in verified.files if f.path not in answer.paths]:
        _warn_of_git_files(added, version, "they were not known when the plan was made")
    return replace(verified, files=verified.files and _fill_in(answer.files, record))


def _judge(
    answer: ResolvedModel,
    version: ModelVersion,
    record: RecordedModel,
    registry: GitRegistry,
    *,
    is_same: bool | None,
) -> ResolvedModel:
    """Say whether Git vouches for what Studio serves."""
    if is_same is None:
        return replace(answer, unverified=(version, record))
    answer = replace(answer, unverified=None)
    if is_same:
        files = with_git_files(_fill_in(answer.files, record), record, version)
        return replace(answer, version=version, record=record, files=files)
    if answer.ref.version:
        raise IntegrityError(
            record.path,
            expected=record.digest or f"what {version.commit[:7]} records",
            actual=_served(answer, record),
            source=f"Git, at {answer.ref},",
            hint="If the version was registered again, run "
            f"'{fetch_from(REFRESH_TAGS, registry.remote)}'",
        )
    _warn_of_missing_files(answer, record)
    ignored = registry.tags.ignored_tags(answer.ref)
    logger.warning(
        "local tags say '%s' is %s, but Studio serves different content, so it cannot "
        "be verified against Git. Run '%s' to verify it",
        answer.ref,
        version.registered or f"at {version.commit}",
        fetch_from(FORCE_TAGS if ignored else REFRESH_TAGS, registry.remote),
    )
    return answer


def _served(answer: ResolvedModel, record: RecordedModel) -> str:
    """Write the hash of what is served in the form in which Git records it."""
    digests = {file.path: file.digest for file in answer.files if file.digest}
    if list(digests) == [record.path]:
        return digests[record.path].value
    inner = {path[len(record.path) + 1 :]: digests[path] for path in digests}
    return tree_digest(inner).value if inner else "other files"


def with_git_files(
    files: tuple[ModelFile, ...], record: RecordedModel, version: ModelVersion
) -> tuple[ModelFile, ...]:
    """Add the files of a model that Git keeps itself, which no storage has."""
    have = {file.path for file in files}
    missing = [file for file in record.git_files if file.path not in have]
    if unread := [file.path for file in missing if file.digest is None]:
        why = "they are symlinks, submodules, too large, or files of Git LFS"
        _warn_of_git_files(unread, version, why)
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


def _warn_of_missing_files(answer: ResolvedModel, record: RecordedModel | None) -> None:
    """Warn that a model has files in Git, where nobody knows of which version."""
    have = set(answer.paths)
    files = record.git_files if record and record.outputs else ()
    if missing := [file.path for file in files if file.path not in have]:
        logger.warning(
            "'%s' has files in Git that were not pulled because this clone has no tag "
            "for its version: %s. Run '%s', then pull again",
            answer.ref,
            ", ".join(missing),
            FORCE_TAGS,
        )


def _warn_of_git_files(
    paths: Sequence[str], version: ModelVersion, reason: str
) -> None:
    """Name the files of a model that only Git can bring."""
    logger.warning(
        "files of the model in Git were not pulled because %s: %s. Run '%s'",
        reason,
        ", ".join(paths),
        git_checkout(version.commit, paths),
    )


def _fill_in(
    files: tuple[ModelFile, ...], record: RecordedModel
) -> tuple[ModelFile, ...]:
    """Take from Git what it recorded of single files: hash, size, executable bit."""
    known = {
        file.path: file
        for output in record.outputs
        for file in (output.files or _single(output))
    }

    executable = {file.path for file in record.git_files if file.is_executable}

    def filled(file: ModelFile) -> ModelFile:
        recorded = known.get(file.path)
        if recorded is None:
            is_executable = file.is_executable or file.path in executable
            return replace(file, is_executable=is_executable)
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
