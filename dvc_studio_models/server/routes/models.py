"""The routes of models: links to their files, their list, and one in detail."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from dvc_studio_models.server.catalog.listing import Answer, list_to_json
from dvc_studio_models.server.errors.models import ModelMissingError, TooManyFilesError
from dvc_studio_models.server.errors.requests import (
    RepoNotOpenError,
    TokenUncheckedError,
)
from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.monitoring.access_log import note
from dvc_studio_models.server.routes.conditions import answer
from dvc_studio_models.server.routes.large import (
    MAX_REPLY_BYTES,
    SMALL_FILES,
    LargeResponse,
    Unread,
)
from dvc_studio_models.server.routes.mirror_headers import note_repo
from dvc_studio_models.server.routes.parameters import (
    read_parameter,
    read_query,
    read_ref,
    server_url,
    write_position,
)
from dvc_studio_models.server.site.overview import (
    PAGE_MODELS,
    Query,
    find_model,
    list_models,
)
from dvc_studio_models.server.waiting.deadlines import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from dvc_studio_models.model import ModelRef
    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.catalog.index import ServedModel
    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.site.overview import ModelsPage
    from dvc_studio_models.server.site.served import Served
    from dvc_studio_models.server.site.site import Site

DOWNLOADS = "/api/model-registry/get-download-uris"
MODELS = "/api/model-registry/models"


class ModelRoutes:
    """Answers about the models of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._unread = Unread()

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix."""
        return [
            Route(f"{prefix}{path}", endpoint, methods=["GET"])
            for path, endpoint in (
                (DOWNLOADS, self.get_download_uris),
                (MODELS, self.list_models),
                (f"{MODELS}/{{name:path}}", self.show_model),
            )
        ]

    async def get_download_uris(self, request: Request) -> Response:
        """Answer with one signed link for each file of the model."""
        principal = await self._site.authenticate(request)
        served = self._find_repo(request, principal)
        ref = read_ref(request, read_parameter(request, "name", required=True))
        note(request, model=ref)
        behind_proxy = self._site.config.behind_proxy
        base_url = server_url(request, behind_proxy=behind_proxy)
        user = principal.name
        sign = functools.partial(self._sign, ref, base_url=base_url, user=user)
        find = functools.partial(_find, served, ref, sign)
        (version, files), reply = await served.slow_calls.run(find)
        commit = version.commit
        note(request, version=version.registered, commit=commit, files=len(files))
        if reply is None:
            reply = await self._answer_large(served, files, sign)
        metrics.links.labels(served.repo.key).inc(len(files))
        headers = {"Cache-Control": "no-store", "X-Model-Commit": commit}
        if version.registered:
            headers["X-Model-Version"] = version.registered
        reply.headers.update(headers)
        return reply

    async def _answer_large(
        self,
        served: Served,
        files: Sequence[StoredFile],
        sign: Callable[[Sequence[StoredFile]], Response],
    ) -> LargeResponse:
        """Answer with many links, when there is room for them in memory.

        Raises:
            TooManyUnreadError: There was none in time.
            TooManyFilesError: The reply would be larger than clients read.
        """
        free = await self._unread.take(served.repo.key, len(files))
        try:
            whole = await served.slow_calls.run(functools.partial(sign, files))
        except BaseException:
            free()
            raise
        return LargeResponse(
            bytes(whole.body), media_type="application/json", free=free
        )

    async def list_models(self, request: Request) -> Response:
        """Answer with the models of one repo, or of all that the caller may see."""
        principal = await self._site.authenticate(request)
        if "repo" not in request.query_params:
            query = read_query(request, limit=PAGE_MODELS)
            page = await list_models(self._site.visible_to(principal), query)
            left_out = self._site.left_out_for(principal)
            # A long page takes milliseconds, during which nobody else is answered.
            return answer(request, await asyncio.to_thread(_write, page, left_out))
        query = read_query(request, limit=None)
        served = self._find_repo(request, principal)
        if query == Query(limit=None):
            whole = await served.slow_calls.run(served.listing.list_models)
            return answer(request, whole)
        page = await list_models([served], query, read_s=ANSWER_S)
        for unavailable in page.unavailable:
            raise unavailable.error
        return answer(request, await asyncio.to_thread(_write, page))

    async def show_model(self, request: Request) -> Response:
        """Answer with the versions and the history of one model."""
        principal = await self._site.authenticate(request)
        ref = read_ref(request, request.path_params["name"])
        note(request, model=ref)
        if "repo" in request.query_params:
            served = self._find_repo(request, principal)
        else:
            served = await self._find_model(request, ref.name, principal)
        describe = functools.partial(served.listing.describe, ref)
        return answer(request, await served.slow_calls.run(describe))

    async def _find_model(
        self, request: Request, name: str, principal: Principal
    ) -> Served:
        """Return the only repo that has a model of this name.

        Raises:
            RepoNotOpenError: None is known to have it, and one could not be opened.
            TokenUncheckedError: None is known to have it, and the caller may see more.
        """
        try:
            served = await find_model(self._site.visible_to(principal), name)
        except ModelMissingError:
            if principal.unchecked:
                raise TokenUncheckedError from None
            if left_out := self._site.left_out_for(principal):
                raise RepoNotOpenError(left_out) from None
            raise
        note_repo(request, self._site, served.repo.key)
        return served

    def _find_repo(self, request: Request, principal: Principal) -> Served:
        """Return the repo that is requested."""
        url = read_parameter(request, "repo", required=True)
        served = self._site.find(url, principal)
        note_repo(request, self._site, served.repo.key)
        return served

    def _sign(
        self, ref: ModelRef, files: Sequence[StoredFile], *, base_url: str, user: str
    ) -> Response:
        """Return the link to each file of a model, by its path.

        Raises:
            TooManyFilesError: That is more than clients read.
        """
        reply = JSONResponse(self._site.signers.sign(files, base_url, user))
        if len(reply.body) > MAX_REPLY_BYTES:
            limit = f"{MAX_REPLY_BYTES >> 20} MiB of links"
            raise TooManyFilesError(ref.name, limit)
        return reply


def _find(
    served: Served, ref: ModelRef, sign: Callable[[Sequence[StoredFile]], Response]
) -> tuple[ServedModel, Response | None]:
    """Return the files of a model, and the links to them if they are few."""
    found = served.index.find(ref)
    return found, sign(found.files) if len(found.files) <= SMALL_FILES else None


def _write(page: ModelsPage, left_out: Mapping[str, str] | None = None) -> Answer:
    unavailable = [(each.repo, str(each.error)) for each in page.unavailable]
    unavailable += (left_out or {}).items()
    content = {
        **list_to_json((each.model, each.served.repo.label) for each in page.models),
        "next": page.next and write_position(page.next),
        "unavailable": [{"repo": repo, "detail": why} for repo, why in unavailable],
    }
    return Answer.of(content)
