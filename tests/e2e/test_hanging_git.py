"""Git does not respond: every command still ends, by itself or after a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from environments import DVC
from projects import TOKEN, Project, copy_project, git
from spies import replace_git

from dvc_studio_models.registry.git.process import FETCH_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON_S = 5
"""Within which a command ends that is told to."""

NEVER = "sleep 1000"
HANGS = {
    "silent": NEVER,
    "half an answer": f"printf 'half'; {NEVER}",
    "a child that holds the pipe": f'{NEVER} & echo $! >> "$PIDS"; exit 0',
    "deaf": f"trap '' INT TERM HUP; {NEVER} & echo $! >> \"$PIDS\"; wait; {NEVER}",
}
COMMANDS = {
    "list": ["models", "list"],
    "status": ["models", "status"],
    "pull": ["models", "pull", "churn"],
    "pull --source remote": ["models", "pull", "churn@v1.0.0", "--source", "remote"],
}
CODES = {signal.SIGINT: 252, signal.SIGTERM: 143}
EVERY_CALL = "*"
SECOND_READ = "*'cat-file --batch'"
"""Of objects; the first one is of the tags."""


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """A file for the IDs of hanging processes."""
    return tmp_path / "pids"


def hang(
    folder: Path, patch: pytest.MonkeyPatch, pids: Path, how: str, *, calls: str
) -> None:
    """Make some calls of Git hang; ``calls`` is a shell pattern."""
    count = "" if calls == EVERY_CALL else '[ $(wc -l < "$CALLS") -gt 1 ] &&'
    replace_git(
        folder / "bin",
        patch,
        f"PIDS='{pids}'\nCALLS='{folder}/calls'\n"
        f'case "$*" in {calls})\n  echo x >> "$CALLS"\n'
        f'  {count} {{ echo $$ >> "$PIDS"; {HANGS[how]}; }} ;;\nesac\n'
        'exec "$GIT" "$@"',
    )


@contextlib.contextmanager
def running(folder: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``dvc`` in the foreground, as an interactive shell does."""
    with subprocess.Popen(
        [DVC, *args],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a process hangs."""
    end = time.monotonic() + 30
    while not path.exists() or not path.read_text():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.2)  # until what was asked is waited for


def left(pids: Path) -> list[int]:
    """List the processes that hung and are still alive a moment later."""
    ids = [int(line) for line in pids.read_text().split()]
    end = time.monotonic() + 2
    while alive := [pid for pid in ids if psutil.pid_exists(pid)]:
        if time.monotonic() > end:
            return alive
        time.sleep(0.02)
    return []


@pytest.mark.clock
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("command", "how"),
    [
        *((command, "silent") for command in COMMANDS),
        *(("list", how) for how in HANGS if how != "silent"),
    ],
)
def test_a_command_ends_soon_when_it_is_told_to(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pids: Path,
    command: str,
    how: str,
    number: signal.Signals,
) -> None:
    hang(tmp_path, monkeypatch, pids, how, calls=EVERY_CALL)

    with running(project.repo, *COMMANDS[command]) as process:
        wait_for(pids, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=SOON_S)

    assert process.returncode == CODES[number]
    assert "Traceback" not in err
    assert left(pids) == []


@pytest.mark.clock
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["list", "pull --source remote"])
def test_a_command_that_reads_a_commit_ends_soon_when_it_is_told_to(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pids: Path,
    command: str,
    number: signal.Signals,
) -> None:
    hang(tmp_path, monkeypatch, pids, "half an answer", calls=SECOND_READ)

    with running(project.repo, *COMMANDS[command]) as process:
        wait_for(pids, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=SOON_S)

    assert process.returncode == CODES[number]
    assert "Traceback" not in err
    assert left(pids) == []


@pytest.mark.clock
@pytest.mark.parametrize(
    ("command", "how", "kind", "code"),
    [
        ("list", "silent", "WARNING", 0),
        ("pull --source remote", "half an answer", "ERROR", 253),
    ],
)
def test_a_read_of_a_partial_clone_ends_by_itself_with_one_sentence(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    how: str,
    kind: str,
    code: int,
) -> None:
    """An object of a partial clone comes over the network, which may be silent."""
    git(project.repo, "config", "remote.origin.promisor", "true")
    pids = tmp_path / "pids"
    hang(tmp_path, monkeypatch, pids, how, calls=SECOND_READ)

    with running(project.repo, *COMMANDS[command]) as process:
        wait_for(pids, process)
        _, err = process.communicate(timeout=FETCH_S + SOON_S)

    assert process.returncode == code
    assert err.startswith(f"{kind}: cannot read the Git repository at")
    assert f": git did not answer within {FETCH_S:.0f} s\n" in err
    assert "Traceback" not in err
    assert left(pids) == []


@pytest.mark.clock
@pytest.mark.parametrize("how", HANGS)
def test_a_server_ends_soon_when_it_is_told_to(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pids: Path,
    how: str,
) -> None:
    hang(tmp_path, monkeypatch, pids, how, calls=EVERY_CALL)

    serve = ("models", "serve", "--port", "0", "--no-auth", str(project.bare))
    with running(project.root, *serve) as process:
        wait_for(pids, process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=SOON_S)

    assert "Traceback" not in err
    assert left(pids) == []
