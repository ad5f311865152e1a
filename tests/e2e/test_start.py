"""A command imports and starts only what it has a use for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from projects import write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Registry

RUN = """
import sys
from dvc.cli import main
try:
    code = main(sys.argv[2:])
except SystemExit as exit:
    code = exit.code
with open(sys.argv[1], "w") as file:
    file.write("\\n".join(sys.modules))
sys.exit(code)
"""

OF_DVC = {
    "asyncio",
    "attr",
    "diskcache",
    "dulwich",
    "dvc.fs",
    "dvc.repo",
    "dvc.scm",
    "dvc.stage",
    "dvc_data",
    "dvc_objects",
    "fsspec",
    "gto",
    "networkx",
    "pathspec",
    "psutil",
    "pygit2",
    "pygtrie",
    "scmrepo",
}
OF_A_DOWNLOAD = {
    "dvc_studio_models.http.storage",
    "dvc_studio_models.server.app",
    "dvc_studio_models.sources.local.source",
    "dvc_studio_models.transfer",
    "pycurl",
}
OF_ANY_WORK = {
    "configobj",
    "dvc_studio_models.operations",
    "dvc_studio_models.registry",
    "dvc_studio_models.server",
    "dvc_studio_models.sources",
    "dvc_studio_models.store",
    "requests",
    "sqlite3",
    "urllib3",
    "voluptuous",
}


def without_coverage() -> dict[str, str]:
    """Return the environment without coverage, which imports modules of its own."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("COV")
    }


def run(*args: str, cwd: Path, env: dict[str, str]) -> set[str]:
    """Run ``dvc`` in a new process; return what it has imported at its end."""
    listed = cwd.parent / "modules"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(listed), *args],
        cwd=cwd,
        env={**without_coverage(), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(listed.read_text().split("\n"))


@pytest.fixture
def placed(registry: Registry, clone: Path) -> Path:
    """A clone with all files of a model, and of another one."""
    run("models", "pull", "bert", "churn", cwd=clone, env=registry.environ)
    return clone


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        (("models", "pull", "bert"), OF_DVC | OF_A_DOWNLOAD),
        (("models", "status", "churn"), OF_DVC | OF_A_DOWNLOAD),
        (("models", "list"), {"gto", "pygit2", "requests"}),
        (("models", "pull", "--help"), OF_DVC | OF_A_DOWNLOAD | OF_ANY_WORK),
        (("models", "--help"), OF_DVC | OF_A_DOWNLOAD | OF_ANY_WORK),
        (("--version",), OF_DVC | OF_A_DOWNLOAD | OF_ANY_WORK),
    ],
    ids=["no-op", "status", "list", "help of pull", "help", "version"],
)
def test_a_command_imports_nothing_that_it_does_not_use(
    registry: Registry, placed: Path, command: tuple[str, ...], unused: set[str]
) -> None:
    imported = run(*command, cwd=placed, env=registry.environ)

    assert imported & unused == set()


def test_dvc_can_be_run_again_in_the_same_process(
    registry: Registry, placed: Path
) -> None:
    again = """if True:
        import sys
        from dvc.cli import main
        codes = [main(["models", "pull", "churn"]), main(["status"])]
        import dvc.repo.open_repo
        sys.exit(codes != [0, 0] or not dvc.repo.open_repo.open_repo)
    """
    done = subprocess.run(
        [sys.executable, "-c", again],
        cwd=placed,
        env={**os.environ, **registry.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_pull_with_nothing_to_do_runs_git_few_times(
    registry: Registry, placed: Path, tmp_path: Path
) -> None:
    log, real = tmp_path / "git.log", shutil.which("git")
    write(
        tmp_path,
        {"bin/git": f'#!/bin/sh\necho "$*" >>{log}\nexec {real} "$@"'.encode()},
    )
    (tmp_path / "bin/git").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"

    run("models", "pull", "bert", cwd=placed, env={**registry.environ, "PATH": path})

    assert len(log.read_text().splitlines()) <= 5
