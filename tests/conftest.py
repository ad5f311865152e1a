"""A world of its own for every test: home, settings, Git identity, and real servers."""

from __future__ import annotations

import functools
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import folding_fs
import pygit2
import pytest
from environments import DVC
from needs import folding_file_system
from pygit2.enums import ConfigLevel
from servers import FileServer, StudioServer
from warm import COVERAGE, Warm, warm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GIT_CONFIG = """\
[user]
	name = DVC Tester
	email = dvctester@example.com
[init]
	defaultBranch = main
"""
FOREIGN_PREFIXES = ("DVC_", "GIT_", "STUDIO_")  # GIT_DIR is set in hooks, for one
FOREIGN = {
    "all_proxy",
    "curl_ca_bundle",
    "http_proxy",
    "https_proxy",
    "makeflags",  # "make test" is not to speak to the make that a test runs
    "makelevel",
    "mflags",
    "netrc",
    "pythondontwritebytecode",  # every dvc would compile our modules anew
    "requests_ca_bundle",
}


class RunDvc(Protocol):
    """Runs ``dvc`` as a user does, see ``run_dvc``."""

    def __call__(
        self,
        *args: str | Path,
        cwd: str | Path | None = None,
        env: Mapping[str, str | None] | None = None,
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]: ...


def pytest_configure() -> None:
    """Undo what the tests' own surroundings would change in them.

    DVC's log handlers write to streams that a test closes. A shell lets what it runs
    in the background ignore Ctrl-C, and every program that a test starts would inherit
    that.
    """
    for number, action in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).handlers.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of calls that this system does not have."""
    if sys.platform != "linux":
        for item in items:
            if item.get_closest_marker("linux"):
                item.add_marker(pytest.mark.skip(reason="only Linux has what it needs"))


@pytest.fixture(scope="session", autouse=True)
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Isolate what is made once for many tests, and give its home."""
    home = tmp_path_factory.mktemp("shared-home")
    with pytest.MonkeyPatch.context() as patch:
        isolate(home, patch)
        yield home


@pytest.fixture(autouse=True)
def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Isolate the test from its user, its machine and other tests; give its home."""
    home = tmp_path_factory.mktemp("home")
    isolate(home, monkeypatch)
    return home


def isolate(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Make ``home``, which must exist, all that this process knows of its user."""
    for name in list(os.environ):
        if name.startswith(FOREIGN_PREFIXES) or name.lower() in FOREIGN:
            patch.delenv(name)
    for name, value in _environ(home).items():
        patch.setenv(name, value)
    (home / ".gitconfig").write_text(GIT_CONFIG)
    for level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        # libgit2 reads the environment only once, when it is loaded.
        place = home if level is ConfigLevel.GLOBAL else home / level.name.lower()
        pygit2.settings.search_path[level] = str(place)


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """An honest object store; its behaviour may be changed by the test."""
    with FileServer() as server:
        yield server


@pytest.fixture
def studio() -> Iterator[StudioServer]:
    """A Studio without models."""
    with StudioServer() as server:
        yield server


@pytest.fixture(scope="session", params=folding_fs.KINDS)
def folding_fs_root(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Mount a file system that finds names as macOS does."""
    home = tmp_path_factory.mktemp("folding")
    with folding_file_system(request.param, home) as mounted:
        yield mounted


@pytest.fixture
def folding_path(folding_fs_root: Path) -> Path:
    """An empty folder where names are found as on macOS."""
    return Path(tempfile.mkdtemp(dir=folding_fs_root))


@pytest.fixture(scope="session")
def warm_dvc() -> Iterator[Warm]:
    """A process that has ``dvc`` loaded, and runs it as a new process would."""
    with warm() as process:
        yield process


@pytest.fixture(scope="session")
def measured_dvc(request: pytest.FixtureRequest) -> Iterator[Warm]:
    """The same, but coverage measures it if it measures the tests."""
    if not any(name.startswith(COVERAGE) for name in os.environ):
        yield request.getfixturevalue("warm_dvc")
        return
    with warm(measured=True) as process:
        yield process


@pytest.fixture
def run_dvc(request: pytest.FixtureRequest) -> RunDvc:
    """Run the real ``dvc`` of this environment, in a process of its own.

    ``env`` is added to the test's environment; None takes a variable away. The process
    is a child of ``warm_dvc``. It is a new one with the marker ``cold``, and where the
    environment has an effect on the start of a program.
    """
    if not DVC.exists():
        pytest.fail(f"no dvc beside {sys.executable}: install '.[tests]' there")
    if request.node.get_closest_marker("cold"):
        return functools.partial(_run_dvc, None)
    return functools.partial(_run_dvc, request.getfixturevalue("measured_dvc"))


def _run_dvc(
    warm_dvc: Warm | None,
    *args: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str | None] | None = None,
    input: str | None = None,  # noqa: A002 - as in subprocess.run
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    merged = {**os.environ, **(env or {})}
    merged = {name: value for name, value in merged.items() if value is not None}
    run = warm_dvc.capture if warm_dvc and warm_dvc.can_run(merged) else _run_cold
    try:
        return run(
            *map(str, args),
            cwd=Path(cwd or Path.cwd()),
            env=merged,
            stdin=input or "",  # a prompt finds the end of its input, and never waits
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        shown = f"{error.stdout!r}\n{error.stderr!r}"
        pytest.fail(f"dvc {args}: no end in {timeout} s\n{shown}")


def _run_cold(
    *args: str, cwd: Path, env: Mapping[str, str], stdin: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DVC, *args],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )


def _environ(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CONFIG_DIRS": str(home / "site-config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site-cache"),
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_TERMINAL_PROMPT": "0",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
