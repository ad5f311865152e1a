"""The run of ``make test-fallbacks`` is one without what only Linux has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from environments import ROOT, run

pytestmark = pytest.mark.linux

WITHOUT = str(Path(__file__).parent / "without_linux")
HOST = "from dvc_studio_models.files.owner import host_id; print(host_id())"


def python(code: str, *args: str | Path) -> str:
    done = run(sys.executable, "-c", code, *args, PYTHONPATH=f"{WITHOUT}:{ROOT}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("os", ["copy_file_range", "sendfile", "O_DIRECT", "O_TMPFILE", "listxattr"]),
        ("os", ["posix_fadvise", "fdatasync", "pidfd_open", "memfd_create", "O_PATH"]),
        ("fcntl", ["F_OFD_SETLK", "F_SETPIPE_SZ"]),
        ("socket", ["MSG_NOSIGNAL", "TCP_QUICKACK", "TCP_USER_TIMEOUT"]),
        ("resource", ["prlimit"]),
        ("ctypes.CDLL(None)", ["syncfs", "renameat2", "statx"]),
    ],
)
def test_the_calls_are_away(module: str, names: list[str]) -> None:
    assert missing(module, names, path="") == []
    assert missing(module, names, path=WITHOUT) == names


def missing(module: str, names: list[str], *, path: str) -> list[str]:
    code = f"import ctypes, fcntl, os, resource, socket, sys; found = {module}\n"
    listing = "print(*(n for n in sys.argv[1:] if not hasattr(found, n)))"
    return run(
        sys.executable, "-c", code + listing, *names, PYTHONPATH=path
    ).stdout.split()


def test_a_host_is_known_by_its_name() -> None:
    assert python(HOST).endswith("-0-")
