"""The servers of the benchmark: nginx on three ports, and a minimal Studio.

    open       nginx without a limit
    throttled  50 MB/s per connection, as object storage limits it
    far        every response arrives 30 ms later

All three ports serve the same static files. nginx logs the bytes it sends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from benchmarks.needs import STREAM_MODULE, is_stream_built_in, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = "127.0.0.1"
ENDPOINT = "/api/model-registry/get-download-uris"
RATE_BYTES_S = 50_000_000
DELAY_MS = 30
_START_S = 20.0
_ROOT = Path(__file__).parent.parent
_QUIET_S = 0.2

# After each read the stream module pauses to keep the rate, in whole milliseconds. Its
# default buffer of 16 KiB takes less than 1 ms at this rate, so the limit would only
# apply after the first second. With 256 KiB it applies from the first byte.
_CONFIG = """\
{load_module}
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
  log_format bytes '$body_bytes_sent';
  access_log {folder}/access.log bytes;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{open};
    root {root};
  }}
}}
stream {{
  server {{
    listen {host}:{throttled};
    proxy_pass {host}:{open};
    proxy_download_rate {rate};
    proxy_buffer_size 256k;
  }}
}}
"""


@dataclass(frozen=True)
class Ports:
    """The three ports that serve the same files."""

    open: int
    throttled: int
    far: int


@dataclass(frozen=True)
class Traffic:
    """The responses that nginx sent."""

    requests: int
    body_bytes: int


class Storage:
    """The running file servers."""

    def __init__(self, ports: Ports, log: Path) -> None:
        self.ports = ports
        self.limited_rate = 0.0
        """The measured rate of a new connection to the throttled port, in bytes/s."""
        self._log = log
        self._read = 0

    def traffic(self) -> Traffic:
        """Return the traffic since the last call, when nginx has logged all of it."""
        size = -1
        while size != (size := self._log.stat().st_size):
            time.sleep(_QUIET_S)
        with self._log.open("rb") as log:
            log.seek(self._read)
            sent = [int(line) for line in log.read().split()]
        self._read = size
        return Traffic(len(sent), sum(sent))


@contextlib.contextmanager
def serving_files(folder: Path, root: Path) -> Iterator[Storage]:
    """Run nginx and the delaying proxy until the end of the block.

    Args:
        folder: For nginx's own files; it is created.
        root: The folder to serve.
    """
    folder.mkdir()
    ports = Ports(*_free_ports(3))
    config = folder / "nginx.conf"
    config.write_text(_configure(folder, root, ports), "utf-8")
    nginx = [str(program("nginx")), "-p", str(folder), "-c", str(config)]
    delay = [sys.executable, "-m", "benchmarks.delay"]
    delay += [str(value) for value in (ports.far, ports.open, DELAY_MS)]
    log = folder / "output.log"
    with _running(nginx, log), _running(delay, log):
        for port in (ports.open, ports.throttled, ports.far):
            _await_port(port, log)
        yield Storage(ports, folder / "access.log")


def _configure(folder: Path, root: Path, ports: Ports) -> str:
    return _CONFIG.format(
        load_module="" if is_stream_built_in() else f"load_module {STREAM_MODULE};",
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        root=root,
        host=HOST,
        open=ports.open,
        throttled=ports.throttled,
        rate=RATE_BYTES_S,
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in sockets]


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _await_port(port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, port), 1).close()
            return
        time.sleep(0.02)
    message = f"no server at port {port}:\n{log.read_text('utf-8', 'replace')}"
    raise SystemExit(message)


class Studio:
    """Responds to one kind of request: for the URLs of the files of a version."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._replies: dict[tuple[str, str | None], bytes] = {}

    def publish(self, name: str, version: str | None, urls: Mapping[str, str]) -> None:
        """Set the URLs (path in the repo -> URL) of a version; None is the latest."""
        self._replies[name, version] = json.dumps(urls).encode()

    def reply(self, target: str) -> bytes | None:
        """Return the body of the response to a request, or None for 404."""
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if parts.path != ENDPOINT:
            return None
        name, version = query.get("name", [""])[0], query.get("version", [None])[0]
        return self._replies.get((name, version))

    def request_s(self, name: str) -> float:
        """Return the duration of one request, in seconds."""
        parts = urlsplit(self.url)
        began = time.perf_counter()
        connection = HTTPConnection(parts.netloc)
        connection.request("GET", f"{ENDPOINT}?name={name}")
        connection.getresponse().read()
        connection.close()
        return time.perf_counter() - began


@contextlib.contextmanager
def serving_studio() -> Iterator[Studio]:
    """Run Studio in a thread of this process until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = studio.reply(self.path)
            self.send_response(404 if body is None else 200)
            body = b'{"detail": "not found"}' if body is None else body
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        studio = Studio(f"http://{HOST}:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield studio
        finally:
            server.shutdown()
            thread.join()
