"""Clients that do not read large replies take little memory, and only of their repo."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
from projects import ORIGIN_URL, TOKEN, Project, copy_project, serving, write

from dvc_studio_models.http.studio import request as client
from dvc_studio_models.server.routes import large, models
from tests.server.api import API, TIMEOUT_S, annotate, ask, links, md5_of, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.reliability("The server: large replies")

FILES = 20_000
WAIT_S = 1
FEW = functools.partial(large.Unread, most=2 * FILES, most_of_repo=FILES)


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose only model 'm' is a folder of many files."""
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, tmp_path / "project")
    md5 = md5_of(b"")
    files = [{"md5": md5, "relpath": f"part-{n:05}.bin"} for n in range(FILES)]
    listing = json.dumps(files).encode()
    name = f"{md5_of(listing)}.dir"
    write(project.storage, {f"files/md5/{name[:2]}/{name[2:]}": listing})
    outs = f"outs:\n- md5: {name}\n  path: data\n  hash: md5\n"
    write(project.repo, {"data.dvc": outs.encode()})
    annotate(project, "data")
    project.mirror()
    return project


@contextlib.contextmanager
def unread(url: str) -> Iterator[socket.socket]:
    """Ask for the links to many files, and do not read the reply."""
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    connection.connect((parts.hostname, parts.port))
    query = f"repo={quote(ORIGIN_URL)}&name=m"
    head = f"GET {API}?{query} HTTP/1.1\r\nHost: h\r\nAuthorization: token {TOKEN}"
    with connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        connection.recv(1)  # the reply is there
        yield connection


def test_what_is_not_read_leaves_no_room_for_more_of_the_same_repo(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "Unread", functools.partial(FEW, wait_s=WAIT_S))
    with serving(project.repo, f"other={project.bare}", idle_s=20) as url:
        with unread(url):
            refused = refusal(ask(url, repo=ORIGIN_URL, name="m"))
            other = len(ask(url, repo="other", name="m").json())
            small = links(url, "churn")
        deadline = time.monotonic() + TIMEOUT_S
        reply = ask(url, repo=ORIGIN_URL, name="m")
        while reply.status_code == 503 and time.monotonic() < deadline:
            reply = ask(url, repo=ORIGIN_URL, name="m")

    told = "too many clients have not read large replies yet; try again later"
    assert refused == (503, told)
    assert other == FILES
    assert list(small) == ["models/churn.pkl"]
    assert len(reply.json()) == FILES


def test_a_reply_waits_until_others_were_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "Unread", FEW)
    with serving(project.repo, idle_s=2) as url, unread(url) as connection:
        reply = ask(url, repo=ORIGIN_URL, name="m")  # when that one is hung up on
        connection.settimeout(TIMEOUT_S)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1 << 20):
                pass

    assert len(reply.json()) == FILES


def test_more_links_than_our_client_reads_are_refused_for_that_model(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert large.MAX_REPLY_BYTES == client.MAX_REPLY_BYTES
    monkeypatch.setattr(models, "MAX_REPLY_BYTES", 1 << 20)

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

        assert links(url, "churn")
    told = "'m' has too many files for this server: it lists at most 1 MiB of links"
    assert (status, detail.startswith(told)) == (500, True)
