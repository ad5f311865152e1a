"""Storage is reached as requests would reach it, and failures are told in our words."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import storages
from fetching import noise
from gate import NOW, Authority, Gate
from servers import PLANTED_SECRETS, Behaviour, FileServer, Redirect
from storages import KINDS, read

from dvc_studio_models.errors import DownloadError
from dvc_studio_models.http.curl.routes import Route, RouteError, find_route, split_url
from dvc_studio_models.http.response import RangeRequest, Retry
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.model import ModelFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dvc_studio_models.http.storage import Storage

pytestmark = pytest.mark.reliability("Connections")

CONTENT = noise(1000)
OBJECT = "/bucket/model.bin"
DAY = dt.timedelta(days=1)
FIRST = RangeRequest("model.bin", 0, 2000)
PROXY = "http://ada:PLANTED_SECRET_KEY@127.0.0.1:{port}"
HINT = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"

NO_TLS = "wrong version number|packet length too long"  # of two OpenSSLs

Get = "Callable[..., bytes]"


@pytest.fixture(params=KINDS)
def get(request: pytest.FixtureRequest) -> Iterator[Get]:
    """Request a URL one by one, or through a batch."""
    opened = []

    def get(url: str, *, idle_s: float = 10) -> bytes:
        storage = storages.connect(url, kind=request.param, idle_s=idle_s)
        opened.append(storage)
        return read(storage, FIRST)

    yield get
    for storage in opened:
        storage.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    return authority


@pytest.fixture
def server(file_server: FileServer) -> FileServer:
    file_server.objects[OBJECT] = CONTENT
    return file_server


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No exceptions: all hosts are reached by the proxy that a test sets."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


class Answering:
    """A server that reads once on each connection, sends some bytes, and closes it."""

    def __init__(self, answer: bytes | Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                with sock:
                    if callable(self._answer):
                        self._answer(sock)
                    else:
                        sock.recv(1 << 16)
                        sock.sendall(self._answer)
        except OSError:
            pass


# TLS


def test_a_bundle_of_the_users_is_trusted(
    get: Get, server: FileServer, trusted: Authority
) -> None:
    with Gate(server.port, trusted.issue()) as gate:
        assert get(f"https://127.0.0.1:{gate.port}{OBJECT}") == CONTENT


def test_a_folder_of_certificates_is_trusted(
    get: Get,
    server: FileServer,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    name = authority.hashed_name()
    (folder / name).write_bytes(authority.bundle.read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))

    with Gate(server.port, authority.issue()) as gate:
        assert get(f"https://127.0.0.1:{gate.port}{OBJECT}") == CONTENT


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_the_path_of_a_bundle_may_have_any_letters(
    get: Get,
    server: FileServer,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: bool,
) -> None:
    bundle = tmp_path / "josé €" / authority.hashed_name()
    bundle.parent.mkdir()
    bundle.write_bytes(authority.bundle.read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle.parent if folder else bundle))

    with Gate(server.port, authority.issue()) as gate:
        assert get(f"https://127.0.0.1:{gate.port}{OBJECT}") == CONTENT


@pytest.mark.parametrize(
    ("host", "until", "words"),
    [
        pytest.param("other.example", NOW + DAY, "IP address mismatch", id="host"),
        pytest.param("127.0.0.1", NOW - DAY, "certificate has expired$", id="expired"),
    ],
)
def test_a_certificate_that_is_wrong_ends_all_at_once(
    get: Get,
    server: FileServer,
    trusted: Authority,
    host: str,
    until: dt.datetime,
    words: str,
) -> None:
    with (
        Gate(server.port, trusted.issue(host, until=until)) as gate,
        pytest.raises(DownloadError, match=f"TLS certificate refused: {words}"),
    ):
        get(f"https://127.0.0.1:{gate.port}{OBJECT}")

    assert gate.connections == 1
    assert server.requests == []


def test_a_certificate_of_another_name_is_told(
    get: Get, server: FileServer, trusted: Authority
) -> None:
    words = "Hostname mismatch, certificate is not valid for 'localhost'"
    with (
        Gate(server.port, trusted.issue("other.example")) as gate,
        pytest.raises(DownloadError, match=words),
    ):
        get(f"https://localhost:{gate.port}{OBJECT}")


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_certificate_of_nobody_ends_all_at_once(
    get: Get,
    server: FileServer,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: bool,
) -> None:
    if folder:
        (tmp_path / "empty").mkdir()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty"))
    with (
        Gate(server.port, authority.issue()) as gate,
        pytest.raises(DownloadError, match="refused: unable to get local issuer"),
    ):
        get(f"https://127.0.0.1:{gate.port}{OBJECT}")

    assert server.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("text", [None, "no certificate"], ids=["missing", "no-bundle"])
def test_a_bundle_that_is_none_is_told(
    get: Get,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    text: str | None,
) -> None:
    bundle = tmp_path / "ca.pem"
    if text is not None:
        bundle.write_text(text)
    monkeypatch.setenv(variable, str(bundle))

    with pytest.raises(DownloadError, match=f"{variable} is not a CA bundle"):
        get(f"https://127.0.0.1:{server.port}{OBJECT}")


def test_tls_is_not_left_by_a_redirect(
    get: Get, server: FileServer, trusted: Authority
) -> None:
    server.behaviour = Behaviour(redirect=Redirect(location=server.url(OBJECT)))

    with (
        Gate(server.port, trusted.issue()) as gate,
        pytest.raises(
            DownloadError, match=r"redirects to 'http://.*', which is refused"
        ),
    ):
        get(f"https://127.0.0.1:{gate.port}{OBJECT}")


def test_a_redirect_may_lead_into_tls(
    get: Get, server: FileServer, trusted: Authority
) -> None:
    with Gate(server.port, trusted.issue()) as gate:
        target = f"https://127.0.0.1:{gate.port}/other"
        server.objects["/other"] = CONTENT
        server.behaviours[OBJECT] = Behaviour(redirect=Redirect(location=target))

        get(server.url(OBJECT))

    assert [request.path for request in server.requests] == [OBJECT, "/other"]


def test_a_server_that_speaks_no_tls_is_final(get: Get) -> None:
    with (
        Answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server,
        pytest.raises(DownloadError, match=r"TLS failed: [a-z ]+$"),
    ):
        get(f"https://127.0.0.1:{server.port}/")


def test_a_connection_that_is_cut_in_the_handshake_may_be_tried_again(get: Get) -> None:
    with Answering(b"") as server, pytest.raises(Retry, match="connection was cut"):
        get(f"https://127.0.0.1:{server.port}/")


def wants_certificate(sock: socket.socket, authority: Authority) -> None:
    """Refuse a client that has no certificate, as servers of TLS 1.3 do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("localhost"))
    context.load_verify_locations(authority.bundle)
    context.verify_mode = ssl.CERT_REQUIRED
    with context.wrap_socket(
        sock, server_side=True, do_handshake_on_connect=False
    ) as tls:
        with contextlib.suppress(ssl.SSLError):
            tls.do_handshake()
        while socket.socket.recv(tls, 1 << 16):
            pass


def test_a_certificate_that_is_wanted_of_us_is_final(
    get: Get, trusted: Authority
) -> None:
    with (
        Answering(lambda sock: wants_certificate(sock, trusted)) as server,
        pytest.raises(DownloadError, match=r"TLS failed: .*certificate required$"),
    ):
        get(f"https://localhost:{server.port}/")

    assert server.connections == 1


# libcurl tries the IPv6 address of localhost first, which nobody listens on.


def test_the_refusal_of_another_address_is_not_told(get: Get) -> None:
    with (
        Answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server,
        pytest.raises(DownloadError, match=rf"TLS failed: ({NO_TLS})$"),
    ):
        get(f"https://localhost:{server.port}/")


@pytest.mark.parametrize("cut", [0, 1], ids=["handshake", "response"])
def test_a_cut_is_not_the_refusal_of_another_address(
    get: Get, trusted: Authority, cut: int
) -> None:
    def close(sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(trusted.issue("localhost"))
        if cut:
            with context.wrap_socket(
                sock, server_side=True, suppress_ragged_eofs=False
            ) as tls:
                tls.recv(1 << 16)
        else:
            sock.recv(1 << 16)

    with (
        Answering(close) as server,
        pytest.raises(Retry, match=r"'localhost:\d+': the connection was cut$"),
    ):
        get(f"https://localhost:{server.port}/")


# Proxies


def test_tls_goes_through_a_tunnel_of_the_proxy(
    get: Get,
    server: FileServer,
    trusted: Authority,
    proxies: pytest.MonkeyPatch,
) -> None:
    with (
        Gate(server.port, trusted.issue("storage.example")) as storage,
        Gate(storage.port) as proxy,
    ):
        proxies.setenv("HTTPS_PROXY", PROXY.format(port=proxy.port))

        got = get(f"https://me@storage.example{OBJECT}?X=%2f")

    (head,) = proxy.connects
    (request,) = server.requests
    assert got == CONTENT
    assert head.startswith("CONNECT storage.example:443 ")
    assert "Proxy-Authorization: Basic " in head
    assert "\r\nAuthorization" not in head
    assert "proxy-authorization" not in request.headers
    assert "authorization" in request.headers
    assert request.target == f"{OBJECT}?X=%2f"


def test_a_proxy_may_be_spoken_to_in_tls(
    get: Get,
    server: FileServer,
    trusted: Authority,
    proxies: pytest.MonkeyPatch,
) -> None:
    with (
        Gate(server.port, trusted.issue("storage.example")) as storage,
        Gate(storage.port) as inner,
        Gate(inner.port, trusted.issue("localhost")) as proxy,
    ):
        proxies.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")

        assert get(f"https://storage.example{OBJECT}") == CONTENT

    assert proxy.connections == 1


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        pytest.param("josé:geheim", "josé:geheim".encode("latin-1"), id="latin-1"),
        pytest.param("jos%C3%A9:x", "josé:x".encode("latin-1"), id="quoted"),
        pytest.param("a:5€", "a:5€".encode(), id="not-latin-1"),
        pytest.param("a:5%E2%82%AC", "a:5€".encode(), id="quoted-not-latin-1"),
        pytest.param("a:%E9", b"a:\xe9", id="quoted-latin-1"),
        pytest.param("a:\udce9", b"a:\xe9", id="not-utf-8"),
    ],
)
def test_user_and_password_of_a_proxy_may_have_any_letters(
    get: Get,
    server: FileServer,
    trusted: Authority,
    proxies: pytest.MonkeyPatch,
    user: str,
    sent: bytes,
) -> None:
    with (
        Gate(server.port, trusted.issue("storage.example")) as storage,
        Gate(storage.port) as proxy,
    ):
        proxies.setenv("HTTPS_PROXY", f"http://{user}@127.0.0.1:{proxy.port}")

        assert get(f"https://storage.example{OBJECT}") == CONTENT

    given = base64.b64encode(sent).decode()
    assert f"Proxy-Authorization: Basic {given}\r\n" in proxy.connects[0]


def test_a_host_may_have_any_letters(
    get: Get, server: FileServer, proxies: pytest.MonkeyPatch
) -> None:
    with Socks(server.port) as proxy:
        proxies.setenv("http_proxy", f"socks5h://a:b@127.0.0.1:{proxy.port}")

        assert get(f"http://münchen.example:1{OBJECT}") == CONTENT

    assert proxy.names == [b"xn--mnchen-3ya.example"]
    assert server.requests[0].headers["host"] == "xn--mnchen-3ya.example:1"


def test_a_certificate_behind_a_proxy_is_not_blamed_on_it(
    get: Get, server: FileServer, authority: Authority, proxies: pytest.MonkeyPatch
) -> None:
    with (
        Gate(server.port, authority.issue("storage.example")) as storage,
        Gate(storage.port) as proxy,
    ):
        proxies.setenv("HTTPS_PROXY", PROXY.format(port=proxy.port))

        with pytest.raises(DownloadError, match=r"'storage.example': TLS certificate"):
            get(f"https://storage.example{OBJECT}")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_certificate_of_a_proxy_is_blamed_on_it(
    get: Get, trusted: Authority, proxies: pytest.MonkeyPatch, scheme: str
) -> None:
    with Gate(1, trusted.issue("other.example")) as proxy:
        proxies.setenv(f"{scheme}_proxy", f"https://localhost:{proxy.port}")

        with pytest.raises(DownloadError) as caught:
            get(f"{scheme}://storage.example/a")

    refused = "Hostname mismatch, certificate is not valid for 'localhost'."
    words = f"the proxy failed (TLS certificate refused: {refused}); {HINT}"
    assert str(caught.value).endswith(f"storage at 'storage.example': {words}")


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        pytest.param("http", b"", "no answer", id="closed"),
        pytest.param("https", b"", "no answer", id="closed-tunnel"),
        pytest.param(
            "https",
            b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n",
            "407 Proxy Authentication Required",
            id="refused-tunnel",
        ),
    ],
)
def test_a_proxy_that_fails_is_told_without_its_password(
    get: Get,
    proxies: pytest.MonkeyPatch,
    scheme: str,
    answer: bytes,
    words: str,
) -> None:
    with Answering(answer) as proxy:
        proxies.setenv(f"{scheme}_proxy", PROXY.format(port=proxy.port))

        with pytest.raises(Retry) as caught:
            get(f"{scheme}://storage.invalid/a?X-Amz-Signature={PLANTED_SECRETS[0]}")

    told = f"storage at 'storage.invalid': the proxy failed ({words}); {HINT}"
    assert str(caught.value) == told


def test_a_body_that_is_cut_behind_a_proxy_is_not_blamed_on_it(
    get: Get, proxies: pytest.MonkeyPatch
) -> None:
    with Answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12") as proxy:
        proxies.setenv("http_proxy", PROXY.format(port=proxy.port))

        with pytest.raises(Retry) as caught:
            get("http://storage.invalid/a")

    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        pytest.param("http://127.0.0.1:1", "connection refused", id="refused"),
        pytest.param("http://nowhere.invalid:1", "host name not found", id="no-host"),
        pytest.param("http://größe.invalid:1", "host name not found", id="letters"),
        pytest.param("socks5://127.0.0.1:1", "connection refused", id="socks"),
        pytest.param("127.0.0.1:1", "connection refused", id="no-scheme"),
    ],
)
def test_a_proxy_that_cannot_be_reached_is_named_as_the_cause(
    get: Get, proxies: pytest.MonkeyPatch, proxy: str, words: str
) -> None:
    proxies.setenv("http_proxy", proxy)

    with pytest.raises(Retry) as caught:
        get("http://127.0.0.1:1/a")

    assert f"the proxy failed ({words}); " in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        pytest.param("gopher://127.0.0.1:1", id="scheme"),
        pytest.param("http://127.0.0.1:99999", id="port"),
        pytest.param("http://a..b", id="host"),
        pytest.param("http://:1", id="no-host"),
        pytest.param("http://exa mple:1", id="space"),
        pytest.param("http://lo%63alhost:1", id="escape"),
        pytest.param("http://a:b%00@127.0.0.1:1", id="nul"),
        pytest.param("http://[::1", id="half-an-address"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_final(
    get: Get, proxies: pytest.MonkeyPatch, proxy: str
) -> None:
    proxies.setenv("http_proxy", proxy)

    with pytest.raises(DownloadError, match="its address or the proxy's cannot be"):
        get("http://storage.invalid/a")


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_needs_no_package(
    get: Get, server: FileServer, proxies: pytest.MonkeyPatch, scheme: str
) -> None:
    with Socks(server.port) as proxy:
        proxies.setenv("http_proxy", f"{scheme}://ada:word@127.0.0.1:{proxy.port}")

        assert get(f"http://localhost:80{OBJECT}?X=%2f") == CONTENT

    assert proxy.names == [b"localhost" if scheme == "socks5h" else None]
    assert proxy.users == [(b"ada", b"word")]
    assert server.requests[0].target == f"{OBJECT}?X=%2f"


class Socks:
    """A SOCKS5 proxy that leads each connection to one port of this machine."""

    def __init__(self, port: int) -> None:
        self.names: list[bytes | None] = []
        self.users: list[tuple[bytes, bytes]] = []
        self._gate = Gate(port)
        self._gate._connect = self._connect  # type: ignore[method-assign]
        self._behind = port
        self.port = self._gate.port

    def __enter__(self) -> Socks:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._gate.__exit__()

    def _connect(self, sock: socket.socket) -> int:
        def take(count: int) -> bytes:
            data = b""
            while len(data) < count:
                data += sock.recv(count - len(data))
            return data

        take(take(2)[1])
        sock.sendall(b"\5\2")
        name = take(take(2)[1])
        self.users.append((name, take(take(1)[0])))
        sock.sendall(b"\1\0")
        kind = take(4)[3]
        host = take({1: 4, 4: 16}.get(kind) or take(1)[0])
        self.names.append(host if kind == 3 else None)
        take(2)
        sock.sendall(b"\5\0\0\1\0\0\0\0\0\0")
        return self._behind


def test_the_environment_has_a_say_through_requests_alone(
    get: Get, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These variables are libcurl's own."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert get(server.url(OBJECT)) == CONTENT


# Words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://127.0.0.1:1/a", "connection refused", id="refused"),
        pytest.param("http://nowhere.invalid/a", "host name not found", id="no-host"),
    ],
)
def test_what_fails_on_the_way_may_be_tried_again(
    get: Get, url: str, words: str
) -> None:
    with pytest.raises(Retry, match=f"storage at '.*': {words}$"):
        get(url)


@pytest.mark.parametrize(
    "host",
    [
        *("a..b", "a" * 64, "a" * 300, "a b", "lo%63alhost", "[::1", "h:x"),
        *("%31%36%39.254.169.254", "169。254。169。254", "169.254.169.254"),
    ],
)
def test_a_host_that_cannot_be_one_is_final(get: Get, host: str) -> None:
    with pytest.raises(DownloadError, match="its address or the proxy's cannot be"):
        get(f"http://{host}/a")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        pytest.param(Behaviour(no_answer=True), "no data for too long", id="silence"),
        pytest.param(Behaviour(stall_after=9), "no data for too long", id="stall"),
        pytest.param(Behaviour(cut_after=9), "the connection was cut", id="cut"),
        pytest.param(
            Behaviour(cut_after=9, reset=True), "connection reset by peer", id="reset"
        ),
        pytest.param(
            Behaviour(close_before_answer=True), "the connection was cut", id="close"
        ),
        pytest.param(
            Behaviour(close_before_answer=True, reset=True),
            "connection reset by peer",
            id="close-reset",
        ),
    ],
)
def test_what_fails_in_an_answer_may_be_tried_again(
    get: Get, server: FileServer, behaviour: Behaviour, words: str
) -> None:
    server.behaviour = behaviour

    with pytest.raises(Retry, match=f"storage at '127.0.0.1:.*': {words}$"):
        get(server.sign(OBJECT), idle_s=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behind_proxy", [False, True], ids=["direct", "proxy"])
def test_too_many_open_files_are_told_and_no_proxy_is_blamed(
    server: FileServer,
    proxies: pytest.MonkeyPatch,
    kind: type[Storage],
    behind_proxy: bool,
) -> None:
    files = [ModelFile("a", server.url(OBJECT)), ModelFile("b", "http://127.0.0.1:1/")]
    storage = kind(SignedUrls(files, dict), connections=1, idle_s=10)
    read(storage, RangeRequest("a", 0, 2000))
    if behind_proxy:
        proxies.setenv("http_proxy", "http://127.0.0.1:1")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as held, contextlib.closing(storage):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 500), hard))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with contextlib.suppress(OSError):
            while True:
                held.callback(os.close, os.open(os.devnull, os.O_RDONLY))

        with pytest.raises(Retry, match=r"'127.0.0.1:1': too many open files$"):
            storage.ask(RangeRequest("b", 0, 2000))


# Start


def test_libcurl_is_loaded_with_the_first_request() -> None:
    code = (
        "import sys, dvc_studio_models.transfer.engine\n"
        "from dvc_studio_models.http.signed_urls import SignedUrls\n"
        "from dvc_studio_models.http.storage import Storage\n"
        "storage = Storage(SignedUrls([], dict), connections=1, idle_s=1)\n"
        "storage.stop()\n"
        "storage.close()\n"
        "sys.exit('pycurl' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


# Routes


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        pytest.param("http://h/a?b=/c#d", "http://h", "/a?b=/c", id="all"),
        pytest.param("http://h", "http://h", "/", id="nothing"),
        pytest.param("http://u:p@h:1?a/b", "http://u:p@h:1", "/?a/b", id="no-path"),
        pytest.param("http://h#/a?b", "http://h", "/", id="fragment"),
    ],
)
def test_a_url_is_split(url: str, origin: str, target: str) -> None:
    assert split_url(url) == (origin, target)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        pytest.param("http://a@b@h:080", "http://h:80", id="user"),
        pytest.param("HTTP://u:p@H.Example", "http://h.example", id="upper-case"),
        pytest.param("http://u@[::1]:9", "http://[::1]:9", id="ipv6"),
        pytest.param(
            "http://[2001:DB8::1%25lo]", "http://[2001:db8::1%25lo]", id="zone"
        ),
    ],
)
def test_libcurl_is_told_the_host_that_was_checked(url: str, origin: str) -> None:
    assert find_route(url).origin == origin


def test_a_proxy_without_a_port_has_that_of_its_scheme(
    proxies: pytest.MonkeyPatch,
) -> None:
    for proxy, full in {
        "http://p": "http://p:80",
        "https://p": "https://p:443",
        "socks5h://[::1]": "socks5h://[::1]:1080",
    }.items():
        proxies.setenv("http_proxy", proxy)

        assert find_route("http://h").proxy == full


def test_only_an_http_proxy_is_asked_for_the_origin(
    proxies: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy"):
        proxies.setenv(name, "http://p:1")
    assert find_route("http://u@h:2").prefix == "http://h:2"
    assert find_route("https://h").prefix == ""

    proxies.setenv("http_proxy", "socks5://p:1")
    assert find_route("http://h").prefix == ""


def test_a_route_is_direct_without_a_proxy() -> None:
    assert find_route("http://127.0.0.1:1") == Route("http://127.0.0.1:1")


def test_a_bundle_is_needed_for_tls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")

    assert find_route("http://127.0.0.1").bundle is None
    with pytest.raises(RouteError):
        find_route("https://127.0.0.1")
