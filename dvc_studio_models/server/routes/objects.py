"""The route of objects: files of DVC remotes that are local folders."""

from __future__ import annotations

import functools
import logging
import os
import stat
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from anyio.to_thread import current_default_thread_limiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from dvc_studio_models.server.errors.models import (
    ObjectMissingError,
)
from dvc_studio_models.server.errors.remotes import RemoteUnreadableError
from dvc_studio_models.server.errors.requests import BusyError, LinkError
from dvc_studio_models.server.links import local as local_links
from dvc_studio_models.server.monitoring.access_log import note
from dvc_studio_models.server.routes.conditions import (
    check_if_match,
    choose_range,
    is_known,
)
from dvc_studio_models.server.routes.mirror_headers import note_repo
from dvc_studio_models.server.stores.remotes import (
    check_folder,
    is_elsewhere,
    is_missing,
    missing_folder,
)
from dvc_studio_models.server.waiting.slow_calls import MAX_CONNECTIONS

if TYPE_CHECKING:
    import threading

    from starlette.types import Message, Receive, Scope, Send

    from dvc_studio_models.server.site.site import Site
    from dvc_studio_models.server.stores.remotes import Store

logger = logging.getLogger(f"dvc.{__name__}")

CHUNK_BYTES = 1 << 20
"""The most that is read of an object at once."""


class ObjectRoutes:
    """Sends the objects of a site's local folders."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix."""
        path = f"{prefix}{local_links.OBJECTS}/{{repo}}/{{store}}/{{object:path}}"
        return [Route(path, self.get_object, methods=["GET"])]

    async def get_object(self, request: Request) -> Response:
        """Answer with an object of a local folder, or a range of it."""
        key, segment, name = (
            request.path_params[p] for p in ("repo", "store", "object")
        )
        path = f"{quote(key)}/{quote(segment, safe='')}/{quote(name)}"
        user = request.query_params.get("user", "")
        self._site.signers.folders.check(
            f"{local_links.OBJECTS}/{path}",
            expires=request.query_params.get("expires", ""),
            signature=request.query_params.get("signature", ""),
            user=user,
        )
        note(request, user=user)
        note_repo(request, self._site, key)
        served = self._site.find_key(key)
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
        check_if_match(request, etag, name)
        headers = {"ETag": etag, "Cache-Control": "private, immutable"}
        if is_known(request, etag):
            return Response(None, HTTPStatus.NOT_MODIFIED, headers)
        choose_range(request, etag, status)
        return ObjectResponse(
            path,
            status=status,
            downloads=served.slow_calls.downloads,
            headers=headers,
        )


class ObjectResponse(FileResponse):
    """A stored object, in fewer, larger reads than Starlette's 64 KiB."""

    def __init__(
        self,
        path: str,
        *,
        status: os.stat_result,
        downloads: threading.BoundedSemaphore,
        headers: dict[str, str],
    ) -> None:
        """Store the path and the limit of downloads.

        Args:
            path: Of the object.
            status: Of the object.
            downloads: The limit of its repo; a read that hangs still counts.
            headers: Of the reply, beside those of all files.
        """
        super().__init__(
            path,
            stat_result=status,
            media_type="application/octet-stream",
            headers=headers,
        )
        # Python allocates all of it before it reads: no more than there is.
        self.chunk_size = min(CHUNK_BYTES, status.st_size + 1)
        self._downloads = downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the object; end the connection in the middle if that cannot be done.

        Raises:
            BusyError: Too many objects of this repo are being sent.
        """
        if not self._downloads.acquire(blocking=False):
            raise BusyError
        # Starlette reads all files in 40 threads, which one dead mount would take.
        current_default_thread_limiter().total_tokens = MAX_CONNECTIONS
        try:
            checked = send if scope["method"] == "HEAD" else _checking_length(send)
            await super().__call__(scope, receive, checked)
        except (OSError, RuntimeError) as exc:  # after the head: no reply can tell
            # Starlette's own message, with the path, would go to the log of requests.
            why = exc.strerror if isinstance(exc, OSError) else "its length has changed"
            detail = f"the object was not sent to its end: {why}"
            note(Request(scope), detail=detail)
            logger.error("%s: '%s'", detail, self.path)  # noqa: TRY400 - the cause is said
        finally:
            self._downloads.release()


def _checking_length(send: Send) -> Send:
    """Return a function that sends a reply as long as its head says, or raises.

    With fewer bytes, the client would wait for the rest.
    """
    left = 0

    async def checking(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            left = int(Headers(raw=message["headers"])["content-length"])
        else:
            body = message["body"]
            left -= len(body)
            if left < 0 or (left and not (body and message["more_body"])):
                raise RuntimeError  # as Starlette does for some
        await send(message)

    return checking


def find_object(store: Store, name: str) -> tuple[str, os.stat_result]:
    """Find an object's file, which must not lead out of the store through a symlink.

    Raises:
        ObjectMissingError: There is no such file.
        RemoteFolderMissingError: This machine does not have the store's folder.
        RemoteUnreadableError: The server may not read it, or the disk fails.
    """
    root = store.remote.path
    if is_elsewhere(store):  # maybe where the repo's remotes must not be
        raise missing_folder(store)
    path = os.path.realpath(Path(root, name))
    try:
        status = os.stat(path)  # noqa: PTH116 - the very path that is served
        inside = Path(path).is_relative_to(os.path.realpath(root))
        if not (inside and stat.S_ISREG(status.st_mode)):
            raise ObjectMissingError(name)
        with open(path, "rb"):  # noqa: PTH123 - before a reply says that it is there
            return path, status
    except OSError as exc:
        check_folder(store)
        if is_missing(exc):
            raise ObjectMissingError(name) from None
        raise RemoteUnreadableError(store.name, exc) from None


def etag_of(name: str) -> str:
    """Return the MD5, marked where DVC 2 hashed text with other line ends."""
    md5 = name.replace("/", "")[-32:]
    return f'"{md5}"' if name.startswith("files/") else f'"{md5}-dos2unix"'
