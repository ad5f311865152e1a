"""The HTTP side of the endpoint: routes in, JSON and objects out.

Answers as Studio's own API does; whatever goes wrong is a JSON object with one sentence
under ``detail``. Only what uvicorn refuses by itself, too many connections and a head
that it cannot read, is answered with bare text.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import stat
import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from dvc_studio_models.errors import UsageError
from dvc_studio_models.model import ModelRef
from dvc_studio_models.server.access import AccessLog, Tokens, note
from dvc_studio_models.server.catalog.errors import (
    BadRequestError,
    LinkError,
    ObjectChangedError,
    ObjectMissingError,
    RefusedError,
    RemoteFolderMissingError,
    TokenRefusedError,
)
from dvc_studio_models.server.catalog.index import Storage
from dvc_studio_models.server.catalog.remotes import LOCAL, is_folder_gone
from dvc_studio_models.server.links import local as signing
from dvc_studio_models.server.links.clouds import SIGNERS
from dvc_studio_models.server.links.local import FolderSigner, Signer
from dvc_studio_models.server.patience import Patience, asking_remotes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from dvc_studio_models.server.catalog.recorded import StoredFile
    from dvc_studio_models.server.catalog.remotes import Store
    from dvc_studio_models.server.catalog.repos import Catalog, ServedRepo
    from dvc_studio_models.server.links.local import Link
    from dvc_studio_models.server.settings import Settings

logger = logging.getLogger(f"dvc.{__name__}")

API = "/api/model-registry/get-download-uris"
FEW = 100  # files whose links are made without a thread
WARM_UP_S = 5.0  # of reading Git before it is listened; to import S3 takes longer
PARAMETER_CHARS = 1000  # a URL, or a model's name; longer ones are refused


class ObjectResponse(FileResponse):
    """A stored object; fewer, larger reads than Starlette's 64 KiB."""

    chunk_size = 1 << 20


@dataclass(frozen=True)
class _Served:
    """What answers for one repo."""

    storage: Storage
    patience: Patience


class Studio:
    """The endpoint's three routes over the served repos."""

    def __init__(
        self, catalog: Catalog, settings: Settings, patience: Callable[[], Patience]
    ) -> None:
        self._catalog = catalog
        self._tokens = Tokens(settings.tokens)
        self._expires_s = settings.expires_s
        self._folders = FolderSigner.from_environment()
        self._signers: dict[str, Signer] = {LOCAL: self._folders, **SIGNERS}
        self._remote = settings.remote
        # As long as its link may live, an object may vanish anyway.
        self._verify_s = settings.expires_s if settings.verify_objects else None
        self._make_patience = patience
        self._served: dict[str, _Served] = {}
        self._lock = threading.Lock()
        for repo in catalog:
            self._serve(repo)

    def warm_up(self, seconds: float = WARM_UP_S) -> None:
        """Import and read now what would make the first answers slow.

        Args:
            seconds: The longest that this may take; then it goes on beside the answers.
        """
        thread = threading.Thread(target=self._warm_up, daemon=True)
        thread.start()
        thread.join(seconds)

    def _warm_up(self) -> None:
        for key, served in tuple(self._served.items()):
            try:
                served.storage.warm_up()
            except Exception:  # requests are answered with what is wrong
                logger.exception("cannot read the repo '%s'", key)

    def _serve(self, repo: ServedRepo) -> _Served:
        """Give what answers for a repo, which may have been opened just now."""
        with self._lock:
            if repo.key not in self._served:
                storage = Storage(
                    repo,
                    remote=self._remote,
                    protocols=self._signers,
                    verify_s=self._verify_s,
                )
                # Each has its own: a silent remote of one keeps nobody else waiting.
                self._served[repo.key] = _Served(storage, self._make_patience())
            return self._served[repo.key]

    async def get_download_uris(self, request: Request) -> Response:
        """Answer with one signed link for each file of the model."""
        self._tokens.check(request)
        repo = self._catalog.find(_parameter(request, "repo", required=True))
        ref = _ref(request)
        note(request, repo=repo.key, model=ref)
        served = self._served.get(repo.key) or self._serve(repo)
        prefix = request.path_params.get("prefix", "")
        base_url = f"{request.base_url}{quote(prefix)}".rstrip("/")
        files = served.storage.recall(ref)
        ways = self._ways(files, base_url) if files else None
        if not (files and ways):
            find = functools.partial(self._find_and_sign, served.storage, base_url)
            links = await served.patience.wait(find, ref)
        elif len(files) <= FEW:
            links = _link(files, ways)
        else:
            links = await run_in_threadpool(_link, files, ways)
        note(request, files=len(links))
        return JSONResponse(links, headers={"Cache-Control": "no-store"})

    async def get_object(self, request: Request) -> Response:
        """Answer with an object of a local folder, or a range of it."""
        key, segment, name = (
            request.path_params[p] for p in ("repo", "store", "object")
        )
        self._folders.check(
            f"{signing.OBJECTS}/{quote(key)}/{quote(segment, safe='')}/{quote(name)}",
            expires=request.query_params.get("expires", ""),
            signature=request.query_params.get("signature", ""),
        )
        served = self._served.get(key)
        if served is None or not signing.is_object(name):
            msg = "the link is of another server"
            raise LinkError(msg)
        which = signing.parse_segment(segment)
        store = served.storage.known_store(*which)
        if store is None:  # another process has made the link
            find = functools.partial(served.storage.store, *which[:2])
            store = await served.patience.wait(find, which[2])
        path, status = await run_in_threadpool(_open_object, store, name)
        etag = _etag(name)
        _check_if_match(request.headers.get("if-match"), etag, name)
        return ObjectResponse(
            path,
            stat_result=status,
            media_type="application/octet-stream",
            headers={"ETag": etag, "Cache-Control": "private, immutable"},
        )

    def _ways(
        self, files: Sequence[StoredFile], base_url: str
    ) -> Mapping[Store, Link] | None:
        """Give how to make links to each store, None if a service must be asked."""
        ways: dict[Store, Link] = {}
        for store in {file.store for file in files}:
            way = self._signers[store.protocol].at_once(
                store, base_url=base_url, expires_s=self._expires_s
            )
            if way is None:
                return None
            ways[store] = way
        return ways

    def _find_and_sign(
        self, storage: Storage, base_url: str, ref: ModelRef
    ) -> dict[str, str]:
        """Do all that may have to ask others."""
        files = storage.find(ref)
        if ways := self._ways(files, base_url):
            return _link(files, ways)
        with asking_remotes():
            return self._sign(files, base_url)

    def _sign(self, files: Sequence[StoredFile], base_url: str) -> dict[str, str]:
        """Sign by what the stores' services say."""
        links: dict[str, str] = {}
        # Each store's at once; they come sorted by path, mostly from one store.
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
    catalog: Catalog, settings: Settings, patience: Callable[[], Patience] = Patience
) -> ASGIApp:
    """Build the ASGI application, with a patience of its own for each repo."""
    studio = Studio(catalog, settings, patience)
    studio.warm_up()
    objects = f"{signing.OBJECTS}/{{repo}}/{{store}}/{{object:path}}"
    routes = [
        Route(f"{prefix}{path}", endpoint, methods=["GET"])
        for prefix in ("", "/{prefix:path}")
        for path, endpoint in (
            (API, studio.get_download_uris),
            (objects, studio.get_object),
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


def _link(files: Sequence[StoredFile], ways: Mapping[Store, Link]) -> dict[str, str]:
    return {file.path: ways[file.store](file.object) for file in files}


def _parameter(request: Request, name: str, *, required: bool = False) -> str:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        msg = f"parameter '{name}' is given {len(values)} times"
        raise BadRequestError(msg)
    value = values[0] if values else ""
    if required and not value:
        msg = f"parameter '{name}' is required"
        raise BadRequestError(msg)
    if len(value) > PARAMETER_CHARS:
        msg = f"parameter '{name}' is longer than {PARAMETER_CHARS} characters"
        raise BadRequestError(msg)
    return value


def _ref(request: Request) -> ModelRef:
    name = _parameter(request, "name", required=True)
    version = _parameter(request, "version")
    stage = _parameter(request, "stage")
    if re.search("[@#]", name):
        msg = "parameter 'name' is a model's name; use 'version' or 'stage' to select"
        raise BadRequestError(msg)
    try:
        return ModelRef.parse(name, version=version or None, stage=stage or None)
    except UsageError as exc:
        raise BadRequestError(str(exc)) from None


def _open_object(store: Store, name: str) -> tuple[str, os.stat_result]:
    """Find an object's file, which must not lead out of the store through a symlink."""
    root = store.remote.path
    path = os.path.realpath(Path(root, name))
    try:
        status = os.stat(path)  # noqa: PTH116 - the very path that is served
    except OSError:
        if is_folder_gone(store):
            raise RemoteFolderMissingError(store.name, root) from None
        raise ObjectMissingError(name) from None
    inside = Path(path).is_relative_to(os.path.realpath(root))
    if not (inside and stat.S_ISREG(status.st_mode)):
        raise ObjectMissingError(name)
    return path, status


def _etag(name: str) -> str:
    """Give the MD5, marked for DVC 2, which hashed other bytes than those of texts."""
    md5 = name.replace("/", "")[-32:]
    return f'"{md5}"' if name.startswith("files/") else f'"{md5}-dos2unix"'


def _check_if_match(wanted: str | None, etag: str, name: str) -> None:
    if wanted is None or wanted.strip() == "*":
        return
    if etag not in (tag.strip() for tag in wanted.split(",")):
        raise ObjectChangedError(name)


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _refused(request: Request, exc: Any) -> Response:
    if exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # which the operator can mend
        note(request, detail=exc)
    headers = (
        {"WWW-Authenticate": "token"} if isinstance(exc, TokenRefusedError) else {}
    )
    return JSONResponse({"detail": str(exc)}, exc.status, headers)


async def _http_error(_request: Request, exc: Any) -> Response:
    return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)


async def _failed(_request: Request, _exc: Exception) -> Response:
    return JSONResponse({"detail": "internal error; the server's log says more"}, 500)
