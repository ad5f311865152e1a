"""Is a part what it was promised to be? Hashing beside the download, and the verdict.

Owns the reading of parts. Hashes the prefix that has arrived without a gap, so that the
verdict is known nearly as soon as the last byte is there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from dvc_studio_models.model import MD5_DOS2UNIX, Digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dvc_studio_models.parts import Part

HASH_BYTES = 1 << 20
_WAIT_S = 0.5  # how soon a wait notices that the pull has stopped


def hash_part(part: Part, *, is_given_up: Callable[[], bool]) -> str | None:
    """Hash a part while it grows, to its end.

    Returns:
        The MD5 in hex; None where the part was given up meanwhile.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(HASH_BYTES))
    position = 0
    with part.path.open("rb", buffering=0) as file:
        while not (part.complete and position == part.size):
            if is_given_up():
                return None
            ready = part.wait_beyond(position, timeout_s=_WAIT_S)
            while position < ready:
                count = file.readinto(buffer[: min(HASH_BYTES, ready - position)])
                if not count or is_given_up():
                    return None
                md5.update(buffer[:count])
                position += count
    return md5.hexdigest()


def verdict(
    promised: Digest | None,
    md5: str,
    path: Path,
    *,
    etag: str | None,
    content_md5: str | None,
) -> str | None:
    """Say what vouches for a content, or None where it is not what was promised.

    Args:
        promised: By the URL or by Git, which goes before what storage says.
        md5: Of the bytes at ``path``.
        path: Read again only for DVC 2's hash of text files.
        etag: The MD5 for single-part objects of S3; anything else proves nothing.
        content_md5: As the header of that name has it, in Base64.
    """
    if promised is not None:
        return "url" if _fits(promised, md5, path) else None
    if content_md5:
        return "storage" if _decode(content_md5) == md5 else None
    return "storage" if (etag or "").strip('"') == md5 else "size"


def _fits(promised: Digest, md5: str, path: Path) -> bool:
    if md5 == promised.value:
        return True
    if promised.algorithm != MD5_DOS2UNIX:
        return False
    from dvc_data.hashfile.hash import file_md5

    return bool(file_md5(str(path), name=MD5_DOS2UNIX) == promised.value)


def _decode(content_md5: str) -> str:
    try:
        return base64.b64decode(content_md5, validate=True).hex()
    except binascii.Error:
        return ""
