"""The hash of a directory, with DVC's own object of one as the oracle."""

from __future__ import annotations

import pytest

from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.dvc.objects import build_tree, tree_digest

HASHES = [f"{number:032x}" for number in range(10)]
LISTINGS = {
    "one file": ["a"],
    "a folder beside a file": ["a/b", "a.b", "a-b", "a", "a b", "ab"],
    "deep": ["c/b/a", "c/b", "c/a/b"],
    "not in ASCII": ["\u00fc", "u\u0308", "\uff0e", "\U0001f600", "z"],
    "to be escaped": ['"', "\\", "\t", "\x7f", "/"],
    "cases": ["B", "a", "A", "b"],
}


@pytest.mark.parametrize("algorithm", [MD5, MD5_DOS2UNIX])
@pytest.mark.parametrize("paths", LISTINGS.values(), ids=LISTINGS)
def test_the_hash_is_the_one_of_dvc(paths: list[str], algorithm: str) -> None:
    hashes = zip(paths, HASHES, strict=False)
    files = {path: Digest(algorithm, value) for path, value in hashes}

    digest = tree_digest(files)

    assert digest == Digest(algorithm, build_tree(files).hash_info.value)


def test_a_listing_of_both_algorithms_has_the_hash_of_dvc() -> None:
    files = {"a": Digest(MD5, HASHES[0]), "b": Digest(MD5_DOS2UNIX, HASHES[1])}

    digest = tree_digest(files)

    assert digest == Digest(MD5_DOS2UNIX, build_tree(files).hash_info.value)
