"""File systems of clusters, which do not support flushes or locks.

strace injects their errors into the system calls of ``dvc``.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from needs import need_program, need_waiting
from projects import CHURN, lock_held

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

    Done = subprocess.CompletedProcess[str]

LACKING = ["EINVAL", "EOPNOTSUPP", "ENOSYS"]
WAYS = [(), ("--no-cache",), ("-o", "out")]
HINT = ("config", "core.hardlink_lock", "true")


@pytest.fixture
def run_without(clone: Path, registry: Registry, tmp_path: Path) -> Callable[..., Done]:
    """Run ``dvc`` in the clone, where a system call returns an error."""
    need_program("strace")

    def run(call: str, error: str, *args: str) -> Done:
        trace = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}"]
        log = tmp_path / "calls"
        return subprocess.run(
            ["strace", "-f", "-qq", "-o", log, *trace, DVC, *args],
            cwd=clone,
            env={**os.environ, **registry.environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("error", LACKING)
@pytest.mark.parametrize("way", WAYS, ids=["cache", "no cache", "out"])
def test_where_nothing_can_be_flushed_a_pull_goes_on_as_dvc_does(
    run_without: Callable[..., Done], clone: Path, way: tuple[str, ...], error: str
) -> None:
    done = run_without("fsync", error, "models", "pull", "churn", "bert", *way)

    assert (done.returncode, done.stderr) == (0, "")
    out = clone / "out" if "-o" in way else clone
    assert (out / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_where_nothing_can_be_flushed_a_lock_file_is_written(
    run_without: Callable[..., Done], clone: Path
) -> None:
    done = run_without("fsync", "EINVAL", "models", "pull", "churn", "--lock")

    assert done.returncode == 0, done.stderr
    assert (clone / "models.lock").exists()


def test_a_disk_that_fails_to_flush_is_an_error(
    run_without: Callable[..., Done], clone: Path
) -> None:
    done = run_without("fsync", "EIO", "models", "pull", "churn")

    assert done.returncode == 8
    assert "input/output error" in done.stderr
    assert not (clone / "models/churn.pkl").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param("ENOLCK", "no locks available", id="ENOLCK"),
        pytest.param("ENOSYS", "function not implemented", id="ENOSYS"),
        pytest.param("EOPNOTSUPP", "operation not supported", id="EOPNOTSUPP"),
    ],
)
@pytest.mark.parametrize("waiting", [(), ("--wait-for-lock",)], ids=["", "waiting"])
def test_without_locks_the_error_is_theirs_and_its_hint_helps(
    run_without: Callable[..., Done],
    run_dvc: RunDvc,
    clone: Path,
    waiting: tuple[str, ...],
    error: str,
    reason: str,
) -> None:
    if waiting:
        need_waiting()
    pull = (*waiting, "models", "pull", "churn")

    done = run_without("flock", error, *pull)

    lock = clone / ".dvc/tmp/lock"
    assert done.returncode == 8
    assert f"cannot lock '{lock}': {reason}" in done.stderr
    assert f"'dvc {' '.join(HINT)}'" in done.stderr
    assert "another" not in done.stderr.partition("\n")[0]
    run_dvc(*HINT, cwd=clone)
    again = run_without("flock", error, *pull)
    assert (again.returncode, again.stderr) == (0, "")
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_a_lock_that_is_held_is_told_as_such(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    with lock_held(clone):
        done = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    assert done.returncode == 7
    assert "another DVC process holds the project's lock" in done.stderr
