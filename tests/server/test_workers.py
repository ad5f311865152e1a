"""Several workers: one address, one set of metrics, and one that dies is replaced."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from needs import need_proc, need_program
from projects import ORIGIN_URL, TOKEN, Project
from servers import wait_until

from dvc_studio_models.server import workers
from dvc_studio_models.server.links.signing_key import KEY_VARIABLE
from dvc_studio_models.server.metrics_folder import PREFIX, remove_abandoned
from dvc_studio_models.server.repos.repos import AGAIN_S
from tests.server.api import TIMEOUT_S, ask, fetch, links

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORKERS = 3


_numbers = itertools.count()


class Serving:
    """``dvc models serve`` with several workers."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self._output = process, output
        wait_until(
            lambda: self._find_url() or process.poll() is not None, timeout_s=TIMEOUT_S
        )
        self.url = self._find_url()

    def _find_url(self) -> str:
        found = re.search(r" at (http://[^\s\"]+)", self.output())
        return found[1] if found else ""

    def output(self) -> str:
        """Return all that was written to standard output."""
        return self._output.read_text()

    def stop(self) -> str:
        """Stop the server and return its output."""
        self.process.terminate()
        self.process.wait(TIMEOUT_S)
        return self.output()

    def workers(self) -> set[int]:
        """Return the ids of the workers; not of the programs that they run."""
        need_proc()
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                command = (stat.parent / "cmdline").read_bytes()
                if int(fields[1]) == self.process.pid and b"serve" in command:
                    found.add(int(stat.parent.name))
        return found

    def wait_for_workers(self, count: int = WORKERS) -> set[int]:
        wait_until(lambda: len(self.workers()) == count, timeout_s=TIMEOUT_S)
        return self.workers()

    def metric(self, name: str) -> float:
        text = requests.get(f"{self.url}/metrics", timeout=TIMEOUT_S).text
        found = re.findall(rf"^{re.escape(name)} (.*)$", text, re.M)
        return float(found[0]) if found else 0.0


@contextlib.contextmanager
def started(
    tmp_path: Path,
    *args: str | Path,
    port: tuple[str, ...] = ("--port", "0"),
    prefix: Sequence[str] = (),
) -> Iterator[Serving]:
    """Serve, with the log in a file: a server waits where nobody reads its pipe."""
    output = tmp_path / f"output-{next(_numbers)}"
    with (tmp_path / "errors").open("w") as errors, output.open("w") as log:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "dvc_studio_models", "serve", *port, *args],
            env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN, "TMPDIR": str(tmp_path)},
            stdout=log,
            stderr=errors,
        )
    try:
        yield Serving(process, output)
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        finally:
            process.kill()


def metric_folders(tmp_path: Path) -> list[Path]:
    return [*tmp_path.glob("dvc-studio-models-*")]


@pytest.mark.parametrize("key", [None, ""], ids=["no key", "empty key"])
def test_workers_answer_at_one_address_and_count_together(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
) -> None:
    if key is not None:
        monkeypatch.setenv(KEY_VARIABLE, key)
    total = 60
    with started(tmp_path, project.repo, "--workers", str(WORKERS)) as served:
        served.wait_for_workers()
        found = [links(served.url, "churn")["models/churn.pkl"] for _ in range(total)]
        contents = {fetch(link).status_code for link in found}
        counted = served.metric('dvc_models_links_total{repo="models"}')
        folders = metric_folders(tmp_path)
    code = served.process.returncode

    assert contents == {200}  # also where another worker has made the link
    assert counted == total
    assert len(folders) == 1
    assert (code, metric_folders(tmp_path)) == (0, [])
    assert (tmp_path / "errors").read_text() == ""


def test_a_worker_that_dies_is_replaced(project: Project, tmp_path: Path) -> None:
    with started(tmp_path, project.repo, "--workers", str(WORKERS)) as served:
        before = served.wait_for_workers()
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: served.workers() != before, timeout_s=TIMEOUT_S)
        wait_until(
            lambda: len(served.workers() - {min(before)}) == WORKERS,
            timeout_s=TIMEOUT_S,
        )
        replies = {
            ask(served.url, repo=ORIGIN_URL, name="churn").status_code
            for _ in range(20)
        }

    assert replies == {200}
    assert (
        "was killed by signal 9; starting another" in (tmp_path / "errors").read_text()
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_all_stop_with_the_main_process(
    project: Project, tmp_path: Path, number: signal.Signals
) -> None:
    with started(tmp_path, project.repo, "--workers", "2") as served:
        workers = served.wait_for_workers(2)
        served.process.send_signal(number)
        served.process.wait(TIMEOUT_S)

        assert served.process.returncode == 0
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_workers_end_if_the_main_process_is_killed(
    project: Project, tmp_path: Path
) -> None:
    with started(tmp_path, project.repo, "--workers", "2") as served:
        workers = served.wait_for_workers(2)
        served.process.kill()
        served.process.wait(TIMEOUT_S)
        wait_until(
            lambda: not any(is_running(pid) for pid in workers), timeout_s=TIMEOUT_S
        )


def is_running(pid: int) -> bool:
    """Whether a process runs; its parent may not have asked for its exit code."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_start_removes_what_a_main_process_that_was_killed_has_left(
    project: Project, tmp_path: Path
) -> None:
    need_proc()
    args = (project.repo, "--workers", "2")
    with started(tmp_path, *args) as served:
        workers = served.wait_for_workers(2)
        (left,) = metric_folders(tmp_path)
        served.process.kill()
        served.process.wait(TIMEOUT_S)
        wait_until(
            lambda: not any(is_running(pid) for pid in workers), timeout_s=TIMEOUT_S
        )
    assert left.exists()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    link = left.with_name(f"{left.name}-link")
    link.symlink_to(kept)

    with started(tmp_path, *args) as running:
        used = {*metric_folders(tmp_path)} - {left, link}
        with started(tmp_path, *args) as another:
            another.wait_for_workers(2)
            folders = {*metric_folders(tmp_path)}
            links(running.url, "churn")  # its folder is still there to count in
            counted = running.metric('dvc_models_links_total{repo="models"}')

    assert left not in folders
    assert used < folders
    assert len(folders) == 3
    assert counted == 1
    assert (kept / "file").exists()
    assert metric_folders(tmp_path) == [link]


def test_a_folder_of_another_user_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / f"{PREFIX}x"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    remove_abandoned(tmp_path)
    assert folder.exists()

    monkeypatch.undo()
    remove_abandoned(tmp_path)
    assert not folder.exists()


def test_a_start_that_fails_is_said_once(tmp_path: Path) -> None:
    with started(tmp_path, tmp_path / "no-repo", "--workers", "3") as served:
        code = served.process.wait(TIMEOUT_S)

    errors = (tmp_path / "errors").read_text()
    assert code == 253
    assert errors.count("not a folder") == 1
    assert "Traceback" not in errors
    assert metric_folders(tmp_path) == []


def test_a_hangup_reloads_all_workers(project: Project, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o600)
    args = (project.repo, "--workers", "2", "--token-file", tokens)
    with started(tmp_path, *args) as served:
        served.wait_for_workers(2)
        wait_until(lambda: accepts(served.url, TOKEN), timeout_s=TIMEOUT_S)
        tokens.write_text("another\n")
        served.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: not any(accepts(served.url, TOKEN) for _ in range(20)),
            timeout_s=TIMEOUT_S,
        )
        wait_until(
            lambda: all(accepts(served.url, "another") for _ in range(20)),
            timeout_s=TIMEOUT_S,
        )


@pytest.mark.clock
@pytest.mark.parametrize("way", ["--config", "--token-file"])
@pytest.mark.parametrize("how", ["nonsense", "missing"])
def test_a_new_worker_does_not_start_with_the_config_of_long_ago(
    project: Project, tmp_path: Path, way: str, how: str
) -> None:
    """Else a token that was removed since would be accepted again."""
    file = tmp_path / "serve.yaml"
    rest = f"listen: 127.0.0.1:0\nworkers: 2\nrepos: [{{path: {project.repo}}}]\n"

    def write(token: str) -> None:
        sha256 = hashlib.sha256(token.encode()).hexdigest()
        text = f"sha256:{sha256}\n"
        if way == "--config":
            text = f"{rest}tokens: [{{name: a, sha256: {sha256}}}]"
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    def tokens() -> set[str]:
        both = ("removed-token", "current-token")
        return {each for each in both if any(accepts(url, each) for _ in range(20))}

    def kill(worker: int) -> None:
        before = served.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: served.workers() - before != set(), timeout_s=TIMEOUT_S)

    def errors() -> str:
        return (tmp_path / "errors").read_text()

    write("removed-token")
    port: tuple[str, ...] = ()
    if way == "--token-file":
        port = ("--port", "0", "--workers", "2", str(project.repo))
    with started(tmp_path, way, file, port=port) as served:
        url = served.url
        first, second = served.wait_for_workers(2)
        write("current-token")
        wait_until(  # both workers have read it
            lambda: all(tokens() == {"current-token"} for _ in range(8)),
            timeout_s=2 * TIMEOUT_S,
        )
        if how == "missing":
            file.unlink()
        else:
            file.write_text("sha256:nonsense")
        kill(first)
        wait_until(
            lambda: errors().count("A new worker waits") == 1, timeout_s=TIMEOUT_S
        )
        assert tokens() == {"current-token"}
        kill(second)  # then nobody answers, until the file is good again
        wait_until(
            lambda: errors().count("A new worker waits") == 2, timeout_s=TIMEOUT_S
        )
        write("current-token")
        wait_until(lambda: accepts(url, "current-token"), timeout_s=TIMEOUT_S)
        assert tokens() == {"current-token"}
        assert len(served.workers()) == 2


def accepts(url: str, token: str) -> bool:
    return ask(url, token=token, repo=ORIGIN_URL, name="churn").status_code == 200


def test_the_log_is_json_if_that_is_chosen(project: Project, tmp_path: Path) -> None:
    with started(tmp_path, project.repo, "--log-format", "json") as served:
        links(served.url, "churn")
        time.sleep(0.2)
        out = served.stop()

    first, line = map(json.loads, out.splitlines())
    assert first["message"].startswith("Serving 1 repo at http://")
    assert (line["status"], line["version"], line["model"]) == (200, "v2.0.0", "churn")
    assert isinstance(line["ms"], float)


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_each_line_of_the_log_is_written_at_once(
    project: Project, tmp_path: Path, log_format: str
) -> None:
    """So that lines of several workers do not run together, with no buffer either."""
    need_program("strace")
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=write", "-o", str(trace), "-s", "9999"]
    command += [sys.executable, "-u", "-m", "dvc_studio_models", "serve"]
    command += ["--port", "0", "--log-format", log_format, str(project.repo)]
    with subprocess.Popen(
        command,
        env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            first = process.stdout.readline()
            url = re.findall(r"http://[^\s\"]*", first)[0]
            links(url, "churn")
        finally:
            os.killpg(process.pid, signal.SIGTERM)

    written = re.findall(r'write\(1, "(.*)", \d+\)', trace.read_text())
    lines = [text for text in written if "get-download-uris" in text]
    assert len(lines) == 1
    assert lines[0].endswith("\\n")


def test_what_all_workers_find_out_is_logged_once(
    project: Project, tmp_path: Path
) -> None:
    missing, file = tmp_path / "missing.git", tmp_path / "serve.yaml"
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    repos = f"[{{path: {project.repo}}}, {{name: late, path: {missing}}}]"
    text = "listen: 127.0.0.1:0\nworkers: {}\nlog_format: json\nrepos: {}\ntokens: {}"
    tokens = f"[{{name: a, sha256: {sha256}}}]"

    file.write_text(text.format(2, repos, tokens))
    with started(tmp_path, "--config", file, port=()) as served:
        served.wait_for_workers(2)
        project.bare.rename(missing)
        time.sleep(2 * AGAIN_S)  # each of them has found it
        file.write_text(text.format(3, repos, tokens + "  # changed"))
        time.sleep(1.5)
        file.write_text("nonsense")
        time.sleep(1.5)
        out = served.stop()

    errors = (tmp_path / "errors").read_text()
    lines = [*map(json.loads, out.splitlines())]
    said = {(each["message"], each["level"]) for each in lines if "message" in each}
    assert out.count("the repo 'late' is served now") == 1
    assert out.count("the config was read again; serving 2 repos") == 1
    assert {level for _, level in said} == {"info"}
    assert errors.count("'workers' has changed: restart the server for it") == 1
    assert errors.count("The config before stays in use") == 1
    assert errors.count("it is not served until that works") == 1


@pytest.mark.parametrize("way", ["--config", "flags"])
def test_an_error_at_the_start_is_a_sentence_in_json_too(
    project: Project, tmp_path: Path, way: str
) -> None:
    file = tmp_path / "serve.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        args: tuple[str | Path, ...] = ("--config", file)
        if way == "flags":
            args = (project.repo, "--port", str(port), "--log-format", "json")
        sha256 = "f" * 64
        file.write_text(
            f"listen: 127.0.0.1:{port}\nlog_format: json\n"
            f"repos: [{{path: {project.repo}}}]\n"
            f"tokens: [{{name: a, sha256: {sha256}}}]"
        )
        with started(tmp_path, *args, port=()) as served:
            code = served.process.wait(TIMEOUT_S)

    (line,) = map(json.loads, (tmp_path / "errors").read_text().splitlines())
    option = "listen" if way == "--config" else "--port"
    assert code == 251
    assert line["level"] == "error"
    assert line["message"].startswith(f"cannot listen on '127.0.0.1:{port}': ")
    assert line["message"].endswith(f"\nUse another '{option}'")
    assert "traceback" not in line


def test_a_token_file_that_is_missing_is_a_sentence_in_json_too(
    project: Project, tmp_path: Path
) -> None:
    args = (project.repo, "--log-format", "json", "--token-file", tmp_path / "none")
    with started(tmp_path, *args) as served:
        code = served.process.wait(TIMEOUT_S)

    (line,) = map(json.loads, (tmp_path / "errors").read_text().splitlines())
    assert code == 251
    assert line["message"].startswith("cannot read the token file '")
    assert "traceback" not in line


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "*"),
        ({"https_proxy": "http://proxy.example.com:8080"}, None),
        ({"no_proxy": "example.com"}, "example.com"),
    ],
)
def test_forked_workers_do_not_ask_macos_for_proxies(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str | None
) -> None:
    """Python asks it if the environment names none; after a fork, that call crashes."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("no_proxy", os.environ.get("no_proxy", ""))  # to be restored
    if "no_proxy" not in environ:
        os.environ.pop("no_proxy")
    monkeypatch.setattr(sys, "platform", "darwin")

    with workers.sharing(2):
        seen = os.environ.get("no_proxy")

    assert seen == expected
    assert urllib.request.getproxies_environment()
