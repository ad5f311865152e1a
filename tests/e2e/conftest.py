"""A real registry behind a real server, and clones of it, as users have them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from projects import Project, copy_project
from warm import Warm, warm

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "token-of-the-e2e-tests"
DVC = Path(sys.executable).parent / "dvc"


@dataclass(frozen=True)
class Registry:
    """A project whose models ``dvc models serve`` offers."""

    project: Project
    url: str

    @property
    def environ(self) -> dict[str, str]:
        """What a client sets."""
        return {"DVC_STUDIO_URL": self.url, "DVC_STUDIO_TOKEN": TOKEN}


@pytest.fixture(scope="session")
def served_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("registry")
    return copy_project(tmp_path_factory.getbasetemp() / "template", folder / "project")


@pytest.fixture(scope="session")
def registry(
    served_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """Serve the project once for all tests that only read it."""
    with serve(served_project, tmp_path_factory.mktemp("serve")) as served:
        yield served


@pytest.fixture
def own_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Serve a project that the test may damage."""
    folder = tmp_path_factory.mktemp("own")
    project = copy_project(
        tmp_path_factory.getbasetemp() / "template", folder / "project"
    )
    with serve(project, folder) as served:
        yield served


class serve:  # noqa: N801 - reads as a verb
    """Run ``dvc models serve`` for a project until the end of the block."""

    def __init__(self, project: Project, home: Path) -> None:
        self._project = project
        self._home = home

    def __enter__(self) -> Registry:
        self._log = (self._home / "serve.log").open("w+")
        env = {
            **os.environ,
            "HOME": str(self._home),
            "DVC_SITE_CACHE_DIR": str(self._home / "site"),
            "DVC_NO_ANALYTICS": "1",
            "DVC_STUDIO_TOKEN": TOKEN,
        }
        self._process = subprocess.Popen(
            [DVC, "models", "serve", "--port", "0", self._project.repo],
            env=env,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        return Registry(self._project, self._wait_for_url())

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(timeout=20) is not None
        self._log.close()

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            text = Path(self._log.name).read_text()
            if found := re.search(r"http://\S+", text):
                return found[0]
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        pytest.fail(f"the server did not start: {Path(self._log.name).read_text()}")


@pytest.fixture(scope="session")
def warm_dvc() -> Iterator[Warm]:
    """A process that has ``dvc`` loaded, for tests that run it many times."""
    with warm() as process:
        yield process


@pytest.fixture
def clone(registry: Registry, tmp_path: Path) -> Path:
    """A clone with tags and without a cache, at version 2."""
    return registry.project.clone(tmp_path / "clone")
