"""Runs the app: listens, prints the URL, and stops on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import uvicorn
from dvc.ui import ui
from prometheus_client.multiprocess import mark_process_dead

from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.server import limits
from dvc_studio_models.server.app import create_app
from dvc_studio_models.server.heads import HEAD_BYTES
from dvc_studio_models.server.monitoring.logs import (
    JSON,
    leave_to_first_worker,
    leave_to_main_thread,
)
from dvc_studio_models.server.site.reload import Reloader
from dvc_studio_models.server.site.site import Site
from dvc_studio_models.server.waiting.slow_calls import MAX_CONNECTIONS
from dvc_studio_models.server.workers import METRICS_VARIABLE, Workers, handling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from starlette.types import ASGIApp

    from dvc_studio_models.server.config.file import ConfigSource
    from dvc_studio_models.server.config.values import ServeConfig

logger = logging.getLogger("dvc.dvc_studio_models.server")

BACKLOG = 2048
"""Connections that wait to be accepted."""

SWITCH_S = 0.0005
"""How long, in seconds, a thread runs while another one waits, a tenth of Python's own:
a thread that reads Git waits many times, and each time for the thread that answers."""

STOP_S = 3
"""How long, in seconds, downloads in progress may go on after a signal to stop.

So the server ends within 5 s; clients resume their downloads at another one.
"""


def run(source: ConfigSource, config: ServeConfig) -> None:
    """Serve until SIGTERM or Ctrl-C; also returns in each worker when it is stopped.

    Args:
        source: Read again on SIGHUP, and when its files change.
        config: What the source says now.

    Raises:
        NotGitRepoError: No repo can be opened, and a path is no Git repo.
        UnreadableRepoError: No repo can be opened, and Git cannot read one.
        StudioConfigError: The server cannot listen on this address.
        SystemExit: The first of several workers could not start; it has said why.
    """
    limits.raise_limits()
    most = limits.most_connections()
    sys.setswitchinterval(SWITCH_S)
    with bind(config.host, config.port, option=source.port_option) as listener:

        def announce(count: str) -> None:
            _say(f"Serving {count} at {url_of(listener)}", config.log_format)

        if config.workers > 1:
            workers = Workers(
                config.workers, announce=announce, forget=mark_process_dead
            )
            if (worker := workers.start()) is None:
                return
            if worker.number > 0:
                leave_to_first_worker()
            _serve(source, config, listener, worker.tell, most=most, is_worker=True)
        else:
            _serve(source, config, listener, announce, most=most)


def _serve(
    source: ConfigSource,
    config: ServeConfig,
    listener: socket.socket,
    announce: Callable[[str], None],
    *,
    most: int,
    is_worker: bool = False,
) -> None:
    """Serve in this process, ``most`` connections at once."""
    hangups: SimpleQueue[None] = SimpleQueue()  # safe to use in a handler of signals
    with handling(signal.SIGHUP, lambda *_: hangups.put(None)):
        reloader = Reloader(source, hangups)
        read = reloader.wait_for_config if is_worker else reloader.read
        config = read(config)
        shared = Path(os.environ[METRICS_VARIABLE]) if is_worker else None
        site = Site(config, must_open=source.needs_a_repo, shared=shared)
        try:
            site.warm_up()
            gc.collect()
            gc.freeze()  # what is imported stays: later collections take milliseconds
            app = create_app(site)
            server = make_server(app, proxied=config.behind_proxy, most=most)
            server.on_signal = site.mirrors.note_stop
            with _stopping(server):
                reloader.start(site)
                listener.listen(BACKLOG)
                announce(_count(site))
                server.run(sockets=[listener])
                leave_to_main_thread()
        finally:
            site.mirrors.stop()


def _count(site: Site) -> str:
    count, served = len(site.catalog), len(tuple(site.catalog))
    repos = "repo" if count == 1 else "repos"
    return f"{served} of {count} {repos}" if served < count else f"{count} {repos}"


def _say(text: str, log_format: str) -> None:
    if log_format == JSON:
        logger.info("%s", text)
    else:
        try:
            ui.write(text)
            if sys.stdout is not None:
                sys.stdout.flush()  # scripts wait for the line, through a pipe
        except OSError as exc:
            logger.warning("cannot write to standard output: %s", exc.strerror)


class Server(uvicorn.Server):
    """Uvicorn, which tells when it gets a signal to stop, and logs no error for it."""

    on_signal: Callable[[], None] = staticmethod(lambda: None)
    """Called in the handler of the signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop soon; a second signal stops at once."""
        self.on_signal()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; requests in progress have :data:`STOP_S` to end."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(STOP_S, self._end_requests)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    def _end_requests(self) -> None:
        """End downloads as if their clients had gone, and refuse other requests."""
        ended = sum(
            connection.end_response()
            for connection in list(self.server_state.connections)
            if isinstance(connection, limits.Connection)
        )
        for task in self.server_state.tasks:
            task.cancel()
        if ended:
            logger.info("the server is stopping; downloads ended: %d", ended)


def make_server(
    app: ASGIApp,
    *,
    proxied: bool = False,
    idle_s: int = limits.IDLE_S,
    most: int = MAX_CONNECTIONS,
) -> Server:
    """Configure uvicorn, with our own access log and limits.

    Args:
        app: What to serve.
        proxied: Accept ``X-Forwarded-Proto`` from all clients, not only loopback.
        idle_s: The longest time, in seconds, that a connection may be idle.
        most: Connections at once.
    """
    return Server(
        uvicorn.Config(
            app,
            access_log=False,
            forwarded_allow_ips="*" if proxied else None,
            h11_max_incomplete_event_size=HEAD_BYTES,
            http=limits.Connection,
            lifespan="off",
            limit_concurrency=most,
            log_config=None,
            log_level="warning",  # only uvicorn logs what it refuses by itself
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=2 * STOP_S,  # after our own, and never reached
            timeout_keep_alive=idle_s,
            ws="none",
        )
    )


def url_of(listener: socket.socket) -> str:
    """Return the URL of ``listener``."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one.

    Raises:
        StudioConfigError: The server cannot listen on this address.
    """
    listener = bind(host, port)
    listener.listen(BACKLOG)
    return listener


def bind(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """Open a socket that does not listen yet; port 0 takes a free one.

    Args:
        host: Its address.
        port: Its port.
        option: What sets them, for the message.

    Raises:
        StudioConfigError: The server cannot listen on this address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        msg = (
            f"cannot listen on '{host}:{port}': {exc.strerror}\nUse another '{option}'"
        )
        raise StudioConfigError(msg) from None
    # asyncio does not recognise this as TCP; without it, a reply takes 40 ms more.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextlib.contextmanager
def _stopping(server: Server) -> Iterator[None]:
    """Stop the server on a signal, even before uvicorn has its own handlers.

    After stopping, uvicorn raises the signal once more; this ignores it.
    """

    def stop(*_: object) -> None:
        server.on_signal()
        server.should_exit = True

    with handling(signal.SIGINT, stop), handling(signal.SIGTERM, stop):
        yield
