"""Copies and flushes."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from fetching import noise
from needs import need_proc, need_program, other_file_system

from dvc_studio_models.files.durable import (
    PIECE_BYTES,
    copy,
    copy_piece,
    copy_uncached,
    flush_file_system,
    fsync_open,
    make_executable,
)

pytestmark = pytest.mark.reliability("Copies and flushes")


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


@pytest.mark.parametrize("size", [5, PIECE_BYTES + 5], ids=["small", "large"])
def test_a_copy_of_a_known_size_has_no_more_bytes(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as grown:
        grown.truncate(size + 7)

    copy(source, target, size)

    assert target.stat().st_size == size


def test_a_copy_of_a_file_that_has_become_shorter_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"short")

    with pytest.raises(FileNotFoundError):
        copy(tmp_path / "source", tmp_path / "target", 6)


@pytest.mark.linux
def test_a_copy_is_made_where_the_kernel_copies_nothing(tmp_path: Path) -> None:
    """Some file systems answer 0 instead of an error, as if the file ended there."""
    need_program("strace")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(3 << 20))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dvc_studio_models.files.durable import copy\n"
        "copy(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    inject = ["-e", "inject=copy_file_range:retval=0", "-o", tmp_path / "calls"]
    run = ["strace", "-f", *inject, sys.executable, "-c", code, source, target]
    done = subprocess.run(run, check=False, capture_output=True, text=True)

    assert done.stderr == ""
    assert target.read_bytes() == noise(3 << 20)
    assert "(INJECTED)" in (tmp_path / "calls").read_text()


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

    copy_uncached(source, target, 0, middle)
    copy_uncached(source, target, middle, size)

    assert target.read_bytes() == noise(size)


@pytest.mark.linux
def test_a_copy_aside_has_the_content_where_memory_cannot_be_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(10_000))
    target.touch()

    copy_uncached(source, target, 0, 10_000)

    assert target.read_bytes() == noise(10_000)


def test_a_copy_aside_of_what_was_cut_short_is_an_error(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(10_000))
    target.touch()

    with pytest.raises(FileNotFoundError):
        copy_uncached(source, target, 0, 20_000)


def test_what_cannot_be_flushed_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        fsync_open(1 << 20)

    assert raised.value.errno == errno.EBADF


@pytest.mark.parametrize("answer", ["EINVAL", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_that_cannot_flush_is_no_error(
    tmp_path: Path, answer: str
) -> None:
    need_program("strace")
    code = "from dvc_studio_models.files.durable import fsync_open; fsync_open(1)"
    inject = ["-e", "trace=fsync", "-e", f"inject=fsync:error={answer}"]

    done = subprocess.run(
        [
            "strace",
            "-qq",
            "-o",
            tmp_path / "calls",
            *inject,
            sys.executable,
            "-c",
            code,
        ],
        check=False,
    )

    assert "INJECTED" in (tmp_path / "calls").read_text()
    assert done.returncode == 0


FLUSH = (
    "import sys; from dvc_studio_models.files.durable import fsync_files; "
    "fsync_files(sys.argv[1:])"
)


def many_files(*folders: Path) -> list[Path]:
    """Make twenty files in the folders in turn."""
    files = [folders[n % len(folders)] / f"file-{n}" for n in range(20)]
    for file in files:
        file.write_bytes(b"content")
    return files


def flushes(
    tmp_path: Path, files: list[Path], *inject: str, prefix: tuple[str, ...] = ()
) -> tuple[Counter[str], subprocess.CompletedProcess[str]]:
    """Flush files in a process, and count its calls that succeed."""
    need_program("strace")
    log = tmp_path / "calls"
    trace = ["-e", "trace=fsync,syncfs", *(f"--inject={each}" for each in inject)]
    strace = ["strace", "-f", "-qq", "-o", log, *trace]
    done = subprocess.run(
        [*strace, *prefix, sys.executable, "-c", FLUSH, *files],
        check=False,
        capture_output=True,
        text=True,
    )
    succeeded = re.compile(r"\b(fsync|syncfs)\b.* = 0$", re.MULTILINE)
    return Counter(succeeded.findall(log.read_text())), done


@pytest.mark.linux
def test_many_files_are_flushed_with_one_call(tmp_path: Path) -> None:
    calls, done = flushes(tmp_path, many_files(tmp_path))

    assert (done.returncode, calls) == (0, {"syncfs": 1})


@pytest.mark.linux
def test_many_files_of_two_file_systems_are_flushed_with_two_calls(
    tmp_path: Path,
) -> None:
    with tempfile.TemporaryDirectory(dir=other_file_system(tmp_path)) as far:
        calls, done = flushes(tmp_path, many_files(tmp_path, Path(far)))

    assert (done.returncode, calls) == (0, {"syncfs": 2})


def test_many_files_are_flushed_where_no_call_flushes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = Path(__file__).parents[1] / "without_linux"
    paths = [str(without), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    calls, done = flushes(tmp_path, many_files(tmp_path))

    assert (done.returncode, calls) == (0, {"fsync": 20}), done.stderr


def test_a_few_files_are_flushed_one_by_one(tmp_path: Path) -> None:
    """Their flush does not wait for everything that others write."""
    calls, done = flushes(tmp_path, many_files(tmp_path)[:8])

    assert (done.returncode, calls) == (0, {"fsync": 8})


def test_a_system_that_hides_errors_flushes_file_by_file(tmp_path: Path) -> None:
    """Before Linux 5.8 the call for a whole file system reports none."""
    need_program("setarch")
    files = many_files(tmp_path)
    calls, done = flushes(tmp_path, files, prefix=("setarch", "--uname-2.6"))

    assert (done.returncode, calls) == (0, {"fsync": 20})


@pytest.mark.parametrize("error", ["ENOSYS", "EIO", "ENOSPC"])
def test_a_file_system_that_cannot_be_flushed_is_flushed_file_by_file(
    tmp_path: Path, error: str
) -> None:
    """An error may be one of somebody else's files."""
    calls, done = flushes(tmp_path, many_files(tmp_path), f"syncfs:error={error}")

    assert (done.returncode, calls) == (0, {"fsync": 20})


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_a_disk_that_refuses_a_file_of_many_is_an_error(
    tmp_path: Path, error: str
) -> None:
    refused = (f"syncfs:error={error}", f"fsync:error={error}")
    _, done = flushes(tmp_path, many_files(tmp_path), *refused)

    assert f"OSError: [Errno {getattr(errno, error)}]" in done.stderr


def test_a_file_system_that_may_hide_errors_is_not_flushed_as_a_whole() -> None:
    need_proc()
    with Path("/proc/self/status").open() as file:
        assert not flush_file_system(file.fileno())


def test_the_owner_may_run_a_file_and_what_else_its_mode_says_stays(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o2440)

    make_executable(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o2540


def test_what_a_link_leads_to_is_made_executable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o600)
    (tmp_path / "link").symlink_to(file)

    with_folder = os.open(tmp_path, os.O_RDONLY)
    try:
        make_executable("link", with_folder)
    finally:
        os.close(with_folder)

    assert file.stat().st_mode & stat.S_IEXEC
    assert (tmp_path / "link").is_symlink()


def test_a_file_that_can_be_run_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o700)
    before = file.stat().st_ctime_ns
    time.sleep(0.02)  # the clock of a file system is coarse

    make_executable(file)

    assert file.stat().st_ctime_ns == before
