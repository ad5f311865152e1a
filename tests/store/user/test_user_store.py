"""The store of the user's cache where its cache fails during a pull."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.store.parts.folder import PartStore, key_of
from dvc_studio_models.store.user.store import UserStore, open_user_store

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"0123456789" * 100
FULL = LocalDiskError("/x", "no space left on device")


def md5(content: bytes) -> Digest:
    return Digest(MD5, hashlib.md5(content).hexdigest())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path, tmp_path: Path) -> Iterator[UserStore]:
    with contextlib.closing(open_user_store(root, tmp_path / "cache")) as opened:
        assert isinstance(opened, UserStore)
        yield opened


def unfinished(store: UserStore, content: bytes) -> None:
    """Leave the first half of a content as a part."""
    part = PartStore(store.parts).create(key_of(md5(content)))
    part.describe(len(content), None)
    with part.open() as file:
        part.write(file, 0, content[: len(content) // 2])
    part.close()
    part.release()


def damage_state(store: UserStore) -> None:
    """Damage the open database of hashes."""
    (database,) = Path(store.repo.site_cache_dir).glob("hashes/local/cache.db")
    for path in database.parent.glob("cache.db*"):
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)


def test_without_the_cache_parts_are_resumed_beside_the_target(
    store: UserStore, root: Path
) -> None:
    unfinished(store, CONTENT)
    unfinished(store, b"of another pull")
    cached = store.parts

    assert store.stop_caching(FULL, [md5(CONTENT)])

    assert store.parts == root / ".dvc-models" / "parts"
    assert store.cache_folder is None
    assert PartStore(store.parts).has_part(key_of(md5(CONTENT)))
    assert not PartStore(cached).has_part(key_of(md5(CONTENT)))
    assert PartStore(cached).has_part(key_of(md5(b"of another pull")))
    assert not store.stop_caching(FULL, [])


def test_a_state_that_is_damaged_is_done_without(store: UserStore, root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    store.digest_of(root / "file", MD5)
    damage_state(store)
    (root / "file").write_bytes(b"changed")

    assert store.digest_of(root / "file", MD5) == md5(b"changed")
    store.save_hashes(root, {"file": md5(b"changed")}, {})
    assert store.size_of(md5(CONTENT)) is None
