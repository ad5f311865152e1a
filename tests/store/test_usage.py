"""Usage records: what a cache is known to have, and since when."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dvc_studio_models.errors import LocalDiskError
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.usage import (
    UsageRecord,
    read_usage,
    usage_path,
    write_usage,
)

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "models/a/b.bin": Digest(MD5, "0" * 32),
    "models/c.txt": Digest(MD5_DOS2UNIX, "1" * 32),
}
RECORD = UsageRecord(
    "team:churn",
    "https://git.example.com/acme/models",
    "v1.0.0",
    "a" * 40,
    FILES,
    {"models/a/b.bin": 3},
    {"models/a": Digest(MD5, f"{'2' * 32}.dir")},
    "/srv/app",
    "#prod",
)


def test_there_are_none_at_first(tmp_path: Path) -> None:
    assert read_usage(tmp_path) == ([], [])
    assert read_usage(tmp_path / "none") == ([], [])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_usage(tmp_path, [RECORD])

    (found,), broken = read_usage(tmp_path)

    assert broken == []
    path = usage_path(tmp_path, RECORD)
    assert replace(found, used=0) == RECORD
    assert (found.sizes, found.selector) == (RECORD.sizes, RECORD.selector)
    assert (found.path, found.used) == (path, path.stat().st_mtime)
    assert found.digests == {*FILES.values(), *RECORD.trees.values()}


@pytest.mark.parametrize(
    "change",
    [
        {"version": None},
        {"commit": None},
        {"repo": "git@git.example.com:acme/other"},
        {"root": "/srv/other"},
        {"files": {}, "sizes": {}},
        {"trees": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_version_and_root_has_its_own(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    other = replace(RECORD, **change)
    write_usage(tmp_path, [RECORD, other])

    assert len(read_usage(tmp_path)[0]) == 2


def test_a_record_that_exists_is_touched(tmp_path: Path) -> None:
    write_usage(tmp_path, [RECORD])
    path = usage_path(tmp_path, RECORD)
    os.utime(path, (1, 1))
    text, inode = path.read_text(), path.stat().st_ino

    write_usage(tmp_path, [replace(RECORD, selector="", sizes={})])

    assert (path.read_text(), path.stat().st_ino) == (text, inode)
    assert path.stat().st_mtime > 1


def test_the_version_used_last_comes_first(tmp_path: Path) -> None:
    other = replace(RECORD, version="v2.0.0")
    write_usage(tmp_path, [RECORD, other])
    os.utime(usage_path(tmp_path, RECORD), (1, 1))

    assert read_usage(tmp_path)[0] == [other, RECORD]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", None),
        ("root", 3),
        ("version", 1),
        ("files", {"../x": [MD5, "0" * 32]}),
        ("files", {"x": [MD5, "../../x"]}),
        ("files", {"x": [MD5, f"{'0' * 32}.dir"]}),
        ("trees", {"x": [MD5, "0" * 32]}),
        ("trees", {"/x": [MD5, f"{'0' * 32}.dir"]}),
        ("sizes", {"unknown": 3}),
        ("sizes", {"models/a/b.bin": -1}),
        ("sizes", {"models/a/b.bin": "3"}),
        ("path", "x"),
        ("more", 1),
        ("commit", "b" * 40),
    ],
)
def test_what_no_pull_has_written_is_no_record(
    tmp_path: Path, key: str, value: object
) -> None:
    write_usage(tmp_path, [RECORD])
    path = usage_path(tmp_path, RECORD)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    assert read_usage(tmp_path) == ([], [path])


def test_a_file_that_is_cut_is_no_record_and_is_replaced(tmp_path: Path) -> None:
    write_usage(tmp_path, [RECORD])
    path = usage_path(tmp_path, RECORD)
    path.write_text(path.read_text()[:20])

    assert read_usage(tmp_path) == ([], [path])
    write_usage(tmp_path, [RECORD], anew=True)
    assert read_usage(tmp_path) == ([RECORD], [])


def test_records_that_cannot_be_listed_are_not_none(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")

    with pytest.raises(LocalDiskError):
        read_usage(tmp_path)


def test_a_cache_that_cannot_be_written_gets_no_record(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    write_usage(tmp_path, [RECORD])
    write_usage(tmp_path / "none", [RECORD])

    assert [path.name for path in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize(("mode", "of_file"), [(0o2770, 0o660), (0o700, 0o600)])
def test_who_may_write_the_cache_may_touch_records(
    tmp_path: Path, mode: int, of_file: int
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)

    write_usage(cache, [RECORD])

    path = usage_path(cache, RECORD)
    assert stat.S_IMODE(path.parent.stat().st_mode) == mode
    assert stat.S_IMODE(path.stat().st_mode) == of_file
