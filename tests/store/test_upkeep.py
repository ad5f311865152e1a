"""The objects in the folder of a cache: found, read, hashed, removed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from dvc_studio_models.errors import CacheDamagedError, LocalDiskError
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.upkeep.folder import OWN, UNFINISHED, CacheFolder

if TYPE_CHECKING:
    from pathlib import Path


def add(cache: Path, content: bytes, *, suffix: str = "", kind: str = MD5) -> Digest:
    """Add an object and return its digest."""
    value = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    digest = Digest(kind, value)
    path = cache / digest.object_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest


def add_listing(cache: Path, files: dict[str, Digest]) -> Digest:
    entries = [{"md5": digest.value, "relpath": path} for path, digest in files.items()]
    return add(cache, json.dumps(entries).encode(), suffix=".dir")


def test_objects_of_both_layouts_are_found(tmp_path: Path) -> None:
    new = add(tmp_path, b"new")
    old = add(tmp_path, b"old", kind=MD5_DOS2UNIX)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "0").write_text("no object")
    cache = CacheFolder(tmp_path)

    assert set(cache.every()) == {new, old}
    assert [cache.find(each).size for each in (new, old)] == [3, 3]  # type: ignore[union-attr]
    assert cache.has_legacy_objects
    assert not CacheFolder(tmp_path / "none").has_legacy_objects
    assert list(CacheFolder(tmp_path / "none").every()) == []


def test_a_path_is_an_object_only_where_objects_are(tmp_path: Path) -> None:
    digest = add(tmp_path, b"x")
    cache = CacheFolder(tmp_path)

    assert cache.digest_at(str(cache.path_of(digest))) == digest
    assert cache.digest_at(str(tmp_path / "models" / "any.json")) is None
    assert cache.digest_at(str(tmp_path / "files" / "md5" / "ab" / "zz")) is None
    assert cache.is_inside(str(cache.path_of(digest)))
    assert not cache.is_inside(f"{tmp_path}-other/files")


def test_a_listing_is_read_if_it_has_its_hash(tmp_path: Path) -> None:
    inner = add(tmp_path, b"inner")
    listing = add_listing(tmp_path, {"a/b": inner})
    missing = Digest(MD5, "0" * 32 + ".dir")

    assert CacheFolder(tmp_path).read_listing(listing) == {"a/b": inner}
    assert CacheFolder(tmp_path).read_listing(missing) is None
    CacheFolder(tmp_path).path_of(listing).write_text("[]")
    with pytest.raises(CacheDamagedError):
        CacheFolder(tmp_path).read_listing(listing)
    no_list = add(tmp_path, b"7", suffix=".dir")
    with pytest.raises(CacheDamagedError):
        CacheFolder(tmp_path).read_listing(no_list)


def test_a_hash_is_compared_with_the_name(tmp_path: Path) -> None:
    whole, damaged = add(tmp_path, b"whole"), add(tmp_path, b"damaged")
    cache = CacheFolder(tmp_path)
    cache.path_of(damaged).write_bytes(b"DAMAGED")

    assert cache.has_its_hash(whole) is True
    assert cache.has_its_hash(damaged) is False
    assert cache.has_its_hash(Digest(MD5, "0" * 32)) is None


def test_an_unfinished_removal_is_known_and_forgotten_at_the_end(
    tmp_path: Path,
) -> None:
    one, two = add(tmp_path, b"one"), add(tmp_path, b"two")
    note = tmp_path / OWN / UNFINISHED
    note.parent.mkdir()
    note.write_text(f"md5 {one.value}\nmd5 {'0' * 32}\nno digest\n\0\n")

    assert CacheFolder(tmp_path).unfinished() == {one}
    CacheFolder(tmp_path).remove([one])
    assert not note.exists()
    assert set(CacheFolder(tmp_path).every()) == {two}
    assert CacheFolder(tmp_path).unfinished() == set()


def test_what_cannot_be_looked_at_is_an_error_and_not_missing(tmp_path: Path) -> None:
    digest = add(tmp_path, b"x")
    (tmp_path / OWN).write_text("no folder")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    with pytest.raises(LocalDiskError):
        CacheFolder(loop).find(digest)
    with pytest.raises(LocalDiskError):
        list(CacheFolder(loop).every())
    with pytest.raises(LocalDiskError):
        CacheFolder(tmp_path).remove([digest])
    assert CacheFolder(tmp_path).find(digest)
