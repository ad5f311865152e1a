"""The README's ways to install from a checkout; downloads come from a cache."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from environments import BUILDS_OFFLINE, ROOT, Environment
from needs import need_package, need_program

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
UV_CACHE = Path(
    os.environ.get("UV_CACHE_DIR")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
)
"""Read here, before a test has a home of its own. ``make`` fills it."""

COMMANDS = [
    line.partition("#")[0].strip()
    for line in re.findall(r"^\$ (.*)$", (ROOT / "README.md").read_text("utf-8"), re.M)
    if "./dvc-studio-models" in line
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The folder in which the repository was cloned."""
    ignore = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks")
    shutil.copytree(ROOT, tmp_path / "dvc-studio-models", ignore=ignore)
    return tmp_path


def test_there_are_three_ways() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["pip", "uv", "pipx"]


def test_pip_installs_into_the_environment_of_dvc(checkout: Path) -> None:
    environment = Environment(checkout / "env")

    done = subprocess.run(
        [environment.python, "-m", *shlex.split(COMMANDS[0])],
        cwd=checkout,
        env={**os.environ, **BUILDS_OFFLINE, "PIP_NO_BUILD_ISOLATION": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    helped = environment.dvc("models", "--help")
    assert helped.stdout.startswith("usage: dvc models")


@pytest.mark.parametrize("command", COMMANDS[1:], ids=lambda command: command[:4])
def test_uv_and_pipx_install_dvc_with_the_command(checkout: Path, command: str) -> None:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    need_program("uv", path)
    need_package("pipx")
    pipx_version = tuple(map(int, version("pipx").split(".")[:2]))
    if command.startswith("pipx") and pipx_version < (1, 18):
        pytest.skip("this pipx cannot use the cache of uv")
    env = {
        **os.environ,
        "PATH": path,
        "UV_CACHE_DIR": str(UV_CACHE),
        "UV_OFFLINE": "1",
        "UV_TOOL_DIR": str(checkout / "tools"),
        "UV_TOOL_BIN_DIR": str(checkout / "bin"),
        "PIPX_HOME": str(checkout / "pipx"),
        "PIPX_BIN_DIR": str(checkout / "bin"),
        "PIPX_DEFAULT_BACKEND": "uv",
    }

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    if "network was disabled" in done.stderr:
        pytest.skip("the cache of uv lacks a package")
    assert done.returncode == 0, done.stderr
    helped = subprocess.run(
        [checkout / "bin/dvc", "models", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert helped.stdout.startswith("usage: dvc models")
