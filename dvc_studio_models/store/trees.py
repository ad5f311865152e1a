"""Directories as DVC records them: a list of files, and the hash of that list."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import IntegrityError
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def build_tree(files: Mapping[str, Digest]) -> Any:
    """Build DVC's own object of a directory from its files' relative paths."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for path, digest in files.items():
        tree.add(tuple(path.split("/")), None, HashInfo(digest.algorithm, digest.value))
    tree.digest()
    return tree


def parse_tree(raw: bytes, digest: Digest) -> dict[str, Digest]:
    """Read a ``.dir`` object: relative path to digest, for each file.

    Raises:
        IntegrityError: It is not a list of files, although its hash is right.
    """
    from dvc_data.hashfile.tree import Tree

    try:
        tree = Tree.from_list(json.loads(raw), hash_name=digest.algorithm)
        return {
            "/".join(key): Digest(digest.algorithm, hash_info.value.lower())
            for key, _, hash_info in tree
        }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise IntegrityError(
            digest.value, expected=digest, actual="no list of files", source="Git"
        ) from None


def tree_digest(files: Mapping[str, Digest]) -> Digest:
    """Compute the ``.dir`` hash of a directory from the hashes of its files.

    Args:
        files: Relative path to digest, for every file in it.
    """
    algorithms: Iterable[str] = {digest.algorithm for digest in files.values()}
    algorithm = MD5_DOS2UNIX if MD5_DOS2UNIX in algorithms else MD5
    # ``dvc_data.hashfile.tree.Tree.as_bytes``, without the import of it
    entries = [{MD5: files[path].value, "relpath": path} for path in sorted(files)]
    text = json.dumps(entries, sort_keys=True)
    value = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return Digest(algorithm, f"{value}.dir")
