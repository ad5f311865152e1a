"""Where a repo's remotes are at the start counts as long as the server runs."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from needs import need_package
from projects import (
    TOKEN,
    Project,
    commit_all,
    copy_project,
    git,
    serving,
    write,
)
from servers import wait_until

from dvc_studio_models.server.config.values import RepoConfig
from dvc_studio_models.server.site.site import TOGETHER_S
from dvc_studio_models.server.stores.first_seen import FirstSeen, Which
from tests.server.api import TIMEOUT_S, ask
from tests.server.test_reload import Server, check
from tests.server.test_roots import S3, assert_is_outside, commit_config
from tests.server.test_workers import Serving, started

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.reliability("The server: where remotes may be")

SHARED = "is also in a place of"
OUTSIDE = "which is not in its roots"


@pytest.fixture
def other(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repo of another team, on the same machine."""
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "other")


def config(tmp_path: Path, *repos: str, workers: int = 1) -> str:
    """Return a ``serve.yaml`` with these repos, each the pairs of its entry."""
    lines = "".join(f"- {{{repo}}}\n" for repo in repos)
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    return (
        f"listen: 127.0.0.1:0\nworkers: {workers}\ndata: {tmp_path / 'data'}\n"
        f"repos:\n{lines}tokens: [{{name: tests, sha256: {sha256}}}]\n"
    )


def statuses(url: str, repo: str, times: int = 20) -> set[int]:
    """Return all statuses of some requests, of which each worker gets some."""
    replies = (ask(url, repo=repo, name="churn") for _ in range(times))
    return {reply.status_code for reply in replies}


def kill_all_workers(served: Serving) -> None:
    """Kill one worker after the other, each when the one before was replaced."""
    first = served.workers()
    for worker in first:
        os.kill(worker, signal.SIGKILL)
        wait_until(
            lambda worker=worker: (
                len(now := served.workers()) == len(first) and worker not in now
            ),
            timeout_s=TIMEOUT_S,
        )


def test_a_worker_in_place_of_another_keeps_the_places_of_the_start(
    project: Project, other: Project, tmp_path: Path
) -> None:
    with started(tmp_path, f"models={project.bare}", "--workers", "2") as served:
        served.wait_for_workers(2)
        assert statuses(served.url, "models") == {200}
        commit_config(project, other.storage)
        before = statuses(served.url, "models")
        kill_all_workers(served)

        assert (before, statuses(served.url, "models")) == ({500}, {500})
    errors = (tmp_path / "errors").read_text()
    assert errors.count("was killed by signal 9") == 2
    assert errors.count(OUTSIDE) == 1


def test_an_edited_entry_keeps_the_places_of_the_start(
    project: Project, other: Project, tmp_path: Path
) -> None:
    entry, rest = f"name: models, path: {project.bare}", f"path: {other.bare}"
    server = Server(tmp_path, config(tmp_path, entry))
    try:
        assert server.status("models") == 200
        commit_config(project, other.storage)
        assert server.status("models") == 500
        for edited in (
            f"{entry}, aliases: [acme/more]",
            f"name: renamed, aliases: [models], path: {project.bare}",
        ):
            server.write(config(tmp_path, edited, rest))
            server.hang_up()
            assert server.status("models") == 500

        server.write(config(tmp_path, f"{entry}, roots: [{other.storage}]"))
        server.hang_up()
        assert server.status("models") == 200  # what the operator says counts

        server.write(config(tmp_path, entry))
        server.hang_up()
        assert server.status("models") == 500
        server.write(config(tmp_path, rest))
        server.hang_up()
        server.write(config(tmp_path, entry))
        server.hang_up()
        assert server.status("models") == 200  # removed and added: read anew
    finally:
        server.stop()


@pytest.fixture(params=["empty", "no config", "unreadable"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bare repo without a default remote."""
    bare, work = tmp_path / "new.git", tmp_path / "work"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "--initial-branch", "main")
    if request.param != "empty":
        work.mkdir()
        git(work, "init", "--quiet", "--initial-branch", "main")
        path = "README" if request.param == "no config" else ".dvc/config"
        write(work, {path: b"[core\n"})
        git(work, "add", ".")
        git(work, "commit", "--quiet", "--message", "Start")
        git(work, "push", "--quiet", str(bare), "main")
    return bare


def push(
    project: Project, bare: Path, storage: Path, *, tag: str = "churn@v3.0.0"
) -> None:
    """Push a commit whose config names a place, to a repo that may be another one."""
    (project.repo / ".dvc/config").write_text(
        f"[core]\nremote = storage\n['remote \"storage\"']\nurl = {storage}\n"
    )
    commit_all(project, "Name a place")
    project.tag(tag)
    git(project.repo, "push", "--quiet", "--force", str(bare), "main", "--tags")


@pytest.mark.parametrize("has_roots", [False, True], ids=["", "roots"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_first_push_does_not_name_the_place_of_another_repo(
    project: Project,
    other: Project,
    tmp_path: Path,
    new: Path,
    workers: int,
    has_roots: bool,
) -> None:
    theirs = f"name: vision, path: {other.bare}"
    if has_roots:
        theirs += f", roots: [{other.root}]"
    file = tmp_path / "serve.yaml"
    entry = f"name: new, path: {new}"
    file.write_text(config(tmp_path, theirs, entry, workers=workers))
    with started(tmp_path, "--config", file, port=()) as served:
        if workers > 1:
            served.wait_for_workers(workers)
        assert statuses(served.url, "vision") == {200}
        assert 200 not in statuses(served.url, "new")

        push(project, new, other.storage)

        assert statuses(served.url, "new") == {500}
        assert_is_outside(reply := ask(served.url, repo="new", name="churn"))
        assert "its operator can allow it with 'roots'" in reply.text
        if workers > 1:
            kill_all_workers(served)
            assert statuses(served.url, "new") == {500}
    assert (tmp_path / "errors").read_text().count(OUTSIDE) == 1


def test_a_first_push_names_a_place_of_its_own_and_keeps_it(
    project: Project, other: Project, tmp_path: Path, new: Path
) -> None:
    theirs, entry = f"name: vision, path: {other.bare}", f"name: new, path: {new}"
    file = tmp_path / "serve.yaml"
    file.write_text(config(tmp_path, theirs, entry, workers=2))
    with started(tmp_path, "--config", file, port=()) as served:
        served.wait_for_workers(2)
        assert 200 not in statuses(served.url, "new")

        push(project, new, project.storage)
        assert statuses(served.url, "new") == {200}

        push(project, new, project.root / "elsewhere", tag="churn@v4.0.0")
        assert statuses(served.url, "new") == {500}
        kill_all_workers(served)
        assert statuses(served.url, "new") == {500}


def test_a_first_push_names_no_service(project: Project, new: Path) -> None:
    need_package("dvc_s3")
    with serving(new) as url:
        assert ask(url, repo="new", name="churn").status_code != 200
        (project.repo / ".dvc/config").write_text(f"{S3}endpointurl = http://h:1\n")
        commit_all(project, "Use S3")
        project.tag("churn@v4.0.0")
        git(project.repo, "push", "--quiet", "--force", str(new), "main", "--tags")

        assert_is_outside(reply := ask(url, repo="new", name="churn"))
    assert "allow it with 'credentials.endpointurl'" in reply.text


def test_a_repo_without_models_has_the_places_of_the_start(
    project: Project, other: Project, tmp_path: Path
) -> None:
    """Nothing but its config is there to be read."""
    bare = tmp_path / "new.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "--initial-branch", "main")
    git(project.repo, "push", "--quiet", str(bare), "main")
    with serving(bare) as url:
        push(project, bare, other.storage)

        assert_is_outside(ask(url, repo="new", name="churn"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mirror_that_is_cloned_later_is_compared_with_others(
    project: Project, other: Project, tmp_path: Path, workers: int
) -> None:
    commit_config(other, project.storage)
    file = tmp_path / "serve.yaml"
    entries = f"name: models, path: {project.bare}", f"name: late, url: {other.repo}"
    file.write_text(config(tmp_path, *entries, workers=workers))
    with started(tmp_path, "--config", file, port=()) as served:

        def errors() -> str:
            return (tmp_path / "errors").read_text()

        wait_until(lambda: SHARED in errors(), timeout_s=TIMEOUT_S)
        wait_until(lambda: statuses(served.url, "late") == {200}, timeout_s=TIMEOUT_S)
        served.process.send_signal(signal.SIGHUP)
        if workers > 1:
            served.wait_for_workers(workers)
            kill_all_workers(served)
            assert statuses(served.url, "late") == {200}
    told = f"its DVC remote at {project.storage} {SHARED} late, whose models"
    assert (errors().count(told), errors().count(SHARED)) == (1, 1)


# Records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o700)
    return folder


REPO = Which.of(RepoConfig("/srv/models"))


def test_the_first_of_many_workers_wins(folder: Path) -> None:
    count = 8
    together = threading.Barrier(count)

    def work(number: int) -> tuple[object, bool]:
        seen = FirstSeen(folder)

        def make() -> dict[str, int]:
            together.wait()
            return {"number": number}

        record = seen.get(REPO, "start", make)
        return (record or {})["number"], seen.is_new(REPO, "said")

    with ThreadPoolExecutor(count) as pool:
        found = [*pool.map(work, range(count))]

    assert len({number for number, _ in found}) == 1
    assert [is_new for _, is_new in found].count(True) == 1
    files = [*folder.iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 2


def test_a_repo_that_is_not_served_any_more_is_forgotten(folder: Path) -> None:
    seen = FirstSeen(folder)
    seen.apply([RepoConfig("/srv/models")])
    assert seen.is_new(REPO, "said")
    seen.apply([RepoConfig("/srv/models", name="m", aliases=("acme/m",))])
    assert not FirstSeen(folder).is_new(REPO, "said")
    seen.apply([RepoConfig("/srv/other")])

    assert not [*folder.iterdir()]
    assert seen.is_new(REPO, "said")


@pytest.mark.parametrize(
    ("one", "two", "is_same"),
    [
        (RepoConfig("/srv/m"), RepoConfig("/srv/m/../m", name="x"), True),
        (
            RepoConfig("/srv/x", url="https://a:b@h/m"),
            RepoConfig("/srv/y", url="https://a:c@h/m"),
            True,
        ),
        (RepoConfig("/srv/m"), RepoConfig("/srv/m", remote="backup"), False),
        (RepoConfig("/srv/m"), RepoConfig("/srv/n"), False),
    ],
)
def test_what_makes_an_entry_the_same(
    one: RepoConfig, two: RepoConfig, is_same: bool
) -> None:
    assert (Which.of(one) == Which.of(two)) is is_same


def test_each_repo_of_a_shared_place_is_warned_of_once(
    project: Project, tmp_path: Path
) -> None:
    others = []
    for number in range(4):
        other = copy_project(project.root, tmp_path / f"other-{number}")
        commit_config(other, project.storage)
        others.append(f"name: late-{number}, url: {other.repo}")
    file = tmp_path / "serve.yaml"
    first = f"name: models, path: {project.bare}"
    file.write_text(config(tmp_path, first, *others, workers=1))
    with started(tmp_path, "--config", file, port=()) as served:

        def errors() -> str:
            return (tmp_path / "errors").read_text()

        for number in range(4):
            name = f"late-{number}"
            wait_until(
                lambda n=name: statuses(served.url, n) == {200}, timeout_s=TIMEOUT_S
            )

    warned = re.findall(r"repo '(\S+)': its DVC remote at .* is also", errors())
    assert 1 <= len(warned) <= 4
    assert len(set(warned)) == len(warned)


def commit_project(project: Project, storage: Path) -> None:
    """Make a DVC project of a folder, whose models are stored elsewhere."""
    remote = f"[core]\nremote = s\n['remote \"s\"']\nurl = {storage}\n"
    write(project.repo, {"services/fraud/.dvc/config": remote.encode()})
    commit_all(project, "Make a project of a folder")
    project.mirror()


def test_a_folder_with_a_project_of_its_own_is_warned_of_too(
    project: Project, other: Project, tmp_path: Path
) -> None:
    commit_project(project, other.storage)
    project.tag("services/fraud=fraud@v2.0.0")
    project.mirror()
    file = tmp_path / "serve.yaml"
    entries = f"name: models, path: {project.bare}", f"name: vision, path: {other.bare}"
    file.write_text(config(tmp_path, *entries))

    checked = check(file)
    with started(tmp_path, "--config", file, port=()):
        wait_until(
            lambda: SHARED in (tmp_path / "errors").read_text(), timeout_s=TIMEOUT_S
        )

    told = f"its DVC remote at {other.storage} {SHARED} vision"
    assert f"repos[0]: {told}" in checked.stderr
    assert f"repo 'models': {told}" in (tmp_path / "errors").read_text()


def test_a_project_that_gets_its_first_tag_later_is_warned_of_then(
    project: Project, other: Project, tmp_path: Path
) -> None:
    git(project.repo, "tag", "--delete", "services/fraud=fraud@v1.0.0")
    commit_project(project, other.storage)
    file = tmp_path / "serve.yaml"
    entries = f"name: models, path: {project.bare}", f"name: vision, path: {other.bare}"
    file.write_text(config(tmp_path, *entries))

    def errors() -> str:
        return (tmp_path / "errors").read_text()

    with started(tmp_path, "--config", file, port=()) as served:
        assert statuses(served.url, "models") == {200}
        time.sleep(3 * TOGETHER_S)
        before = errors()

        project.tag("services/fraud=fraud@v2.0.0")
        project.mirror()
        ask(served.url, repo="models", name="services/fraud:fraud")
        wait_until(lambda: SHARED in errors(), timeout_s=TIMEOUT_S)

    assert SHARED not in before
    told = f"repo 'models': its DVC remote at {other.storage} {SHARED} vision"
    assert errors().count(told) == 1


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_tag_without_a_branch_names_no_place_of_another_repo(
    project: Project, other: Project, tmp_path: Path, is_shared: bool
) -> None:
    push(project, project.bare, other.storage)
    git(project.bare, "branch", "--quiet", "--delete", "--force", "main")
    entries = [f"name: models, path: {project.bare}"]
    if is_shared:
        entries.append(f"name: vision, path: {other.bare}")
    file = tmp_path / "serve.yaml"
    file.write_text(config(tmp_path, *entries))
    with started(tmp_path, "--config", file, port=()) as served:
        assert statuses(served.url, "models", 5) == {500 if is_shared else 200}
        query = {"repo": "models", "name": "churn", "version": "v2.0.0"}
        assert ask(served.url, **query).status_code == 200
