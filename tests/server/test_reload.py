"""A running server takes up a changed ``serve.yaml``, unless that is bad."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from projects import TOKEN, Project
from servers import wait_until

from tests.server.api import TIMEOUT_S, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = "another-token"


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def config(*repos: Path, token: str = TOKEN) -> str:
    """Return a ``serve.yaml`` with these repos, named as their folders."""
    lines = "".join(f"- name: {each.stem}\n  path: {each}\n" for each in repos)
    tokens = f"tokens:\n- name: tests\n  sha256: {sha256(token)}\n"
    return f"listen: 127.0.0.1:0\nrepos:\n{lines}{tokens}"


class Server:
    """``dvc models serve --config`` as a process."""

    def __init__(self, folder: Path, text: str) -> None:
        self.file = folder / "serve.yaml"
        self.write(text)
        self._errors, self._output = folder / "stderr", folder / "stdout"
        command = ("-m", "dvc_studio_models", "serve", "--config", str(self.file))
        with self._errors.open("w") as errors, self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=output, stderr=errors
            )
        wait_until(lambda: "\n" in self.output or self.has_ended, timeout_s=TIMEOUT_S)
        self.url = self.output.partition("\n")[0].rpartition(" ")[2]
        assert self.url, self.errors

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def status(self, repo: str, token: str = TOKEN) -> int:
        return ask(self.url, repo=repo, name="churn", token=token).status_code

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang_up(self) -> None:
        """Send SIGHUP, and wait until the config was read again."""
        before = self.errors
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.errors != before, timeout_s=TIMEOUT_S)


@pytest.fixture
def server(project: Project, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, config(project.bare))
    yield server
    server.stop()


def test_a_new_repo_is_served_when_the_file_changes(
    server: Server, project: Project
) -> None:
    assert server.status("repo") == 404

    server.write(config(project.bare, project.repo))
    wait_until(lambda: server.status("repo") == 200, timeout_s=TIMEOUT_S)

    assert server.status("models") == 200


def test_a_hangup_makes_the_server_read_its_config_again(
    server: Server, project: Project
) -> None:
    times = server.file.stat()
    server.write(config(project.bare, token=OTHER))
    os.utime(server.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    server.hang_up()

    assert server.status("models") == 401
    assert server.status("models", OTHER) == 200


def test_a_bad_config_is_reported_and_the_old_one_stays(
    server: Server, project: Project
) -> None:
    server.write(config(project.repo).replace("path:", "pfad:"))
    server.hang_up()

    assert f"{server.file}:4: repos[0].pfad: unknown key" in server.errors
    assert "The config before stays in use" in server.errors
    assert server.status("models") == 200
    assert not server.has_ended


def test_a_link_outlives_a_new_config(server: Server, project: Project) -> None:
    (link,) = ask(server.url, repo="models", name="churn").json().values()
    server.write(config(project.repo, project.bare))
    server.hang_up()

    assert requests.get(link, timeout=TIMEOUT_S).status_code == 200


def test_a_repo_that_is_not_there_is_left_out_until_it_is(
    project: Project, tmp_path: Path
) -> None:
    missing = project.root / "missing.git"
    server = Server(tmp_path, config(missing, project.bare))
    try:
        assert server.status("models") == 200
        assert server.status("missing") == 503
        assert f"'{missing}' is not a folder; it is not served" in server.errors

        project.bare.rename(missing)
        wait_until(lambda: server.status("missing") == 200, timeout_s=TIMEOUT_S)

        assert f"the repo '{missing}' is served now" in server.errors
    finally:
        server.stop()
