"""Slow, greedy and malformed clients, and silent remotes, do not disturb others."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import http.client
import json
import logging
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_from_bytes, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from projects import ORIGIN_URL, TOKEN, Project, age, copy_project, serving

from dvc_studio_models.server import limits
from dvc_studio_models.server.errors.requests import (
    BusyError,
    GitBusyError,
    GitSilentError,
    RefusedError,
    StorageSilentError,
)
from dvc_studio_models.server.waiting.deadlines import (
    timeout_error,
    waiting_for_remotes,
)
from dvc_studio_models.server.waiting.slow_calls import SlowCalls
from dvc_studio_models.server.waiting.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 20
IDLE_S = 1


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def impatient(project: Project) -> Iterator[str]:
    """A server that lets connections do nothing for a second."""
    with serving(project.repo, idle_s=IDLE_S) as url:
        yield url


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
    connection.settimeout(TIMEOUT_S)
    return connection


def ask(url: str, name: str = "churn", repo: str = ORIGIN_URL) -> requests.Response:
    return requests.get(
        f"{url}{API}",
        params={"repo": repo, "name": name},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )


def read_all(connection: socket.socket) -> bytes:
    """Read until the server ends the connection, however it does."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(1 << 16):
            received += more
    return received


# -- clients that are slow, or dead


@pytest.mark.clock
@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: "],
    ids=["nothing", "half a line", "half a head"],
)
def test_a_client_that_does_not_ask_is_hung_up_on(impatient: str, sent: bytes) -> None:
    begun = time.monotonic()
    with connect(impatient) as connection:
        connection.sendall(sent)
        received = read_all(connection)

    assert received == b""
    assert IDLE_S * 0.9 < time.monotonic() - begun < IDLE_S + 5


@pytest.mark.clock
def test_a_client_that_asks_letter_by_letter_is_hung_up_on(impatient: str) -> None:
    begun = time.monotonic()
    with connect(impatient) as connection, contextlib.suppress(ConnectionError):
        for letter in b"GET /healthz HTTP/1.1\r\nHost: " + b"h" * 1000:
            connection.sendall(bytes([letter]))
            time.sleep(0.05)
            assert time.monotonic() - begun < IDLE_S + 5


@pytest.mark.clock
def test_a_client_that_asks_its_second_question_slowly_is_hung_up_on(
    impatient: str,
) -> None:
    begun = time.monotonic()
    with connect(impatient) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        for letter in b"GET /healthz HTTP/1.1\r\nHost: " + b"h" * 1000:
            connection.sendall(bytes([letter]))
            time.sleep(0.05)
            assert time.monotonic() - begun < IDLE_S + 5


@pytest.fixture
def large_object(project: Project) -> Project:
    """Make the object of churn far larger than the buffers of sockets."""
    (file,) = (
        path
        for path in project.storage.rglob("*")
        if path.is_file() and path.stat().st_size == 380_000
    )
    file.chmod(0o644)
    os.truncate(file, 64 << 20)
    return project


def fetch_slowly(url: str, link: str) -> socket.socket:
    connection = connect(url)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    connection.sendall(f"GET {link[len(url) :]} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    return connection


def test_a_client_that_does_not_read_is_hung_up_on(
    large_object: Project, impatient: str
) -> None:
    (link,) = ask(impatient).json().values()

    with fetch_slowly(impatient, link) as connection:
        time.sleep(IDLE_S * 3)
        received = read_all(connection)

    assert large_object.repo.exists()
    assert len(received) < 64 << 20


@pytest.mark.clock
def test_a_client_that_reads_slowly_gets_all(
    large_object: Project, impatient: str
) -> None:
    (link,) = ask(impatient).json().values()

    received = 0
    with fetch_slowly(impatient, link) as connection:
        for _ in range(IDLE_S * 30):
            received += len(connection.recv(1 << 15))
            time.sleep(0.1)
        while received < 64 << 20 and (more := connection.recv(1 << 20)):
            received += len(more)

    assert large_object.repo.exists()
    assert received > 64 << 20


@pytest.mark.clock
def test_a_long_reply_that_is_not_read_does_not_stay(large_object: Project) -> None:
    with serving(large_object.repo, idle_s=IDLE_S, most=4) as url:
        (link,) = ask(url).json().values()
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                begun = stack.enter_context(fetch_slowly(url, link))
                assert begun.recv(1) == b"H"
            assert ask(url).status_code == 503
            time.sleep(IDLE_S * 4)

            assert ask(url).status_code == 200


@pytest.mark.clock
def test_a_download_goes_on_when_the_server_is_told_to_stop(
    large_object: Project,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dvc_studio_models", "serve", "--port", "0"],
        cwd=large_object.repo,
        env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        (link,) = ask(url).json().values()
        with fetch_slowly(url, link) as connection:
            received = len(connection.recv(1))
            process.send_signal(signal.SIGTERM)
            time.sleep(1)
            with pytest.raises(requests.ConnectionError):
                ask(url)
            while more := connection.recv(1 << 20):
                received += len(more)
        code = process.wait(TIMEOUT_S)

    assert received > 64 << 20
    assert code == 0


@pytest.mark.clock
@pytest.mark.parametrize("workers", [1, 2])
def test_a_download_that_a_stop_ends_is_no_error(
    large_object: Project, workers: int
) -> None:
    config = f"repos: [{{name: models, path: {large_object.repo}}}]\n"
    options = f"workers: {workers}\nlog_format: json\nlisten: 127.0.0.1:0\n"
    file = large_object.repo.parent / "serve.yaml"
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    file.write_text(f"{config}{options}tokens: [{{name: ci, sha256: {sha256}}}]\n")
    with subprocess.Popen(
        [sys.executable, "-m", "dvc_studio_models", "serve", "--config", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["message"].split()[-1]
        (link,) = ask(url, repo="models").json().values()
        with fetch_slowly(url, link) as connection:
            assert connection.recv(1) == b"H"
            process.send_signal(signal.SIGTERM)
            log, _ = process.communicate(timeout=TIMEOUT_S)

    lines = [json.loads(line) for line in log.splitlines()]
    said = [line.get("message", "") for line in lines]
    assert said.count("the server is stopping; downloads ended: 1") == 1
    assert [line for line in lines if line.get("level", "info") != "info"] == []
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [("bert", ()), ("churn", ("--verify-objects",))],
    ids=["reading a listing", "looking for objects"],
)
def test_a_silent_remote_does_not_keep_the_server_from_stopping(
    project: Project, silent_remote: str, name: str, options: tuple[str, ...]
) -> None:
    config = f"[core]\nremote = far\n['remote \"far\"']\nurl = {silent_remote}\n"
    (project.repo / ".dvc/config").write_text(config)
    with (
        ThreadPoolExecutor(1) as pool,
        subprocess.Popen(
            [sys.executable, "-m", "dvc_studio_models", "serve", "--port=0", *options],
            cwd=project.repo,
            env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            waiting = pool.submit(ask, url, name)
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            log, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        reply = waiting.result()

    detail = "this server is being stopped; try again later"
    assert (reply.status_code, reply.json()["detail"]) == (503, detail)
    assert "status=503" in log
    assert "Traceback" not in errors
    assert process.returncode == 0


# -- clients that want too much


def test_a_head_that_is_too_long_is_refused(impatient: str) -> None:
    with connect(impatient) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * (1 << 20))
        received = read_all(connection)

    assert received[:12] in {b"", b"HTTP/1.1 400"}
    assert ask(impatient).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_is_not_read(impatient: str, method: str) -> None:
    sent = 0
    with connect(impatient) as connection:
        head = f"{method} /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: {1 << 40}\r\n"
        connection.sendall(f"{head}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                connection.sendall(bytes(1 << 16))
                sent += 1 << 16

    assert sent < 64 << 20


@pytest.mark.clock
def test_more_connections_than_there_is_room_for_are_refused(project: Project) -> None:
    with serving(project.repo, most=4, idle_s=TIMEOUT_S) as url:
        with contextlib.ExitStack() as stack:
            last = [stack.enter_context(connect(url)) for _ in range(4)][-1]
            last.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            answered = last.recv(12)
            refused = ask(url)
            ended = [stack.enter_context(connect(url)) for _ in range(6)][-1]
            begun = time.monotonic()
            with ended:
                hung_up = read_all(ended)
            took_s = time.monotonic() - begun

        # The server has yet to notice that they are gone.
        deadline = time.monotonic() + TIMEOUT_S
        while (again := ask_or_none(url)) != 200 and time.monotonic() < deadline:
            time.sleep(0.05)

    assert (answered, refused.status_code) == (b"HTTP/1.1 200", 503)
    assert hung_up == b""
    assert took_s < TIMEOUT_S / 2
    assert again == 200


def test_what_no_route_can_answer_is_refused_in_json_and_in_the_log(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(project.repo, most=1) as url, connect(url) as connection:
        crowded = ask(url)
        connection.sendall(b"no HTTP\r\n\r\n")
        malformed = read_all(connection)

    detail = "too many connections; try again later"
    assert (crowded.status_code, crowded.json()) == (503, {"detail": detail})
    assert crowded.headers["Retry-After"] == "1"
    assert malformed.startswith(b"HTTP/1.1 400 ")
    _, _, body = malformed.partition(b"\r\n\r\n")
    assert json.loads(body) == {"detail": "Invalid HTTP request received."}
    assert detail in caplog.messages
    assert caplog.messages.count("malformed request from '127.0.0.1'") == 1
    assert "Invalid HTTP request received." not in caplog.messages


def test_all_open_files_that_the_system_allows_may_be_used(project: Project) -> None:
    with subprocess.Popen(
        [
            *("bash", "-c", 'ulimit -Hn 2048; ulimit -Sn 256; exec "$@"', "bash"),
            *(sys.executable, "-m", "dvc_studio_models", "serve", "--port", "0"),
        ],
        cwd=project.repo,
        env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            with contextlib.ExitStack() as stack:
                for _ in range(400):
                    stack.enter_context(connect(url))
                status = ask(url).status_code
        finally:
            process.kill()

    assert status == 200


@contextlib.contextmanager
def limited(project: Project, files: int) -> Iterator[tuple[str, Path]]:
    """Serve with a hard limit of open files; yield the URL and the log."""
    log = project.repo.parent / "log"
    command = f'ulimit -n {files}; exec "$@"'
    serve = [sys.executable, "-m", "dvc_studio_models", "serve", "--port", "0"]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            ["bash", "-c", command, "bash", *serve],
            cwd=project.repo,
            env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            yield process.stdout.readline().split()[-1], log
        finally:
            process.kill()


def test_there_are_no_more_connections_than_the_system_allows_files(
    project: Project,
) -> None:
    """More would be left without an answer, and Git could not be run."""
    with limited(project, 256) as (url, log), contextlib.ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(connect(url))
        answered = ask(url)
        for _ in range(10):
            stack.enter_context(connect(url))
        refused = ask(url)
        for _ in range(400):
            stack.enter_context(connect(url))
        time.sleep(0.1)
        written = log.read_text()

    assert (answered.status_code, refused.status_code) == (200, 503)
    assert "at most 85 connections at once, as this process may have 256" in written
    assert "raise the limit ('ulimit -n')" in written
    assert "out of system resource" not in written
    assert "Traceback" not in written


@pytest.mark.parametrize(
    ("files", "expected"), [(1024, 426), (64, 1), (1 << 20, 512), (-1, 512)]
)
def test_every_limit_of_open_files_allows_some_connections(
    monkeypatch: pytest.MonkeyPatch, files: int, expected: int
) -> None:
    limit = files if files >= 0 else resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert limits.most_connections() == expected


MACOS = """
import resource
from dvc_studio_models.server.limits import raise_limits
real, accepted = resource.setrlimit, {accepted}
get = resource.getrlimit

def setrlimit(kind, limits):
    if limits[0] > accepted:
        raise ValueError("current limit exceeds maximum limit")
    assert limits[1] == resource.RLIM_INFINITY
    real(kind, (limits[0], get(kind)[1]))

resource.setrlimit = setrlimit
resource.getrlimit = lambda kind: (get(kind)[0], resource.RLIM_INFINITY)
raise_limits()
print(get(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("accepted", "expected"), [(1500, 1024), (300, 256), (10, 200)]
)
def test_a_system_that_accepts_less_than_its_limit_is_asked_for_less(
    accepted: int, expected: int
) -> None:
    """As macOS does, which ``resource`` stands in for: it reports no hard limit."""
    command = 'ulimit -Sn 200; exec "$@"'
    code = MACOS.format(accepted=accepted)
    done = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
    )

    assert int(done.stdout) == expected


class MacSocket:
    """A transport and its socket on macOS, where an option has what ``ioctl`` lacks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get_extra_info(self, name: str) -> MacSocket:
        assert name == "socket"
        return self

    def get_write_buffer_size(self) -> int:
        return 5

    def getsockopt(self, level: int, option: int) -> int:
        assert (level, option) == (socket.SOL_SOCKET, 0x1024)
        reply = fcntl.ioctl(self._connection, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(reply, sys.byteorder)


def test_what_macos_has_not_sent_yet_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a client that reads slowly would seem to be idle there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = socket.create_connection(listener.getsockname())
        writer, _ = listener.accept()
    with reader, writer:
        writer.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                writer.send(bytes(1 << 20))
        monkeypatch.setattr(sys, "platform", "darwin")

        full = limits._unread_bytes(MacSocket(writer))  # type: ignore[arg-type]

    assert full > 1 << 16


def ask_or_none(url: str) -> int | None:
    with contextlib.suppress(requests.ConnectionError):
        return ask(url).status_code
    return None


# -- remotes that are silent


@pytest.fixture
def silent_remote() -> Iterator[str]:
    """A server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.clock
def test_a_silent_remote_keeps_nobody_waiting(
    project: Project, silent_remote: str
) -> None:
    config = f"[core]\nremote = far\n['remote \"far\"']\nurl = {silent_remote}\n"
    (project.repo / ".dvc/config").write_text(config)
    age(project.repo)
    slow_calls = functools.partial(SlowCalls, seconds=3, most_waiting=2)
    waiting: list[tuple[int, str]] = []

    with serving(project.repo, slow_calls=slow_calls) as url:
        ask(url)  # cached from now on; it is not in a listing

        def wait() -> None:
            reply = ask(url, "bert")
            waiting.append((reply.status_code, reply.json()["detail"]))

        threads = [threading.Thread(target=wait) for _ in range(5)]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        statuses = {ask(url).status_code for _ in range(20)}
        took_s = time.monotonic() - begun
        for thread in threads:
            thread.join()

    assert statuses == {200}
    assert took_s < 2
    silent = "the DVC remote has not answered within 3 s; try again later"
    busy = "too many requests wait for DVC remotes; try again later"
    assert sorted(waiting) == [(503, busy)] * 3 + [(504, silent)] * 2


@pytest.mark.clock
def test_a_silent_remote_of_one_repo_takes_no_place_of_another(
    project: Project, silent_remote: str, tmp_path: Path
) -> None:
    other = project.clone(tmp_path / "other", origin="git@git.example.com:acme/other")
    (other / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\nurl = {project.storage}\n"
    )
    (project.repo / ".dvc/config").write_text(
        f"[core]\nremote = far\n['remote \"far\"']\nurl = {silent_remote}\n"
    )
    slow_calls = functools.partial(SlowCalls, seconds=1, most_waiting=2)

    with serving(project.repo, other, slow_calls=slow_calls) as url:
        silent = {ask(url, "bert").status_code for _ in range(3)}
        answered = {
            ask(url, name, "acme/other").status_code for name in ("churn", "bert")
        }

    assert silent == {504, 503}
    assert answered == {200}


@pytest.mark.parametrize(
    ("limit", "waiting", "silent", "busy"),
    [
        ("most_waiting", waiting_for_remotes, StorageSilentError, BusyError),
        ("most", contextlib.nullcontext, GitSilentError, GitBusyError),
    ],
    ids=["remote", "git"],
)
def test_who_waited_in_vain_frees_its_place_when_there_is_an_answer(
    limit: str,
    waiting: Callable[[], contextlib.AbstractContextManager[None]],
    silent: type[RefusedError],
    busy: type[RefusedError],
) -> None:
    answered = threading.Event()
    slow_calls = SlowCalls(seconds=0.1, **{limit: 1})

    def find() -> bool:
        with waiting():
            return answered.wait(TIMEOUT_S)

    async def play() -> bool:
        with pytest.raises(silent):
            await slow_calls.run(find)
        with pytest.raises(busy):
            await slow_calls.run(find)
        answered.set()
        for _ in range(100):
            with contextlib.suppress(busy):
                return await slow_calls.run(find)
            await asyncio.sleep(0.05)
        return False

    assert asyncio.run(play())


def test_who_needs_nothing_from_a_remote_takes_no_place_of_who_does() -> None:
    answered = threading.Event()
    slow_calls = SlowCalls(seconds=TIMEOUT_S, most_waiting=1)

    def read_remote() -> bool:
        with waiting_for_remotes(), waiting_for_remotes():
            return answered.wait(TIMEOUT_S)

    async def play() -> list[bool]:
        asking = asyncio.create_task(slow_calls.run(read_remote))
        await asyncio.sleep(0.1)
        others = [await slow_calls.run(lambda: True) for _ in range(3)]
        answered.set()
        return [*others, await asking]

    assert asyncio.run(play()) == [True] * 4


def test_an_error_frees_its_place() -> None:
    slow_calls = SlowCalls(most=1, most_waiting=1)

    def fail() -> float:
        with waiting_for_remotes():
            return 1 / 0

    async def play() -> None:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await slow_calls.run(fail)

    asyncio.run(play())


def test_who_waits_with_others_for_a_remote_is_told_so() -> None:
    """Also if its own wait in the thread ends just before that for the thread."""
    slow_calls = SlowCalls(seconds=0.5)
    answered = threading.Event()

    def find() -> None:
        with contextlib.suppress(StorageSilentError), waiting_for_remotes():
            raise timeout_error(0.5)
        answered.wait(TIMEOUT_S)

    async def play() -> None:
        with pytest.raises(StorageSilentError):
            await slow_calls.run(find)
        answered.set()

    asyncio.run(play())


def test_a_call_that_ends_after_the_server_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    slow_calls = SlowCalls(seconds=0.1, threads=Threads(idle_s=0.1))
    stopped = threading.Event()
    called: list[threading.Thread] = []

    def find() -> bool:
        called.append(threading.current_thread())
        return stopped.wait(TIMEOUT_S)

    async def play() -> None:
        with pytest.raises(GitSilentError):
            await slow_calls.run(find)

    asyncio.run(play())
    stopped.set()
    called[0].join(TIMEOUT_S)

    assert not called[0].is_alive()
    assert errors == []


def test_threads_are_reused_and_end_when_they_are_idle() -> None:
    threads = Threads(idle_s=0.2)
    repos = [SlowCalls(threads=threads) for _ in range(5)]

    async def play() -> set[threading.Thread]:
        return {
            await repos[number % 5].run(threading.current_thread)
            for number in range(100)
        }

    (thread,) = asyncio.run(play())
    thread.join(TIMEOUT_S)

    assert not thread.is_alive()


# -- ten thousand malformed requests

EXAMPLES = 500
AT_ONCE = 20
WORDS = [
    *("repo", "name", "version", "stage", "acme/models", ORIGIN_URL, "churn", "bert"),
    *("prod", "v1.0.0", "services/fraud:fraud", "dvc.yaml", "..", "/", "\\", "\x00"),
    *("@", "#", ":", "=", "&", "%", "%00", "%ff", "+", "[", "::1", "file://", "git@"),
    *("9" * 400, "a" * 1200, "\ud800", "\u202e", "💩", "v1.0.0\n", "v01.0.0", " "),
]
words = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=4).map("".join)
texts = words.map(lambda text: quote(text.encode("utf-8", "surrogatepass")))
keys = st.sampled_from(["repo", "name", "version", "stage"]).map(quote) | texts
good = [("repo", "acme/models"), ("name", "churn")]
queries = st.one_of(
    st.binary(max_size=60).map(lambda raw: quote_from_bytes(raw, safe="&=%+;/?:@")),
    st.lists(st.tuples(keys, texts), max_size=5).map(
        lambda pairs: "&".join(map("=".join, pairs))
    ),
    st.lists(st.tuples(keys, texts), min_size=1, max_size=2).map(
        lambda pairs: "&".join(map("=".join, [*good, *pairs]))
    ),
)
paths = st.sampled_from([API] * 8 + [f"{API}/", f"/p/../{API}", "/objects/m/s/x"])
tokens = st.sampled_from([f"token {TOKEN}"] * 8 + ["token", "token \xff", "Basic x"])
requests_made = st.tuples(paths, queries, tokens)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("limits")
    template = tmp_path_factory.getbasetemp() / "template"
    with serving(copy_project(template, root / "project").repo) as url:
        yield url


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(made=st.lists(requests_made, min_size=AT_ONCE, max_size=AT_ONCE))
def send_malformed(
    connection: http.client.HTTPConnection,
    counts: dict[int, int],
    made: list[tuple[str, str, str]],
) -> None:
    for path, query, token in made:
        connection.putrequest("GET", f"{path}?{query}", skip_accept_encoding=True)
        connection.putheader("Authorization", token.encode("latin-1"))
        connection.endheaders()
        with connection.getresponse() as reply:
            body = json.loads(reply.read())
            counts[reply.status] = counts.get(reply.status, 0) + 1
            if reply.status == 200:
                assert list(body) == ["models/churn.pkl"]
            else:
                assert isinstance(body["detail"], str)


@pytest.mark.slow
def test_ten_thousand_malformed_requests_are_answered_properly(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    counts: dict[int, int] = {}
    caplog.set_level(logging.WARNING)
    parts = urlsplit(server)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, TIMEOUT_S)

    with contextlib.closing(connection):
        send_malformed(connection, counts)

    assert sum(counts.values()) >= 10_000
    assert set(counts) <= {200, 400, 401, 403, 404}
    assert min(counts[status] for status in (200, 400, 401, 403, 404)) > 20
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_thousand_requests_that_are_no_http_do_no_harm(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    chance = random.Random(5)
    valid = f"GET {API}?repo=x HTTP/1.1\r\nHost: h\r\n\r\n".encode()

    for _ in range(1000):
        broken = bytearray(valid)
        for _ in range(chance.randint(1, 5)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with connect(server) as connection:
            connection.sendall(broken)
            connection.shutdown(socket.SHUT_WR)
            received = read_all(connection)
        assert received[:10] in {b"", b"HTTP/1.1 4"}, bytes(broken)

    assert [record for record in caplog.records if record.exc_info] == []
    assert ask(server).status_code == 200
