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
    GitRemoteError,
    LockMismatchError,
    ModelMovedError,
    StudioOfflineError,
)
from dvc_studio_models.http.studio import StudioClient
from dvc_studio_models.model import Digest, ModelFile
from dvc_studio_models.registry.urls import (
    is_local,
    is_loopback,
    is_url,
    strip_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dvc_studio_models.model import (
        ModelRef,
        ModelVersion,
        Pin,
        PullOptions,
    )
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.registry.recorded import (
        RecordedModel,
    )
    from dvc_studio_models.sources.settings import Settings

logger = logging.getLogger(f"dvc.{__name__}")

_OBJECT_VERSIONS = {"versionid", "generation", "snapshot"}
"""How S3 and Azure, Google, and Azure again name the version of an object."""


Difference = tuple[str, Digest | None, Digest | None]
"""A path, its hash in the lock file, and the one that is served; None for no file."""


@dataclass(frozen=True)
class ResolvedModel:
    """What Studio and the local tags say of one model."""

    ref: ModelRef
    files: tuple[ModelFile, ...]
    version: ModelVersion | None = None
    record: RecordedModel | None = None
    """Set where Git vouches for the content."""

    locked: bool = False
    """Whether a lock file vouches for the content, see :func:`verify_with_lock`."""

    unverified: tuple[ModelVersion, RecordedModel] | None = None
    """What Git knows where the links tell no hashes, see
    :func:`verify_downloads_with_git`."""

    @property
    def paths(self) -> list[str]:
        """The files' paths."""
        return [file.path for file in self.files]


def infer_repo_url(
    clone: Clone | None, settings: Settings, options: PullOptions
) -> str:
    """Tell which repo this is, as Studio knows it, by the first rule that applies.

    Raises:
        GitRemoteError: No rule does, or the remote is a folder that Studio cannot know.
    """
    if options.repo is not None:
        return strip_secrets(options.repo)
    if clone is None:
        return _infer_outside_git(settings, options)
    if settings.repo_url and options.git_remote is None and not settings.git_remote:
        return strip_secrets(settings.repo_url)
    url = clone.remote_url(remote=options.git_remote, preferred=settings.git_remote)
    if is_local(url) and not is_loopback(settings.url):
        raise GitRemoteError.local_folder(url)
    return url


def _infer_outside_git(settings: Settings, options: PullOptions) -> str:
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


def verify_with_lock(
    answer: ResolvedModel, pin: Pin, *, lock: str | None = None
) -> ResolvedModel:
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


def _with_locked_git_files(answer: ResolvedModel, pin: Pin) -> ResolvedModel:
    """Add what the pin says that Git keeps, which no source serves."""
    have = {file.path for file in answer.files}
    added = [
        ModelFile(file.path, "", file.digest, file.size, git_oid=file.git_oid)
        for file in pin.files
        if file.git_oid and file.path not in have
    ]
    return replace(answer, files=(*answer.files, *added))


def differences_of(answer: ResolvedModel, pin: Pin) -> list[Difference]:
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


def make_renewal(
    client: StudioClient, repo_url: str, answers: Sequence[ResolvedModel]
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


def object_version_id(url: str) -> str | None:
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
