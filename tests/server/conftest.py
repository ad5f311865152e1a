"""Servers of the session's project, for all tests of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from projects import (
    Project,
    copy_project,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests that change nothing: to stop one takes uvicorn 0.2 s."""
    root = tmp_path_factory.mktemp("server")
    template = tmp_path_factory.getbasetemp() / "template"
    with serving(copy_project(template, root / "project").repo) as url:
        yield url


@pytest.fixture
def own_server(project: Project) -> Iterator[str]:
    """Serve ``project``, whatever the test does to it."""
    with serving(project.repo) as url:
        yield url
