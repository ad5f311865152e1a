"""Bodies that are encoded unasked are decoded in pieces of bounded size."""

from __future__ import annotations

import gzip
import zlib

import pytest

from dvc_studio_models.http.decoding import Decoder, find_decoder

pytestmark = pytest.mark.reliability("Storage's responses, byte by byte")

CONTENT = b"the model's bytes\n" * 5000
PIECE = 1000


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def decoder_of(encoding: str) -> Decoder:
    decoder = find_decoder(encoding, piece_bytes=PIECE)
    assert decoder
    return decoder


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        pytest.param("gzip", gzip.compress(CONTENT), id="gzip"),
        pytest.param(" GZip ", gzip.compress(CONTENT), id="case"),
        pytest.param("x-gzip", gzip.compress(CONTENT), id="old-name"),
        pytest.param(
            "gzip",
            gzip.compress(CONTENT[:9]) + gzip.compress(CONTENT[9:]),
            id="two-members",
        ),
        pytest.param("gzip", gzip.compress(CONTENT) + bytes(99), id="padding"),
        pytest.param("deflate", zlib.compress(CONTENT), id="deflate"),
        pytest.param("deflate", raw_deflate(CONTENT), id="raw-deflate"),
    ],
)
def test_an_encoding_is_undone(encoding: str, data: bytes, step: int) -> None:
    decoder = decoder_of(encoding)

    pieces = [
        piece
        for start in range(0, len(data), step)
        for piece in decoder.decode(data[start : start + step])
    ]

    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= PIECE
    assert decoder.is_complete


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "aws-chunked", ""])
def test_what_is_unknown_is_not_undone(encoding: str) -> None:
    assert find_decoder(encoding, piece_bytes=PIECE) is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_encoded_is_an_error(encoding: str) -> None:
    with pytest.raises(zlib.error):
        list(decoder_of(encoding).decode(CONTENT))


def test_an_end_that_is_missing_is_seen() -> None:
    decoder = decoder_of("gzip")

    assert b"".join(decoder.decode(gzip.compress(CONTENT)[:-9])) != b""
    assert not decoder.is_complete
