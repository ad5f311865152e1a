"""What Studio says of a model of this repo, and whether Git agrees.

Owns the questions that come before any plan: which repo this is, what Studio serves,
what the local tags recorded. Promises that an explicit version whose hash in Git
differs is refused before the first byte.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dvc_studio_models.cache import tree_digest
from dvc_studio_models.errors import (
    GitRemoteError,
    IntegrityError,
    ModelMovedError,
    StudioOfflineError,
    UnsafePathError,
)
from dvc_studio_models.git import is_local, is_loopback, strip_secrets
from dvc_studio_models.model import Digest
from dvc_studio_models.paths import outside
from dvc_studio_models.registry import read_record, resolve
from dvc_studio_models.studio import StudioClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from dvc_studio_models.config import Settings
    from dvc_studio_models.git import Clone
    from dvc_studio_models.model import (
        ModelFile,
        ModelRef,
        ModelVersion,
        PullOptions,
        Record,
    )

logger = logging.getLogger(f"dvc.{__name__}")


@dataclass(frozen=True)
class Answer:
    """What Studio and the local tags say of one model."""

    ref: ModelRef
    files: tuple[ModelFile, ...]
    version: ModelVersion | None = None
    record: Record | None = None
    """Set where Git vouches for the content."""

    @property
    def paths(self) -> list[str]:
        """The files' paths."""
        return [file.path for file in self.files]


def tell_repo(clone: Clone | None, settings: Settings, options: PullOptions) -> str:
    """Tell which repo this is, as Studio knows it, by the first rule that applies.

    Raises:
        GitRemoteError: No rule does, or the remote is a folder that Studio cannot know.
    """
    if options.repo:
        return strip_secrets(options.repo)
    if clone is None:
        preferred = settings.git_remote or settings.repo_url
        if not preferred or options.git_remote:
            raise GitRemoteError.outside_git()
        return strip_secrets(preferred)
    if settings.repo_url and not options.git_remote and not settings.git_remote:
        return strip_secrets(settings.repo_url)
    url = clone.remote_url(remote=options.git_remote, preferred=settings.git_remote)
    if is_local(url) and not is_loopback(settings.url):
        raise GitRemoteError.local_folder(url)
    return url


def connect(settings: Settings) -> StudioClient:
    """Make the client that the settings allow.

    Raises:
        StudioOfflineError: They forbid it.
        TokenMissingError: They hold no token.
    """
    if settings.offline:
        raise StudioOfflineError
    return StudioClient(settings.url, settings.require_token())


def anchor(answer: Answer, clone: Clone, *, memo: Path | None) -> Answer:
    """Compare what Studio serves with what Git recorded, where the clone has the tag.

    For a stage or the latest version the local tags may lag behind Studio; then the
    answer stays unanchored, with a warning.

    Args:
        answer: As Studio gave it.
        clone: Of that very repo.
        memo: File for what was read from Git.

    Raises:
        IntegrityError: An explicit version has another hash in Git.
        UnsafePathError: An explicit version has its files elsewhere in Git.
    """
    ref = answer.ref
    version = resolve(clone.scm, ref, memo=memo)
    if version is None:
        return answer
    record = read_record(clone.scm, version.commit, ref.name, memo=memo)
    if record is None or record.digest is None:
        return replace(answer, version=version if ref.version else None)
    served = _served_digest(answer.files, record)
    if served and served.value == record.digest.value:
        files = _fill_in(answer.files, record)
        return replace(answer, version=version, record=record, files=files)
    if ref.version:
        raise _disagreement(answer, record, served)
    logger.warning(
        "by the local tags '%s' is %s, but Studio serves other content: verified by "
        "URL only. Run 'git fetch --tags' to verify against Git",
        ref,
        version.version,
    )
    return answer


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


def _contents(files: Iterable[ModelFile]) -> dict[str, Digest | None]:
    return {file.path: Digest.from_url(file.url) for file in files}


def _served_digest(files: Sequence[ModelFile], record: Record) -> Digest | None:
    """Tell the hash of what Studio serves, in the form in which Git records it."""
    if [file.path for file in files] == [record.path]:
        return files[0].digest or record.digest
    inner = {
        file.path[len(record.path) + 1 :]: file.digest
        for file in files
        if file.digest and file.path.startswith(f"{record.path}/")
    }
    return tree_digest(inner) if len(inner) == len(files) else None


def _fill_in(files: tuple[ModelFile, ...], record: Record) -> tuple[ModelFile, ...]:
    """Take from Git the hash and size of a model of one file."""
    if [file.path for file in files] != [record.path]:
        return files
    digest = files[0].digest or record.digest
    return (replace(files[0], digest=digest, size=record.size),)


def _disagreement(
    answer: Answer, record: Record, served: Digest | None
) -> IntegrityError | UnsafePathError:
    if strays := list(outside(answer.paths, record.path)):
        return UnsafePathError(strays)
    return IntegrityError(
        record.path,
        expected=record.digest or Digest("md5", "unknown"),
        actual=served.value if served else "files without a hash",
        source=f"Git, at {answer.ref},",
    )
