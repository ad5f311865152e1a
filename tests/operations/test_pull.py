"""What one pull opens, reads and looks at, and what Git says before it."""

from __future__ import annotations

import gc
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from counted_pull import counted_pull
from projects import (
    BERT,
    CHURN,
    Project,
    commit_all,
    copy_project,
    git,
    read_tree,
    write,
)

from dvc_studio_models import pull
from dvc_studio_models.errors import (
    RecordUnreadableError,
    SiteCacheError,
    StudioConfigError,
    VersionUnknownError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servers import FileServer, StudioServer

PATH = "models/churn.pkl"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def clone(project: Project, tmp_path: Path) -> Path:
    """A clone with tags and without a cache, at version 2."""
    folder = project.clone(tmp_path / "clone")
    (folder / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\n    url = {project.storage}\n"
    )
    return folder


def offer(studio: StudioServer, files: FileServer) -> dict[str, Any]:
    """Serve all versions of churn and bert; return the settings of a pull."""
    for version, content in (*CHURN.items(), (None, CHURN["v2.0.0"])):
        studio.serve("churn", files.publish({PATH: content}), version=version)
    for version, tree in (*BERT.items(), (None, BERT["v2.0.0"])):
        found = {f"models/bert/{name}": content for name, content in tree.items()}
        studio.serve("bert", files.publish(found), version=version)
    return {"token": studio.token, "url": studio.url}


# -- once each


@pytest.mark.parametrize("source", ["studio", "remote"])
def test_a_pull_opens_and_reads_each_thing_once(
    clone: Path,
    studio: StudioServer,
    file_server: FileServer,
    source: str,
) -> None:
    """The clone, DVC's config, and the cache of what commits record of models.

    That cache (``registry.json``) is the only one of the tags' contents: the tags
    themselves are read by one command of Git. It is read a second time only to add new
    records to it, so the pull that is counted is not the first one.
    """
    settings = offer(studio, file_server)
    names = ("churn", "bert")
    pull(*names, folder=clone, source=source, **settings)
    shutil.rmtree(clone / "models")
    shutil.rmtree(clone / ".dvc/cache")

    counted = counted_pull(*names, folder=clone, source=source, **settings)

    assert counted.error == ""
    assert set(counted.files) == {("downloaded", "git")}
    assert counted.opened[".dvc/config"] == 1
    assert counted.opened[".dvc/config.local"] == 1
    assert counted.opened[".git/dvc-models/registry.json"] == 1
    assert counted.calls == {"clone": 1, "targets": 2}


@pytest.mark.parametrize("source", ["studio", "remote"])
def test_a_dry_run_leaves_no_file_of_ours(
    clone: Path, studio: StudioServer, file_server: FileServer, source: str
) -> None:
    settings = offer(studio, file_server)

    pull("churn", "bert", folder=clone, source=source, dry_run=True, **settings)

    assert not (clone / ".dvc/tmp/models").exists()
    assert not (clone / ".dvc/cache").exists()
    assert not (clone / "models/churn.pkl").exists()


# -- a commit that cannot be read


def damage(project: Project, files: Mapping[str, bytes], tag: str) -> str:
    """Commit files that DVC cannot read, and register them."""
    write(project.repo, dict(files))
    commit_all(project, "Damage a file of DVC's")
    project.tag(tag)
    return project.commit(tag)


UNREADABLE = [
    pytest.param({"models/churn.pkl.dvc": b"outs: ["}, id="the file of the output"),
    pytest.param({"dvc.yaml": b"artifacts: ["}, id="dvc.yaml"),
    pytest.param({".dvc/config": b"[core\n"}, id="the config"),
]


@pytest.mark.parametrize("files", UNREADABLE)
def test_of_the_latest_version_a_warning_says_that_git_could_not_verify_it_and_why(
    project: Project,
    tmp_path: Path,
    studio: StudioServer,
    file_server: FileServer,
    caplog: pytest.LogCaptureFixture,
    files: dict[str, bytes],
) -> None:
    commit = damage(project, files, "churn@v3.0.0")
    clone = project.clone(tmp_path / "clone")
    git(clone, "checkout", "--quiet", "churn@v2.0.0")
    settings = offer(studio, file_server)

    with caplog.at_level(logging.WARNING, logger="dvc"):
        result = pull("churn", folder=clone, **settings)

    (warning,) = caplog.messages
    assert warning.startswith("Git cannot verify 'churn': ")
    assert "\n" not in warning
    assert commit[:7] in warning
    assert result.models[0].files[0].verified_by == "url"


@pytest.mark.parametrize("files", UNREADABLE)
def test_an_explicit_version_whose_commit_cannot_be_read_is_refused(
    project: Project,
    tmp_path: Path,
    studio: StudioServer,
    file_server: FileServer,
    files: dict[str, bytes],
) -> None:
    commit = damage(project, files, "churn@v3.0.0")
    clone = project.clone(tmp_path / "clone")
    git(clone, "checkout", "--quiet", "churn@v2.0.0")
    settings = offer(studio, file_server)
    content = file_server.publish({PATH: CHURN["v2.0.0"]})
    studio.serve("churn", content, version="v3.0.0")
    before = (clone / PATH).exists()

    with pytest.raises((RecordUnreadableError, StudioConfigError)) as caught:
        pull("churn@v3.0.0", folder=clone, **settings)

    assert commit[:7] in str(caught.value)
    assert file_server.requests == []
    assert (clone / PATH).exists() == before


@pytest.mark.parametrize("files", UNREADABLE)
def test_a_locked_version_whose_commit_cannot_be_read_is_refused(
    project: Project,
    clone: Path,
    studio: StudioServer,
    file_server: FileServer,
    files: dict[str, bytes],
) -> None:
    settings = offer(studio, file_server)
    pull("churn@v2.0.0", folder=clone, lock=True, **settings)
    commit = damage(project, files, "churn@v3.0.0")
    git(clone, "fetch", "--quiet", str(project.repo), "churn@v3.0.0")
    lock = clone / "models.lock"
    old = project.commit("churn@v2.0.0")
    lock.write_text(lock.read_text().replace(old, commit))
    (clone / PATH).unlink()

    with pytest.raises((RecordUnreadableError, StudioConfigError)) as caught:
        pull(folder=clone, locked=True, **settings)

    assert commit[:7] in str(caught.value)
    assert not (clone / PATH).exists()


@pytest.mark.parametrize("files", UNREADABLE)
def test_a_model_whose_commit_cannot_be_read_is_not_pinned_for_that_reason(
    project: Project,
    tmp_path: Path,
    studio: StudioServer,
    file_server: FileServer,
    files: dict[str, bytes],
) -> None:
    commit = damage(project, files, "churn@v3.0.0")
    clone = project.clone(tmp_path / "clone")
    git(clone, "checkout", "--quiet", "churn@v2.0.0")
    settings = offer(studio, file_server)

    with pytest.raises(VersionUnknownError) as caught:
        pull("churn", folder=clone, lock=True, **settings)

    message = str(caught.value)
    assert "cannot pin 'churn'" in message
    assert commit[:7] in message
    assert "git fetch" not in message


def test_a_partial_clone_that_cannot_fetch_is_pulled_into_with_a_warning(
    project: Project,
    tmp_path: Path,
    studio: StudioServer,
    file_server: FileServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The clone lacks the files, which says nothing against them."""
    git(project.repo, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial"
    origin = f"file://{project.repo}"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", origin, str(clone))
    git(clone, "remote", "set-url", "origin", "git@git.example.com:acme/models.git")
    settings = offer(studio, file_server)

    with caplog.at_level(logging.WARNING, logger="dvc"):
        result = pull("churn@v1.0.0", folder=clone, **settings)

    assert [m.startswith("Git cannot verify 'churn@v1.0.0'") for m in caplog.messages]
    assert result.models[0].files[0].verified_by == "url"


# -- another source, suggested


def test_no_cached_object_is_read_to_suggest_another_source(clone: Path) -> None:
    """As of a cache that a CI system restored: DVC's state knows nothing of it."""
    pull("churn", "bert", folder=clone, source="remote")
    stored = read_tree(clone / ".dvc/cache/files/md5")
    shutil.rmtree(clone / ".dvc/cache")
    write(clone / ".dvc/cache/files/md5", stored)
    shutil.rmtree(clone / "models")

    counted = counted_pull("churn", "bert", folder=clone)

    assert counted.error.startswith("TokenMissingError: ")
    assert "are in the DVC cache: use" in counted.error
    opened = counted.opened
    cached = [path for path in opened if path.startswith(".dvc/cache/files/md5/")]
    assert [path for path in cached if not path.endswith(".dir")] == []


# -- the listings of folders


def listings(folder: Path) -> list[Path]:
    return list((folder / ".dvc/cache").glob("files/md5/*/*.dir"))


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "removed"])
def test_a_listing_that_the_cache_has_lost_is_added_again(
    studio: StudioServer, file_server: FileServer, clone: Path, *, placed: bool
) -> None:
    settings = offer(studio, file_server)
    pull("bert", folder=clone, **settings)
    (listing,) = listings(clone)
    content = listing.read_bytes()
    shutil.rmtree(clone / ".dvc/cache")
    if not placed:
        shutil.rmtree(clone / "models/bert")

    pull("bert", folder=clone, **settings)

    assert [each.read_bytes() for each in listings(clone)] == [content]


def test_no_listing_is_added_without_the_cache(
    studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    settings = offer(studio, file_server)

    for _ in range(2):
        pull("bert", folder=clone, cache=False, **settings)

    assert listings(clone) == []


# DVC does not close a database that it fails to open: Python 3.13 warns of that.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_database_of_dvc_that_is_garbage_is_named(
    studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    settings = offer(studio, file_server)
    pull("bert", folder=clone, **settings)
    site_cache = Path(os.environ["DVC_SITE_CACHE_DIR"])
    for database in site_cache.rglob("cache.db"):
        database.write_bytes(b"garbage" * 1000)
    shutil.rmtree(clone / "models/bert")

    with pytest.raises(SiteCacheError, match="not a database"):
        pull("bert", folder=clone, **settings)
    gc.collect()
