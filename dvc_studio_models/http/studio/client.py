"""Studio's ``get-download-uris``: a model's name in, files with signed URLs out.

Promises that a reply is checked for form and size before it is used, and that each kind
of refusal has an error of its own. Whether the paths are safe to write is checked by
``files``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from dvc_studio_models.errors import ModelNotFoundError, StudioResponseError
from dvc_studio_models.http.studio.request import StudioConnection
from dvc_studio_models.http.urls import find_url_problem
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import Digest, ModelFile, ModelRef

if TYPE_CHECKING:
    from dvc_studio_models.http.studio.reply import Reply

logger = get_logger(__name__)

ENDPOINT = "/api/model-registry/get-download-uris"


class StudioClient(StudioConnection):
    """Asks one Studio for the files of models."""

    def files(self, repo_url: str, ref: ModelRef) -> tuple[ModelFile, ...]:
        """Return the files of a model, in the order of their paths.

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
        logger.debug("asking Studio at '%s' for '%s' of '%s'", self.url, ref, repo_url)
        reply = self.get(ENDPOINT, query)
        if reply.status != HTTPStatus.OK:
            raise self.refusal(
                reply, lambda detail: ModelNotFoundError(ref, repo_url, detail)
            )
        urls = self._read_urls(reply)
        if not urls:
            raise ModelNotFoundError(ref, repo_url, "Studio returned no files for it")
        return tuple(
            ModelFile(path, url, Digest.from_url(url))
            for path, url in sorted(urls.items())
        )

    def _read_urls(self, reply: Reply) -> dict[str, str]:
        urls = self.read(reply)
        problems = [
            f"{path!a}: {problem}"
            for path, url in urls.items()
            if (problem := find_url_problem(url))
        ]
        if problems:
            raise StudioResponseError(self.url, "; ".join(problems))
        return urls
