"""``--progress``: what a program, and a terminal, see of a pull."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from environments import DVC
from fetching import noise
from projects import git
from servers import Behaviour, FileServer, StudioServer, wait_until
from terminals import heed_ctrl_c, on_terminal

from dvc_studio_models import pull

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

LARGE = {"models/large.bin": noise(3 << 20)}
SMALL = {f"models/small/{n}.bin": noise(2000, n) for n in range(40)}
SMALL_BYTES, LARGE_BYTES = 40 * 2000, 3 << 20
TOTAL = SMALL_BYTES + LARGE_BYTES
PULL = ("models", "pull", "large", "small", "--limit-rate", "2M")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.fixture
def environ(studio: StudioServer, file_server: FileServer) -> dict[str, str]:
    studio.serve("large", file_server.publish(LARGE))
    studio.serve("small", file_server.publish(SMALL))
    return {**studio.environ, "DVC_STUDIO_REPO_URL": "acme/models"}


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("document", [(), ("--json",)], ids=["text", "json"])
def test_json_lines_show_the_progress_of_each_model_and_the_result(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path, document: tuple[str, ...]
) -> None:
    args = (*PULL, "--progress", "json", *document)
    done = run_dvc(*args, cwd=folder, env=environ)

    *states, result = lines_of(done.stderr)
    assert {state["event"] for state in states} == {"progress"}
    assert 2 <= len(states) <= 20
    for key in ("bytes", "files"):
        counts = [state[key] for state in states]
        assert counts == sorted(counts)
    assert any(0 < state["models"][0]["bytes"] < LARGE_BYTES for state in states)
    last = states[-1]
    assert (last["bytes"], last["total"]) == (TOTAL, TOTAL)
    assert (last["files"], last["files_total"]) == (41, 41)
    expected = {"large": (LARGE_BYTES, 1), "small": (SMALL_BYTES, 40)}
    for model in last["models"]:
        count, files = expected[model["name"]]
        assert model["bytes"] == model["total"] == count
        assert model["files"] == model["files_total"] == files
    assert result.pop("event") == "result"
    assert (result["bytes_downloaded"], len(result["models"])) == (TOTAL, 2)
    if document:
        assert json.loads(done.stdout) == result
    else:
        assert "downloaded\n" in done.stdout


def test_json_lines_hold_messages_and_the_error(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path
) -> None:
    args = ("models", "pull", "nobody", "--progress", "json")
    done = run_dvc(*args, cwd=folder, env=environ)

    message, result = lines_of(done.stderr)
    error = result["error"]
    assert (result["event"], error["exit_code"], done.returncode) == ("result", 4, 4)
    assert message == {
        "event": "message",
        "level": "error",
        "message": error["message"],
    }


def test_a_dry_run_that_is_refused_has_one_result(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path
) -> None:
    (folder / "models").mkdir()
    (folder / "models/large.bin").write_text("mine")
    args = ("models", "pull", "large", "--dry-run", "--progress", "json")
    done = run_dvc(*args, cwd=folder, env=environ)

    results = [it for it in lines_of(done.stderr) if it["event"] == "result"]
    assert [result["models"][0]["name"] for result in results] == ["large"]
    assert done.returncode == 7


def test_an_interrupted_pull_has_a_result_too(
    environ: dict[str, str], file_server: FileServer, folder: Path
) -> None:
    file_server.behaviour = Behaviour(bytes_per_s=1000)
    with subprocess.Popen(
        [DVC, "models", "pull", "large", "--progress", "json"],
        cwd=folder,
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - it only sets a handler
    ) as process:
        wait_until(lambda: bool(file_server.requests), timeout_s=60)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)

    assert lines_of(stderr)[-1]["error"]["exit_code"] == process.returncode == 143


@pytest.mark.parametrize(
    ("kind", "text"), [("none", ""), ("plain", ""), ("auto", "")], ids=str
)
def test_a_short_pull_shows_nothing_in_a_pipe(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path, kind: str, text: str
) -> None:
    args = ("models", "pull", "small", "--progress", kind)
    done = run_dvc(*args, cwd=folder, env=environ)

    assert (done.returncode, done.stderr) == (0, text)


def test_a_bar_has_the_number_of_files_and_fits_a_narrow_terminal(
    environ: dict[str, str], folder: Path
) -> None:
    done = on_terminal([DVC, *PULL], cwd=folder, env=environ)

    bars = [part for part in done.stdout.split("\r") if "Downloading" in part]
    assert any("/41 files" in bar for bar in bars), bars
    assert "Downloading" not in done.stdout.rpartition("\r")[2]


def test_git_knows_the_total_of_a_folder_before_the_first_byte(
    registry: Registry, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int | None]] = []
    for name, value in registry.environ.items():
        monkeypatch.setenv(name, value)

    def tell(done: int, total: int | None) -> None:
        seen.append((done, total))

    pull("bert", folder=clone, progress=tell, jobs=1, limit_rate=16 << 10)

    assert seen[0][1] == seen[-1][1] == seen[-1][0]
