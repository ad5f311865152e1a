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

_PRIVATE = {".git": "git", ".dvc": "dvc"}
_STEERING = {
    ".dvcignore",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".gitlab-ci.yml",
    ".gitmodules",
    "dvc.lock",
    "dvc.yaml",
}
# NTFS gives long names short ones: the first letters, or two letters and a hash
# (``is_ntfs_dot_generic`` in Git's ``path.c``).
_SHORT_NAMES = re.compile(
    r"(?:git|dvc|gitmod|gitatt|gitign|github|gitlab|dvcign)~\d+"
    r"|(?:gi7eba|gi7d29|gi250a)~\d+"
)
_HFS_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_WINDOWS_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def path_problem(path: str, *, windows: bool = sys.platform == "win32") -> str | None:
    """Say why ``path`` must not be written, or None.

    Args:
        path: As the server names it, with ``/``.
        windows: Whether names that are merely impossible there are refused too.
    """
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in path):
        return "it holds control characters or broken Unicode"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "it is absolute"
    if "\\" in path:
        return "it holds a backslash"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    for name in path.split("/"):
        if problem := _name_problem(name, windows=windows):
            return problem
    return None


def _name_problem(name: str, *, windows: bool) -> str | None:
    if name in {"", ".", ".."}:
        return "it has an empty, '.' or '..' component"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"a name in it is longer than {MAX_NAME_BYTES} bytes"
    plain = _plain(name)
    if plain in _PRIVATE:
        return f"it leads into '{plain}'"
    if plain in _STEERING or plain.endswith(".dvc") or _SHORT_NAMES.fullmatch(plain):
        return "it is a file that steers Git, DVC or CI"
    if windows and _is_impossible_on_windows(name):
        return "Windows has no such name"
    return None


def _plain(name: str) -> str:
    """Reduce a name to what HFS+ and NTFS would take it for."""
    seen = name.translate(_HFS_IGNORED).casefold()
    return seen.partition(":")[0].rstrip(" .") or seen


def _is_impossible_on_windows(name: str) -> bool:
    return bool(
        re.search(r'[<>:"|?*]', name)
        or name[-1] in " ."
        or _WINDOWS_DEVICE.fullmatch(name)
    )


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
    for key, same in by_key.items():
        if len(same) > 1:
            yield same[0], f"it is one file with {same[1]!a} here"
        parent = key.rpartition("/")[0]
        while parent:
            if parent in by_key:
                yield by_key[parent][0], f"it is the folder of {same[0]!a} too"
            parent = parent.rpartition("/")[0]


def fold(path: str) -> str:
    """Map names that a case-insensitive, normalising file system takes for one."""
    return unicodedata.normalize("NFC", path).casefold()


def outside(paths: Iterable[str], artifact: str) -> Iterator[tuple[str, str]]:
    """Find paths that lie outside an artifact's own, each with the reason."""
    for path in paths:
        if path != artifact and not path.startswith(f"{artifact}/"):
            yield path, f"the model's own path is {artifact!a}"
