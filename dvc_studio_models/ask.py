"""What Studio says of a model of this repo, and whether Git agrees.

Owns the questions that come before any plan: which repo this is, what Studio serves,
what the local tags recorded. Promises that an explicit version whose hash in Git
differs is refused before the first byte.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from dvc_studio_models.errors import (
    FORCE_TAGS,
    REFRESH_TAGS,
    CommitMissingError,
    GitRemoteError,
    IntegrityError,
    LockMismatchError,
    ModelMovedError,
    RecordUnreadableError,
    StudioOfflineError,
    UnreadableRepoError,
    UnsafePathError,
)
from dvc_studio_models.model import Digest, ModelFile
from dvc_studio_models.paths import outside
from dvc_studio_models.registry.commands import git_checkout
from dvc_studio_models.registry.comparison import is_recorded
from dvc_studio_models.registry.recorded import expand_output
from dvc_studio_models.registry.urls import (
    is_local,
    is_loopback,
    is_url,
    strip_secrets,
)
from dvc_studio_models.studio import StudioClient
from dvc_studio_models.trees import tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dvc_studio_models.config import Settings
    from dvc_studio_models.model import (
        ModelRef,
        ModelVersion,
        Pin,
        PullOptions,
    )
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.registry.comparison import ReadListing
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.registry.recorded import (
        Record,
        RecordedFile,
        RecordedOutput,
    )

logger = logging.getLogger(f"dvc.{__name__}")

_OBJECT_VERSIONS = {"versionid", "generation", "snapshot"}
"""How S3 and Azure, Google, and Azure again name the version of an object."""


Difference = tuple[str, Digest | None, Digest | None]
"""A path, its hash in the lock file, and the one that is served; None for no file."""


@dataclass(frozen=True)
class Answer:
    """What Studio and the local tags say of one model."""

    ref: ModelRef
    files: tuple[ModelFile, ...]
    version: ModelVersion | None = None
    record: Record | None = None
    """Set where Git vouches for the content."""

    locked: bool = False
    """Whether a lock file vouches for the content, see :func:`hold_to`."""

    unverified: tuple[ModelVersion, Record] | None = None
    """What Git knows where the links tell no hashes, see
    :func:`verify_downloads_with_git`."""

    @property
    def paths(self) -> list[str]:
        """The files' paths."""
        return [file.path for file in self.files]


def tell_repo(clone: Clone | None, settings: Settings, options: PullOptions) -> str:
    """Tell which repo this is, as Studio knows it, by the first rule that applies.

    Raises:
        GitRemoteError: No rule does, or the remote is a folder that Studio cannot know.
    """
    if options.repo is not None:
        return strip_secrets(options.repo)
    if clone is None:
        return _tell_repo_outside_git(settings, options)
    if settings.repo_url and options.git_remote is None and not settings.git_remote:
        return strip_secrets(settings.repo_url)
    url = clone.remote_url(remote=options.git_remote, preferred=settings.git_remote)
    if is_local(url) and not is_loopback(settings.url):
        raise GitRemoteError.local_folder(url)
    return url


def _tell_repo_outside_git(settings: Settings, options: PullOptions) -> str:
    remote = settings.git_remote or ""
    url = remote if is_url(remote) else settings.repo_url
    if options.git_remote is not None or not url:
        raise GitRemoteError.outside_git()
    return strip_secrets(url)


def connect(settings: Settings) -> StudioClient:
    """Make the client that the settings allow.

    Raises:
        StudioOfflineError: They forbid it.
        TokenMissingError: They hold no token.
    """
    if settings.offline:
        raise StudioOfflineError
    return StudioClient(settings.url, settings.require_token())


def hold_to(answer: Answer, pin: Pin, *, lock: str | None = None) -> Answer:
    """Refuse what differs from what is locked.

    Where a link tells no hash, the download is held to the locked one.

    Args:
        answer: Of the source.
        pin: What is locked.
        lock: The lock file, as the user names it; None for the default one.

    Raises:
        LockMismatchError: Paths or hashes differ; all of them are named.
    """
    answer = _with_locked_git_files(answer, pin)
    if differences := differences_of(answer, pin):
        raise LockMismatchError(pin.pinned, differences, lock=lock)
    locked = {file.path: file for file in pin.files}
    files = tuple(
        replace(file, digest=locked[file.path].digest, size=locked[file.path].size)
        for file in answer.files
    )
    return replace(answer, files=files, version=pin.version, locked=True)


def _with_locked_git_files(answer: Answer, pin: Pin) -> Answer:
    """Add what the pin says that Git keeps, which no source serves."""
    have = {file.path for file in answer.files}
    added = [
        ModelFile(file.path, "", file.digest, file.size, git_oid=file.git_oid)
        for file in pin.files
        if file.git_oid and file.path not in have
    ]
    return replace(answer, files=(*answer.files, *added))


def differences_of(answer: Answer, pin: Pin) -> list[Difference]:
    """Find where an answer is not what is locked.

    A link without a hash may be what is locked, as may what Git keeps.
    """
    paths = set(answer.paths)
    wanted = {
        file.path: file.digest
        for file in pin.files
        if not file.git_oid or file.path in paths
    }
    served = {file.path: file.digest or wanted.get(file.path) for file in answer.files}
    return [
        (path, wanted.get(path), served.get(path))
        for path in sorted({*wanted, *served})
        if path not in wanted or served.get(path) != wanted[path]
    ]


def verify_with_git(
    answer: Answer, registry: GitRegistry, read_listing: ReadListing
) -> Answer:
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
        record = registry.record(answer.ref.name, version) if version else None
    except (RecordUnreadableError, UnreadableRepoError) as error:
        if not (answer.locked and isinstance(error, CommitMissingError)):
            reason = str(error).partition("\n")[0]
            logger.warning("Git cannot verify '%s': %s", answer.ref, reason)
        return answer
    if version is None:
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


def _of_version(answer: Answer, version: ModelVersion, record: Record | None) -> Answer:
    """Take from Git what an explicit version is, and refuse files that it lacks."""
    if record is None:
        return replace(answer, version=version)
    if strays := list(outside(answer.paths, record.path)):
        raise UnsafePathError(strays)
    return replace(answer, version=version, files=_fill_in(answer.files, record))


def verify_downloads_with_git(
    answer: Answer,
    digests: Mapping[str, Digest],
    registry: GitRegistry,
    read_listing: ReadListing,
) -> Answer:
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
        _warn_of_git_files(added, version, "the plan was made without them")
    return replace(verified, files=verified.files and _fill_in(answer.files, record))


def _judge(
    answer: Answer,
    version: ModelVersion,
    record: Record,
    registry: GitRegistry,
    *,
    is_same: bool | None,
) -> Answer:
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
            hint=f"If the version was registered anew, run '{REFRESH_TAGS}'",
        )
    doubtful = registry.tags.doubtful(answer.ref)
    logger.warning(
        "by the local tags '%s' is %s, but Studio serves other content, so Git does "
        "not vouch for it. Run '%s' to verify against Git",
        answer.ref,
        version.registered or f"at {version.commit}",
        FORCE_TAGS if doubtful else REFRESH_TAGS,
    )
    return answer


def _served(answer: Answer, record: Record) -> str:
    """Write the hash of what is served in the form in which Git records it."""
    digests = {file.path: file.digest for file in answer.files if file.digest}
    if list(digests) == [record.path]:
        return digests[record.path].value
    inner = {path[len(record.path) + 1 :]: digests[path] for path in digests}
    return tree_digest(inner).value if inner else "other files"


def with_git_files(
    files: tuple[ModelFile, ...], record: Record, version: ModelVersion
) -> tuple[ModelFile, ...]:
    """Add the files of a model that Git keeps itself, which no storage has."""
    have = {file.path for file in files}
    missing = [file for file in record.git_files if file.path not in have]
    if unread := [file.path for file in missing if file.digest is None]:
        _warn_of_git_files(unread, version, "only Git LFS has their content")
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


def _warn_of_git_files(
    paths: Sequence[str], version: ModelVersion, reason: str
) -> None:
    """Name the files of a model that only Git can bring."""
    logger.warning(
        "files of the model that Git keeps are not pulled, as %s: %s. Run '%s'",
        reason,
        ", ".join(paths),
        git_checkout(version.commit, paths),
    )


def make_renewal(
    client: StudioClient, repo_url: str, answers: Sequence[Answer]
) -> Callable[[], dict[str, str]]:
    """Make the function that asks for new links, and insists on the same content."""

    def renew() -> dict[str, str]:
        urls: dict[str, str] = {}
        for answer in answers:
            files = client.files(repo_url, answer.ref)
            if _contents(files) != _contents(answer.files):
                raise ModelMovedError(answer.ref)
            urls.update((file.path, file.url) for file in files)
        return urls

    return renew


def _contents(files: Iterable[ModelFile]) -> dict[str, object]:
    return {file.path: Digest.from_url(file.url) or _place(file.url) for file in files}


def object_of(url: str) -> str | None:
    """Name the very object that a link without a hash is of.

    Returns:
        A hash of where it is and of its version in storage, which has one content for
        ever; None where the link tells no version, or tells the content's hash itself.
    """
    if Digest.from_url(url):
        return None
    place = _place(url)
    versions = [value for _, value in place[1]]
    # S3 calls what was put while versions were off "null", and may replace it.
    if not versions or "null" in versions:
        return None
    host = urlsplit(url).netloc.rpartition("@")[2]
    return hashlib.sha256(repr((host, place)).encode()).hexdigest()


def _place(url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Tell which object, in which version, a link without a hash is of."""
    parts = urlsplit(url)
    named = ((name.lower(), value) for name, value in parse_qsl(parts.query))
    return parts.path, tuple(pair for pair in named if pair[0] in _OBJECT_VERSIONS)


def _fill_in(files: tuple[ModelFile, ...], record: Record) -> tuple[ModelFile, ...]:
    """Take from Git what it recorded of single files: hash, size, executable bit."""
    known = {
        file.path: file
        for output in record.outputs
        for file in (output.files or _single(output))
    }

    def filled(file: ModelFile) -> ModelFile:
        recorded = known.get(file.path)
        if recorded is None:
            return file
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
