"""``--source remote`` over HTTP: DVC's own client and its errors."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import BERT, CHURN, read_tree
from servers import Behaviour
from terminals import heed_ctrl_c

from tests.e2e.test_pins import PATH, md5
from tests.files.test_workspace import frozen

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project
    from servers import FileServer

SECRET = "PLANTED_SECRET_KEY"
PULL = ("models", "pull", "--source", "remote")


@pytest.fixture
def clone(served_project: Project, file_server: FileServer, tmp_path: Path) -> Path:
    """A clone whose DVC remote is an HTTP server with a user name and password."""
    for path in (served_project.storage / "files").rglob("*"):
        if path.is_file():
            inner = path.relative_to(served_project.storage).as_posix()
            file_server.objects[f"/{inner}"] = path.read_bytes()
    file_server.behaviour = Behaviour(refuse_head=False)
    clone = served_project.clone(tmp_path / "clone")
    host = file_server.origin().removeprefix("http://")
    (clone / ".dvc/config.local").write_text(
        "['remote \"storage\"']\n"
        f"    url = http://ada:{SECRET}@{host}\n    auth = basic\n"
        f"    user = ada\n    password = {SECRET}\n"
    )
    return clone


def test_files_come_with_the_users_own_credentials(
    run_dvc: RunDvc, file_server: FileServer, clone: Path
) -> None:
    done = run_dvc(*PULL, "bert", "churn", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]
    assert (clone / PATH).read_bytes() == CHURN["v2.0.0"]
    assert all("authorization" in each.headers for each in file_server.requests)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(Behaviour(status=401), "HTTP", id="refused"),
        pytest.param(Behaviour(status=404), "was it pushed", id="missing"),
        pytest.param(
            Behaviour(wrong_bytes=True), "is different there", id="wrong bytes"
        ),
    ],
)
@pytest.mark.parametrize("model", ["churn", "bert"])
def test_what_the_server_refuses_is_told_without_secrets(
    run_dvc: RunDvc,
    file_server: FileServer,
    clone: Path,
    model: str,
    behaviour: Behaviour,
    reason: str,
) -> None:
    file_server.behaviour = behaviour

    done = run_dvc(*PULL, model, "-v", cwd=clone, timeout=120)

    assert done.returncode == 5, done.stderr
    assert "failed to download from the DVC remote 'storage':\n  models/" in done.stderr
    assert reason in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert not (clone / "models/bert").exists()
    assert not (clone / PATH).exists()


@pytest.mark.parametrize("models", [["churn"], ["churn", "bert"]], ids=["one", "more"])
def test_a_cache_that_cannot_be_written_is_not_the_servers_fault(
    run_dvc: RunDvc, clone: Path, models: list[str]
) -> None:
    folder = clone / ".dvc/cache/files/md5"
    inner = folder / md5(CHURN["v2.0.0"])[:2]
    inner.mkdir(parents=True)
    with frozen(inner):
        done = run_dvc(*PULL, *models, cwd=clone)

    assert done.returncode == 8, done.stderr
    assert f"cannot write '{folder}': " in done.stderr
    assert not (clone / PATH).exists()


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(refuse_head=False, bytes_per_s=20_000), id="slow"),
        pytest.param(Behaviour(refuse_head=False, stall_after=3), id="stalled"),
    ],
)
@pytest.mark.parametrize(
    "models",
    [
        pytest.param(["churn"], id="one"),
        pytest.param(["churn", "services/fraud:fraud"], id="several"),
    ],
)
def test_ctrl_c_ends_a_transfer(
    file_server: FileServer, clone: Path, models: list[str], behaviour: Behaviour
) -> None:
    file_server.behaviour = behaviour
    name = md5(CHURN["v2.0.0"])
    with subprocess.Popen(
        [DVC, *PULL, *models],
        cwd=clone,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - no other thread forks here
    ) as pull:
        deadline = time.monotonic() + 30
        while not any(name[2:] in each.path for each in file_server.requests):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        began = time.monotonic()
        pull.send_signal(signal.SIGINT)
        _, errors = pull.communicate(timeout=30)

    assert time.monotonic() - began < 5, errors
    assert pull.returncode == 252
    assert not (clone / PATH).exists()
