"""Which of the paths that a server names may be written. No I/O.

Rules, not a list: relative, of normal components only, nothing that Linux, macOS or
Windows would resolve elsewhere, nothing that steers Git, DVC or CI. Git is the judge:
what it refuses to put into a tree with ``core.protectNTFS`` and ``core.protectHFS``, we
refuse (``verify_path`` in Git's ``read-cache.c``). Never normalises: a path is taken as
it is, or not at all.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4095
HIDDEN = ".dvc-models"
"""Folder of our own, for files on their way; the only one in a folder of the user's."""

_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # control, lone surrogate, line, paragraph
_PRIVATE = {".git", ".dvc", HIDDEN}
_STEERING = {
    # Git and what reads the same way
    ".gitattributes",
    ".gitignore",
    ".gitmodules",
    ".lfsconfig",
    ".pre-commit-config.yaml",
    # DVC and GTO
    ".dvcignore",
    ".gto",
    "dvc.lock",
    "dvc.yaml",
    # CI
    ".circleci",
    ".forgejo",
    ".gitea",
    ".github",
    ".gitlab",
    ".gitlab-ci.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "jenkinsfile",
}
# What HFS+ and case-insensitive ext4 leave out when they compare names (Unicode's
# Default_Ignorable_Code_Point; Git knows those of HFS+, ``next_hfs_char`` in utf8.c).
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# ``C:x`` is refused everywhere. ``a:b`` is a name like any other where there are no
# drives, and where there are, the colon is refused.
_DRIVE = re.compile("[C-Zc-z]:")
_WINDOWS_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d) *(?:\..*)?"
)


def path_problem(path: str, *, windows: bool = sys.platform == "win32") -> str | None:
    """Say why ``path`` must not be written, or None.

    Args:
        path: As the server names it, with ``/``.
        windows: Whether names that are merely impossible there are refused too.
    """
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if any(unicodedata.category(char) in _UNPRINTABLE for char in path):
        return "it contains control characters or invalid Unicode"
    if path.startswith("/") or _DRIVE.match(path):
        return "it is absolute"
    if "\\" in path:
        return "it contains a backslash"
    for name in path.split("/"):
        if problem := _name_problem(name, windows=windows):
            return problem
    return None


def _name_problem(name: str, *, windows: bool) -> str | None:
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"a name in it is longer than {MAX_NAME_BYTES} bytes"
    plain = _plain(name)
    if not plain:
        return "it has a component that is empty, or only dots and spaces"
    if plain in _PRIVATE:
        return f"it leads into '{plain}'"
    if plain in _STEERING or plain.endswith(".dvc") or _SHORT_NAME.fullmatch(plain):
        return "it is a file that configures Git, DVC or CI"
    if windows and _is_impossible_on_windows(name, plain):
        return "Windows does not allow this name"
    return None


def _plain(name: str) -> str:
    """Reduce a name to what the least exact of all file systems takes it for.

    NTFS ends it at a colon, where a stream's name begins, and drops dots and spaces at
    its end: ``.git::$INDEX_ALLOCATION`` and ``.git .`` are the folder ``.git``.
    """
    seen = fold(unicodedata.normalize("NFKC", name))
    stem = seen.partition(":")[0] or seen
    return stem.rstrip(" .")


def _is_impossible_on_windows(name: str, plain: str) -> bool:
    return bool(
        re.search(r'[<>:"|?*]', name)
        or name[-1] in " ."
        or _WINDOWS_DEVICE.fullmatch(plain)
    )


def _short_names() -> Iterator[str]:
    """Make patterns of the short names that NTFS may have given to names above.

    Six letters, a number up to 4, three letters of the extension: ``.github`` is
    ``GITHUB~1``, ``dvc.yaml`` is ``DVC~1.YAM``. After that a hash: ``.gitmodules`` is
    ``GI7EBA~1``, with less of the hash as the number grows (``is_ntfs_dot_generic`` in
    Git's path.c, where these three hashes are from).
    """
    for name in _PRIVATE | _STEERING:
        stem, _, extension = name.lstrip(".").partition(".")
        dotted = re.escape(f".{extension[:3]}") if extension else ""
        yield f"{re.escape(stem[:6])}~[1-4]{dotted}"
    for hashed in ("gi7eba", "gi7d29", "gi250a"):
        begun = "|".join(hashed[:length] for length in range(len(hashed) + 1))
        yield rf"(?=.{{8}}$)(?:{begun})~[1-9][0-9]*"


_SHORT_NAME = re.compile("|".join(_short_names()))


def clashes(paths: Iterable[str], *, folding: bool) -> Iterator[tuple[str, str]]:
    """Find paths that cannot all exist, each with the reason.

    Args:
        paths: Each safe by itself.
        folding: Whether the file system takes names for equal that differ only in case
            or in Unicode form.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_key[fold(path) if folding else path].append(path)
    above = ""
    # With the smallest character between names, a folder's files come right after it.
    for key in sorted(by_key, key=lambda key: key.replace("/", "\0")):
        first, *others = by_key[key]
        for other in others:
            yield other, f"it is the same file as {first!r} here"
        if key.startswith(f"{above}/"):
            yield first, f"{by_key[above][0]!r} is a file too, so it cannot be a folder"
        else:
            above = key


def fold(path: str) -> str:
    """Map names that a case-insensitive, normalising file system takes for one."""
    visible = unicodedata.normalize("NFD", _IGNORABLE.sub("", path))
    return unicodedata.normalize("NFC", visible.casefold())
