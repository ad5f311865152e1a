"""``dvc models serve --config`` with mirrors, as a process, with a real Git host."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import psutil
import pytest
from environments import DVC
from projects import TOKEN, Project, copy_project, git
from servers import wait_until

from tests.server.api import ask
from tests.server.test_reload import Server, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TIMEOUT_S = 30
PASSWORD = "s3cr'et"


class GitHost(ThreadingHTTPServer):
    """Serves a bare repo by Git's smart protocol, to whoever has the password."""

    daemon_threads = True

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.is_down = False
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://ada:{PASSWORD}@127.0.0.1:{self.server_port}/acme/models.git"


class _Handler(BaseHTTPRequestHandler):
    server: GitHost

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        allowed = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
        if self.server.is_down:
            self.send_error(503)
        elif self.headers["Authorization"] != f"Basic {allowed}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.run_git()

    def run_git(self) -> None:
        path, _, query = self.path.partition("?")
        sent = self.rfile.read(int(self.headers["Content-Length"] or 0))
        variables = {
            "GIT_PROJECT_ROOT": str(self.server.repo),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path.removeprefix("/acme/models.git"),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers["Content-Type"] or "",
            "CONTENT_LENGTH": str(len(sent)),
            "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
            "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            env={**os.environ, **variables},
            input=sent,
            capture_output=True,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        statuses = [int(value[:3]) for name, value in headers if name == "Status"]
        self.send_response(statuses[0] if statuses else 200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def host(project: Project) -> Iterator[GitHost]:
    project.mirror()
    host = GitHost(project.bare)
    yield host
    host.shutdown()
    host.server_close()


@pytest.fixture
def server(project: Project, host: GitHost, tmp_path: Path) -> Iterator[Server]:
    repo = {"name": "models", "url": host.url, "fetch": 1}
    config = {
        "listen": "127.0.0.1:0",
        "data": str(project.root),  # beside its storage
        "repos": [repo],
        "tokens": [{"name": "tests", "sha256": sha256(TOKEN)}],
    }
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server", json.dumps(config))
    yield server
    server.stop()


@pytest.fixture
def consumer(project: Project, server: Server, tmp_path: Path) -> Mapping[str, str]:
    project.clone(tmp_path / "consumer", origin="git@127.0.0.1:acme/models.git")
    wait_until(lambda: server.status("models") == 200, timeout_s=TIMEOUT_S)
    return {**os.environ, "DVC_STUDIO_URL": server.url, "DVC_STUDIO_TOKEN": TOKEN}


def dvc(
    folder: Path, environ: Mapping[str, str], *args: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DVC, "models", *args],
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_version_can_be_pulled_soon_after_it_is_pushed(
    project: Project, tmp_path: Path, consumer: Mapping[str, str]
) -> None:
    project.tag("churn@v3.0.0")
    project.mirror()

    def is_pulled() -> bool:
        args = ("pull", "churn@v3.0.0", "--repo", "acme/models")
        return dvc(tmp_path / "consumer", consumer, *args).returncode == 0

    wait_until(is_pulled, timeout_s=TIMEOUT_S)


def test_a_host_that_is_down_stops_no_pull_and_is_told_to_the_operator(
    tmp_path: Path, server: Server, host: GitHost, consumer: Mapping[str, str]
) -> None:
    host.is_down = True
    # A fetch that had begun before may fail in another way.
    wait_until(lambda: "503" in server.errors, timeout_s=TIMEOUT_S)

    pulled = dvc(tmp_path / "consumer", consumer, "pull", "churn")

    assert pulled.returncode == 0, pulled.stderr
    assert "cannot fetch the mirror of 'models': unable to access" in server.errors


def test_a_command_warns_once_of_a_stale_mirror_however_often_it_asks(
    project: Project,
    tmp_path: Path,
    server: Server,
    host: GitHost,
    consumer: Mapping[str, str],
) -> None:
    host.is_down = True
    wait_until(lambda: "cannot fetch" in server.errors, timeout_s=TIMEOUT_S)
    (state,) = project.root.glob("models-*.json")
    state.write_text(json.dumps({**json.loads(state.read_text()), "fetched": 1.0}))
    asking = functools.partial(ask, server.url, repo="models", name="churn")
    wait_until(lambda: "X-Mirror-Stale" in asking().headers, timeout_s=TIMEOUT_S)
    other = ("--repo", "acme/models")
    commands = (
        ("pull", "--all", "--dry-run", *other),
        ("pull", "chu*", "bert", "--lock", *other),
        ("status", "--all", *other),
        ("update", "--all", *other),
        ("list", *other),
        ("show", "churn", "bert", *other),
        ("diff", "churn@v1.0.0", "churn@v2.0.0", *other),
    )

    app = tmp_path / "app"
    app.mkdir()
    git(app, "init")
    said = {}
    for command in commands:
        done = dvc(app, consumer, *command)
        assert done.returncode in {0, 1}, done.stderr
        said[command] = done.stderr.count("has not fetched")

    assert set(said.values()) == {1}, said


@pytest.mark.usefixtures("consumer")
def test_the_password_of_a_mirror_is_in_no_file_log_or_reply(
    project: Project, server: Server, host: GitHost
) -> None:
    host.is_down = True
    wait_until(lambda: "cannot fetch" in server.errors, timeout_s=TIMEOUT_S)

    written = b"".join(
        path.read_bytes() for path in project.root.rglob("*") if path.is_file()
    )
    assert b"/acme/models.git" in written
    assert PASSWORD.encode() not in written
    assert PASSWORD not in server.errors + server.output


@pytest.mark.usefixtures("consumer")
def test_others_on_this_machine_cannot_read_a_mirror(project: Project) -> None:
    (mirror,) = project.root.glob("models-*.git")

    assert mirror.stat().st_mode & 0o077 == 0


def test_a_mirror_is_served_while_its_host_is_gone_after_a_restart(
    project: Project,
    tmp_path: Path,
    server: Server,
    host: GitHost,
    consumer: Mapping[str, str],
) -> None:
    host.is_down = True
    server.stop()
    (state,) = project.root.glob("models-*.json")
    state.write_text(
        json.dumps({**json.loads(state.read_text()), "fetched": time.time() - 90_000})
    )
    again = Server(tmp_path / "server", server.file.read_text())
    try:
        environ = {**consumer, "DVC_STUDIO_URL": again.url}
        pulled = dvc(tmp_path / "consumer", environ, "pull", "churn")
    finally:
        again.stop()

    assert pulled.returncode == 0, pulled.stderr
    assert (
        "has not fetched 'git@127.0.0.1:acme/models.git' for 25 hours;" in pulled.stderr
    )


def test_a_server_that_is_stopped_leaves_no_git(
    project: Project, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ >> '{pids}'\nexec sleep 600\n")
    ssh.chmod(0o755)
    git(
        project.repo,
        "config",
        "--file",
        str(tmp_path / "git"),
        "core.sshCommand",
        str(ssh),
    )
    config = {
        "listen": "127.0.0.1:0",
        "data": str(tmp_path / "data"),
        "repos": [{"url": "git@127.0.0.1:acme/models.git"}],
        "tokens": [{"name": "tests", "sha256": sha256(TOKEN)}],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "git"))
        server = Server(tmp_path, json.dumps(config))
    wait_until(lambda: pids.exists() and pids.read_text(), timeout_s=TIMEOUT_S)
    number = int(pids.read_text().split()[0])

    server.process.terminate()
    server.process.wait(TIMEOUT_S)

    assert not psutil.pid_exists(number) or (
        psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    )
