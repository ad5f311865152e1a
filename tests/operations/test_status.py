"""What a comparison of many models opens and reads, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from projects import BERT, CHURN, Project, copy_project
from spies import SpyGit

from dvc_studio_models import pull
from dvc_studio_models.model import PullOptions
from dvc_studio_models.operations.status import compare

if TYPE_CHECKING:
    from pathlib import Path

    from servers import FileServer, StudioServer


@pytest.fixture
def clone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = tmp_path_factory.getbasetemp() / "template"
    project: Project = copy_project(template, tmp_path / "project")
    return project.clone(tmp_path / "clone")


def offer(studio: StudioServer, files: FileServer, version: str) -> None:
    """Serve the same version of churn and bert as the latest."""
    bert = {f"models/bert/{name}": data for name, data in BERT[version].items()}
    studio.serve("churn", files.publish({"models/churn.pkl": CHURN[version]}))
    studio.serve("bert", files.publish(bert))


def test_tags_are_read_once_however_many_pins_are_outdated(
    clone: Path,
    studio: StudioServer,
    file_server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"folder": clone, "token": studio.token, "url": studio.url}
    offer(studio, file_server, "v2.0.0")
    pull("churn", "bert", lock=True, **settings)
    offer(studio, file_server, "v1.0.0")
    git = SpyGit.install(tmp_path / "spy", monkeypatch)

    result = compare([], PullOptions(**settings))

    assert [model.outdated for model in result.models] == [True, True]
    assert git.count("refs/tags") == 1
    assert git.count("rev-parse") == 1
