"""The running of ``git``: bounded, ended with all that it runs, never out of step."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from projects import git
from spies import replace_git

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.git import process as git_process
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.git.process import RunningObjects, run, start, stop
from dvc_studio_models.registry.git.reader import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from pathlib import Path

BOUND_S = 1.0


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "one")
    return folder


def write_blob(repo: Path, content: bytes) -> str:
    command = ["git", "hash-object", "-w", "--stdin"]
    done = subprocess.run(
        command, cwd=repo, input=content, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


HANGS = {
    "silent": "echo $$ >> {pids}; sleep 1000",
    "half an answer": "echo $$ >> {pids}; printf half; sleep 1000",
    "a child that holds the pipe": "sleep 1000 & echo $! >> {pids}; exit 0",
    "deaf": "trap '' INT TERM; sleep 1000 & echo $! >> {pids}; wait",
}


def script_of(folder: Path, patch: pytest.MonkeyPatch, body: str) -> str:
    replace_git(folder / "bin", patch, body.format(pids=folder / "pids"))
    return str(folder / "bin" / "git")


def assert_ended(pids: Path) -> None:
    end_s = time.monotonic() + 5
    while any(psutil.pid_exists(int(line)) for line in pids.read_text().split()):
        assert time.monotonic() < end_s
        time.sleep(0.01)


@pytest.mark.clock
@pytest.mark.parametrize("how", HANGS)
def test_a_call_that_does_not_end_is_ended_with_what_it_runs(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    script = script_of(tmp_path, monkeypatch, HANGS[how])
    began = time.monotonic()

    with pytest.raises(UnreadableRepoError, match="did not answer within 1 s"):
        run([script], cwd=repo, silent_s=BOUND_S)

    assert time.monotonic() - began < 4 * BOUND_S
    assert_ended(tmp_path / "pids")


@pytest.mark.clock
@pytest.mark.parametrize("how", HANGS)
def test_an_object_that_does_not_come_is_waited_for_so_long_and_once(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    script = script_of(tmp_path, monkeypatch, HANGS[how])
    process = start([script], cwd=repo, protocols=None)
    objects = RunningObjects(process, is_partial=False, repo="here", silent_s=BOUND_S)
    began = time.monotonic()
    try:
        for _ in range(5):
            with pytest.raises(UnreadableRepoError):
                objects.read("1" * 40)
    finally:
        stop(process)

    assert time.monotonic() - began < 3 * BOUND_S
    assert_ended(tmp_path / "pids")


def test_an_answer_that_comes_late_is_not_taken_for_another_object(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = 'read oid; sleep 1; echo "$oid blob 3"; echo one; exec cat'
    script = script_of(tmp_path, monkeypatch, late)
    process = start([script], cwd=repo, protocols=None)
    objects = RunningObjects(process, is_partial=False, repo="here", silent_s=0.2)
    try:
        with pytest.raises(UnreadableRepoError):
            objects.read("1" * 40)
        time.sleep(1.5)
        with pytest.raises(UnreadableRepoError):
            objects.read("2" * 40)
    finally:
        stop(process)


def test_git_that_ends_amid_an_answer_is_an_error_with_its_reason(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = 'read oid; echo "$oid blob 30"; echo one; echo fatal: no room >&2; exit 128'
    script = script_of(tmp_path, monkeypatch, dies)
    process = start([script], cwd=repo, protocols=None)
    objects = RunningObjects(process, is_partial=False, repo="here", silent_s=10)
    try:
        for _ in range(2):
            with pytest.raises(UnreadableRepoError, match="no room"):
                objects.read("1" * 40)
    finally:
        stop(process)


def test_an_object_that_is_too_large_is_refused_and_the_next_one_read(
    repo: Path,
) -> None:
    large = write_blob(repo, bytes(MAX_OBJECT_BYTES + 1))
    largest = write_blob(repo, bytes(1000))
    reader = open_reader(repo)

    with reader.objects() as objects:
        with pytest.raises(UnreadableRepoError, match=f"{large} is larger than 64 MiB"):
            objects.read(large)
        found = objects.read(largest)

    assert found
    assert found.data == bytes(1000)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
def test_objects_of_every_size_come_one_after_the_other(repo: Path, size: int) -> None:
    contents = [os.urandom(size), b"\n" * size, b"x missing\n"]
    oids = [write_blob(repo, content) for content in contents]
    reader = open_reader(repo)

    with reader.objects() as objects:
        one_by_one = [objects.read(oid) for oid in (*oids, "1" * 40, *oids)]
    at_once = reader.read_all([*oids, "1" * 40, *oids])

    expected = [*contents, None, *contents]
    assert [found and found.data for found in one_by_one] == expected
    assert [found and found.data for found in at_once] == expected


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        pytest.param("fatal: no", "no", id="one line"),
        pytest.param("error: a\nfatal: b\nhint: c", "b", id="the last failure"),
        pytest.param("fatal: found:\n\tnew", "found: new", id="what stands below"),
        pytest.param("", "git failed without a message", id="nothing"),
        pytest.param("strange", "strange", id="other words"),
        pytest.param(
            "fatal: unable to access 'https://u:SECRET@h/r/': no",
            "unable to access its address: no",
            id="an address",
        ),
        pytest.param(
            "fatal: repository 'https://u:SEC'R':ET@h/r/' not found",
            "repository its address not found",
            id="an address with quotes",
        ),
    ],
)
def test_a_failure_says_what_git_says_and_no_address(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, err: str, reason: str
) -> None:
    (tmp_path / "err").write_text(err)
    script = script_of(tmp_path, monkeypatch, f"cat '{tmp_path}/err' >&2; exit 128")

    with pytest.raises(UnreadableRepoError) as caught:
        run([script], cwd=repo)

    assert caught.value.reason == reason


def test_a_git_that_cannot_be_started_is_an_error_of_ours(
    repo: Path, tmp_path: Path
) -> None:
    (tmp_path / "git").write_bytes(b"\0not a program")
    (tmp_path / "git").chmod(0o755)

    with pytest.raises(UnreadableRepoError, match="exec format error"):
        run([str(tmp_path / "git")], cwd=repo)


def test_nothing_is_left_to_end_after_a_call(repo: Path) -> None:
    run([shutil.which("git") or "git", "status"], cwd=repo)
    with open_reader(repo).objects() as objects:
        objects.read("1" * 40)

    assert git_process._running == set()
