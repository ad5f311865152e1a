"""Whatever bytes storage sends, the result is the right content or an error."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fetching import IMPATIENT, md5
from needs import need_proc
from servers import object_path, signed
from servers.raw import RawServer, asked_range

from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.model import MD5, Digest, ModelFile, SilentProgress
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.transfer.engine import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.reliability("Storage's responses, byte by byte")

CONTENT = b"the model's bytes\n" * 5000


HURRIED = replace(IMPATIENT, idle_s=0.5)


def whole(content: bytes = CONTENT, *headers: str) -> bytes:
    head = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


def part(
    head: str, *, content: bytes = CONTENT, range_: str | None = None, more: str = ""
) -> bytes:
    """Send a 206, or a 200 if no range is requested."""
    asked = asked_range(head)
    if asked is None:
        return whole(content)
    start, stop = asked[0], min(asked[1] + 1, len(content))
    range_ = range_ or f"bytes {start}-{stop - 1}/{len(content)}"
    lines = [
        "HTTP/1.1 206 Partial Content",
        f"Content-Range: {range_}",
        f"Content-Length: {stop - start}",
    ]
    return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode() + content[start:stop]


def chunks(extension: str = "", trailer: str = "") -> bytes:
    """Send the whole body in chunks."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = f"{len(CONTENT):x}{extension}\r\n".encode()
    return head + size + CONTENT + f"\r\n0\r\n{trailer}\r\n".encode()


def endless(line: bytes) -> Iterator[bytes]:
    while True:
        yield line * 100


def multipart(head: str) -> bytes:
    inner = f"--x\r\nContent-Range: bytes 0-9/{len(CONTENT)}\r\n\r\n".encode()
    body = inner + CONTENT[:10] + b"\r\n--x--\r\n"
    if asked_range(head) is None:
        return whole()
    lines = "Content-Type: multipart/byteranges; boundary=x\r\nContent-Length: "
    return f"HTTP/1.1 206 x\r\n{lines}{len(body)}\r\n\r\n".encode() + body


BOMB = gzip.compress(bytes(300 << 20))
HUGE = 10**18
WRONG = CONTENT[:-1] + b"!"
Codes = int | tuple[int, ...]
"""Exit codes; several where versions of libcurl differ."""

ANSWERS: dict[str, tuple[Callable[[str], Iterable[bytes]], Codes, str]] = {
    "an honest 200": (lambda _: [whole()], 0, ""),
    "an honest 206": (lambda head: [part(head)], 0, ""),
    "HTTP/1.0 without a length": (
        lambda _: [b"HTTP/1.0 200 OK\r\n\r\n", CONTENT],
        0,
        "",
    ),
    "HTTP/0.9": (lambda _: [CONTENT], 5, "not valid HTTP"),
    "chunk extensions and trailers": (
        lambda _: [chunks(";a=b" * 100, "X-Trailer: y\r\n")],
        0,
        "",
    ),
    "a chunk of negative size": (
        lambda _: [chunks().replace(b"\r\n\r\n", b"\r\n\r\n-", 1)],
        5,
        "failed to download",
    ),
    "a chunk size that never ends": (
        lambda _: [chunks().partition(b"\r\n\r\n")[0], b"\r\n\r\n", b"0" * (1 << 20)],
        5,
        "failed to download",
    ),
    "chunks and a length": (
        lambda _: [chunks().replace(b"OK\r\n", b"OK\r\nContent-Length: 5\r\n", 1)],
        5,
        "storage sent more than announced",
    ),
    "a Date that is none": (lambda head: [part(head, more="Date: \xff\r\n")], 0, ""),
    "a Date that no clock has": (
        lambda head: [part(head, more="Date: Mon, 99 Jan 99999 99:99:99 +9999\r\n")],
        0,
        "",
    ),
    "an ETag of 50 KiB": (
        lambda head: [part(head, more=f'ETag: "{"e" * 50_000}"\r\n')],
        0,
        "",
    ),
    "an ETag that breaks lines": (
        lambda head: [part(head, more='ETag: "a\rX: y"\r\n')],
        (0, 5),
        "",
    ),
    "a Content-MD5 that is none": (
        lambda head: [part(head, more="Content-MD5: \xff\xfe=\r\n")],
        0,
        "",
    ),
    "a redirect without an address": (
        lambda _: [b"HTTP/1.1 302 x\r\nLocation:\r\nContent-Length: 0\r\n\r\n"],
        5,
        "storage answered 302",
    ),
    "a redirect to a bad address": (
        lambda _: [
            b"HTTP/1.1 302 x\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n"
        ],
        5,
        "redirects to an invalid URL",
    ),
    "a redirect to a metadata address": (
        lambda _: [b"HTTP/1.1 302 x\r\nLocation: //169.254.169.254/?PLANTED\r\n\r\n"],
        5,
        "redirects to 'http://169.254.169.254/', which is refused",
    ),
    "a redirect to a file": (
        lambda _: [b"HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\n\r\n"],
        5,
        "redirects to 'file:///etc/passwd', which is refused",
    ),
    "a redirect of 50 KiB": (
        lambda _: [b"HTTP/1.1 302 x\r\nLocation: /" + b"a" * 50_000 + b"\r\n\r\n"],
        5,
        "more than 5 redirects",
    ),
    "trailing bytes after the body": (
        lambda _: [whole() + b"HTTP/1.1 200 OK\r\n"],
        0,
        "",
    ),
    "two lengths that differ": (
        lambda _: [whole(CONTENT, "Content-Length: 7")],
        (5, 6),
        "",
    ),
    "two lengths that agree": (
        lambda _: [whole(CONTENT, f"Content-Length: {len(CONTENT)}")],
        0,
        "",
    ),
    "a negative length": (
        lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + CONTENT],
        5,
        "not valid HTTP",
    ),
    "a huge length": (
        lambda _: [
            f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n".encode() + CONTENT
        ],
        8,
        "cannot write",
    ),
    "a length that no number holds": (
        lambda _: [whole().replace(b"90000", b"9" * 31)],
        0,
        "",
    ),
    "a length of 5,000 digits": (
        lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"],
        6,
        "does not have the expected content",
    ),
    "a length that is too short": (
        lambda _: [whole(CONTENT[:5]) + CONTENT[5:]],
        6,
        "expected content",
    ),
    "a header of 100 KiB": (
        lambda _: [whole(CONTENT, f"X: {'y' * 100_000}")],
        0,
        "",
    ),
    "1,000 headers": (
        lambda _: [whole(CONTENT, *[f"X-{n}: y" for n in range(1000)])],
        0,
        "",
    ),
    "endless headers": (
        lambda _: yield_from(b"HTTP/1.1 200 OK\r\n", endless(b"X: y\r\n")),
        5,
        "failed to download",
    ),
    "endless 100 Continue": (
        lambda _: endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
        5,
        "failed to download",
    ),
    "a 103 before the answer": (
        lambda head: [b"HTTP/1.1 103 Early Hints\r\n\r\n" + part(head)],
        0,
        "",
    ),
    "folded and broken headers": (
        lambda head: [part(head, more="A\r\n b\r\n: c\r\nX Y: z\r\n")],
        5,
        "not valid HTTP",
    ),
    "a status that is none": (lambda _: [b"HTTP/1.1 abc OK\r\n\r\n"], 5, "failed to"),
    "a status of 999": (
        lambda _: [b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n"],
        5,
        "storage answered 999",
    ),
    "204": (lambda _: [b"HTTP/1.1 204 No Content\r\n\r\n"], 5, "answered 204"),
    "304": (lambda _: [b"HTTP/1.1 304 Not Modified\r\n\r\n"], 5, "answered 304"),
    "not HTTP": (lambda _: [b"SSH-2.0-OpenSSH\r\n"], 5, "not valid HTTP"),
    "multipart/byteranges": (lambda head: [multipart(head)], 0, ""),
    "206 without a range": (
        lambda head: [part(head).replace(b"Content-Range", b"X-Range")],
        0,
        "",
    ),
    "206 of another start": (
        lambda head: [part(head, range_=f"bytes 7-{len(CONTENT)}/{len(CONTENT) + 1}")],
        0,
        "",
    ),
    "206 with huge numbers": (
        lambda head: [part(head, range_=f"bytes 0-{HUGE}/{HUGE + 1}")],
        0,
        "",
    ),
    "206 of unknown size": (
        lambda head: [part(head, range_=f"bytes 0-{len(CONTENT) - 1}/*")],
        0,
        "",
    ),
    "206 with 5,000 digits": (
        lambda head: [part(head, range_=f"bytes 0-1/{'9' * 5000}")],
        0,
        "",
    ),
    "206 in Arabic digits": (
        lambda head: [part(head, range_="bytes 0-\u0661/\u0662")],
        0,
        "",
    ),
    "206 to no range": (lambda _: [part("Range: bytes=0-99999999\r\n")], 0, ""),
    "wrong bytes of the right size": (
        lambda head: [part(head, content=WRONG)],
        6,
        "expected content",
    ),
    "more than was announced, in one piece": (
        lambda head: [part(head, content=CONTENT + b"more")],
        6,
        "does not have the expected content",
    ),
    "a gzip bomb": (
        lambda _: [whole(BOMB, "Content-Encoding: gzip")],
        6,
        "does not have the expected content",
    ),
    "a bomb within a bomb": (
        lambda _: [whole(gzip.compress(BOMB), "Content-Encoding: gzip, gzip")],
        6,
        "does not have the expected content",
    ),
    "an encoding of 100 layers": (
        lambda _: [whole(CONTENT, "Content-Encoding: " + ",".join(["gzip"] * 100))],
        0,
        "",
    ),
    "an encoding that lies": (
        lambda _: [whole(CONTENT, "Content-Encoding: gzip")],
        0,
        "",
    ),
    "an honest encoding": (
        lambda _: [whole(gzip.compress(CONTENT), "Content-Encoding: gzip")],
        0,
        "",
    ),
    "cookies": (
        lambda head: [part(head, more="Set-Cookie: a=PLANTED_SECRET_SESSION\r\n")],
        0,
        "",
    ),
    "Retry-After of 10,000 digits": (
        lambda _: ([b"HTTP/1.1 503 x\r\nRetry-After: " + b"9" * 10_000 + b"\r\n\r\n"]),
        5,
        "failed",
    ),
}


def yield_from(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


@pytest.mark.clock
@pytest.mark.parametrize("case", ANSWERS)
def test_whatever_storage_answers_the_bytes_are_right_or_there_are_none(
    tmp_path: Path, case: str, record_property: Callable[[str, object], None]
) -> None:
    answer, codes, sentence = ANSWERS[case]
    ended, said, kept = 0, "", None
    with RawServer(answer) as storage:
        url = signed(storage.origin + object_path(CONTENT))
        file = ModelFile("m", url, Digest(MD5, md5(CONTENT)))
        try:
            for batch in fetch(
                [file],
                store=PartStore(tmp_path),
                renew=lambda: {"m": url},
                progress=SilentProgress(),
                tuning=HURRIED,
            ):
                (done,) = batch
                kept = done.part.path.read_bytes()
                done.part.discard()
        except StudioModelsError as error:
            ended, said = error.exit_code, str(error)
    record_property("exit", ended)
    record_property("said", said)

    assert ended in (codes if isinstance(codes, tuple) else {codes}), said
    assert kept == (None if ended else CONTENT)
    assert sentence in said
    assert "PLANTED" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """Download in a process of its own, which prints its peak memory."""
    need_proc()
    code = """
import sys
from pathlib import Path
from dvc_studio_models.errors import IntegrityError
from dvc_studio_models.model import Digest, ModelFile
from dvc_studio_models.store.parts.folder import PartStore
from dvc_studio_models.model import SilentProgress
from dvc_studio_models.transfer.engine import fetch

file = ModelFile("m", sys.argv[1], Digest("md5", sys.argv[2]))
store = PartStore(Path(sys.argv[3]))
try:
    list(fetch([file], store=store, renew=dict, progress=SilentProgress()))
except IntegrityError:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    with RawServer(lambda _: [whole(BOMB, "Content-Encoding: gzip")]) as storage:
        done = subprocess.run(
            [
                *(sys.executable, "-c", code),
                *(storage.origin + object_path(CONTENT), md5(CONTENT), tmp_path),
            ],
            capture_output=True,
            text=True,
            check=True,
        )

    assert int(done.stdout) < 150 << 10  # KiB
