"""A real registry behind a real server, and clones of it, as users have them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from projects import Project, copy_project, serving
from stores import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "token-of-the-e2e-tests"


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
    """Serve, from a thread, a project that the test may damage."""
    folder = tmp_path_factory.mktemp("own")
    project = copy_project(
        tmp_path_factory.getbasetemp() / "template", folder / "project"
    )
    with serving(project.repo, tokens={TOKEN: "tests"}) as url:
        yield Registry(project, url)


@contextlib.contextmanager
def serve(project: Project, home: Path) -> Iterator[Registry]:
    """Run ``dvc models serve`` for a project until the end of the block."""
    env = {
        **os.environ,
        "HOME": str(home),
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DVC_STUDIO_TOKEN": TOKEN,
    }
    with served(project.repo, log=home / "serve.log", env=env) as url:
        yield Registry(project, url)


@pytest.fixture
def clone(registry: Registry, tmp_path: Path) -> Path:
    """A clone with tags and without a cache, at version 2."""
    return registry.project.clone(tmp_path / "clone")
