"""Rules for the paths that a server may name. No I/O.

A path must be relative and have normal components only. No system may resolve it to
another place, and it must not configure Git, DVC or CI. Every path is refused that Git
refuses with ``core.protectNTFS`` and ``core.protectHFS`` (``verify_path`` in its
``read-cache.c``). Paths are never normalised: they are used as they are, or refused.
"""

from __future__ import annotations

import functools
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
"""Name of the folder for temporary files that is made in the user's folders."""

# Control characters, ends of lines and paragraphs, lone surrogates: Cc, Zl, Zp, Cs
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OWN_FOLDERS = {".git", ".dvc", HIDDEN}
_CONFIG_FILES = {
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
# HFS+ and case-insensitive ext4 ignore these when they compare names (Unicode's
# Default_Ignorable_Code_Point; Git has those of HFS+, ``next_hfs_char`` in utf8.c).
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_DRIVE = re.compile("[C-Zc-z]:")  # ``a:b`` is a name like others, but on Windows


@functools.lru_cache(maxsize=1 << 15)  # a pull checks each path several times
def path_problem(path: str) -> str | None:
    """Return why ``path`` must not be written, or None.

    Args:
        path: As the server names it, with ``/``.
    """
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if _UNPRINTABLE.search(path):
        return "it contains control characters or invalid Unicode"
    if path.startswith("/") or _DRIVE.match(path):
        return "it is absolute"
    if "\\" in path:
        return "it contains a backslash"
    for name in path.split("/"):
        if problem := _name_problem(name):
            return problem
    return None


@functools.lru_cache(maxsize=1 << 10)  # many files share few folders
def _name_problem(name: str) -> str | None:
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"a name in it is longer than {MAX_NAME_BYTES} bytes"
    plain = _canonical(name)
    if not plain:
        return "it has a component that is empty, or only dots and spaces"
    if own := own_folder(name):
        return f"it leads into '{own}'"
    if plain in _CONFIG_FILES or plain.endswith(".dvc") or _SHORT_NAME.fullmatch(plain):
        return "it is a file that configures Git, DVC or CI"
    return None


def own_folder(name: str) -> str | None:
    """Return which folder of Git, DVC or ours a name may lead to, if to any."""
    plain = _canonical(name)
    return plain if plain in _OWN_FOLDERS else None


def _canonical(name: str) -> str:
    """Reduce a name as the file systems do that ignore the most differences.

    NTFS ends a name at a colon, where the name of a stream begins, and drops dots and
    spaces at its end: ``.git::$INDEX_ALLOCATION`` and ``.git .`` are ``.git``.
    """
    seen = fold(unicodedata.normalize("NFKC", name))
    stem = seen.partition(":")[0] or seen
    return stem.rstrip(" .")


def _short_names() -> Iterator[str]:
    """Yield patterns of the short names that NTFS may have given to the names above.

    Six letters, a number up to 4, three letters of the extension: ``.github`` is
    ``GITHUB~1``, ``dvc.yaml`` is ``DVC~1.YAM``. After that a hash: ``.gitmodules`` is
    ``GI7EBA~1``, with less of the hash as the number grows (``is_ntfs_dot_generic`` in
    Git's path.c, where these three hashes are from).
    """
    for name in _OWN_FOLDERS | _CONFIG_FILES:
        stem, _, extension = name.lstrip(".").partition(".")
        dotted = re.escape(f".{extension[:3]}") if extension else ""
        yield f"{re.escape(stem[:6])}~[1-4]{dotted}"
    for hashed in ("gi7eba", "gi7d29", "gi250a"):
        begun = "|".join(hashed[:length] for length in range(len(hashed) + 1))
        yield rf"(?=.{{8}}$)(?:{begun})~[1-9][0-9]*"


_SHORT_NAME = re.compile("|".join(_short_names()))


def clashes(paths: Iterable[str], *, folding: bool) -> Iterator[tuple[str, str]]:
    """Yield paths that cannot all exist, each with the reason.

    Args:
        paths: Each one safe on its own.
        folding: Whether names are the same to the file system if they differ only in
            case or in Unicode form. On macOS, the form is taken never to count: HFS+
            stores one form, and only a variant of APFS before macOS 10.13 knew two.
    """
    key_of = fold if folding else compose if sys.platform == "darwin" else str
    by_key: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_key[key_of(path)].append(path)
    above = ""
    # With the smallest character between names, a folder's files come right after it.
    for key in sorted(by_key, key=lambda key: key.replace("/", "\0")):
        first, *others = by_key[key]
        for other in others:
            shown = ascii if compose(first) == compose(other) else repr
            yield other, f"it is the same file as {shown(first)} here"
        if key.startswith(f"{above}/"):
            yield first, f"{by_key[above][0]!r} is a file too, so it cannot be a folder"
        else:
            above = key


def compose(path: str) -> str:
    """Map a path so that equal results mean one path if Unicode's forms are ignored."""
    return unicodedata.normalize("NFC", path)


def fold(path: str) -> str:
    """Map a path so that equal results mean one path if case and form are ignored."""
    visible = unicodedata.normalize("NFD", _IGNORABLE.sub("", path))
    return unicodedata.normalize("NFC", visible.casefold())
