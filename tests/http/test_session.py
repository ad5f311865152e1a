"""Sessions: the bytes that they send, their credentials, and their errors."""

from __future__ import annotations

import base64
import logging
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests
from servers import Behaviour, FileServer, Redirect, free_port
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection

from dvc_studio_models.http import session as transport
from dvc_studio_models.http.failures import (
    describe_error,
    is_permanent,
    is_unresolved,
)
from dvc_studio_models.http.session import make_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.reliability("HTTP sessions")

ODD_TARGETS = [
    pytest.param("/b/a%2fb%2FB?X=%2f%2F%7e%7E~%40@%3D=+%2B", id="mixed-case-quotes"),
    pytest.param("/b/a b?x=a b".replace(" ", "%20"), id="spaces"),
    pytest.param("/b//x/./y/../z?q", id="dots-and-slashes"),
    pytest.param("/?a=1;b=2&&c", id="separators"),
    pytest.param("/p;v=1?x=(')!*$[]", id="reserved"),
    pytest.param("/b/%zz%?x=%", id="broken-quotes"),
    pytest.param("/b?u=http://h/x?y", id="url-in-the-query"),
]
SECRET = "PLANTED_SECRET_SIGNATURE"


def send(session: requests.Session, url: str) -> requests.Response:
    """Send ``url`` unchanged, as signed URLs must be."""
    request = session.prepare_request(requests.Request("GET", url))
    request.url = url
    settings = session.merge_environment_settings(url, {}, False, None, None)
    return session.send(request, allow_redirects=False, timeout=5, **settings)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with closing(make_session()) as session:
        yield session


@pytest.fixture
def proxy(
    file_server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FileServer]:
    """Make a server the proxy of all hosts."""

    def set_proxy(userinfo: str = "", *, scheme: str = "http") -> FileServer:
        url = f"{scheme}://{userinfo}127.0.0.1:{file_server.port}"
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, url)
        return file_server

    return set_proxy


def failure(session: requests.Session, url: str) -> requests.RequestException:
    with pytest.raises(requests.RequestException) as caught:
        send(session, url)
    return caught.value


# -- what goes over the wire


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_a_url_is_sent_byte_for_byte(
    session: requests.Session, file_server: FileServer, target: str
) -> None:
    send(session, file_server.url(target))

    assert [request.target for request in file_server.requests] == [target]


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_a_url_is_sent_byte_for_byte_through_a_proxy(
    session: requests.Session, proxy: Callable[..., FileServer], target: str
) -> None:
    server = proxy()
    send(session, f"http://storage.example.com:9000{target}")

    assert [(request.proxied_to, request.target) for request in server.requests] == [
        ("storage.example.com:9000", target)
    ]


def test_our_own_header_never_leaves(
    session: requests.Session, file_server: FileServer
) -> None:
    send(session, file_server.url("/a?b"))

    assert not [name for name in file_server.requests[0].headers if "target" in name]


def test_a_url_without_a_path_asks_for_the_root(
    session: requests.Session, file_server: FileServer
) -> None:
    send(session, file_server.url(""))

    assert file_server.requests[0].target == "/"


def test_connections_are_kept(
    session: requests.Session, file_server: FileServer
) -> None:
    for _ in range(3):
        send(session, file_server.url("/a"))

    assert {request.connection for request in file_server.requests} == {1}


def test_connections_of_another_kind_keep_their_kind() -> None:
    class Connection(HTTPConnection):
        """Stands for the connection of a SOCKS proxy."""

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    manager = PoolManager()
    manager.pool_classes_by_scheme = {"http": Pool}
    transport._use_our_pools(manager)
    transport._use_our_pools(manager)
    kinds = manager.pool_classes_by_scheme["http"].ConnectionCls.__mro__

    assert kinds[1:3] == (transport._Connection, Connection)


# -- credentials


def test_a_token_goes_into_the_header(file_server: FileServer) -> None:
    with closing(make_session(lambda: "token isat_abc")) as session:
        send(session, file_server.url("/a"))

    assert file_server.requests[0].headers["authorization"] == "token isat_abc"


def test_without_a_token_no_credentials_are_sent(
    session: requests.Session, file_server: FileServer
) -> None:
    send(session, file_server.url("/a?sig=x"))

    assert "authorization" not in file_server.requests[0].headers


@pytest.mark.parametrize("token", [None, "isat_abc"])
def test_netrc_adds_and_replaces_nothing(
    home: Path, file_server: FileServer, token: str | None
) -> None:
    netrc = home / ".netrc"
    netrc.write_text(
        "machine 127.0.0.1 login a password b\ndefault login c password d\n"
    )
    netrc.chmod(0o600)
    with closing(make_session(lambda: f"token {token}" if token else None)) as session:
        send(session, file_server.url("/a"))
    expected = token and f"token {token}"

    assert expected == file_server.requests[0].headers.get("authorization")


def test_the_token_wins_over_user_and_password(file_server: FileServer) -> None:
    with closing(make_session(lambda: "token isat_abc")) as session:
        send(session, file_server.url("/a", host="user:secret@127.0.0.1"))

    assert file_server.requests[0].headers["authorization"] == "token isat_abc"


def test_cookies_are_not_kept(
    session: requests.Session, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(headers={"Set-Cookie": "a=b; Path=/"})
    for _ in range(2):
        send(session, file_server.url("/a"))

    assert "cookie" not in file_server.requests[1].headers


# -- proxies


def test_the_password_of_a_proxy_is_used(
    session: requests.Session, proxy: Callable[..., FileServer]
) -> None:
    server = proxy("ada:PLANTED_SECRET_KEY@")
    send(session, "http://storage.example.com/a")
    expected = base64.b64encode(b"ada:PLANTED_SECRET_KEY").decode()

    assert server.requests[0].headers["proxy-authorization"] == f"Basic {expected}"


def test_no_proxy_is_respected(
    session: requests.Session,
    proxy: Callable[..., FileServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = proxy()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    send(session, server.url("/a"))

    assert server.requests[0].proxied_to is None


@pytest.mark.parametrize(
    ("url", "behaviour", "words"),
    [
        pytest.param(
            "https://storage.example.com/a",
            Behaviour(status=407),
            "the proxy failed (407 Proxy Authentication Required); ",
            id="refused-tunnel",
        ),
        pytest.param(
            "http://storage.example.com/a",
            Behaviour(close_before_answer=True),
            "the proxy failed (no answer); ",
            id="cut",
        ),
    ],
)
def test_a_proxy_that_fails_is_told_without_its_password(
    session: requests.Session,
    proxy: Callable[..., FileServer],
    url: str,
    behaviour: Behaviour,
    words: str,
) -> None:
    proxy("ada:PLANTED_SECRET_KEY@").behaviour = behaviour
    told = describe_error(failure(session, url))

    assert told.startswith(words)
    assert "PLANTED" not in told


def test_a_proxy_that_is_down_is_named_as_the_cause(
    session: requests.Session, proxy: Callable[..., FileServer]
) -> None:
    proxy("ada:PLANTED_SECRET_KEY@").close()
    told = describe_error(failure(session, "http://storage.example.com/a"))

    assert told == (
        "the proxy failed (connection refused); "
        "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    )


def test_a_proxy_of_an_unknown_scheme_is_an_error_of_requests(
    session: requests.Session, proxy: Callable[..., FileServer]
) -> None:
    proxy(scheme="gopher")

    assert is_permanent(failure(session, "http://storage.example.com/a"))


# -- secrets of urllib3


def test_urllib3_logs_no_query(
    session: requests.Session,
    file_server: FileServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        send(session, file_server.url(f"/a?sig={SECRET}"))

    assert '"GET /a HTTP/1.1"' in caplog.text
    assert SECRET not in caplog.text


def test_urllib3_puts_no_query_into_its_errors(session: requests.Session) -> None:
    error = failure(session, f"http://127.0.0.1:{free_port()}/a?sig={SECRET}")

    assert "/a" in str(error)
    assert SECRET not in f"{error} {error!r} {error.__cause__} {error.__context__}"


# -- what went wrong


def test_a_refused_connection_is_told(session: requests.Session) -> None:
    error = failure(session, f"http://127.0.0.1:{free_port()}/")

    assert (describe_error(error), is_permanent(error)) == ("connection refused", False)


def test_an_unknown_host_is_told(session: requests.Session) -> None:
    error = failure(session, f"http://{'a.' * 140}invalid/")

    assert (describe_error(error), is_permanent(error), is_unresolved(error)) == (
        "host name not found",
        False,
        True,
    )


@pytest.mark.parametrize(
    "host",
    [pytest.param("a..b", id="empty-label"), pytest.param("a" * 64, id="long-label")],
)
def test_a_host_that_cannot_be_one_is_told(
    session: requests.Session, host: str
) -> None:
    error = failure(session, f"http://{host}/")

    assert (describe_error(error), is_permanent(error), is_unresolved(error)) == (
        "its address or the proxy's cannot be used",
        True,
        False,
    )


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        pytest.param(
            Behaviour(close_before_answer=True), "the connection was cut", id="fin"
        ),
        pytest.param(
            Behaviour(close_before_answer=True, reset=True),
            "connection reset by peer",
            id="rst",
        ),
        pytest.param(
            Behaviour(status=200, reply=b"abc", cut_after=1),
            "the connection was cut",
            id="cut-body",
        ),
        pytest.param(
            Behaviour(status=200, reply=b"abc", headers={"Content-Encoding": "gzip"}),
            "the connection was cut",
            id="broken-gzip",
        ),
    ],
)
def test_a_connection_that_breaks_is_told(
    session: requests.Session,
    file_server: FileServer,
    behaviour: Behaviour,
    words: str,
) -> None:
    file_server.behaviour = behaviour
    error = failure(session, file_server.url("/a"))

    assert (describe_error(error), is_permanent(error)) == (words, False)


def test_silence_is_told(session: requests.Session, file_server: FileServer) -> None:
    file_server.behaviour = Behaviour(no_answer=True)
    with pytest.raises(requests.RequestException) as caught:
        session.get(file_server.url("/a"), timeout=0.1)

    assert describe_error(caught.value) == "no data for too long"


def test_tls_with_a_server_that_speaks_none_is_final(
    session: requests.Session,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=answer_plainly, args=(server,))
        answer.start()
        error = failure(session, f"https://127.0.0.1:{server.getsockname()[1]}/a")
        answer.join()

    assert describe_error(error).startswith("TLS failed: ")
    assert is_permanent(error)


def test_a_connection_that_is_cut_in_the_handshake_may_be_tried_again(
    session: requests.Session,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cut = threading.Thread(target=read_and_close, args=(server,))
        cut.start()
        error = failure(session, f"https://127.0.0.1:{server.getsockname()[1]}/a")
        cut.join()

    assert (describe_error(error), is_permanent(error)) == (
        "the connection was cut",
        False,
    )


def read_and_close(server: socket.socket) -> None:
    sock, _ = server.accept()
    with sock:
        sock.recv(1 << 16)


def answer_plainly(server: socket.socket) -> None:
    sock, _ = server.accept()
    with sock:
        sock.recv(1 << 16)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_that_is_not_there_is_told(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/no/such/bundle.pem")
    error = failure(session, "https://127.0.0.1:9/a")

    assert (describe_error(error), is_permanent(error)) == (
        f"{variable} is not a CA bundle",
        True,
    )


def test_a_socks_proxy_without_its_package_is_told() -> None:
    error = requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    assert (describe_error(error), is_permanent(error)) == (
        "a SOCKS proxy needs 'pip install requests[socks]'",
        True,
    )


def test_no_connection_in_time_is_told() -> None:
    error = requests.exceptions.ConnectTimeout()

    assert (describe_error(error), is_permanent(error)) == (
        "no connection in 10 s",
        False,
    )


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(redirect=Redirect()), id="honest"),
        pytest.param(Behaviour(redirect=Redirect(location="http://[::1/")), id="bad"),
        pytest.param(Behaviour(redirect=Redirect(), endless=True), id="endless-body"),
    ],
)
def test_no_redirect_is_followed_nor_read_behind_our_back(
    session: requests.Session, file_server: FileServer, behaviour: Behaviour
) -> None:
    file_server.behaviour = behaviour
    with session.get(file_server.url("/a"), stream=True, timeout=5) as response:
        pass

    assert response.status_code == 302
    assert len(file_server.requests) == 1
