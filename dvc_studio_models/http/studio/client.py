"""Studio's ``get-download-uris``: a model's name in, files with signed URLs out.

Promises that a reply is checked for form and size before it is used, and that each kind
of refusal has an error of its own. Whether the paths are safe to write is checked by
``files``.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from dvc_studio_models.errors import ModelNotFoundError, StudioResponseError
from dvc_studio_models.http.urls import find_url_problem
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import (
    SEMVER,
    Digest,
    ModelFile,
    ModelRef,
    StatedVersion,
)

if TYPE_CHECKING:
    from dvc_studio_models.http.studio.reply import Reply
    from dvc_studio_models.http.studio.request import StudioConnection

logger = get_logger(__name__)

ENDPOINT = "/api/model-registry/get-download-uris"

_VERSION_HEADER, _COMMIT_HEADER = "X-Model-Version", "X-Model-Commit"
"""Headers of ``dvc models serve``; hosted Studio does not send them."""
_COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"  # SHA-1 or SHA-256
_SHOWN_CHARS = 100


class ServedModel(NamedTuple):
    """A model as Studio serves it."""

    files: tuple[ModelFile, ...]
    """In the order of their paths."""

    stated: StatedVersion
    """Empty from hosted Studio, which names no version."""


class StudioClient:
    """Asks one Studio for the files of models."""

    def __init__(self, studio: StudioConnection) -> None:
        self._studio = studio

    def files(self, repo_url: str, ref: ModelRef) -> tuple[ModelFile, ...]:
        """Return the files of a model, see :meth:`find`."""
        return self.find(repo_url, ref).files

    def find(self, repo_url: str, ref: ModelRef) -> ServedModel:
        """Return the files of a model, and its version if Studio states it.

        Raises:
            StudioUnreachableError: Studio did not reply in three tries.
            StudioFailedError: Studio failed three times.
            StudioAuthError: The token was refused.
            ModelNotFoundError: Studio does not know the repo, model, version or stage.
            StudioResponseError: The reply does not have the documented form.
            StudioRedirectError: Studio redirects to another origin.
            ThreadLimitError: The system refuses to start a thread.
        """
        query = {"repo": repo_url, "name": ref.name}
        if ref.version:
            query["version"] = ref.version
        if ref.stage:
            query["stage"] = ref.stage
        url = self._studio.url
        logger.debug("asking Studio at '%s' for '%s' of '%s'", url, ref, repo_url)
        reply = self._studio.get(ENDPOINT, query)
        if reply.status != HTTPStatus.OK:
            raise self._studio.refusal(
                reply, lambda detail: ModelNotFoundError(ref, repo_url, detail)
            )
        urls = self._read_urls(reply)
        if not urls:
            raise ModelNotFoundError(ref, repo_url, "Studio returned no files for it")
        files = tuple(
            ModelFile(path, url, Digest.from_url(url))
            for path, url in sorted(urls.items())
        )
        return ServedModel(files, self._read_version(reply, ref))

    def _read_version(self, reply: Reply, ref: ModelRef) -> StatedVersion:
        """Read the version that is served.

        Raises:
            StudioResponseError: It is not the version that was requested.
        """
        version = _read_header(reply, _VERSION_HEADER, f"v{SEMVER}")
        commit = _read_header(reply, _COMMIT_HEADER, _COMMIT)
        if ref.version and version not in {None, ref.version}:
            why = f"'{ref}' was requested, and it served {version}"
            raise StudioResponseError(self._studio.url, why)
        return StatedVersion(version, commit)

    def _read_urls(self, reply: Reply) -> dict[str, str]:
        urls = self._studio.read(reply)
        problems = [
            f"{path!a}: {problem}"
            for path, url in urls.items()
            if (problem := find_url_problem(url))
        ]
        if problems:
            raise StudioResponseError(self._studio.url, "; ".join(problems))
        return urls


def _read_header(reply: Reply, name: str, form: str) -> str | None:
    """Return the value of a header; None if there is none, or one of another form."""
    value = reply.headers.get(name)
    if value is None or re.fullmatch(form, value):
        return value
    logger.debug("ignored Studio's header %s: %a", name, value[:_SHOWN_CHARS])
    return None
