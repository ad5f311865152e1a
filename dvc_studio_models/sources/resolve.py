"""A model as a source resolved it: its repo, its files, and the pin that it must match.

Also the identity of a file's object in storage, for URLs that contain no hash.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from dvc_studio_models.errors import (
    GitRemoteError,
    LockMismatchError,
    ModelMovedError,
)
from dvc_studio_models.http.studio.client import StudioClient
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import Digest, ModelFile, ModelVersion, StatedVersion
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
        Pin,
        PullOptions,
    )
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.registry.recorded import (
        RecordedModel,
    )
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.settings import Settings

logger = get_logger(__name__)

_OBJECT_VERSIONS = {"versionid", "generation", "snapshot"}
"""Query parameters for the version of an object, of S3, Azure and Google."""


_UNSTATED = StatedVersion()

Difference = tuple[str, Digest | None, Digest | None]
"""Path, hash in the lock file, served hash; None if a file is missing."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model's files, its version, and how they were verified so far."""

    ref: ModelRef
    files: tuple[ModelFile, ...]
    """With its repo, if that is not the clone's own."""

    version: ModelVersion | None = None
    """By the clone's tags, or by its pin."""

    record: RecordedModel | None = None
    """What Git recorded; set only if the content matches it."""

    locked: bool = False
    """Whether the content matches a lock file, see :func:`verify_with_lock`."""

    unverified: tuple[ModelVersion, RecordedModel] | None = None
    """Version and record to compare with after the download, see
    :func:`verify_downloads_with_git`."""

    signed: bool = False
    """Whether the tags that make it this version are signed."""

    stated: StatedVersion = _UNSTATED
    """By the server, or by a pin."""

    @property
    def paths(self) -> list[str]:
        """The files' paths."""
        return [file.path for file in self.files]

    @property
    def version_name(self) -> str | None:
        """The version by tags, else as it was requested, else as the server states."""
        if self.version:
            return self.version.registered
        return self.ref.version or self.stated.version

    @property
    def commit(self) -> str | None:
        """The full id of the version's commit, by tags or by the server."""
        return self.version.commit if self.version else self.stated.commit


def infer_repo_url(
    clone: Clone | None, settings: Settings, options: PullOptions
) -> str:
    """Return the URL of this repo as registered in Studio, by the first rule that fits.

    Raises:
        GitRemoteError: No rule fits, or the remote is a folder of this machine.
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


def is_named_by_setting(
    clone: Clone | None, settings: Settings, options: PullOptions
) -> bool:
    """Whether a setting names the repo by its URL, so that it may be another repo."""
    if options.repo is not None or options.git_remote is not None:
        return False
    if settings.git_remote:
        return clone is None or not clone.is_remote(settings.git_remote)
    return bool(settings.repo_url)


def _infer_outside_git(settings: Settings, options: PullOptions) -> str:
    remote = settings.git_remote or ""
    url = remote if is_url(remote) else settings.repo_url
    if options.git_remote is not None or not url:
        raise GitRemoteError.outside_git()
    return strip_secrets(url)


def connect(context: PullContext) -> StudioClient:
    """Return a client for Studio, on the connection of the command.

    Raises:
        StudioOfflineError: The settings forbid to contact Studio.
        TokenMissingError: The settings have no token.
    """
    return StudioClient(context.connect())


def verify_with_lock(
    model: ResolvedModel, pin: Pin, *, lock: str | None = None
) -> ResolvedModel:
    """Return a model with the hashes of its pin, which the download must match.

    Args:
        model: As the source resolved it.
        pin: Of the model.
        lock: The lock file, as the user named it; None for the default one.

    Raises:
        LockMismatchError: Paths or hashes differ; all of them are named.
    """
    model = _with_pinned_git_files(model, pin)
    if differences := differences_of(model, pin):
        raise LockMismatchError(pin.pinned, differences, lock=lock)
    locked = {file.path: file for file in pin.files}
    files = tuple(
        replace(file, digest=locked[file.path].digest, size=locked[file.path].size)
        for file in model.files
    )
    return replace(_with_pinned_version(model, pin), files=files, locked=True)


def _with_pinned_version(model: ResolvedModel, pin: Pin) -> ResolvedModel:
    version = None
    if pin.version and pin.commit and not model.ref.repo:
        version = ModelVersion(pin.version, pin.commit)
    stated = StatedVersion(pin.version, pin.commit)
    return replace(model, version=version, stated=stated)


def _with_pinned_git_files(model: ResolvedModel, pin: Pin) -> ResolvedModel:
    """Add the pinned files that Git stores, which no source serves."""
    have = {file.path for file in model.files}
    added = [
        ModelFile(file.path, "", file.digest, file.size, git_oid=file.git_oid)
        for file in pin.files
        if file.git_oid and file.path not in have
    ]
    return replace(model, files=(*model.files, *added))


def differences_of(model: ResolvedModel, pin: Pin) -> list[Difference]:
    """Return the files of a model that differ from its pin.

    A URL without a hash may have the pinned content, as may a file that Git stores.
    """
    paths = set(model.paths)
    wanted = {
        file.path: file.digest
        for file in pin.files
        if not file.git_oid or file.path in paths
    }
    served = {file.path: file.digest or wanted.get(file.path) for file in model.files}
    return [
        (path, wanted.get(path), served.get(path))
        for path in sorted({*wanted, *served})
        if path not in wanted or served.get(path) != wanted[path]
    ]


def make_renewal(
    client: StudioClient, repo_url: str, models: Sequence[ResolvedModel]
) -> Callable[[], dict[str, str]]:
    """Return a function that asks Studio for new URLs of the same content.

    It raises ModelMovedError if the content has changed.

    Args:
        client: Of Studio.
        repo_url: Of the models that name no repo of their own.
        models: As Studio served them.
    """

    def renew() -> dict[str, str]:
        urls: dict[str, str] = {}
        for model in models:
            files = client.files(model.ref.repo or repo_url, model.ref)
            if _contents(files) != _contents(model.files):
                raise ModelMovedError(model.ref)
            urls.update((file.path, file.url) for file in files)
        return urls

    return renew


def _contents(files: Iterable[ModelFile]) -> dict[str, object]:
    return {
        file.path: Digest.from_url(file.url) or _object_of(file.url) for file in files
    }


def object_version_id(url: str) -> str | None:
    """Return an identifier of the object version that a URL without a hash points to.

    Returns:
        A hash of host, path and version, whose content never changes; None if the URL
        has no version, or contains the content's own hash.
    """
    if Digest.from_url(url):
        return None
    place = _object_of(url)
    versions = [value for _, value in place[1]]
    # S3 calls what was put while versions were off "null", and may replace it.
    if not versions or "null" in versions:
        return None
    host = urlsplit(url).netloc.rpartition("@")[2]
    return hashlib.sha256(repr((host, place)).encode()).hexdigest()


def _object_of(url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the path and the version parameters of a URL without a hash."""
    parts = urlsplit(url)
    named = ((name.lower(), value) for name, value in parse_qsl(parts.query))
    return parts.path, tuple(pair for pair in named if pair[0] in _OBJECT_VERSIONS)
