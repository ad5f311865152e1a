"""Responses of storage: checked to be the requested bytes of the same object.

Promises that the bytes yielded are those that were requested, of the object that was
requested before. Everything else raises one of the signals below, which say what can be
done next.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.decoding import decode_start, find_decoder
from dvc_studio_models.http.failures import RETRY_STATUSES, status_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dvc_studio_models.http.decoding import Decoder

OK, PARTIAL = 200, 206
ERROR_BYTES = 4096  # of an error's body, enough to find its code
BAD_REQUEST = 400
_NOT_FOUND, _CHANGED, _NO_SUCH_RANGE = 404, 412, 416
_REFUSED = {401, 403}
_EXPIRED = re.compile(
    rb"<Code>(?:ExpiredToken|AuthenticationFailed|RequestExpired)<|[Ee]xpired"
)
CHUNK_BYTES = 1 << 18  # larger: fewer writes, but a killed process loses more
CHUNK_S = 0.5  # on a slow link, bytes are written and shown at least this often
_DIGITS = "([0-9]{1,19})"  # Python refuses to parse numbers of thousands of digits
_NUMBER = re.compile(_DIGITS)
_CONTENT_RANGE = re.compile(f"bytes {_DIGITS}-{_DIGITS}/{_DIGITS}")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]+"')


class Retry(Exception):  # noqa: N818 - a signal between two modules, never shown
    """This try failed; another may succeed."""

    def __init__(self, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.headers = headers


class LinkRejected(Exception):  # noqa: N818
    """Storage rejected the signed URL: it has to be renewed."""

    def __init__(self, status: int, generation: int) -> None:
        super().__init__(status_text(status))
        self.generation = generation


class RestartNeeded(Exception):  # noqa: N818
    """The response does not match what was received before, or the range."""


class NotEncoded(RestartNeeded):
    """The body is not encoded as its headers say; without decoding it may be right."""

    def __init__(self) -> None:
        super().__init__("storage's response cannot be decoded")


class TooLarge(RestartNeeded):
    """The body is larger than the requested range."""

    def __init__(self) -> None:
        super().__init__("storage sent more than requested")


@dataclass(frozen=True)
class RangeRequest:
    """A request for bytes of a file, with what is known of the file so far."""

    path: str
    start: int
    stop: int | None
    """Exclusive, in bytes; None requests the whole file in one response."""

    size: int | None = None
    etag: str | None = None
    decode: bool = True
    """Whether a ``Content-Encoding`` is undone."""


@dataclass(frozen=True)
class ContentRange:
    """Which bytes of the file a response contains."""

    start: int
    stop: int | None
    """Exclusive, in bytes; None if only the end of the body shows it."""

    size: int | None
    """Of the whole file, in bytes."""


class Head(Protocol):
    """The head of a response."""

    @property
    def status(self) -> int: ...  # noqa: D102

    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102


@dataclass(frozen=True)
class Description:
    """What the head of a response says of its body."""

    whole: bool
    """Whether the body is the whole file, whatever was requested."""

    etag: str | None
    """Only a strong one."""

    content_range: ContentRange
    content_md5: str | None
    """Of the whole file."""

    decoder: Decoder | None
    """For the body, if it has to be decoded."""

    def decode(self, data: bytes, *, limit: int) -> bytes:
        """Decode a whole body, which is already in memory.

        Raises:
            NotEncoded: It cannot be decoded.
            TooLarge: Its content is larger than ``limit``, in bytes.
        """
        if self.decoder is None:
            return data
        pieces, left = [], limit
        for piece in decode(self.decoder, data):
            left -= len(piece)
            if left < 0:
                raise TooLarge
            pieces.append(piece)
        if not self.decoder.is_complete:
            raise NotEncoded
        return b"".join(pieces)


def read_head(response: Head, request: RangeRequest) -> Description:
    """Check the head of a 200 or 206.

    Raises:
        RestartNeeded: It does not match the request, or what was received before.
    """
    whole = response.status == OK
    content_range = (_whole if whole else _range)(response, request)
    # In a response to a range, Content-MD5 may be that of the range.
    content_md5 = response.headers.get(
        "Content-MD5" if whole else "x-ms-blob-content-md5"
    )
    decoder = None
    if request.decode and _is_encoded(response):
        encoding = response.headers["Content-Encoding"]
        decoder = find_decoder(encoding, piece_bytes=CHUNK_BYTES)
    etag = _strong_etag(response)
    return Description(whole, etag, content_range, content_md5, decoder)


def decode(decoder: Decoder, data: bytes) -> Iterator[bytes]:
    """Yield the content of the next bytes of a body.

    Raises:
        NotEncoded: They cannot be decoded.
    """
    try:
        yield from decoder.decode(data)
    except zlib.error:
        raise NotEncoded from None


def check_status(
    response: Head,
    request: RangeRequest,
    generation: int,
    read_body: Callable[[], bytes],
) -> None:
    """Check that a status is 200 or 206.

    Args:
        response: Its head.
        request: What it is the response to.
        generation: Of the signed URL.
        read_body: Returns the beginning of an error's body.

    Raises:
        Retry: Another try may succeed.
        LinkRejected: The signed URL has to be renewed.
        RestartNeeded: The object is another one, or storage has no such range.
        DownloadError: Another try would fail too.
    """
    status = response.status
    if status in {OK, PARTIAL}:
        return
    if status in RETRY_STATUSES:
        why = f"storage answered {status_text(status)}"
        raise Retry(why, response.headers)
    if status == _CHANGED:
        why = "the object changed in storage"
        raise RestartNeeded(why)
    if status == _NO_SUCH_RANGE and request.stop is not None:
        why = "storage has no such range"
        raise RestartNeeded(why)
    if status in _REFUSED or (
        status == BAD_REQUEST and _is_expired(response, read_body())
    ):
        raise LinkRejected(status, generation)
    if status == _NOT_FOUND:
        why = "it is not in storage; was it pushed with 'dvc push'?"
        raise DownloadError(request.path, why)
    raise DownloadError(request.path, f"storage answered {status_text(status)}")


def _is_expired(response: Head, body: bytes) -> bool:
    encoding = response.headers.get("Content-Encoding", "")
    text = decode_start(body, encoding, limit=ERROR_BYTES)
    return bool(_EXPIRED.search(text))


class Source(Protocol):
    """Where the body of a response is read from."""

    def read(self) -> bytes: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class StorageResponse:
    """A response whose head was checked, and its body."""

    def __init__(self, head: Head, request: RangeRequest, source: Source) -> None:
        said = read_head(head, request)
        self.whole = said.whole
        self.etag = said.etag
        self.content_range = said.content_range
        self.content_md5 = said.content_md5
        self._source = source
        self._decoder = said.decoder

    def __enter__(self) -> StorageResponse:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._source.close()

    def chunks(self) -> Iterator[memoryview]:
        """Read the body in chunks that are worth a write.

        Raises:
            Retry: The connection failed; the bytes before were yielded.
            NotEncoded: The body cannot be decoded; the same.
        """
        while data := self._source.read():
            if self._decoder:
                for piece in decode(self._decoder, data):
                    yield memoryview(piece)
            else:
                yield memoryview(data)
        if self._decoder and not self._decoder.is_complete:
            raise NotEncoded


def _whole(response: Head, request: RangeRequest) -> ContentRange:
    """Read the head of a 200: the whole file."""
    if request.stop is not None and (request.start or request.size is not None):
        why = "storage does not support ranges"
        raise RestartNeeded(why)
    size = _content_length(response)
    if _is_encoded(response) and request.decode:
        size = None
    _check_same(response, request, size)
    return ContentRange(0, size, size)


def _range(response: Head, request: RangeRequest) -> ContentRange:
    """Read the head of a 206: the range, or its beginning."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match or request.stop is None or (_is_encoded(response) and request.decode):
        why = "storage's response is not for the requested range"
        raise RestartNeeded(why)
    start, last, size = map(int, match.groups())
    length = _content_length(response)
    fits = start == request.start <= last < min(request.stop, size)
    if not fits or length not in {None, last + 1 - start}:
        why = "storage sent a different range than requested"
        raise RestartNeeded(why)
    _check_same(response, request, size)
    return ContentRange(start, last + 1, size)


def _check_same(response: Head, request: RangeRequest, size: int | None) -> None:
    """Reject a response for a different object than before."""
    etag = _strong_etag(response)
    if (request.size is not None and size not in {None, request.size}) or (
        request.etag and etag not in {None, request.etag}
    ):
        why = "the object changed in storage"
        raise RestartNeeded(why)


def _strong_etag(response: Head) -> str | None:
    etag = response.headers.get("ETag", "")
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def _content_length(response: Head) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if _NUMBER.fullmatch(value) else None


def _is_encoded(response: Head) -> bool:
    return response.headers.get("Content-Encoding", "identity") != "identity"
