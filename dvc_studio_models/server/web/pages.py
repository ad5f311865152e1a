"""The routes of the pages, and who may see what on them."""

from __future__ import annotations

import asyncio
import functools
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.routing import Route

from dvc_studio_models.server.errors.requests import (
    RefusedError,
    RepoNotServedError,
    TokenRefusedError,
    TokenUncheckedError,
)
from dvc_studio_models.server.monitoring.access_log import note
from dvc_studio_models.server.routes.mirror_headers import note_repo
from dvc_studio_models.server.routes.parameters import (
    read_parameter,
    read_ref,
    server_url,
)
from dvc_studio_models.server.site.overview import Query, list_models
from dvc_studio_models.server.web import views
from dvc_studio_models.server.web.assets import Assets
from dvc_studio_models.server.web.commands import commands_of, set_up
from dvc_studio_models.server.web.rendering import Renderer, clock
from dvc_studio_models.server.web.sign_in import SignIn, redirect
from dvc_studio_models.server.web.stages import sort_stages
from dvc_studio_models.server.web.timeline import draw_timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from dvc_studio_models.model import ModelRef
    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.catalog.index import ServedModel
    from dvc_studio_models.server.site.served import Served
    from dvc_studio_models.server.site.site import Site

    Page = Callable[[Request, Principal], Awaitable[Response]]

FILES_S = 3.0
"""How long, in seconds, a page waits for the list of a model's files, which may be on
a DVC remote."""

MAX_FILES = 500
"""The most files that a page lists."""

MAX_LISTED = 200
"""The most versions, and the most events, that a page lists."""

RECENT = 12
"""The events that are shown without a click."""

_API = re.compile("(?:.*/)?api(?:/.*)?")
_NO_PAGE = re.compile("/(?:api|objects|static)(?:/|$)")


class Pages:
    """The pages of a site."""

    def __init__(self, site: Site) -> None:
        """Read the templates and all that they need."""
        self._site = site
        self._assets = Assets()
        self._renderer = Renderer(self._assets)
        self._sign_in = SignIn(site, self._renderer)
        self._endpoints = (
            ("/models/{repo}/{name:path}", self._page(self.show_model), "GET"),
            ("/models/{repo}", self.show_list, "GET"),
            ("/models", self.show_list, "GET"),
            ("/models/", self.show_list, "GET"),
            ("/", self._page(self.index), "GET"),
            ("/sign-in", self._sign_in.show, "GET"),
            ("/sign-in", self._sign_in.sign_in, "POST"),
            ("/sign-out", self._sign_in.sign_out, "POST"),
            ("/static/{name}", self.get_asset, "GET"),
        )

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix."""
        return [
            Route(f"{prefix}{path}", endpoint, methods=[method])
            for path, endpoint, method in self._endpoints
        ]

    async def get_asset(self, request: Request) -> Response:
        """Answer with a file of the pages; it needs no token."""
        answer = self._assets.get(request.path_params["name"], request)
        if answer is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return answer

    async def show_list(self, request: Request) -> Response:
        """Lead from an address without a model to the list, of one repo or of all."""
        _check_path(request)
        repo = request.path_params.get("repo")
        return redirect(request, f"?{urlencode({'repo': repo})}" if repo else "")

    def show_missing(self, request: Request) -> Response | None:
        """Say that there is no page, None if the request was not for one.

        Links are relative to the same folder, as the prefix is not known.
        """
        accepted = request.headers.get("accept", "")
        if "text/html" not in accepted or _NO_PAGE.search(request.url.path):
            return None
        return self._renderer.render(
            request,
            "error.html",
            status=HTTPStatus.NOT_FOUND,
            root="./",
            title="Not found",
            message="There is no page at this address.",
            is_missing=True,
            has_selector=False,
            is_signed_in=False,
            user=None,
        )

    async def index(self, request: Request, principal: Principal) -> Response:
        """Show all models that somebody may see."""
        filters = _read_filters(request)
        repos = self._site.visible_to(principal)
        listed = await list_models(repos, Query(limit=None))
        labels = {each.repo.key: each.repo.label for each in repos}
        view = views.view_list(listed.models, filters, labels)
        notices = [(each.repo, str(each.error)) for each in listed.unavailable]
        notices += self._site.left_out_for(principal).items()
        stale = [
            (each.repo.label, status)
            for each in repos
            if (status := self._site.mirrors.status(each.repo.key)) and status.is_stale
        ]
        return self._render(
            request,
            "models.html",
            principal,
            view=view,
            filters=view.filters,
            notices=notices,
            stale=stale,
        )

    async def show_model(self, request: Request, principal: Principal) -> Response:
        """Show one model, and the version that is selected of it."""
        if not request.path_params["name"]:
            return await self.show_list(request)
        ref = read_ref(request, request.path_params["name"])
        served = self._find(request.path_params["repo"], principal)
        mirror = note_repo(request, self._site, served.repo.key)
        note(request, model=ref)
        describe = functools.partial(served.listing.details, ref)
        details = await served.slow_calls.run(describe)
        files, files_error = await _find_files(served, ref)
        server = server_url(request, behind_proxy=self._site.config.behind_proxy)
        needs_token = self._site.config.tokens is not None
        return self._render(
            request,
            "model.html",
            principal,
            ref=ref,
            repo=served.repo,
            mirror=mirror,
            details=details,
            folder="".join(ref.name.rpartition(":")[:2]),
            name=ref.name.rpartition(":")[2],
            stages=sort_stages(details.stages),
            latest=next((v.version for v in details.versions if v.version), None),
            commands=commands_of(
                ref, repo=served.repo.label, server=server, needs_token=needs_token
            ),
            set_up=set_up(server, needs_token=needs_token),
            timeline=draw_timeline(details.history, details.stages, clock()),
            files=files,
            files_error=files_error,
            most_files=MAX_FILES,
            most=MAX_LISTED,
            recent=RECENT,
        )

    def _page(self, show: Page) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a page, which needs a session, with errors in HTML."""

        async def endpoint(request: Request) -> Response:
            _check_path(request)
            try:
                return await show(request, await self._sign_in.authenticate(request))
            except TokenRefusedError as error:
                path = _path_of(request)
                return self._sign_in.ask(request, following=path, error=error)
            except RefusedError as error:
                return self._sign_in.show_error(request, error)

        endpoint.__name__ = show.__name__
        return endpoint

    def _find(self, key: str, principal: Principal) -> Served:
        """Return a repo by its key.

        Raises:
            RepoNotServedError: There is none, or he may not see it.
            TokenUncheckedError: He may be one who may see it.
        """
        for served in self._site.visible_to(principal):
            if served.repo.key == key:
                return served
        if principal.unchecked:
            raise TokenUncheckedError
        raise RepoNotServedError(key, ())

    def _render(
        self, request: Request, template: str, principal: Principal, **values: Any
    ) -> Response:
        return self._renderer.render(
            request,
            template,
            user=principal.name or None,
            is_signed_in=self._site.config.tokens is not None,
            **values,
        )


def _check_path(request: Request) -> None:
    """Check that a request is not one for the API, whose path only looks similar."""
    if _API.fullmatch(request.path_params.get("prefix", "")):
        raise HTTPException(HTTPStatus.NOT_FOUND)


def _read_filters(request: Request) -> views.Filters:
    sort = read_parameter(request, "sort")
    page = read_parameter(request, "page")
    return views.Filters(
        search=read_parameter(request, "q"),
        stage=read_parameter(request, "stage"),
        repo=read_parameter(request, "repo"),
        sort=sort if sort in views.SORTS else views.NAME,
        page=max(int(page), 1) if re.fullmatch("[0-9]{1,6}", page) else 1,
    )


async def _find_files(
    served: Served, ref: ModelRef
) -> tuple[ServedModel | None, str | None]:
    """Return the files of a model, or why they are not known."""
    find = functools.partial(served.index.find, ref)
    try:
        return await asyncio.wait_for(served.slow_calls.run(find), FILES_S), None
    except RefusedError as error:
        return None, str(error)
    except asyncio.TimeoutError:
        return None, f"the DVC remote has not answered within {FILES_S:.0f} s"


def _path_of(request: Request) -> str:
    """Return the requested page relative to the first page, with its query."""
    repo, name = (request.path_params.get(each) for each in ("repo", "name"))
    path = views.href_of(repo, name) if repo and name else ""
    query = request.url.query
    return f"{path}?{query}" if query else path
