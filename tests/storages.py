"""Storage behind one signed URL, asked one by one or through a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from dvc_studio_models.http.batch import Body, StorageBatch
    from dvc_studio_models.http.response import RangeRequest


class Batched(Storage):
    """Sends each request through a batch, which stays open."""

    _batch: StorageBatch | None = None

    def ask(self, request: RangeRequest) -> Any:
        self._batch = batch = self._batch or self.batch()
        batch.add(request)
        while not (done := batch.wait(10)):
            assert batch.active == 1
        ((of, result),) = done
        assert (of, batch.active) == (request, 0)
        if isinstance(result, Exception):
            raise result
        return BatchedResponse(result)

    def close(self) -> None:
        super().close()
        if self._batch:
            self._batch.close()


class BatchedResponse:
    """Shows a body as a response whose body is still to be read."""

    def __init__(self, body: Body) -> None:
        self.whole, self.etag, self.content_md5 = (
            body.whole,
            body.etag,
            body.content_md5,
        )
        self.content_range = body.content_range
        self.chunks = lambda: iter([body.data])

    def __enter__(self) -> BatchedResponse:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


KINDS = [Storage, Batched]


def connect(url: str, *, kind: type[Storage] = Storage, idle_s: float = 10) -> Storage:
    """Return storage with the file ``model.bin``."""
    signed_urls = SignedUrls([ModelFile("model.bin", url)], dict)
    return kind(signed_urls, connections=2, idle_s=idle_s)


def read(storage: Storage, request: RangeRequest) -> bytes:
    with storage.ask(request) as response:
        return b"".join(response.chunks())
