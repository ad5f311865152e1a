"""Objects that were never pushed, on a server that looks for them."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from projects import (
    BERT,
    CHURN,
    ORIGIN_URL,
    Project,
    age,
    serving,
)
from servers import free_port

from tests.server.api import (
    ask,
    links,
    md5_of,
    refusal,
)
from tests.server.test_workers import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def verifying_server(project: Project) -> Iterator[str]:
    """Serve ``project``, and look for every object."""
    with serving(project.repo, verify_objects=True) as url:
        yield url


def stored(project: Project, content: bytes) -> Path:
    """Find an object on the remote of the project."""
    md5 = md5_of(content)
    return project.storage / "files/md5" / md5[:2] / md5[2:]


def test_objects_that_are_there_are_found(project: Project, verifying_server) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.storage.rglob("*")}

    for name in ("churn", "bert", "services/fraud:fraud"):
        assert links(verifying_server, name)

    after = {path: path.stat().st_mtime_ns for path in project.storage.rglob("*")}
    assert after == before


def test_objects_are_neither_read_nor_mended(
    project: Project, verifying_server: str
) -> None:
    object_ = stored(project, CHURN["v1.0.0"])
    object_.chmod(0o644)
    object_.write_bytes(b"other content")

    found = links(verifying_server, "churn", version="v1.0.0")

    assert len(found) == 1
    assert object_.read_bytes() == b"other content"


def test_what_was_never_pushed_is_told_until_it_is(
    project: Project, verifying_server: str
) -> None:
    object_ = stored(project, CHURN["v1.0.0"])
    hidden = object_.rename(project.root / "hidden")
    query = {"repo": ORIGIN_URL, "name": "churn", "version": "v1.0.0"}
    commit = project.commit("churn@v1.0.0")[:7]

    refused = ask(verifying_server, **query)
    hidden.rename(object_)
    answered = ask(verifying_server, **query)

    assert refusal(refused) == (
        404,
        (
            f"'churn' v1.0.0 (commit {commit}) is incomplete: 1 of 1 files are not on "
            "the DVC remote; run 'dvc push' where it was trained: 'models/churn.pkl'"
        ),
    )
    assert answered.status_code == 200


def test_the_files_of_a_directory_that_were_never_pushed_are_told(
    project: Project, verifying_server: str
) -> None:
    for path in ("config.json", "vocab.txt"):
        stored(project, BERT["v1.0.0"][path]).unlink()

    status, detail = refusal(
        ask(verifying_server, repo=ORIGIN_URL, name="bert", version="v1.0.0")
    )

    assert status == 404
    assert "2 of 5 files are not on the DVC remote" in detail
    assert detail.endswith(": 'models/bert/config.json', 'models/bert/vocab.txt'")


def test_objects_are_looked_for_once_in_the_life_of_a_link(project: Project) -> None:
    # Both servers ask for the first version: the newest is read when they start.
    query = {"repo": ORIGIN_URL, "name": "churn", "version": "v1.0.0"}
    age(project.repo)
    with (
        serving(project.repo, verify_objects=True) as lasting,
        serving(project.repo, verify_objects=True, expires_s=1) as passing,
    ):
        for url in (lasting, passing) * 3:
            assert ask(url, **query).status_code == 200
        stored(project, CHURN["v1.0.0"]).unlink()
        time.sleep(1.1)

        assert ask(lasting, **query).status_code == 200
        assert ask(passing, **query).status_code == 404


def test_a_remote_that_cannot_be_asked_is_told(project: Project) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    config = f"[core]\nremote = far\n['remote \"far\"']\nurl = {url}\n"
    (project.repo / ".dvc/config").write_text(config)

    with serving(project.repo, verify_objects=True) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert status == 502
    assert detail.startswith("the DVC remote 'far' cannot be read: ")


def test_a_stop_while_a_remote_is_silent_logs_no_error(
    project: Project, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = f"[core]\nremote = far\n['remote \"far\"']\nurl = {url}\n"
        (project.repo / ".dvc/config").write_text(config)
        query = {"repo": ORIGIN_URL, "name": "churn"}
        with (
            started(tmp_path, project.repo, "--verify-objects") as served,
            ThreadPoolExecutor() as pool,
        ):
            asked = [pool.submit(ask, served.url, **query) for _ in range(4)]
            with silent.accept()[0]:
                served.stop()
                replies = {each.result().status_code for each in asked}

    assert replies == {503}
    assert (tmp_path / "errors").read_text() == ""
