"""Folders of our own: hidden from Git, swept of what killed pulls left, flushed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from leftovers import killed_name, owned_by
from needs import mount_namespace, need_program

from dvc_studio_models.files import scratch
from dvc_studio_models.files.owner import host_id, is_dead, process_id
from dvc_studio_models.files.scratch import (
    STALE_AFTER_S,
    is_stale,
    remove_hidden,
    sweep,
    temporary_name,
    write_atomically,
)

pytestmark = pytest.mark.reliability("Temporary files and folders")


def dated(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


def test_what_a_dead_process_left_is_swept_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / killed_name()).write_bytes(b"half a file")
    folder = tmp_path / killed_name()
    folder.mkdir()
    (folder / "file").touch()
    (tmp_path / temporary_name()).touch()
    (tmp_path / "receipts").mkdir()

    sweep(tmp_path)

    left = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    assert left == {"placing", "receipts"}
    assert len(list(tmp_path.iterdir())) == 2


def restarted() -> str:
    """Name a process that had our number, before the container started anew."""
    number, _, started = process_id().partition("_")
    return f"{number}_{int(started) - 1}"


def test_what_had_the_number_of_a_process_that_lives_is_swept(tmp_path: Path) -> None:
    (tmp_path / owned_by(restarted())).touch()
    (tmp_path / temporary_name()).touch()

    sweep(tmp_path)

    assert len(list(tmp_path.iterdir())) == 1
    assert not any(map(is_stale, tmp_path.iterdir()))


def test_a_number_alone_may_be_of_another_process_a_day_later(tmp_path: Path) -> None:
    left = tmp_path / owned_by(os.getpid())
    left.touch()
    young = is_stale(left)
    dated(left, STALE_AFTER_S + 60)

    assert not young
    assert is_stale(left)


@pytest.mark.linux
def test_a_process_is_known_whatever_its_name_is(tmp_path: Path) -> None:
    python = tmp_path / "a) R (1 2"
    python.symlink_to(sys.executable)
    code = (
        "import sys\n"
        "from dvc_studio_models.files.owner import owner_id\n"
        "print(owner_id(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    # Under that name, Python does not find the packages of its environment.
    folders = [Path(scratch.__file__).parents[2], Path(psutil.__file__).parents[1]]
    with subprocess.Popen(
        [python, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        name = other.stdout.readline().strip()
        while_it_lives = is_dead(name)
        other.kill()

    number, _, started = name.removeprefix(f"{host_id()}-").partition("_")
    assert int(number) == other.pid
    assert int(started) >= int(process_id().partition("_")[2])  # it is our child
    assert while_it_lives is False
    assert is_dead(name)


def test_a_number_of_another_machine_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "placing-0123-elsewhere-1-boot-999999999").touch()

    sweep(tmp_path)

    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("pid", ["x", "", "²", "-1"])
def test_a_number_that_is_none_tells_nothing(tmp_path: Path, pid: str) -> None:
    left = tmp_path / owned_by(pid)
    left.touch()

    assert not is_stale(left)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("placing-0123-elsewhere-1-boot-1_1", id="another-host"),
        pytest.param("placing-0123-1_1-elsewhere-1", id="named-by-an-older-version"),
        pytest.param("placing-0123", id="without-an-owner"),
    ],
)
def test_what_is_of_nobody_here_is_swept_a_day_later(tmp_path: Path, name: str) -> None:
    young, left = tmp_path / name, tmp_path / name.replace("0123", "4567")
    young.touch()
    left.touch()
    dated(left, STALE_AFTER_S + 60)

    sweep(tmp_path)

    assert list(tmp_path.iterdir()) == [young]


def test_a_link_is_not_swept_through(tmp_path: Path) -> None:
    inside, link = tmp_path / "inside", tmp_path / "link"
    inside.mkdir()
    (inside / killed_name()).touch()
    link.symlink_to(inside)

    sweep(link)

    assert len(list(inside.iterdir())) == 1


def test_a_file_of_somebody_else_stays_in_a_hidden_folder(tmp_path: Path) -> None:
    hidden = tmp_path / ".dvc-models"
    hidden.mkdir()
    theirs = hidden / f"theirs-{killed_name().split('-', 2)[2]}"
    theirs.touch()
    (hidden / killed_name()).touch()

    remove_hidden(hidden)

    assert list(hidden.iterdir()) == [theirs]


def without_proc(code: str, *args: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a mount namespace of its own, where ``/proc`` is empty."""
    command = 'mount -t tmpfs none /proc && exec "$0" -c "$@"'
    return subprocess.run(
        [*mount_namespace(), "sh", "-c", command, sys.executable, code, *args],
        check=False,
        capture_output=True,
        text=True,
    )


def test_without_proc_a_process_is_known_by_its_number() -> None:
    code = (
        "import os\n"
        "from dvc_studio_models.files.owner import is_dead, owner_id, process_id\n"
        "print(process_id() == str(os.getpid()), is_dead(owner_id()))\n"
    )

    assert without_proc(code).stdout == "True False\n"


@pytest.mark.linux
def test_two_hosts_of_one_name_leave_each_others_files_alone(tmp_path: Path) -> None:
    """As two machines made of one image, that share a file system."""
    left = tmp_path / killed_name()
    left.touch()
    (tmp_path / "boot_id").write_text("4711\n")
    code = (
        "import sys\n"
        "from dvc_studio_models.files.scratch import is_stale\n"
        "print(is_stale(sys.argv[1]))\n"
    )
    mount = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    done = subprocess.run(
        [
            *mount_namespace(),
            *("sh", "-c", mount, tmp_path / "boot_id"),
            *(sys.executable, "-c", code, left),
        ],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "False\n"
    assert is_stale(left)


@pytest.mark.parametrize("flushed", [False, True])
def test_a_file_is_written_anew_or_left_as_it_was(
    tmp_path: Path, flushed: bool
) -> None:
    file = tmp_path / "file"
    write_atomically(file, "größe", flushed=flushed)
    before = file.stat().st_ino

    with file.open(encoding="utf-8") as reader:
        write_atomically(file, "new", flushed=flushed)
        assert reader.read() == "größe"
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "broken \udcff", flushed=flushed)

    assert file.read_text("utf-8") == "new"
    assert file.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [file]


def test_a_flushed_file_survives_a_power_cut(tmp_path: Path) -> None:
    need_program("strace")
    file, log = tmp_path / "file", tmp_path / "calls"
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dvc_studio_models.files.scratch import write_atomically\n"
        "write_atomically(Path(sys.argv[1]), 'new', flushed=True)\n"
    )
    strace = ["strace", "-f", "-y", "-o", log, "-e", "trace=fsync,/^rename"]
    subprocess.run([*strace, sys.executable, "-c", code, file], check=True)

    calls = re.findall(r"(fsync|rename)\w*\(.*/placing-", log.read_text())
    assert calls == ["fsync", "rename"]


def test_where_no_file_is_without_a_name_a_link_is_not_written_through(
    tmp_path: Path,
) -> None:
    """Without ``/proc`` the file that hides a folder gets its name at once."""
    folders = new, old, linked = [tmp_path / name for name in ("new", "old", "linked")]
    for folder in folders:
        folder.mkdir()
    (old / ".gitignore").write_text("longer than what is to be there\n")
    (linked / ".gitignore").symlink_to(tmp_path / "outside")
    code = (
        "import os, sys\n"
        "from dvc_studio_models.files.scratch import hide_from_git\n"
        "hide_from_git(os.open(sys.argv[1], os.O_RDONLY))\n"
    )
    *done, refused = (without_proc(code, folder) for folder in folders)

    assert [each.stderr for each in done] == ["", ""]
    assert (new / ".gitignore").read_text() == "*\n"
    assert (old / ".gitignore").read_text() == "*\n"
    assert "Too many levels of symbolic links" in refused.stderr
    assert not (tmp_path / "outside").exists()
