"""Copies and flushes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from fetching import noise
from needs import other_file_system

from dvc_studio_models.disk import (
    PIECE_BYTES,
    copy,
    copy_aside,
    copy_piece,
    flush_open,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "size", [0, 1000, PIECE_BYTES + 5], ids=["empty", "small", "large"]
)
def test_a_copy_has_the_content_and_a_mode_of_its_own(
    tmp_path: Path, size: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(1000) * (size // 1000) + bytes(size % 1000))
    source.chmod(0o444)

    copy(source, target)

    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o200
    assert target.stat().st_ino != source.stat().st_ino


def test_a_copy_to_another_file_system_has_the_content(tmp_path: Path) -> None:
    far = other_file_system(tmp_path)
    source, target = tmp_path / "source", far / f"dvc-studio-models-copy-{os.getpid()}"
    source.write_bytes(noise(3 << 20))
    try:
        copy(source, target)

        assert target.read_bytes() == source.read_bytes()
    finally:
        target.unlink(missing_ok=True)


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")

    with pytest.raises(FileExistsError):
        copy(source, target)

    assert target.read_bytes() == b"old"


def test_a_copy_of_what_was_cut_short_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"short")
    with (
        (tmp_path / "source").open("rb") as old,
        (tmp_path / "new").open("wb") as new,
        pytest.raises(FileNotFoundError),
    ):
        copy_piece(old.fileno(), new.fileno(), 0, 6)


def test_a_piece_is_copied_to_its_place(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"abcdef")
    with (tmp_path / "source").open("rb") as old, (tmp_path / "new").open("wb") as new:
        copy_piece(old.fileno(), new.fileno(), 2, 5)

    assert (tmp_path / "new").read_bytes() == b"\0\0cde"


@pytest.mark.parametrize(
    "size", [0, 1, 4095, 4096, 4097, (3 << 20) + 5], ids=lambda size: f"{size} bytes"
)
def test_a_copy_aside_has_the_content(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(size))
    target.touch()
    middle = size // 2 // 4096 * 4096

    copy_aside(source, target, 0, middle)
    copy_aside(source, target, middle, size)

    assert target.read_bytes() == noise(size)


def test_a_copy_aside_has_the_content_where_memory_cannot_be_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECT")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(10_000))
    target.touch()

    copy_aside(source, target, 0, 10_000)

    assert target.read_bytes() == noise(10_000)


def test_a_copy_aside_of_what_was_cut_short_is_an_error(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(10_000))
    target.touch()

    with pytest.raises(FileNotFoundError):
        copy_aside(source, target, 0, 20_000)


def test_what_cannot_be_flushed_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        flush_open(1 << 20)

    assert raised.value.errno == errno.EBADF
