"""Repos, and DVC remotes that are folders, of which the server cannot read all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from typing import TYPE_CHECKING

import pytest
import requests
from needs import closed, without_rights
from projects import CHURN, ORIGIN_URL, Project, commit_all, git
from servers import wait_until

from tests.server.api import TIMEOUT_S, ask, fetch, links, md5_of, refusal
from tests.server.test_limits import connect, read_all
from tests.server.test_presence import stored
from tests.server.test_workers import Serving, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

LARGE = 64 << 20
DENIED = "the DVC remote 'storage' cannot be read: Permission denied"


@contextlib.contextmanager
def restricted(tmp_path: Path, *args: str | Path) -> Iterator[Serving]:
    """Serve by a process that may read no more than the mode of a file allows."""
    with started(tmp_path, *args, prefix=without_rights()) as served:
        yield served


def readiness(url: str) -> tuple[int, bool]:
    reply = requests.get(f"{url}/readyz", timeout=TIMEOUT_S)
    (repo,) = reply.json()["repos"].values()
    return reply.status_code, repo["ready"]


def test_an_object_that_the_server_may_not_read_is_its_own_fault(
    project: Project, tmp_path: Path
) -> None:
    with restricted(tmp_path, project.repo) as served:
        link = links(served.url, "churn")["models/churn.pkl"]
        with closed(stored(project, CHURN["v2.0.0"])):
            head = requests.head(link, timeout=TIMEOUT_S)
            refused = fetch(link)
        sent = fetch(link)

    assert refusal(refused) == (502, DENIED)
    assert head.status_code == 502
    assert sent.content == CHURN["v2.0.0"]


def test_a_folder_that_the_server_may_not_enter_is_its_own_fault(
    project: Project, tmp_path: Path
) -> None:
    with (
        contextlib.ExitStack() as opened_later,
        restricted(tmp_path, project.repo) as served,
    ):
        opened_later.enter_context(closed(project.storage))
        asked = ask(served.url, repo=ORIGIN_URL, name="churn")
        opened_later.close()
        link = links(served.url, "churn")["models/churn.pkl"]
        with closed(project.storage):
            fetched = fetch(link)
            ready = readiness(served.url)

    assert refusal(asked) == refusal(fetched) == (502, DENIED)
    assert ready == (503, False)


@pytest.mark.parametrize(
    ("folder", "status", "reason"),
    [
        (".", 503, "this server cannot read its copy of"),
        (".git", 503, "this server cannot read its copy of"),
        (".git/refs/tags", 500, "cannot read 'refs/tags': Permission denied"),
        (".dvc", 500, "the server cannot read the repo's DVC config"),
    ],
)
def test_a_repo_that_the_server_may_not_read_is_its_own_fault(
    project: Project, tmp_path: Path, folder: str, status: int, reason: str
) -> None:
    query = {"repo": ORIGIN_URL, "name": "churn"}
    with restricted(tmp_path, project.repo) as served:
        assert ask(served.url, **query).status_code == 200
        with closed(project.repo / folder):
            refused = refusal(ask(served.url, **query, version="v1.0.0"))
        assert ask(served.url, **query, version="v1.0.0").status_code == 200

    assert refused[0] == status
    assert reason in refused[1]


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        (".", "cannot read 'refs/tags': Permission denied"),
        (".git/refs/tags", "cannot read 'refs/tags': Permission denied"),
        (".git/objects", "not a git repository"),
    ],
)
def test_a_server_that_may_not_read_a_repo_is_not_ready(
    project: Project, tmp_path: Path, folder: str, reason: str
) -> None:
    with restricted(tmp_path, project.repo) as served:
        wait_until(lambda: readiness(served.url) == (200, True), timeout_s=TIMEOUT_S)
        with closed(project.repo / folder):
            wait_until(
                lambda: readiness(served.url) == (503, False), timeout_s=TIMEOUT_S
            )
        served.stop()
        errors = (tmp_path / "errors").read_text()

    assert reason in errors
    assert "Traceback" not in errors


@contextlib.contextmanager
def emptied(path: Path) -> Iterator[None]:
    content = path.read_bytes()
    path.write_bytes(b"")
    yield
    path.write_bytes(content)


@pytest.mark.parametrize("fault", [closed, emptied], ids=["closed", "empty"])
def test_a_branch_that_cannot_be_read_is_not_replaced_by_another(
    project: Project,
    tmp_path: Path,
    fault: Callable[[Path], AbstractContextManager[None]],
) -> None:
    git(project.repo, "checkout", "--quiet", "-b", "other")
    config = project.repo / ".dvc/config"
    config.write_text(re.sub("url = .*", "url = ../nowhere", config.read_text()))
    commit_all(project, "Move the remote")
    git(project.root, "clone", "--quiet", "--mirror", project.repo, "bare.git")
    bare = project.root / "bare.git"
    git(bare, "symbolic-ref", "HEAD", "refs/heads/main")
    ref = bare / "refs/heads/main"
    ref.write_text(git(bare, "rev-parse", "main"))
    with contextlib.ExitStack() as until_mended:
        until_mended.enter_context(fault(ref))
        with restricted(tmp_path, f"acme/models={bare}") as served:
            refused = refusal(ask(served.url, repo="acme/models", name="churn"))
            ready = readiness(served.url)
            until_mended.close()
            (link,) = ask(served.url, repo="acme/models", name="churn").json().values()
            sent = fetch(link)

    assert refused[0] == 500
    assert ready == (503, False)
    assert sent.content == CHURN["v2.0.0"]
    assert "cannot read 'refs/heads/main'" in (tmp_path / "errors").read_text()


def test_a_server_whose_repo_has_lost_its_objects_is_not_ready(
    project: Project, tmp_path: Path
) -> None:
    objects = project.repo / ".git/objects"
    with started(tmp_path, project.repo) as served:
        wait_until(lambda: readiness(served.url) == (200, True), timeout_s=TIMEOUT_S)
        for each in objects.iterdir():
            shutil.rmtree(each)
        wait_until(lambda: readiness(served.url) == (503, False), timeout_s=TIMEOUT_S)


def test_an_object_that_cannot_be_looked_for_is_not_called_missing(
    project: Project, tmp_path: Path
) -> None:
    md5 = md5_of(CHURN["v2.0.0"])
    args = (project.repo, "--verify-objects")
    with restricted(tmp_path, *args) as served:
        with closed(project.storage / "files/md5" / md5[:2]):
            asked = ask(served.url, repo=ORIGIN_URL, name="churn")
        answered = ask(served.url, repo=ORIGIN_URL, name="churn")

    assert refusal(asked) == (502, DENIED)
    assert answered.status_code == 200


@pytest.fixture
def object_(project: Project) -> Path:
    """The object of churn, made larger than the buffers of sockets."""
    found = stored(project, CHURN["v2.0.0"])
    found.chmod(0o644)
    os.truncate(found, LARGE)
    return found


@pytest.mark.parametrize("ranges", ["0-", "100-", "0-9,100-"])
@pytest.mark.parametrize("length", [1000, 0])
def test_an_object_that_gets_shorter_ends_its_download(
    project: Project, object_: Path, tmp_path: Path, ranges: str, length: int
) -> None:
    with started(tmp_path, project.repo) as served:
        link = links(served.url, "churn")["models/churn.pkl"]
        head = f"GET {link[len(served.url) :]} HTTP/1.1\r\nHost: h\r\n"
        with connect(served.url) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            connection.sendall(f"{head}Range: bytes={ranges}\r\n\r\n".encode())
            assert connection.recv(12) == b"HTTP/1.1 206"
            os.truncate(object_, length)
            received = read_all(connection)
        log = served.stop()
        errors = (tmp_path / "errors").read_text()

    reason = "the object was not sent to its end: "
    assert len(received) < LARGE
    assert served.process.returncode == 0
    (error,) = errors.splitlines()
    assert error == f"ERROR: {reason}its length has changed: '{object_}'"
    assert f'detail="{reason}its length has changed"' in log


def test_an_object_that_grows_is_sent_as_long_as_it_was(
    project: Project, object_: Path, tmp_path: Path
) -> None:
    with started(tmp_path, project.repo) as served:
        link = links(served.url, "churn")["models/churn.pkl"]
        with requests.get(link, stream=True, timeout=TIMEOUT_S) as reply:
            os.truncate(object_, 2 * LARGE)
            received = len(reply.content)
        served.stop()

    assert received == LARGE
    assert served.process.returncode == 0
