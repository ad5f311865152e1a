"""The progress of a download: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import git
from servers import Behaviour, FileServer, StudioServer
from terminals import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

CONTENT = bytes(range(256)) * 4096
PULL = ("models", "pull", "churn", "--jobs", "1")
ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[1-9][0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.fixture
def environ(studio: StudioServer, file_server: FileServer) -> dict[str, str]:
    """A Studio with one model of 1 MiB."""
    studio.serve("churn", file_server.publish({"models/churn.pkl": CONTENT}))
    return {**studio.environ, "DVC_STUDIO_REPO_URL": "acme/models"}


def take(file_server: FileServer, seconds: float) -> None:
    """Make the download take some seconds."""
    file_server.behaviour = Behaviour(bytes_per_s=int(len(CONTENT) / seconds))


def test_a_log_has_a_line_every_few_seconds_and_nothing_else(
    run_dvc: RunDvc, file_server: FileServer, environ: dict[str, str], folder: Path
) -> None:
    take(file_server, seconds=12)

    done = run_dvc(*PULL, cwd=folder, env=environ)

    assert done.returncode == 0, done.stderr
    assert {"\r", ESCAPE, "\b"} & {*done.stdout, *done.stderr} == set()
    rate = r"[\d.]+ KiB/s, \d+ s left"
    line = rf"Downloading: [\d.]+ [KM]iB of 1.0 MiB \(\d+%\), {rate}"
    lines = done.stderr.splitlines()
    assert all(re.fullmatch(line, shown) for shown in lines), lines
    assert 1 <= len(lines) <= 3
    assert "downloaded" in done.stdout


def test_a_short_pull_leaves_no_line_in_a_log(
    run_dvc: RunDvc, environ: dict[str, str], folder: Path
) -> None:
    done = run_dvc(*PULL, cwd=folder, env=environ)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_programs_see_no_lines(
    run_dvc: RunDvc,
    file_server: FileServer,
    environ: dict[str, str],
    folder: Path,
    option: str,
) -> None:
    take(file_server, seconds=6)

    done = run_dvc(*PULL, option, cwd=folder, env=environ)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_has_a_bar_that_is_gone_at_the_end(
    file_server: FileServer, environ: dict[str, str], folder: Path
) -> None:
    take(file_server, seconds=2)

    done = on_terminal([DVC, *PULL], cwd=folder, env=environ)

    assert done.returncode == 0, done.stdout
    bars = [part for part in done.stdout.split("\r") if "Downloading" in part]
    assert len(bars) > 3
    assert re.search(r"\d+% Downloading.*\|.*1\.00M", bars[-1])
    end = done.stdout.rpartition("Downloading")[2]
    assert "downloaded" in end
    assert "1 file, 1.0 MiB in" in end


@pytest.mark.parametrize("args", [PULL, (*PULL[:2], "nobody")], ids=["done", "refused"])
def test_no_color_is_respected_on_a_terminal(
    environ: dict[str, str], folder: Path, args: tuple[str, ...]
) -> None:
    plain = on_terminal([DVC, *args], cwd=folder, env={**environ, "NO_COLOR": "1"})

    assert COLOUR.findall(plain.stdout) == []
