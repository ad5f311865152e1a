"""A cache without links: one part for the cache, one for the workspace."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import init_project
from servers import OK, Behaviour, FileServer, StudioServer, wait_until
from stores import session

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from servers import Exchange

pytestmark = pytest.mark.reliability("Through `dvc`: a cache without links")

LARGE = random.Random(0).randbytes(1 << 20) * 129 + b"the end"


MD5 = hashlib.md5(LARGE, usedforsecurity=False).hexdigest()
MODEL = "models/large.bin"


@pytest.fixture
def clone(tmp_path: Path, run_dvc: RunDvc) -> Path:
    folder = init_project(tmp_path / "clone").repo
    run_dvc("config", "cache.type", "copy", cwd=folder)
    return folder


@pytest.fixture
def env(studio: StudioServer, file_server: FileServer) -> dict[str, str]:
    files = {MODEL: LARGE, "models/same.bin": LARGE, "models/small.bin": b"small"}
    studio.serve("churn", file_server.publish(files))
    return dict(studio.environ)


def cached(clone: Path) -> Path:
    return clone / ".dvc/cache/files/md5" / MD5[:2] / MD5[2:]


def parts(clone: Path) -> list[Path]:
    return list((clone / ".dvc/cache/parts").iterdir())


def test_a_large_file_is_the_users_own_and_in_the_cache(
    run_dvc: RunDvc, clone: Path, env: dict[str, str]
) -> None:
    done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    placed = clone / MODEL
    assert placed.read_bytes() == cached(clone).read_bytes() == LARGE
    assert (clone / "models/same.bin").read_bytes() == LARGE
    assert os.access(placed, os.W_OK)
    assert placed.stat().st_nlink == cached(clone).stat().st_nlink == 1
    assert cached(clone).stat().st_mode & 0o777 == 0o444
    assert parts(clone) == []


def test_after_it_dvc_has_nothing_to_hash_and_a_deleted_file_comes_from_the_cache(
    run_dvc: RunDvc, clone: Path, env: dict[str, str], file_server: FileServer
) -> None:
    run_dvc("models", "pull", "churn", cwd=clone, env=env)
    before = len(file_server.requests)

    again = run_dvc("models", "pull", "churn", "--json", cwd=clone, env=env)
    (clone / MODEL).unlink()
    third = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert again.stdout.count('"unchanged"') == 3
    assert (third.returncode, (clone / MODEL).read_bytes()) == (0, LARGE)
    assert len(file_server.requests) == before


def test_wrong_bytes_leave_neither_part_nor_copy(
    run_dvc: RunDvc, clone: Path, env: dict[str, str], file_server: FileServer
) -> None:
    file_server.behaviour = replace(OK, wrong_bytes=True)

    done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert done.returncode == 6, done.stderr
    assert not (clone / MODEL).exists()
    assert not cached(clone).exists()
    assert parts(clone) == []


def stall_near_the_end(exchange: Exchange) -> Behaviour | None:
    """Stall a pull near its end, while it copies the downloaded bytes."""
    _, last = exchange.byte_range or (None, None)
    return Behaviour(stall_after=0) if last and last > 100 << 20 else None


def test_what_a_killed_pull_had_copied_goes_and_what_it_had_fetched_stays(
    run_dvc: RunDvc, clone: Path, env: dict[str, str], file_server: FileServer
) -> None:
    file_server.choose = stall_near_the_end
    folder = clone / ".dvc/cache/parts"
    command = [DVC, "models", "pull", "churn"]
    with session(command, cwd=clone, env={**os.environ, **env}) as pull:
        wait_until(lambda: any(folder.glob("nohash.*")), timeout_s=30)
        pull.kill()
        pull.wait()
    assert list(folder.glob("nohash.*"))
    file_server.choose = lambda _: None
    served = file_server.bytes_served

    done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    assert (clone / MODEL).read_bytes() == cached(clone).read_bytes() == LARGE
    assert file_server.bytes_served - served < len(LARGE)
    assert parts(clone) == []
