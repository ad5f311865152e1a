"""A log that cannot be written, as on a full disk, stops nothing."""

from __future__ import annotations

import logging
import os
import re
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pytest
import requests
from needs import need_full_device
from projects import TOKEN
from servers import free_port, wait_until

from dvc_studio_models.server.monitoring.logs import LossyHandler
from dvc_studio_models.server.monitoring.metrics import lost_lines
from tests.server.api import TIMEOUT_S, ask
from tests.server.test_reload import OTHER, config, save
from tests.server.test_workers import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projects import Project

THIRD = "a-third-token"
LOST = "dvc_models_lost_log_lines_total"


@contextmanager
def serving_into(
    file: Path, text: str, stdout: int, stderr: int
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve with a log that goes to open files; yield the process and the URL."""
    url = f"127.0.0.1:{free_port()}"
    save(file, text.replace("127.0.0.1:0", url))
    with subprocess.Popen(
        [sys.executable, "-m", "dvc_studio_models", "serve", "--config", file],
        stdout=stdout,
        stderr=stderr,
    ) as process:
        try:
            wait_until(lambda: _answers(f"http://{url}"), timeout_s=TIMEOUT_S)
            yield process, f"http://{url}"
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT_S)
            finally:
                process.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/livez", timeout=TIMEOUT_S).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(params=["pipe", "disk"])
def broken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A file to which nothing can be written."""
    if request.param == "disk":
        number = os.open(need_full_device(), os.O_WRONLY)
    else:
        reader, number = os.pipe()
        os.close(reader)
    yield number
    os.close(number)


def status(url: str, token: str = TOKEN) -> int:
    return ask(url, repo="models", name="churn", token=token).status_code


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_revoked_token_is_refused_all_the_same(
    project: Project, tmp_path: Path, broken: int, workers: int, log_format: str
) -> None:
    file = tmp_path / "serve.yaml"
    text = f"workers: {workers}\nlog_format: {log_format}\n{config(project.bare)}"
    with serving_into(file, text, broken, broken) as (process, url):
        assert status(url) == 200
        now = text.replace("127.0.0.1:0", url.removeprefix("http://"))
        for before, after in ((TOKEN, OTHER), (OTHER, THIRD)):
            save(file, now.replace(config_hash(TOKEN), config_hash(after)))
            process.send_signal(signal.SIGHUP)
            wait_until(
                lambda t=after: all_statuses(url, t) == {200}, timeout_s=TIMEOUT_S
            )
            assert all_statuses(url, before) == {401}


def config_hash(token: str) -> str:
    (found,) = re.findall("[0-9a-f]{64}", config(token=token))
    return found


def all_statuses(url: str, token: str) -> set[int]:
    """Return the statuses of some requests, of which each worker gets some."""
    return {status(url, token) for _ in range(10)}


def test_a_worker_that_dies_is_replaced_without_a_word(
    project: Project, tmp_path: Path, broken: int
) -> None:
    def workers(main: int) -> set[int]:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(main)],
            capture_output=True,
            text=True,
            check=False,
        )
        return set(map(int, listed.stdout.split()))

    text = f"workers: 2\n{config(project.bare)}"
    with serving_into(tmp_path / "serve.yaml", text, broken, broken) as (main, url):
        wait_until(lambda: len(workers(main.pid)) == 2, timeout_s=TIMEOUT_S)
        before = workers(main.pid)
        os.kill(min(before), signal.SIGKILL)
        wait_until(
            lambda: len(workers(main.pid) - {min(before)}) == 2, timeout_s=TIMEOUT_S
        )
        assert all_statuses(url, TOKEN) == {200}


def test_lost_lines_are_counted(project: Project, tmp_path: Path, broken: int) -> None:
    file = tmp_path / "serve.yaml"
    with serving_into(file, config(project.bare), broken, broken) as (_, url):
        status(url)
        headers = {"Authorization": f"token {TOKEN}"}
        text = requests.get(f"{url}/metrics", headers=headers, timeout=TIMEOUT_S).text

    (lost,) = re.findall(rf"^{LOST} (\S+)$", text, re.M)
    assert float(lost) >= 1


def test_who_stops_reading_the_log_stops_nothing(
    project: Project, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    file = tmp_path / "serve.yaml"
    try:
        with serving_into(file, config(project.bare), writer, writer) as (main, url):
            for _ in range(400):
                assert requests.get(f"{url}/{'x' * 400}", timeout=TIMEOUT_S).text
            text = requests.get(
                f"{url}/metrics",
                headers={"Authorization": f"token {TOKEN}"},
                timeout=TIMEOUT_S,
            ).text
            main.terminate()
            code = main.wait(TIMEOUT_S)
    finally:
        os.close(writer)
        os.close(reader)

    (lost,) = re.findall(rf"^{LOST} (\S+)$", text, re.M)
    assert float(lost) > 100
    assert code == 0


@pytest.fixture
def log_in_pipe() -> Iterator[tuple[LossyHandler, int, IO[str]]]:
    """A handler that writes to a pipe, and the pipe's two ends."""
    reader, number = os.pipe()
    with os.fdopen(number, "w", encoding="utf-8") as writer:
        yield LossyHandler(logging.StreamHandler(writer)), reader, writer
        os.close(reader)


@pytest.mark.parametrize("text", ["x" * 500_000, "\N{SNOWMAN}" * 100_000])
def test_a_long_record_does_not_wait_for_who_stops_reading(
    log_in_pipe: tuple[LossyHandler, int, IO[str]], text: str
) -> None:
    handler, reader, _ = log_in_pipe
    before = lost_lines.collect()[0].samples[0].value

    handler.emit(logging.makeLogRecord({"msg": text}))

    assert lost_lines.collect()[0].samples[0].value == before + 1
    assert text.startswith(os.read(reader, 60_000).decode(errors="ignore"))


@pytest.mark.parametrize("text", ["x" * 500_000, "\N{SNOWMAN}" * 100_000])
def test_a_long_record_that_is_read_is_whole(
    log_in_pipe: tuple[LossyHandler, int, IO[str]], text: str
) -> None:
    handler, reader, writer = log_in_pipe
    with (
        ThreadPoolExecutor() as pool,
        os.fdopen(os.dup(reader), encoding="utf-8") as file,
    ):
        read = pool.submit(file.read)
        handler.emit(logging.makeLogRecord({"msg": text}))
        writer.close()

    assert read.result() == f"{text}\n"


def test_a_closed_stderr_does_not_end_the_log_of_requests(
    project: Project, tmp_path: Path
) -> None:
    prefix = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    with started(tmp_path, project.repo, prefix=prefix) as served:
        assert requests.get(f"{served.url}/livez", timeout=TIMEOUT_S).ok
        log = served.stop()

    assert "path=/livez status=200" in log


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_a_line_is_short_enough_to_be_written_at_once(
    project: Project, tmp_path: Path, log_format: str
) -> None:
    """Else lines of several workers would run together in a pipe."""
    with started(tmp_path, project.repo, "--log-format", log_format) as served:
        requests.get(f"{served.url}/{'x' * 60_000}", timeout=TIMEOUT_S)
        requests.request("X" * 30_000, served.url, timeout=TIMEOUT_S)
        lines = served.stop().splitlines()

    assert len(lines) == 3
    assert max(map(len, lines)) < select.PIPE_BUF
