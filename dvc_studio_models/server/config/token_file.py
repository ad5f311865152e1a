"""The file of ``--token-file``: one token a line, in clear or as its SHA-256."""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.registry.urls import is_valid_token
from dvc_studio_models.server.config.values import TokenConfig

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 << 20
"""The largest file of tokens."""

HASHED = "sha256:"
"""Before the SHA-256 of a token, which stands in a file in place of the token."""


def read_token_file(path: Path) -> tuple[TokenConfig, ...]:
    """Read ``TOKEN [NAME]`` and ``sha256:HEX [NAME]`` lines.

    A ``#`` at the start of a word begins a comment.

    Raises:
        StudioConfigError: The file cannot be read, contains no token or an invalid one,
            or contains a token in clear that everybody on this machine can read.
    """
    try:
        content, mode = read_regular(path, MAX_BYTES)
        if len(content) > MAX_BYTES:
            _refuse_size()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        msg = f"cannot read the token file '{path}': {reason}"
        raise StudioConfigError(msg) from None
    words = (re.sub(r"(^|\s)#.*", "", line).split(maxsplit=1) for line in lines)
    entries = [(word[0], "".join(word[1:]).strip()) for word in words if word]
    tokens = tuple(_parse(path, token, name) for token, name in entries)
    if any(not token.startswith(HASHED) for token, _ in entries):
        _check_private(path, mode)
    return tokens


def parse_sha256(text: str) -> str | None:
    """Return the SHA-256 of a token in hex, with or without ``sha256:``; else None."""
    sha256 = text.removeprefix(HASHED).lower()
    return sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None


def _parse(path: Path, token: str, name: str) -> TokenConfig:
    if token.startswith(HASHED):
        if sha256 := parse_sha256(token):
            return TokenConfig(name, sha256)
        msg = (
            f"'{path}' contains '{HASHED}' without the 64 hexadecimal digits of a "
            "SHA-256\nMake a token and its line with 'dvc models token'"
        )
        raise StudioConfigError(msg)
    if not is_valid_token(token):
        msg = (
            f"'{path}' contains a token that cannot be sent: use only printable ASCII "
            "characters and no spaces"
        )
        raise StudioConfigError(msg)
    return TokenConfig.of(token, name)


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Read a file that cannot block, at most ``most`` bytes and one more.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(number, "rb") as file:  # noqa: PTH123 - it is open
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(most + 1), status


def is_public(status: os.stat_result) -> bool:
    """Whether everybody on this machine can read a file, and we can change that.

    As for ssh, only the owner is told so: others, as in a container whose secrets are
    mounted, cannot change the mode.
    """
    return os.geteuid() in {0, status.st_uid} and bool(status.st_mode & stat.S_IROTH)


def _check_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file that everybody can read, as ssh does.

    Raises:
        StudioConfigError: Everybody can read it.
    """
    if is_public(status):
        mode = stat.S_IMODE(status.st_mode)
        msg = (
            f"every user of this machine can read the tokens in '{path}' (its mode is "
            f"{mode:04o})\nRun 'chmod o-rwx {shlex.quote(str(path))}', or store the "
            f"tokens as '{HASHED}...'"
        )
        raise StudioConfigError(msg)


def _refuse_size() -> None:
    raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES >> 20} MiB")
