"""What macOS has in place of Linux's calls.

The calls themselves exist on macOS only. ``darwin`` gives Python the name of that
system and the attributes that it has there, so these tests show which calls are made
and what follows from their answers, not what macOS answers.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import stat
import sys
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
from needs import need_proc

from dvc_studio_models.files import owner
from dvc_studio_models.files.durable import copy, fsync_files, fsync_open, write_out
from dvc_studio_models.files.folders import FileStamp, SafeFolders, as_listed, is_listed
from dvc_studio_models.files.moves import has_same_access
from dvc_studio_models.files.owner import is_dead
from dvc_studio_models.files.paths import clashes
from dvc_studio_models.files.scratch import hide_from_git
from dvc_studio_models.files.transaction import Transaction
from dvc_studio_models.files.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

FULL_FSYNC = 51
SESSION = "8B5F4A6E-3F0B-4F43-9A0C-3F5D7C1B2A90"


@ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_char),
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.c_void_p,
    ctypes.c_size_t,
)
def sysctlbyname(
    name: bytes,
    answer: ctypes.Array[ctypes.c_char],
    size: ctypes.Array[ctypes.c_size_t],
    new: int | None,
    new_size: int,
) -> int:
    text = f"{SESSION}\0".encode()
    if name != b"kern.bootsessionuuid" or new or new_size or int(size[0]) < len(text):
        return -1
    ctypes.memmove(answer, text, len(text))
    return 0


@pytest.fixture
def darwin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", FULL_FSYNC, raising=False)
    for name in ("O_DIRECT", "O_TMPFILE", "copy_file_range", "listxattr", "getxattr"):
        monkeypatch.delattr(os, name, raising=False)
    libc = SimpleNamespace(sysctlbyname=sysctlbyname)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    for cached in (owner.host_id, owner._with_start):
        cached.cache_clear()
        monkeypatch.setattr(owner, cached.__name__, cached.__wrapped__)


class Drive:
    """Counts flushes, and answers ``F_FULLFSYNC``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusal: int | None) -> None:
        self.calls: list[str] = []
        self.refusal = refusal
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(fcntl, "fcntl", self.fcntl)

    def fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.calls.append("fsync")

    def fcntl(self, descriptor: int, command: int) -> int:
        os.fstat(descriptor)  # it is open
        assert command == FULL_FSYNC
        if self.refusal:
            raise OSError(self.refusal, os.strerror(self.refusal))
        self.calls.append("full")
        return 0


def files_in(folder: Path, count: int) -> list[Path]:
    files = [folder / f"file-{n}" for n in range(count)]
    for file in files:
        file.write_bytes(b"content")
    return files


@pytest.mark.usefixtures("darwin")
def test_a_flush_empties_the_cache_of_the_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch, None)

    fsync_files(files_in(tmp_path, 3))

    assert drive.calls == ["full"] * 3


@pytest.mark.usefixtures("darwin")
def test_the_cache_of_the_drive_is_emptied_once_for_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the drive milliseconds each time."""
    drive = Drive(monkeypatch, None)

    fsync_files(files_in(tmp_path, 20))

    assert Counter(drive.calls) == {"fsync": 19, "full": 1}
    assert drive.calls[-1] == "full"


@pytest.mark.parametrize("refusal", [errno.ENOTSUP, errno.ENOTTY, errno.EINVAL])
@pytest.mark.usefixtures("darwin")
def test_a_file_system_without_that_flush_is_flushed_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    drive = Drive(monkeypatch, refusal)

    fsync_files(files_in(tmp_path, 2))

    assert drive.calls == ["fsync"] * 2


@pytest.mark.parametrize("refusal", [errno.EIO, errno.ENOSPC, errno.EBADF])
@pytest.mark.usefixtures("darwin")
def test_a_drive_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    """A second flush may succeed although the content is lost."""
    drive = Drive(monkeypatch, refusal)

    with pytest.raises(OSError, match=os.strerror(refusal)):
        fsync_files(files_in(tmp_path, 1))

    assert drive.calls == []


@pytest.mark.usefixtures("darwin")
def test_a_system_that_does_not_know_that_flush_is_asked_for_another(
    tmp_path: Path,
) -> None:
    """Linux itself refuses it here."""
    need_proc()
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(OSError, match="Invalid argument"):
            fcntl.fcntl(file, FULL_FSYNC)

        fsync_open(file.fileno())


@pytest.mark.usefixtures("darwin")
def test_what_is_only_written_out_leaves_the_cache_of_the_drive_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch, None)

    with (tmp_path / "file").open("wb") as file:
        write_out(file.fileno())

    assert drive.calls == ["fsync"]


@pytest.mark.usefixtures("darwin")
def test_the_cache_of_the_drive_is_emptied_once_for_many_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch, None)
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    root.mkdir()
    scratch.mkdir()

    with SafeFolders(root) as tree:
        transaction = Transaction(tree, scratch, lambda: None)
        for n, new in enumerate(files_in(scratch, 20)):
            transaction.put(f"{n}/file", new, None, FileStamp.of(new.stat()))
        transaction.fsync()

    assert Counter(drive.calls) == {"fsync": 21, "full": 1}
    assert drive.calls[-1] == "full"


@pytest.mark.usefixtures("darwin")
def test_a_process_stays_the_same_when_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, the start of the host moves with the clock, that of a process does not."""
    began, booted = psutil.Process().create_time(), psutil.boot_time()
    before = owner.process_id()
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: began)

    assert owner.process_id() == before
    assert is_dead(owner.owner_id()) is False


@pytest.mark.usefixtures("darwin")
def test_another_start_of_a_process_that_runs_proves_nothing() -> None:
    """psutil 7.1 moves them if the clock was set after its import."""
    number, _, started = owner.process_id().partition("_")

    assert is_dead(f"{owner.host_id()}-{number}_{int(started) - 100}") is None


@pytest.mark.usefixtures("darwin")
def test_a_host_is_known_by_its_boot_whatever_its_name_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "mac.fritz.box")

    assert owner.host_id() == SESSION
    assert is_dead(owner.owner_id()) is False


@pytest.mark.usefixtures("darwin")
def test_a_host_that_does_not_tell_its_boot_is_known_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    libc = SimpleNamespace(sysctlbyname=lambda *_: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)

    assert owner.host_id().startswith(f"{os.uname().nodename}-")


@pytest.mark.usefixtures("darwin")
def test_a_folder_is_hidden_without_a_moment_in_which_it_is_not(
    tmp_path: Path,
) -> None:
    """Without files that have no name yet, another pull's file is left as it is."""
    opened = os.open(tmp_path, os.O_RDONLY)
    try:
        hide_from_git(opened)
        ignore = tmp_path / ".gitignore"
        ignore.chmod(0o644)
        os.utime(ignore, (0, 0))
        hide_from_git(opened)
    finally:
        os.close(opened)

    assert ignore.read_bytes() == b"*\n"
    assert ignore.stat().st_mtime == 0


@pytest.mark.usefixtures("darwin")
def test_access_that_cannot_be_read_is_never_the_same(tmp_path: Path) -> None:
    """An access list of macOS is no extended attribute, and Python reads neither."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir(mode=0o755)
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        assert not has_same_access(os.fspath(tmp_path / "one"), "other", parent)
    finally:
        os.close(parent)
    assert stat.S_ISDIR((tmp_path / "other").stat().st_mode)


def test_the_form_of_a_name_never_counts_on_macos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor on a volume where case does."""
    paths = ["m/mod\u00e8le", "m/mode\u0300le", "m/MOD\u00c8LE"]
    elsewhere = list(clashes(paths, folding=False))
    monkeypatch.setattr(sys, "platform", "darwin")

    (clash,) = clashes(paths, folding=False)

    assert elsewhere == []
    assert clash == (paths[1], f"it is the same file as {paths[0]!a} here")


def test_a_folder_is_staged_as_a_whole_only_if_its_path_stays_short_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of macOS is a quarter of Linux's."""
    monkeypatch.setattr(os, "pathconf", lambda *_: 1024)
    short = 511 - len(os.fspath(tmp_path / "m"))
    workspace = Workspace(tmp_path)

    assert workspace.missing_folders([f"m/{'x' * (short - 1)}"]) == {"m"}
    assert workspace.missing_folders([f"m/{'x' * short}"]) == set()


def test_two_names_of_one_content_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "Model").write_bytes(b"content")
    if (tmp_path / "model").exists():
        pytest.skip("names fold here")
    (tmp_path / "model").hardlink_to(tmp_path / "Model")
    workspace = Workspace(tmp_path)

    assert not workspace.are_one_file("Model", "model")
    assert not workspace.are_one_file("Model", "MODEL")
    assert not workspace.are_one_file("Model", "other")


def test_two_spellings_of_a_name_that_is_listed_once_are_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard link that is not listed stands in for another spelling."""
    (tmp_path / "Model").write_bytes(b"content")
    (tmp_path / "other").hardlink_to(tmp_path / "Model")
    if not (tmp_path / "model").exists():
        (tmp_path / "model").hardlink_to(tmp_path / "Model")
    monkeypatch.setattr(os, "listdir", lambda _: ["Model"])
    workspace = Workspace(tmp_path)

    assert workspace.are_one_file("Model", "model")
    assert workspace.are_one_file("model", "Model")
    assert not workspace.are_one_file("Model", "other")
    assert not workspace.are_one_file("Nothing", "nothing")


# -- on Linux, what differs there


def test_a_clock_that_is_set_moves_both_times_on_linux(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, booted = psutil.Process().create_time(), psutil.boot_time()
    before = owner._start_ticks(os.getpid())
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: began + 3600)

    assert owner._start_ticks(os.getpid()) == before


def test_a_process_whose_start_the_system_hides_may_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = owner.owner_id()

    def hidden(process: psutil.Process) -> float:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "create_time", hidden)

    assert is_dead(theirs) is False


def test_names_that_no_folder_lists_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "Models/a").mkdir(parents=True)

    assert is_listed(tmp_path, "Models/a")
    assert not is_listed(tmp_path, "models/a")
    assert not is_listed(tmp_path, "Models/A")


def test_a_python_of_an_old_libc_copies_and_compares_without_its_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("copy_file_range", "listxattr", "getxattr", "O_TMPFILE"):
        monkeypatch.delattr(os, name, raising=False)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "source").write_bytes(b"content")

    copy(tmp_path / "source", tmp_path / "target")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        is_same = has_same_access(os.fspath(tmp_path / "one"), "two", folder)
        hide_from_git(folder)
    finally:
        os.close(folder)

    assert (tmp_path / "target").read_bytes() == b"content"
    assert (tmp_path / ".gitignore").read_bytes() == b"*\n"
    assert not is_same


@pytest.mark.linux
def test_folders_with_other_attributes_have_not_the_same_access(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        before = has_same_access(os.fspath(tmp_path / "one"), "two", folder)
        try:
            os.setxattr(tmp_path / "one", "user.note", b"x")
        except OSError:
            pytest.skip("the file system has no attributes")
        after = has_same_access(os.fspath(tmp_path / "one"), "two", folder)
    finally:
        os.close(folder)

    assert (before, after) == (True, False)


def test_only_the_other_spelling_of_a_file_is_renamed(folding_path: Path) -> None:
    """Neither a hard link of it, nor a name from which it differs to this system."""
    (folding_path / "model").write_text("of the first version")
    (folding_path / "link").hardlink_to(folding_path / "model")
    (folding_path / "mod\u00adel").write_text("another file")
    before = {path.name for path in folding_path.iterdir()}

    with SafeFolders(folding_path) as tree:
        tree.respell("Model")

    after = {path.name for path in folding_path.iterdir()}
    assert (before - after, after - before) == ({"model"}, {"Model"})
    assert (folding_path / "Model").read_text() == "of the first version"


def test_a_file_by_its_own_name_is_not_renamed(tmp_path: Path) -> None:
    (tmp_path / "Model").touch()
    if (tmp_path / "model").exists():
        pytest.skip("names fold here")
    (tmp_path / "model").hardlink_to(tmp_path / "Model")

    with SafeFolders(tmp_path) as tree:
        tree.respell("Model")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["Model", "model"]


def test_names_are_spelled_as_their_folders_list_them(folding_path: Path) -> None:
    (folding_path / "Data/Deep").mkdir(parents=True)
    (folding_path / "Data/Deep/Net.bin").touch()
    for number in range(9):
        (folding_path / f"Data/Deep/{number}").hardlink_to(
            folding_path / "Data/Deep/Net.bin"
        )
    (folding_path / "File").touch()
    paths = ["data/deep/net.BIN", "DATA/new/Net.bin", "Data/Deep", "file/Below", "x/y"]

    assert as_listed(folding_path, paths) == [
        "Data/Deep/Net.bin",
        "Data/new/Net.bin",
        "Data/Deep",
        "File/Below",
        "x/y",
    ]


def test_other_files_are_no_spellings_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "Net.bin").touch()
    if (tmp_path / "net.bin").exists():
        pytest.skip("names fold here")
    (tmp_path / "net.bin").hardlink_to(tmp_path / "Net.bin")
    paths = ["net.bin", "Net.bin", "NET.bin"]

    assert as_listed(tmp_path, paths) == paths
