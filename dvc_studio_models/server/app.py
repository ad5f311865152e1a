"""The HTTP side of the endpoint: routes in, JSON and objects out.

Answers as Studio's own API does. An error is a JSON object with one sentence under
``detail``, except what uvicorn refuses by itself: too many connections, and a head that
it cannot read, are answered with plain text.

Nothing here touches a file system or Git on the event loop: a mount that hangs would
stop every repo.
"""

from __future__ import annotations

import functools
import itertools
import logging
import re
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dvc_studio_models.errors import UsageError
from dvc_studio_models.model import ModelRef
from dvc_studio_models.server import listing
from dvc_studio_models.server.access import AccessLog, Tokens, note
from dvc_studio_models.server.catalog.errors import (
    BadRequestError,
    LinkError,
    RefusedError,
    TokenRefusedError,
)
from dvc_studio_models.server.catalog.index import ModelIndex
from dvc_studio_models.server.catalog.remotes import LOCAL
from dvc_studio_models.server.catalog.waiting import waiting_for_remotes
from dvc_studio_models.server.limits import SlowCalls
from dvc_studio_models.server.links import local as local_links
from dvc_studio_models.server.links.clouds import SIGNERS
from dvc_studio_models.server.links.local import FolderSigner, Signer
from dvc_studio_models.server.listing import Listing
from dvc_studio_models.server.objects import (
    ObjectResponse,
    check_if_match,
    etag_of,
    find_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from dvc_studio_models.model import ModelVersion
    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.catalog.remotes import Store
    from dvc_studio_models.server.catalog.repos import Catalog, ServedRepo
    from dvc_studio_models.server.links.local import MakeLink
    from dvc_studio_models.server.settings import Settings

logger = logging.getLogger(f"dvc.{__name__}")

API = "/api/model-registry/get-download-uris"
WARM_UP_S = 5.0  # for reading Git before listening; importing S3 takes longer
PARAMETER_CHARS = 1000  # a URL, or a model's name; longer ones are refused


@dataclass(frozen=True)
class _Served:
    """One repo that is served."""

    index: ModelIndex
    listing: Listing
    slow_calls: SlowCalls


class StudioApi:
    """The endpoint's routes over the served repos."""

    def __init__(
        self, catalog: Catalog, settings: Settings, slow_calls: Callable[[], SlowCalls]
    ) -> None:
        self._catalog = catalog
        self._tokens = Tokens(settings.tokens)
        self._expires_s = settings.expires_s
        self._folders = FolderSigner.from_environment()
        self._signers: dict[str, Signer] = {LOCAL: self._folders, **SIGNERS}
        self._remote = settings.remote
        # During the life of its link, an object may disappear anyway.
        self._verify_s = settings.expires_s if settings.verify_objects else None
        self._make_slow_calls = slow_calls
        self._served: dict[str, _Served] = {}
        self._lock = threading.Lock()
        for repo in catalog:
            self._serve(repo)

    def warm_up(self, seconds: float = WARM_UP_S) -> None:
        """Import and read in advance, so that the first responses are fast.

        Args:
            seconds: The longest wait; the rest is done while requests are served.
        """
        thread = threading.Thread(target=self._warm_up, daemon=True)
        thread.start()
        thread.join(seconds)

    def _warm_up(self) -> None:
        for key, served in tuple(self._served.items()):
            try:
                served.index.warm_up()
            except Exception:  # requests are answered with the error
                logger.exception("cannot read the repo '%s'", key)

    def _serve(self, repo: ServedRepo) -> _Served:
        """Return the index and limits of a repo, created on first use."""
        with self._lock:
            if repo.key not in self._served:
                index = ModelIndex(
                    repo,
                    remote=self._remote,
                    protocols=self._signers,
                    verify_s=self._verify_s,
                )
                # Each repo has its own limits: one that hangs delays no other.
                self._served[repo.key] = _Served(
                    index, Listing(repo, index), self._make_slow_calls()
                )
            return self._served[repo.key]

    async def get_download_uris(self, request: Request) -> Response:
        """Answer with one signed link for each file of the model."""
        served = self._find_repo(request)
        ref = _ref(request, _parameter(request, "name", required=True))
        note(request, model=ref)
        prefix = request.path_params.get("prefix", "")
        base_url = f"{request.base_url}{quote(prefix)}".rstrip("/")
        links, version = await served.slow_calls.run(
            functools.partial(self._find_and_sign, served.index, ref, base_url)
        )
        note(request, files=len(links))
        headers = {"Cache-Control": "no-store", "X-Model-Commit": version.commit}
        if version.registered:
            headers["X-Model-Version"] = version.registered
        return JSONResponse(links, headers=headers)

    async def list_models(self, request: Request) -> Response:
        """Answer with the registered models."""
        served = self._find_repo(request)
        return _uncached(await served.slow_calls.run(served.listing.list_models))

    async def show_model(self, request: Request) -> Response:
        """Answer with the versions and the history of one model."""
        served = self._find_repo(request)
        ref = _ref(request, request.path_params["name"])
        note(request, model=ref)
        describe = functools.partial(served.listing.describe, ref)
        return _uncached(await served.slow_calls.run(describe))

    def _find_repo(self, request: Request) -> _Served:
        """Check the token, and return the repo that is requested."""
        self._tokens.check(request)
        repo = self._catalog.find(_parameter(request, "repo", required=True))
        note(request, repo=repo.key)
        return self._served.get(repo.key) or self._serve(repo)

    async def get_object(self, request: Request) -> Response:
        """Answer with an object of a local folder, or a range of it."""
        key, segment, name = (
            request.path_params[p] for p in ("repo", "store", "object")
        )
        path = f"{quote(key)}/{quote(segment, safe='')}/{quote(name)}"
        self._folders.check(
            f"{local_links.OBJECTS}/{path}",
            expires=request.query_params.get("expires", ""),
            signature=request.query_params.get("signature", ""),
        )
        served = self._served.get(key)
        if served is None or not local_links.is_object(name):
            msg = "the link is from another server"
            raise LinkError(msg)
        which = local_links.parse_segment(segment)
        store = served.index.known_store(*which)
        if store is None:  # another process has made the link
            find = functools.partial(served.index.store, *which)
            store = await served.slow_calls.run(find)
        path, status = await served.slow_calls.run(
            functools.partial(find_object, store, name), reads_remote=True
        )
        etag = etag_of(name)
        check_if_match(request.headers.get("if-match"), etag, name)
        return ObjectResponse(
            path,
            downloads=served.slow_calls.downloads,
            stat_result=status,
            media_type="application/octet-stream",
            headers={"ETag": etag, "Cache-Control": "private, immutable"},
        )

    def _find_and_sign(
        self, index: ModelIndex, ref: ModelRef, base_url: str
    ) -> tuple[dict[str, str], ModelVersion]:
        """Return the link to each file of a model, by its path; and its version."""
        version, files = index.find(ref)
        makers = self._link_makers(files, base_url)
        if makers is None:
            with waiting_for_remotes():
                return self._sign(files, base_url), version
        links = {file.path: makers[file.store](file.object) for file in files}
        return links, version

    def _link_makers(
        self, files: Sequence[StoredFile], base_url: str
    ) -> Mapping[Store, MakeLink] | None:
        """Return the link maker of each store; None if a service must be contacted."""
        makers: dict[Store, MakeLink] = {}
        for store in {file.store for file in files}:
            maker = self._signers[store.protocol].link_maker(
                store, base_url=base_url, expires_s=self._expires_s
            )
            if maker is None:
                return None
            makers[store] = maker
        return makers

    def _sign(self, files: Sequence[StoredFile], base_url: str) -> dict[str, str]:
        """Sign links, after contacting the stores' services if needed."""
        links: dict[str, str] = {}
        # All of one store at once: files come sorted by path, mostly from one store.
        for store, group in itertools.groupby(files, key=lambda file: file.store):
            together = list(group)
            signed = self._signers[store.protocol].sign(
                store,
                [file.object for file in together],
                base_url=base_url,
                expires_s=self._expires_s,
            )
            links.update(zip((file.path for file in together), signed, strict=True))
        return links


def create_app(
    catalog: Catalog,
    settings: Settings,
    slow_calls: Callable[[], SlowCalls] = SlowCalls,
) -> ASGIApp:
    """Build the ASGI application; ``slow_calls`` is called once for each repo."""
    api = StudioApi(catalog, settings, slow_calls)
    api.warm_up()
    objects = f"{local_links.OBJECTS}/{{repo}}/{{store}}/{{object:path}}"
    routes = [
        Route(f"{prefix}{path}", endpoint, methods=["GET"])
        for prefix in ("", "/{prefix:path}")
        for path, endpoint in (
            (API, api.get_download_uris),
            (listing.API, api.list_models),
            (f"{listing.API}/{{name:path}}", api.show_model),
            (objects, api.get_object),
            ("/healthz", _healthz),
        )
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _http_error,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    return AccessLog(app)


def _parameter(request: Request, name: str, *, required: bool = False) -> str:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        msg = f"parameter '{name}' is given {len(values)} times"
        raise BadRequestError(msg)
    value = values[0] if values else ""
    if required and not value:
        msg = f"parameter '{name}' is required"
        raise BadRequestError(msg)
    _check_length(name, value)
    return value


def _check_length(name: str, value: str) -> None:
    if len(value) > PARAMETER_CHARS:
        msg = f"parameter '{name}' is longer than {PARAMETER_CHARS} characters"
        raise BadRequestError(msg)


def _uncached(answer: bytes) -> Response:
    """Answer with JSON that no proxy may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(answer, headers=headers, media_type="application/json")


def _ref(request: Request, name: str) -> ModelRef:
    version = _parameter(request, "version")
    stage = _parameter(request, "stage")
    _check_length("name", name)
    if re.search("[@#]", name):
        msg = "parameter 'name' is a model name; use 'version' or 'stage' to select"
        raise BadRequestError(msg)
    try:
        return ModelRef.parse(name, version=version or None, stage=stage or None)
    except UsageError as exc:
        raise BadRequestError(str(exc)) from None


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _refused(request: Request, exc: Any) -> Response:
    if exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # for the operator
        note(request, detail=exc)
    headers = (
        {"WWW-Authenticate": "token"} if isinstance(exc, TokenRefusedError) else {}
    )
    return JSONResponse({"detail": str(exc)}, exc.status, headers)


async def _http_error(_request: Request, exc: Any) -> Response:
    return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)


async def _failed(_request: Request, _exc: Exception) -> Response:
    return JSONResponse({"detail": "internal error; the server's log has details"}, 500)
