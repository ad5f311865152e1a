"""The routes of models: links to their files, their list, and one in detail."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.monitoring.access_log import note
from dvc_studio_models.server.routes.parameters import read_parameter, read_ref

if TYPE_CHECKING:
    from starlette.requests import Request

    from dvc_studio_models.model import ModelRef, ModelVersion
    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.site.served import Served
    from dvc_studio_models.server.site.site import Site

DOWNLOADS = "/api/model-registry/get-download-uris"
MODELS = "/api/model-registry/models"


class ModelRoutes:
    """Answers about the models of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site

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
        prefix = request.path_params.get("prefix", "")
        base_url = f"{request.base_url}{quote(prefix)}".rstrip("/")
        links, version = await served.slow_calls.run(
            functools.partial(
                self._find_and_sign, served, ref, base_url, principal.name
            )
        )
        metrics.links.labels(served.repo.key).inc(len(links))
        note(
            request,
            version=version.registered,
            commit=version.commit,
            files=len(links),
        )
        headers = {"Cache-Control": "no-store", "X-Model-Commit": version.commit}
        if version.registered:
            headers["X-Model-Version"] = version.registered
        return JSONResponse(links, headers=headers)

    async def list_models(self, request: Request) -> Response:
        """Answer with the registered models."""
        served = self._find_repo(request, await self._site.authenticate(request))
        return _uncached(await served.slow_calls.run(served.listing.list_models))

    async def show_model(self, request: Request) -> Response:
        """Answer with the versions and the history of one model."""
        served = self._find_repo(request, await self._site.authenticate(request))
        ref = read_ref(request, request.path_params["name"])
        note(request, model=ref)
        describe = functools.partial(served.listing.describe, ref)
        return _uncached(await served.slow_calls.run(describe))

    def _find_repo(self, request: Request, principal: Principal) -> Served:
        """Return the repo that is requested."""
        url = read_parameter(request, "repo", required=True)
        served = self._site.find(url, principal)
        note(request, repo=served.repo.key)
        return served

    def _find_and_sign(
        self, served: Served, ref: ModelRef, base_url: str, user: str
    ) -> tuple[dict[str, str], ModelVersion]:
        """Return the link to each file of a model, by its path; and its version."""
        version, files = served.index.find(ref)
        return self._site.signers.sign(files, base_url, user), version


def _uncached(answer: bytes) -> Response:
    """Answer with JSON that no proxy may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(answer, headers=headers, media_type="application/json")
