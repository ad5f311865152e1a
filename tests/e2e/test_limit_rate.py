"""``--limit-rate``: one limit for all that a pull downloads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from fetching import noise
from projects import git
from servers import FileServer, StudioServer, wait_until
from terminals import heed_ctrl_c

from dvc_studio_models import pull
from dvc_studio_models.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

MIB = 1 << 20
LARGE = {"models/large.bin": noise(MIB + MIB // 2)}
SMALL = {f"models/small/{n}.bin": noise(20 << 10, n) for n in range(40)}
TOTAL = sum(len(content) for content in [*LARGE.values(), *SMALL.values()])
PULL = ("models", "pull", "large", "small", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.fixture
def environ(studio: StudioServer, file_server: FileServer) -> dict[str, str]:
    studio.serve("large", file_server.publish(LARGE))
    studio.serve("small", file_server.publish(SMALL))
    return {**studio.environ, "DVC_STUDIO_REPO_URL": "acme/models"}


@pytest.mark.parametrize("options", [(), ("--jobs", "2")], ids=["default", "jobs"])
def test_large_and_small_files_share_one_limit(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path, options: tuple[str, ...]
) -> None:
    done = run_dvc(*PULL, "--limit-rate", "1M", *options, cwd=folder, env=environ)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["bytes_downloaded"] == TOTAL
    # Less than the whole time: the first bytes come at once.
    assert result["seconds"] > 0.6 * TOTAL / MIB


def test_a_wait_for_the_limit_can_be_interrupted(
    environ: dict[str, str], file_server: FileServer, folder: Path
) -> None:
    with subprocess.Popen(
        [DVC, *PULL, "--limit-rate", "1k"],
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - it only sets a handler
    ) as process:
        wait_until(lambda: bool(file_server.requests), timeout_s=60)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=10)

    assert json.loads(stdout)["error"]["exit_code"] == process.returncode == 252


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        pytest.param("fast", "'fast' is not a number of bytes a second", id="a word"),
        pytest.param("10T", "'10T' is not a number of bytes a second", id="a unit"),
        pytest.param("-1M", "expected one argument", id="negative"),
        pytest.param("1000", "'--limit-rate' must be at least 1K", id="too low"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path, rate: str, message: str
) -> None:
    done = run_dvc(*PULL, "--limit-rate", rate, cwd=folder, env=environ)

    assert done.returncode == 254
    assert message in json.loads(done.stdout)["error"]["message"]


def test_dvc_cannot_limit_its_own_downloads(run_dvc: RunDvc, clone: Path) -> None:
    args = ("models", "pull", "churn", "--source", "remote", "--limit-rate", "1M")
    done = run_dvc(*args, cwd=clone)

    assert done.returncode == 254
    assert "no effect with '--source remote'" in done.stderr


@pytest.mark.usefixtures("environ")
def test_python_has_a_limit_too(studio: StudioServer, folder: Path) -> None:
    settings = {"repo": "acme/models", "folder": folder, "token": studio.token}

    result = pull("large", url=studio.url, limit_rate=MIB, **settings)

    assert result.seconds > 0.6 * len(LARGE["models/large.bin"]) / MIB
    with pytest.raises(UsageError, match="at least 1K"):
        pull("large", url=studio.url, limit_rate=1, **settings)
