"""Models of several DVC projects in one Git repo, pulled by one command."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from projects import commit_all, git, init_project, lock_held, track, write

from dvc_studio_models import pull
from dvc_studio_models.errors import LocalDiskError, LockHeldError, TargetExistsError
from dvc_studio_models.model import PullOptions
from dvc_studio_models.operations.status import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import FileServer, StudioServer

    from dvc_studio_models.model import PullResult

ANNOTATION = b"artifacts:\n  m:\n    path: m.bin\n    type: model\n"


@pytest.fixture(params=["no project at the root", "a project at the root"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Git repo with the DVC projects ``a`` and ``b``, of one model each."""
    project = init_project(tmp_path / "project", subdir="a")
    (project.repo / "b").mkdir()
    Repo.init(str(project.repo / "b"), subdir=True).close()
    if request.param.startswith("a project"):
        Repo.init(str(project.repo)).close()
    config = (project.repo / "a/.dvc/config").read_text()
    (project.repo / "b/.dvc/config").write_text(config)
    for name in ("a", "b"):
        write(project.repo / name, {"dvc.yaml": ANNOTATION, "m.bin": content(name)})
        track(project.repo / name, "m.bin")
    commit_all(project, "Train")
    for name in ("a", "b"):
        project.tag(f"{name}=m@v1.0.0")
    clone = project.clone(tmp_path / "clone")
    for name in ("a", "b"):
        (clone / name / ".dvc/config.local").write_text(
            f"['remote \"storage\"']\n    url = {project.storage}\n"
        )
    return clone


@pytest.fixture
def pull_both(
    studio: StudioServer, file_server: FileServer, repo: Path
) -> Callable[..., PullResult]:
    """Pull ``a:m`` and ``b:m`` from Studio, or from another source."""
    offer(studio, file_server, version="")
    return functools.partial(
        pull, "a:m", "b:m", folder=repo, token=studio.token, url=studio.url
    )


def content(project: str, version: str = "") -> bytes:
    return f"model of {project} {version}\n".encode() * 40


def offer(studio: StudioServer, files: FileServer, *, version: str) -> None:
    for name in ("a", "b"):
        studio.serve(
            f"{name}:m", files.publish({f"{name}/m.bin": content(name, version)})
        )


def cached(folder: Path) -> set[str]:
    """Return the hashes of all objects in the cache of the project at ``folder``."""
    objects = (folder / ".dvc/cache/files/md5").glob("*/*")
    return {path.parent.name + path.name for path in objects}


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def receipts(folder: Path) -> int:
    return len(list((folder / ".dvc/tmp/models/receipts").glob("*.json")))


@pytest.mark.parametrize("source", ["studio", "remote"])
def test_each_model_is_kept_in_the_cache_of_its_own_project(
    repo: Path, pull_both: Callable[..., PullResult], source: str
) -> None:
    result = pull_both(source=source)

    assert [model.ref.name for model in result.models] == ["a:m", "b:m"]
    for name in ("a", "b"):
        assert (repo / name / "m.bin").read_bytes() == content(name)
        assert cached(repo / name) == {md5(content(name))}
        assert receipts(repo / name) == 1
    assert (cached(repo), receipts(repo)) == (set(), 0)


def test_a_later_pull_replaces_what_an_earlier_one_placed(
    repo: Path,
    studio: StudioServer,
    file_server: FileServer,
    pull_both: Callable[..., PullResult],
) -> None:
    pull_both()
    offer(studio, file_server, version="2")

    again = pull_both()

    assert {f.action for model in again.models for f in model.files} == {"downloaded"}
    assert (repo / "b/m.bin").read_bytes() == content("b", "2")


def test_content_that_two_projects_share_is_in_both_caches(
    repo: Path,
    studio: StudioServer,
    file_server: FileServer,
    pull_both: Callable[..., PullResult],
) -> None:
    for name in ("a", "b"):
        studio.serve(f"{name}:m", file_server.publish({f"{name}/m.bin": b"same"}))

    pull_both()

    assert cached(repo / "a") == cached(repo / "b") == {md5(b"same")}


def test_content_that_two_projects_share_is_downloaded_once_into_a_shared_cache(
    repo: Path,
    studio: StudioServer,
    file_server: FileServer,
    pull_both: Callable[..., PullResult],
) -> None:
    shared = repo.parent / "shared"
    for name in ("a", "b"):
        with (repo / name / ".dvc/config.local").open("a") as config:
            config.write(f"[cache]\n    dir = {shared}\n")
        studio.serve(f"{name}:m", file_server.publish({f"{name}/m.bin": b"same"}))

    result = pull_both()

    actions = [model.files[0].action for model in result.models]
    assert (actions, result.bytes_downloaded) == (["downloaded", "linked"], 4)
    assert len(file_server.requests) == 1
    assert (repo / "a/m.bin").read_bytes() == (repo / "b/m.bin").read_bytes() == b"same"


def test_the_disk_must_have_room_for_the_models_of_all_projects(
    repo: Path, file_server: FileServer, pull_both: Callable[..., PullResult]
) -> None:
    pointer = repo / "b/m.bin.dvc"
    size = f"size: {len(content('b'))}"
    pointer.write_text(pointer.read_text().replace(size, f"size: {1 << 50}"))
    git(repo, "commit", "--quiet", "--all", "--message", "Grow")
    git(repo, "tag", "--annotate", "--message", "x", "b=m@v2.0.0")

    with pytest.raises(LocalDiskError, match=r"space \(2048\.0 TiB to write"):
        pull_both()

    assert file_server.requests == []
    assert not (repo / "a/m.bin").exists()


def test_content_that_one_project_has_is_linked_there_and_downloaded_for_the_other(
    repo: Path, studio: StudioServer, pull_both: Callable[..., PullResult]
) -> None:
    pull("b:m", folder=repo, token=studio.token, url=studio.url)
    (repo / "b/m.bin").unlink()

    result = pull_both()

    actions = {model.ref.name: model.files[0].action for model in result.models}
    assert actions == {"a:m": "downloaded", "b:m": "linked"}
    assert result.bytes_downloaded == len(content("a"))


def test_a_conflict_in_one_project_changes_nothing_in_the_other(
    repo: Path, file_server: FileServer, pull_both: Callable[..., PullResult]
) -> None:
    write(repo / "b", {"m.bin": b"mine"})

    with pytest.raises(TargetExistsError):
        pull_both()

    assert not (repo / "a/m.bin").exists()
    assert file_server.requests == []


def test_a_lock_held_in_one_project_changes_nothing_in_the_other(
    repo: Path, pull_both: Callable[..., PullResult]
) -> None:
    with lock_held(repo / "b"), pytest.raises(LockHeldError):
        pull_both()

    assert not (repo / "a/m.bin").exists()
    assert receipts(repo / "a") == 0


def test_a_file_edited_meanwhile_in_one_project_changes_nothing_in_the_other(
    repo: Path, pull_both: Callable[..., PullResult]
) -> None:
    def edit(_done: int, _total: int | None) -> None:
        write(repo / "b", {"m.bin": b"mine"})

    with pytest.raises(TargetExistsError, match=r"b/m\.bin"):
        pull_both(progress=edit)

    assert not (repo / "a/m.bin").exists()


def test_the_progress_of_all_projects_adds_up(
    pull_both: Callable[..., PullResult],
) -> None:
    told: list[tuple[int, int | None]] = []

    pull_both(progress=lambda done, total: told.append((done, total)))

    assert [done for done, _ in told] == sorted(done for done, _ in told)
    total = len(content("a")) + len(content("b"))
    assert told[-1] == (total, total)


def test_the_lock_file_pins_the_models_of_all_projects(
    repo: Path, pull_both: Callable[..., PullResult]
) -> None:
    pull_both(lock=True)
    for name in ("a", "b"):
        (repo / name / "m.bin").unlink()

    result = pull(folder=repo, locked=True, source="cache")

    files = {file.path: file.action for model in result.models for file in model.files}
    assert files == {"a/m.bin": "linked", "b/m.bin": "linked"}


def test_status_compares_the_models_of_all_projects(
    repo: Path, studio: StudioServer, pull_both: Callable[..., PullResult]
) -> None:
    pull_both()
    write(repo / "b", {"m.bin": b"mine"})
    options = PullOptions(folder=repo, token=studio.token, url=studio.url)

    result = compare(["a:m", "b:m"], options)

    assert [model.up_to_date for model in result.models] == [True, False]
