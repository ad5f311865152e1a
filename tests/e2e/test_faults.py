"""Faults with the real executable: exit codes, signals, secrets."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from environments import DVC
from needs import need_waiting
from projects import git
from servers import (
    ACCESS_DENIED,
    NO_SUCH_KEY,
    OK,
    PLANTED_SECRETS,
    PLANTED_TOKEN,
    Behaviour,
    FileServer,
    Redirect,
    StudioServer,
    busy,
    json_reply,
    wait_until,
)
from terminals import heed_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc
    from warm import Warm

pytestmark = pytest.mark.reliability("Through `dvc`: faults, signals, locks")

MODEL = "models/churn.pkl"


SMALL = b"the model's bytes" * 100
LARGE = random.Random(0).randbytes(48 << 20)
PROGRESS = r"(?:Downloading: .*\n)*"
KEPT = (
    r"WARNING: kept [\d.]+ MiB of partial downloads; "
    r"the next pull will resume from there\n"
)
INTERRUPTED = r"ERROR: interrupted by the user\n"
REMOTE_PASSWORD = "PASSWORD-OF-THE-REMOTE"


@pytest.fixture
def clone(tmp_path: Path, run_dvc: RunDvc) -> Path:
    """An empty DVC project whose Git remote's URL contains a password."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "--quiet")
    url = f"https://oauth2:{REMOTE_PASSWORD}@git.example.com/acme/models.git"
    git(folder, "remote", "add", "origin", url)
    assert run_dvc("init", "--quiet", cwd=folder).returncode == 0
    return folder


def offer(studio: StudioServer, files: FileServer, content: bytes) -> None:
    studio.serve("churn", files.publish({MODEL: content}))


def leaks(folder: Path, output: str) -> set[str]:
    """Find planted secrets in the output, in all files and in their names."""
    secrets = {*PLANTED_SECRETS, PLANTED_TOKEN, REMOTE_PASSWORD}
    texts = [output]
    for path in folder.rglob("*"):
        texts.append(path.as_posix())
        if path.is_file() and path != folder / ".git/config":
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    return {secret for secret in secrets if any(secret in text for text in texts)}


def all_right(_studio: StudioServer, _files: FileServer) -> None:
    pass


def refused_token(studio: StudioServer, _files: FileServer) -> None:
    studio.behaviour = json_reply({"detail": "Invalid token."}, status=401)


def missing_scope(studio: StudioServer, _files: FileServer) -> None:
    studio.behaviour = json_reply({"detail": "No scope."}, status=403)


def unknown_model(studio: StudioServer, _files: FileServer) -> None:
    studio.behaviour = json_reply({"detail": "Unknown."}, status=404)


def broken_studio(studio: StudioServer, _files: FileServer) -> None:
    studio.behaviour = busy(503)


def other_studio(studio: StudioServer, _files: FileServer) -> None:
    studio.behaviour = Behaviour(redirect=Redirect(host="localhost"))


def no_links(studio: StudioServer, _files: FileServer) -> None:
    studio.behaviour = json_reply({})


def unsafe_path(studio: StudioServer, files: FileServer) -> None:
    studio.serve("churn", files.publish({"../outside": SMALL}))


def refused_link(_studio: StudioServer, files: FileServer) -> None:
    files.behaviour = ACCESS_DENIED


def missing_object(_studio: StudioServer, files: FileServer) -> None:
    files.behaviour = NO_SUCH_KEY


def broken_storage(_studio: StudioServer, files: FileServer) -> None:
    files.behaviour = Behaviour(status=418)


def wrong_bytes(_studio: StudioServer, files: FileServer) -> None:
    files.behaviour = replace(OK, wrong_bytes=True)


def one_cut(_studio: StudioServer, files: FileServer) -> None:
    files.script(Behaviour(cut_after=100, reset=True))


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (all_right, 0, ""),
        (refused_token, 3, "refused the token (401): Invalid token."),
        (missing_scope, 3, "refused the token (403): No scope."),
        (unknown_model, 4, "Unknown."),
        (no_links, 4, "Studio returned no files for it"),
        (broken_studio, 5, "it answered 503 Service Unavailable (3 tries)"),
        (other_studio, 5, "redirects to 'http://localhost"),
        (unsafe_path, 7, "'../outside'"),
        (refused_link, 5, "answered 403 Forbidden to a new link too"),
        (missing_object, 5, "it is not in storage"),
        (broken_storage, 5, "storage answered 418"),
        (wrong_bytes, 6, "does not have the expected content"),
        (one_cut, 0, "trying again"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_fault_ends_in_its_code_and_sentence_and_shows_no_secret(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    fault: Callable[[StudioServer, FileServer], None],
    code: int,
    sentence: str,
    record_property: Callable[[str, object], None],
) -> None:
    offer(studio, file_server, SMALL)
    fault(studio, file_server)

    done = run_dvc("models", "pull", "churn", "-vv", cwd=clone, env=studio.environ)

    output = done.stdout + done.stderr
    record_property("exit", done.returncode)
    assert done.returncode == code, output
    assert sentence in output
    assert "unexpected error" not in output
    assert leaks(clone, output) == set()
    assert (clone / MODEL).exists() == (code == 0)


def test_without_verbose_an_error_has_no_traceback(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    offer(studio, file_server, SMALL)
    file_server.behaviour = NO_SUCH_KEY

    done = run_dvc("models", "pull", "churn", cwd=clone, env=studio.environ)

    assert done.stderr == (
        f"ERROR: failed to download '{MODEL}': it is not in storage; "
        "was it pushed with 'dvc push'?\n"
    )


def start_pull(
    clone: Path, studio: StudioServer, *options: str
) -> subprocess.Popen[str]:
    """Start a pull that receives signals as from a terminal."""
    return subprocess.Popen(
        [DVC, "models", "pull", "churn", *options],
        cwd=clone,
        env={**os.environ, **studio.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - it only sets a handler
    )


@pytest.mark.clock
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        pytest.param(signal.SIGINT, 252, KEPT + INTERRUPTED, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, KEPT, id="SIGTERM"),
        pytest.param(signal.SIGKILL, -9, "", id="SIGKILL"),
    ],
)
def test_a_pull_that_was_stopped_goes_on_in_the_next(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    number: signal.Signals,
    code: int,
    said: str,
    record_property: Callable[[str, object], None],
) -> None:
    offer(studio, file_server, LARGE)
    file_server.behaviour = Behaviour(bytes_per_s=8 << 20)
    with start_pull(clone, studio) as process:
        wait_until(lambda: file_server.bytes_served > len(LARGE) // 2, timeout_s=60)
        process.send_signal(number)
        began = time.monotonic()
        _, stderr = process.communicate(timeout=30)
        seconds = time.monotonic() - began
    served = file_server.bytes_served
    file_server.behaviour = OK

    again = run_dvc("models", "pull", "churn", cwd=clone, env=studio.environ)

    record_property("exit", process.returncode)
    assert process.returncode == code
    assert seconds < 2  # one, and what a busy machine adds
    assert re.fullmatch(PROGRESS + said, stderr), stderr
    assert again.returncode == 0, again.stderr
    assert (clone / MODEL).read_bytes() == LARGE
    assert file_server.bytes_served - served < len(LARGE) * 3 // 4
    assert list((clone / ".dvc/cache/parts").iterdir()) == []
    assert [path.name for path in (clone / "models").iterdir()] == ["churn.pkl"]


@pytest.mark.clock
def test_a_link_that_dies_midway_is_renewed_and_the_part_goes_on(
    studio: StudioServer, clone: Path
) -> None:
    with FileServer(behaviour=Behaviour(signature_required=True)) as files:
        offer(studio, files, LARGE)
        files.behaviour = replace(files.behaviour, bytes_per_s=16 << 20)
        with start_pull(clone, studio, "--jobs=1") as process:
            wait_until(lambda: files.bytes_served > 4 << 20, timeout_s=60)
            files.revoke()
            _, stderr = process.communicate(timeout=60)

        assert process.returncode == 0, stderr
        assert (clone / MODEL).read_bytes() == LARGE
        assert len(studio.requests) == 2
        assert files.bytes_served < len(LARGE) * 5 // 4


@pytest.mark.clock
def test_a_slow_pull_without_a_terminal_writes_a_line_now_and_then(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    content = LARGE[: 7 << 20]
    offer(studio, file_server, content)
    file_server.behaviour = Behaviour(bytes_per_s=1 << 20)

    done = run_dvc("models", "pull", "churn", "-j1", cwd=clone, env=studio.environ)

    assert done.stderr.startswith("Downloading: ")
    assert "of 7.0 MiB" in done.stderr
    assert "\r" not in done.stderr
    assert done.stderr.count("\n") <= 2


def test_a_closed_stdout_is_no_error(
    studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    offer(studio, file_server, SMALL)

    done = subprocess.run(
        f"'{DVC}' models pull churn | true",
        shell=True,
        cwd=clone,
        env={**os.environ, **studio.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert (clone / MODEL).read_bytes() == SMALL


def test_odd_letters_can_be_printed_in_the_c_locale(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    studio.serve("churn", file_server.publish({"models/größe-模型": SMALL}))
    env = {**studio.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}

    done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/größe-模型").read_bytes() == SMALL


# The project's lock


@pytest.mark.clock
def test_dvc_works_while_a_pull_downloads(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    offer(studio, file_server, LARGE)
    file_server.behaviour = Behaviour(bytes_per_s=1 << 20)
    (clone / "data").write_bytes(SMALL)
    with start_pull(clone, studio, "--jobs=1") as process:
        wait_until(lambda: file_server.bytes_served > 0, timeout_s=60)

        added = run_dvc("add", "data", cwd=clone)
        status = run_dvc("status", cwd=clone)

        assert process.poll() is None  # it still downloads
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert (added.returncode, status.returncode) == (0, 0), added.stderr
    assert (clone / "data.dvc").exists()


def test_a_pull_waits_for_the_lock_when_told_to(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    need_waiting()
    offer(studio, file_server, SMALL)
    with Repo(str(clone)) as repo, repo.lock:
        refused = run_dvc("models", "pull", "churn", cwd=clone, env=studio.environ)
        command = [DVC, "--wait-for-lock", "models", "pull", "churn"]
        with subprocess.Popen(
            command,
            cwd=clone,
            env={**os.environ, **studio.environ},
            stdout=subprocess.DEVNULL,
        ) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(timeout=6)  # DVC's own wait is 3 s
            assert not (clone / MODEL).exists()
            repo.lock.unlock()
            assert waiting.wait(timeout=30) == 0
            repo.lock.lock()

    assert refused.returncode == 7
    assert "another DVC process holds the project's lock" in refused.stderr
    assert (clone / MODEL).read_bytes() == SMALL


def test_who_holds_the_lock_never_sees_half_a_model(
    studio: StudioServer, file_server: FileServer, clone: Path, warm_dvc: Warm
) -> None:
    need_waiting()
    versions = [
        {f"models/{n}": f"{n} of {version}".encode() for n in range(100)}
        for version in ("one", "two")
    ]
    seen: list[set[bytes | None]] = []
    over = threading.Event()

    def look() -> None:
        with Repo(str(clone)) as repo:
            while not over.is_set():
                with repo.lock:
                    files = [clone / path for path in versions[0]]
                    texts = [f.read_bytes() if f.exists() else None for f in files]
                    seen.append({text and text.partition(b" of ")[2] for text in texts})
                time.sleep(0.001)

    looking = threading.Thread(target=look)
    looking.start()
    env = {**os.environ, **studio.environ}
    output = clone.parent / "output"
    try:
        for version in [*versions, *versions, *versions]:
            studio.serve("churn", file_server.publish(version))
            command = ("--wait-for-lock", "models", "pull", "churn")
            assert warm_dvc.run(*command, cwd=clone, env=env, output=output) == 0
            looks = len(seen)
            while (
                looking.is_alive() and len(seen) < looks + 2
            ):  # one may have been under way
                time.sleep(0.001)
    finally:
        over.set()
        looking.join()

    assert {frozenset(each) for each in seen} == {
        frozenset({None}),
        frozenset({b"one"}),
        frozenset({b"two"}),
    }


def test_a_bare_repository_is_refused(
    run_dvc: RunDvc, studio: StudioServer, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "bare.git")

    done = run_dvc(
        *("models", "pull", "churn"), cwd=tmp_path / "bare.git", env=studio.environ
    )

    assert done.returncode == 253
    assert "unexpected" not in done.stderr
    assert done.stderr.count("ERROR: ") == 1


# Times and modes


@pytest.mark.parametrize(
    ("link", "newer"), [("copy", True), ("hardlink", False), ("symlink", False)]
)
def test_a_replaced_file_is_newer_where_the_readme_says_so(
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    warm_dvc: Warm,
    link: str,
    newer: bool,
) -> None:
    env, output = {**os.environ, **studio.environ}, clone.parent / "output"
    config = ("config", "cache.type", link)
    assert warm_dvc.run(*config, cwd=clone, env=env, output=output) == 0
    times = []
    for content in (b"one", b"two", b"one"):
        offer(studio, file_server, content)
        pull = ("models", "pull", "churn")
        assert warm_dvc.run(*pull, cwd=clone, env=env, output=output) == 0
        assert (clone / MODEL).read_bytes() == content
        times.append((clone / MODEL).stat().st_mtime_ns)

    assert (times[2] > times[1]) is newer


# Limits of the system


def pull_with_threads(
    clone: Path, studio: StudioServer, memory_gib: int
) -> subprocess.CompletedProcess[str]:
    """Pull where each thread takes 1 GiB of the address space, all of it limited."""
    limits = f'ulimit -s {1 << 20} && ulimit -v {memory_gib << 20} && exec "$@"'
    return subprocess.run(
        ["bash", "-c", limits, "bash", DVC, "models", "pull", "churn"],
        cwd=clone,
        env={**os.environ, **studio.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_thread_at_all_is_an_error_that_names_the_limit(
    studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    offer(studio, file_server, SMALL)

    done = pull_with_threads(clone, studio, memory_gib=1)

    assert done.returncode == 255
    assert done.stderr.splitlines() == [
        "ERROR: cannot start a thread: a limit on processes or memory is reached",
        "Raise it: 'ulimit -u', 'ulimit -v', or the pids limit of the container",
    ]


@pytest.mark.parametrize("memory_gib", [3, 4, 6])
def test_few_threads_are_enough(
    studio: StudioServer, file_server: FileServer, clone: Path, memory_gib: int
) -> None:
    offer(studio, file_server, LARGE)

    done = pull_with_threads(clone, studio, memory_gib)

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / MODEL).read_bytes() == LARGE


def test_the_greatest_number_of_connections_works(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    offer(studio, file_server, LARGE)

    command = ("models", "pull", "churn", "--jobs", "256")
    done = run_dvc(*command, cwd=clone, env=studio.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / MODEL).read_bytes() == LARGE
