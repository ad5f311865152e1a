"""Sizes of files in storage, requested for dry runs if nothing else shows them.

Requests the first byte of each file, since a signed URL may not allow anything less,
and reads the size from the head of the response. A file without a response has no size:
a dry run needs none.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dvc_studio_models.background import Workers
from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.http.response import (
    LinkRejected,
    RangeRequest,
    RestartNeeded,
    Retry,
)
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.log import get_logger
from dvc_studio_models.transfer.engine import stop_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dvc_studio_models.model import ModelFile

logger = get_logger(__name__)

IDLE_S = 10.0  # without a byte; a size is not worth a longer wait
_TICK_S = 0.1
_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # MD5 of an empty file


def ask_sizes(
    files: Sequence[ModelFile],
    *,
    renew: Callable[[], Mapping[str, str]],
    jobs: int,
    idle_s: float = IDLE_S,
) -> dict[str, int]:
    """Return the sizes of files in storage.

    Args:
        files: With their links.
        renew: Requests new links of the same contents from Studio: path to URL.
        jobs: The most connections at a time.
        idle_s: The longest time without a byte, in seconds.

    Returns:
        Path to size in bytes, of the files whose size is known.
    """
    storage = Storage(SignedUrls(files, renew), connections=jobs, idle_s=idle_s)
    workers = Workers(jobs)
    sizes: dict[str, int] = {}
    asked: set[str] = set()

    def request_size(file: ModelFile) -> None:
        size = _request_size(storage, file)
        if size is not None:
            sizes[file.path] = size
        asked.add(file.path)
        if len(asked) == len(files):
            workers.end()

    try:
        workers.add(functools.partial(request_size, file) for file in files)
        while not workers.ended:
            workers.pause(_TICK_S)
        if workers.error:
            raise workers.error
    finally:
        stop_all(workers, storage)
    return sizes


def _request_size(storage: Storage, file: ModelFile) -> int | None:
    if file.digest and file.digest.value == _EMPTY:
        return 0
    try:
        with storage.ask(RangeRequest(file.path, 0, 1)) as answer:
            return answer.content_range.size
    except (LinkRejected, Retry, RestartNeeded, StudioModelsError) as error:
        logger.debug("cannot get the size of '%s' from storage: %s", file.path, error)
        return None
