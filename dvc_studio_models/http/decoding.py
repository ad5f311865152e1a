"""Bodies that are encoded although no encoding was asked for.

Promises pieces of bounded size, however much a byte expands to.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"\x1f\x8b"
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's wbits
_FORMATS = {"gzip": [_GZIP], "x-gzip": [_GZIP], "deflate": [_ZLIB, _RAW]}


def find_decoder(encoding: str, *, piece_bytes: int) -> Decoder | None:
    """Return a decoder for a ``Content-Encoding``; None if it is unknown."""
    formats = _FORMATS.get(encoding.strip().lower())
    return Decoder(formats, piece_bytes) if formats else None


def decode_start(data: bytes, encoding: str, *, limit: int) -> bytes:
    """Return the first bytes of a body, decoded if that is possible."""
    decoder = find_decoder(encoding, piece_bytes=limit)
    if decoder is None:
        return data[:limit]
    with contextlib.suppress(zlib.error):
        return next(decoder.decode(data), b"")
    return data[:limit]


class Decoder:
    """Undoes one encoding."""

    def __init__(self, formats: list[int], piece_bytes: int) -> None:
        self._formats = formats
        self._piece_bytes = piece_bytes
        self._held = b""
        self._is_begun = False
        self._zlib = zlib.decompressobj(formats[0])

    @property
    def is_complete(self) -> bool:
        """Whether the end of the encoded data was reached."""
        return self._zlib.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of the next bytes.

        Raises:
            zlib.error: They are not encoded as was said.
        """
        data = self._held + data
        self._held = b""
        more = True
        while more:
            if not self._is_begun or self._zlib.eof:
                if len(data) < len(_MAGIC):
                    self._held = data
                    return
                self._is_begun = True
            if self._zlib.eof:
                if not data.startswith(_MAGIC):
                    return  # what follows the last member is padding
                self._zlib = zlib.decompressobj(_GZIP)
            piece = self._decode_piece(data)
            data = self._zlib.unused_data or self._zlib.unconsumed_tail
            if piece:
                yield piece
            more = bool(data) or len(piece) == self._piece_bytes

    def _decode_piece(self, data: bytes) -> bytes:
        try:
            return self._zlib.decompress(data, self._piece_bytes)
        except zlib.error:
            if len(self._formats) == 1:
                raise
        # Some servers say "deflate" and leave out zlib's header.
        self._formats = self._formats[1:]
        self._zlib = zlib.decompressobj(self._formats[0])
        return self._decode_piece(data)
