"""Replies of Studio, over real HTTP and TLS, and what the client makes of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import re
import ssl
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from servers import (
    ENDPOINT,
    PLANTED_SECRETS,
    PLANTED_TOKEN,
    REPO_REFUSED,
    Behaviour,
    FileServer,
    Redirect,
    StudioServer,
    busy,
    free_port,
    http_date,
    json_reply,
    signed,
)

from dvc_studio_models.errors import (
    ModelNotFoundError,
    StudioAuthError,
    StudioError,
    StudioFailedError,
    StudioRedirectError,
    StudioResponseError,
    StudioUnreachableError,
)
from dvc_studio_models.http.studio.client import StudioClient
from dvc_studio_models.http.studio.request import StudioConnection
from dvc_studio_models.model import Digest, ModelFile, ModelRef, StatedVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.reliability("Studio's replies")

REPO = "git@git.example.com:acme/models.git"


CHURN = ModelRef("churn")
PATH = "models/churn.pkl"
URL = "https://storage.example.com/files/md5/86/bd02376ac675568ba2fac566169ef9"
HASH = "86bd02376ac675568ba2fac566169ef9"
HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


class Asked:
    """A client whose pauses are recorded instead of waited for."""

    def __init__(self, server: StudioServer, token: str = PLANTED_TOKEN) -> None:
        self.pauses: list[float] = []
        self.connection = StudioConnection(server.url, token, sleep=self.pauses.append)
        self.client = StudioClient(self.connection)

    def files(self, ref: ModelRef = CHURN) -> tuple[ModelFile, ...]:
        return self.client.files(REPO, ref)


@pytest.fixture
def asked(studio: StudioServer) -> Iterator[Asked]:
    asked = Asked(studio)
    with contextlib.closing(asked.connection):
        yield asked


@contextlib.contextmanager
def client_of(url: str, **options: object) -> Iterator[StudioClient]:
    options.setdefault("sleep", lambda _: None)
    connection = StudioConnection(url, PLANTED_TOKEN, **options)  # type: ignore[arg-type]
    with contextlib.closing(connection):
        yield StudioClient(connection)


def body(
    reply: bytes, headers: Mapping[str, str] = JSON, status: int = 200
) -> Behaviour:
    return Behaviour(status=status, reply=reply, headers=headers)


def refused(asked: Asked, behaviour: Behaviour, server: StudioServer) -> StudioError:
    """Return the error for a reply; it must contain no secret."""
    server.behaviour = behaviour
    with pytest.raises(StudioError) as caught:
        asked.files()
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert not [secret for secret in PLANTED_SECRETS if secret in shown]
    return caught.value


# -- the version

COMMIT = "3f2a1bc" + 33 * "0"
REPLY = f'{{"{PATH}": "{URL}"}}'.encode()


def test_studios_headers_state_the_version(asked: Asked, studio: StudioServer) -> None:
    headers = {**JSON, "X-Model-Version": "v1.2.0", "X-Model-Commit": COMMIT}
    studio.behaviour = body(REPLY, headers)

    assert asked.client.find(REPO, CHURN).stated == StatedVersion("v1.2.0", COMMIT)


def test_hosted_studio_states_none(asked: Asked, studio: StudioServer) -> None:
    studio.behaviour = body(REPLY)

    assert asked.client.find(REPO, CHURN).stated == StatedVersion()


@pytest.mark.parametrize(
    ("version", "commit"),
    [
        ("1.2.0", COMMIT[1:]),
        ("v1.2.0 ", COMMIT.upper()),
        ("../../etc", COMMIT + "0"),
        ("", ""),
        ("v1.2.0, v1.2.0", f"{COMMIT}, {COMMIT}"),
    ],
)
def test_a_statement_of_another_form_is_none(
    asked: Asked, studio: StudioServer, version: str, commit: str
) -> None:
    headers = {**JSON, "X-Model-Version": version, "X-Model-Commit": commit}
    studio.behaviour = body(REPLY, headers)

    found = asked.client.find(REPO, CHURN)

    assert found.stated == StatedVersion()
    assert [file.path for file in found.files] == [PATH]


def test_another_version_than_was_requested_is_refused(
    asked: Asked, studio: StudioServer
) -> None:
    studio.behaviour = body(REPLY, {**JSON, "X-Model-Version": "v1.2.0"})

    with pytest.raises(StudioResponseError, match=r"'churn@v1\.0\.0' was requested"):
        asked.client.find(REPO, ModelRef("churn", version="v1.0.0"))


# -- the question


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        pytest.param(CHURN, {}, id="latest"),
        pytest.param(
            ModelRef("churn", version="v1.0.0"), {"version": "v1.0.0"}, id="version"
        ),
        pytest.param(ModelRef("churn", stage="prod"), {"stage": "prod"}, id="stage"),
    ],
)
def test_repo_name_and_selector_are_asked_for(
    studio: StudioServer, asked: Asked, ref: ModelRef, expected: dict[str, str]
) -> None:
    studio.behaviour = json_reply({PATH: URL})
    asked.files(ref)

    assert studio.requests[0].params == {"repo": REPO, "name": "churn", **expected}


def test_the_name_of_a_monorepos_model_arrives(
    studio: StudioServer, asked: Asked
) -> None:
    studio.serve("a/b:churn", {PATH: URL})

    assert asked.files(ModelRef("a/b:churn"))


@pytest.mark.parametrize("prefix", ["", "/studio", "/a/b"])
def test_the_endpoint_lies_under_the_prefix_of_the_url(prefix: str) -> None:
    with StudioServer(prefix=prefix) as server, client_of(server.url) as client:
        server.serve("churn", {PATH: URL})
        client.files(REPO, CHURN)

    assert server.requests[0].path == f"{prefix}{ENDPOINT}"


def test_the_token_is_sent_as_studio_wants_it(
    studio: StudioServer, asked: Asked
) -> None:
    studio.behaviour = json_reply({PATH: URL})
    asked.files()

    assert studio.requests[0].headers["authorization"] == f"token {PLANTED_TOKEN}"


def test_netrc_does_not_disturb(home: Path, studio: StudioServer, asked: Asked) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login ada password lovelace\n")
    (home / ".netrc").chmod(0o600)
    studio.serve("churn", {PATH: URL})

    assert asked.files()


# -- the answer


def test_files_come_in_the_order_of_their_paths(
    studio: StudioServer, asked: Asked
) -> None:
    studio.serve("churn", {"b": URL, "a/z": URL, "a": URL})

    assert [file.path for file in asked.files()] == ["a", "a/z", "b"]


def test_a_file_has_its_url_byte_for_byte_and_the_hash_in_it(
    studio: StudioServer, asked: Asked
) -> None:
    url = signed(URL)
    studio.serve("churn", {PATH: url})

    assert asked.files() == (ModelFile(PATH, url, Digest("md5", HASH)),)


def test_a_path_is_kept_as_it_is(studio: StudioServer, asked: Asked) -> None:
    path = "-größe/模型 %2F~$x:?.bin"
    studio.serve("churn", {path: URL})

    assert asked.files()[0].path == path


def test_twenty_thousand_files_are_read(studio: StudioServer, asked: Asked) -> None:
    studio.serve("churn", {f"models/{n}.bin": f"{URL}?n={n}" for n in range(20_000)})

    assert len(asked.files()) == 20_000


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_every_framing_is_read(
    studio: StudioServer, asked: Asked, framing: str
) -> None:
    studio.serve("churn", {PATH: URL})
    studio.behaviour = Behaviour(framing=framing)  # type: ignore[arg-type]

    assert asked.files()


def test_a_compressed_answer_is_read(studio: StudioServer, asked: Asked) -> None:
    studio.serve("churn", {PATH: URL})
    studio.behaviour = Behaviour(gzip=True)

    assert asked.files()


# -- answers that are none

NOT_JSON = "not JSON (application/json); check studio.url"
BODIES = [
    pytest.param(b"[]", "a JSON object was expected, not list", id="list"),
    pytest.param(b"null", "a JSON object was expected, not NoneType", id="null"),
    pytest.param(b'"x"', "a JSON object was expected, not str", id="string"),
    pytest.param(b"7", "a JSON object was expected, not int", id="number"),
    pytest.param(b"", NOT_JSON, id="empty"),
    pytest.param(b'{"a": "ht', NOT_JSON, id="cut"),
    pytest.param(b'{"a": "http://h/a"} x', NOT_JSON, id="trailing-garbage"),
    pytest.param(b"\xef\xbb\xbf{}", NOT_JSON, id="byte-order-mark"),
    pytest.param(b'{"a": "\xff"}', NOT_JSON, id="not-utf-8"),
    pytest.param('{"a": "x"}'.encode("utf-16"), NOT_JSON, id="utf-16"),
    pytest.param(b"[" * 100_000, NOT_JSON, id="deep-list"),
    pytest.param(b'{"a":' * 100_000, NOT_JSON, id="deep-object"),
    pytest.param(b'{"a": NaN}', "NaN is not JSON", id="nan"),
    pytest.param(b'{"a": -Infinity}', "-Infinity is not JSON", id="infinity"),
    pytest.param(b'{"a": 1%s}' % (b"0" * 5000), NOT_JSON, id="endless-number"),
    pytest.param(
        b'{"a": "http://h/a", "a": "http://h/b"}',
        "the same path appears twice",
        id="duplicate-keys",
    ),
    pytest.param(
        b'{"a": {"b": 1, "b": 2}}',
        "the same path appears twice",
        id="duplicate-keys-inside",
    ),
]


@pytest.mark.parametrize(("reply", "sentence"), BODIES)
def test_a_body_that_is_no_reply_is_refused(
    studio: StudioServer, asked: Asked, reply: bytes, sentence: str
) -> None:
    error = refused(asked, body(reply), studio)

    assert isinstance(error, StudioResponseError)
    assert error.exit_code == 5
    assert str(error) == f"unexpected reply from Studio at '{studio.url}': {sentence}"


def test_a_reply_that_is_wrong_is_not_asked_for_again(
    studio: StudioServer, asked: Asked
) -> None:
    refused(asked, body(b"[]"), studio)

    assert len(studio.requests) == 1


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        pytest.param(HTML, "text/html", id="html"),
        pytest.param({}, "no content type", id="no-type"),
        pytest.param({"Content-Type": "a\x1b[2Jb"}, "a?[2Jb", id="steers-a-terminal"),
    ],
)
def test_a_login_page_is_told_by_its_type(
    studio: StudioServer, asked: Asked, headers: dict[str, str], kind: str
) -> None:
    error = refused(asked, body(b"<html>Log in</html>", headers), studio)

    assert str(error).endswith(f": not JSON ({kind}); check studio.url")
    assert error.exit_code == 5


def test_no_files_are_an_error_and_not_success(
    studio: StudioServer, asked: Asked
) -> None:
    error = refused(asked, json_reply({}), studio)

    assert isinstance(error, ModelNotFoundError)
    assert error.exit_code == 4
    assert (
        str(error) == f"'churn' not found in '{REPO}': Studio returned no files for it"
    )


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(status=200, reply=b"{", endless=True), id="announced"),
        pytest.param(
            Behaviour(status=200, reply=b"{", endless=True, framing="chunked"),
            id="chunked",
        ),
        pytest.param(body(b" " * (65 << 20)), id="honest"),
    ],
)
def test_a_body_is_cut_at_64_mib(
    studio: StudioServer, asked: Asked, behaviour: Behaviour
) -> None:
    error = refused(asked, behaviour, studio)

    assert str(error).endswith(": larger than 64 MiB")
    assert studio.bytes_served < 100 << 20


def test_a_small_body_that_unpacks_to_a_large_one_is_cut(
    studio: StudioServer, asked: Asked
) -> None:
    bomb = Behaviour(status=200, reply=b" " * (65 << 20), gzip=True)

    assert str(refused(asked, bomb, studio)).endswith(": larger than 64 MiB")


# -- values that are no URL

OBJECT = "/files/md5/86/bd02376ac675568ba2fac566169ef9"
BAD_URLS = [
    pytest.param(None, "not a string", id="null"),
    pytest.param(7, "not a string", id="number"),
    pytest.param(["https://h/a"], "not a string", id="list"),
    pytest.param({"url": "https://h/a"}, "not a string", id="object"),
    pytest.param(True, "not a string", id="boolean"),
    pytest.param("", "not of the form", id="empty"),
    pytest.param("file:///etc/passwd", "not of the form", id="file"),
    pytest.param("ftp://h/a", "not of the form", id="ftp"),
    pytest.param("data:text/plain,a", "not of the form", id="data"),
    pytest.param("s3://bucket/a", "not of the form", id="s3"),
    pytest.param("javascript:alert(1)", "not of the form", id="javascript"),
    pytest.param("a/b", "not of the form", id="relative"),
    pytest.param("a/b?c=https://h/a", "not of the form", id="url-in-the-query"),
    pytest.param("https:h/a://h/a", "not of the form", id="url-in-the-path"),
    pytest.param("//h/a", "not of the form", id="without-scheme"),
    pytest.param("https://", "not of the form", id="without-host"),
    pytest.param("https:///a", "not of the form", id="path-alone"),
    pytest.param("https://user@/a", "not of the form", id="user-alone"),
    pytest.param("https:h/a", "not of the form", id="without-slashes"),
    pytest.param("https://h:0/a", "not of the form", id="port-0"),
    pytest.param("https://h:99999/a", "cannot be parsed", id="port-too-high"),
    pytest.param("https://h:x/a", "cannot be parsed", id="port-not-a-number"),
    pytest.param("https://[::1/a", "cannot be parsed", id="half-an-address"),
    pytest.param("https://h/a b", "characters", id="space"),
    pytest.param(" https://h/a", "characters", id="space-before"),
    pytest.param("https://h/a\r\nX: y", "characters", id="line-break"),
    pytest.param("https://h/a\tb", "characters", id="tab"),
    pytest.param("https://h/\x00", "characters", id="nul"),
    pytest.param("https://h/größe", "characters", id="non-ascii"),
    pytest.param("http://127.0.0.1\\@h/a", "characters", id="backslash"),
    pytest.param("http://169.254.169.254/a", "link-local", id="metadata"),
    pytest.param("http://0xA9FEA9FE/a", "link-local", id="metadata-in-disguise"),
    pytest.param("http://[fe80::1]/a", "link-local", id="link-local"),
    pytest.param("http://%31%36%39.254.169.254/", "not of the form", id="escapes"),
    pytest.param("http://169%2e254.169.254/", "not of the form", id="escaped-dot"),
    pytest.param("http://%6detadata.google.internal/", "not of", id="escaped-letter"),
    pytest.param("http://metadata.google.internal/", "link-local", id="google"),
]


@pytest.mark.parametrize(("value", "problem"), BAD_URLS)
def test_a_value_that_is_no_url_is_refused_by_its_path(
    studio: StudioServer, asked: Asked, value: object, problem: str
) -> None:
    error = refused(asked, json_reply({PATH: value}), studio)

    assert isinstance(error, StudioResponseError)
    assert f": '{PATH}': its URL " in str(error)
    assert problem in str(error)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://h/a", id="https"),
        pytest.param("http://h:9000/a", id="http-and-port"),
        pytest.param("https://user:secret@h/a", id="userinfo"),
        pytest.param("http://127.0.0.1:9000/a", id="loopback"),
        pytest.param("http://[::1]:9000/a", id="ipv6"),
        pytest.param("HTTPS://H/a", id="upper-case"),
        pytest.param("https://h", id="no-path"),
        pytest.param("https://h/a?b=%2f&c=~{}|^", id="odd-query"),
    ],
)
def test_every_http_url_is_taken(studio: StudioServer, asked: Asked, url: str) -> None:
    studio.serve("churn", {PATH: url})

    assert asked.files()[0].url == url


def test_every_bad_entry_is_named_escaped_and_no_url_shown(
    studio: StudioServer, asked: Asked
) -> None:
    entries = {
        "a\x1b[2J": "ftp://h/PLANTED_SECRET_KEY",
        "b": URL,
        "\ud800": "http://h:x/?PLANTED_SECRET_KEY",
    }
    error = refused(asked, json_reply(entries), studio)

    assert "'a\\x1b[2J': its URL" in str(error)
    assert "'\\ud800': its URL" in str(error)
    assert "'b'" not in str(error)


# -- refusals


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        pytest.param(401, "Check the token (DVC_STUDIO_TOKEN", id="401"),
        pytest.param(403, "model-registry scope", id="403"),
    ],
)
@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        pytest.param(b'{"detail": "Go away."}', "Go away.", id="detail"),
        pytest.param(b'{"message": "Go away."}', "Go away.", id="message"),
        pytest.param(b"<html>", None, id="html"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_a_refused_token_is_told_with_studios_sentence(
    studio: StudioServer,
    asked: Asked,
    status: int,
    hint: str,
    reply: bytes,
    sentence: str | None,
) -> None:
    error = refused(asked, body(reply, status=status), studio)

    assert isinstance(error, StudioAuthError)
    assert error.exit_code == 3
    assert f"refused the token ({status}): {sentence or status}" in str(error)
    assert hint in str(error)


def test_a_wrong_token_is_refused_by_studio_itself(studio: StudioServer) -> None:
    asked = Asked(studio, token="isat_wrong")
    with contextlib.closing(asked.connection), pytest.raises(StudioAuthError) as caught:
        asked.files()

    assert "(401): Invalid token." in str(caught.value)


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        pytest.param({"detail": REPO_REFUSED}, REPO_REFUSED, id="detail"),
        pytest.param({"message": "No such model"}, "No such model", id="message"),
        pytest.param(
            {"stage": ["Unknown.", "Try prod."], "name": ["Odd."]},
            "stage: Unknown. Try prod.; name: Odd.",
            id="fields",
        ),
        pytest.param(
            {"non_field_errors": ["Both given."]},
            "non_field_errors: Both given.",
            id="no-field",
        ),
        pytest.param(["Model not found."], "Model not found.", id="bare-list"),
        pytest.param(
            {"detail": ["Not", "found"]}, "detail: Not found", id="detail-list"
        ),
        pytest.param(
            {"detail": "a\r\n\x1b[31mb\u202ec"}, "a ?[31mb?c", id="steers-a-terminal"
        ),
    ],
)
def test_what_studio_does_not_know_is_told_in_its_own_words(
    studio: StudioServer, asked: Asked, status: int, reply: object, sentence: str
) -> None:
    error = refused(asked, json_reply(reply, status), studio)

    assert isinstance(error, ModelNotFoundError)
    assert error.exit_code == 4
    assert str(error) == f"'churn' not found in '{REPO}': {sentence}"


@pytest.mark.parametrize("reply", [{}, {"code": 7}, "no", []])
def test_json_without_a_sentence_is_told_by_its_status(
    studio: StudioServer, asked: Asked, reply: object
) -> None:
    error = refused(asked, json_reply(reply, 404), studio)

    assert str(error) == f"'churn' not found in '{REPO}': 404 Not Found"


@pytest.mark.parametrize("status", [400, 404, 422, 418, 204, 300, 407])
def test_a_refusal_that_is_not_studios_blames_the_url(
    studio: StudioServer, asked: Asked, status: int
) -> None:
    error = refused(asked, body(b"<html>", HTML, status), studio)

    assert isinstance(error, StudioResponseError)
    assert f": it answered {status} " in str(error)
    assert str(error).endswith(", not JSON (text/html); check studio.url")


def test_a_long_sentence_is_cut(studio: StudioServer, asked: Asked) -> None:
    error = refused(asked, json_reply({"detail": "no " * 10_000}, 404), studio)

    assert len(str(error)) < 1000


def test_a_sentence_that_quotes_the_token_is_shown_without_it(
    studio: StudioServer, asked: Asked
) -> None:
    reply = json_reply({"detail": f"bad token {PLANTED_TOKEN}!"}, 401)

    assert "bad token ***!" in str(refused(asked, reply, studio))


# -- trying again


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_a_busy_studio_is_asked_again(
    studio: StudioServer, asked: Asked, status: int
) -> None:
    studio.serve("churn", {PATH: URL})
    studio.script(busy(status), busy(status))

    assert asked.files()


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(busy(503), id="503"),
        pytest.param(Behaviour(close_before_answer=True), id="cut"),
        pytest.param(Behaviour(close_before_answer=True, reset=True), id="reset"),
        pytest.param(Behaviour(status=200, reply=b"{}  ", cut_after=2), id="cut-body"),
    ],
)
def test_it_is_asked_three_times_and_no_more(
    studio: StudioServer, asked: Asked, behaviour: Behaviour
) -> None:
    error = refused(asked, behaviour, studio)

    assert isinstance(error, StudioFailedError | StudioUnreachableError)
    assert error.exit_code == 5
    assert "(3 tries)" in str(error)
    assert len(studio.requests) == 3


@pytest.mark.parametrize(
    ("behaviour", "reason", "hint"),
    [
        pytest.param(
            json_reply({"detail": "this server cannot read its copy of 'x'"}, 500),
            "it answered 500 Internal Server Error, this server cannot read its copy "
            "of 'x'",
            "It was reached; its operator can fix this, and its log has details",
            id="500",
        ),
        pytest.param(
            json_reply({"detail": "silent"}, 504),
            "it answered 504 Gateway Timeout, silent",
            "It was reached; its operator can fix this, and its log has details",
            id="504",
        ),
        pytest.param(
            body(b"<html>", HTML, 502),
            "it answered 502 Bad Gateway",
            "It was reached, or a proxy in front of it was; its operator can fix this",
            id="proxy",
        ),
        pytest.param(
            json_reply({"detail": "slow down"}, 429),
            "it answered 429 Too Many Requests, slow down",
            "Try again later",
            id="429",
        ),
    ],
)
def test_a_studio_that_answers_with_a_failure_was_reached(
    studio: StudioServer, asked: Asked, behaviour: Behaviour, reason: str, hint: str
) -> None:
    error = refused(asked, behaviour, studio)

    assert isinstance(error, StudioFailedError)
    assert str(error) == f"Studio at '{studio.url}' failed: {reason} (3 tries)\n{hint}"


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((busy(503), busy(503), Behaviour(close_before_answer=True)), "unreachable"),
        ((Behaviour(close_before_answer=True), busy(503), busy(503)), "failed"),
    ],
    ids=["then-cut", "cut-first"],
)
def test_the_last_try_tells_whether_studio_was_reached(
    studio: StudioServer, asked: Asked, answers: tuple[Behaviour, ...], kind: str
) -> None:
    studio.script(*answers)
    with pytest.raises(StudioError) as caught:
        asked.files()

    assert isinstance(caught.value, StudioFailedError) == (kind == "failed")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_not_asked_again(
    studio: StudioServer, asked: Asked, status: int
) -> None:
    refused(asked, json_reply({"detail": "no"}, status), studio)

    assert len(studio.requests) == 1


def test_pauses_grow(studio: StudioServer, asked: Asked) -> None:
    refused(asked, busy(503), studio)
    first, second = asked.pauses

    assert 0.25 <= first <= 0.5 <= second <= 1.0


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_kept_to(
    studio: StudioServer, asked: Asked, status: int
) -> None:
    refused(asked, busy(status, retry_after=7), studio)

    assert asked.pauses == [7.0, 7.0]


def test_retry_after_as_a_date_goes_by_studios_clock(asked: Asked) -> None:
    with StudioServer(clock_offset_s=7200) as server:
        asked = Asked(server)
        date = http_date(server.now() + timedelta(seconds=30))
        refused(asked, Behaviour(status=429, headers={"Retry-After": date}), server)
        asked.connection.close()

    assert all(20 < pause <= 30 for pause in asked.pauses)


def test_retry_after_is_capped(studio: StudioServer, asked: Asked) -> None:
    refused(asked, busy(429, retry_after=86_400), studio)

    assert asked.pauses == [120.0, 120.0]


def test_each_try_again_is_told(
    studio: StudioServer, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dvc"):
        refused(asked, busy(503, retry_after=7), studio)

    assert (
        caplog.messages
        == ["Studio: it answered 503 Service Unavailable; trying again in 7.0 s"] * 2
    )


def test_the_last_refusals_own_sentence_is_shown(
    studio: StudioServer, asked: Asked
) -> None:
    reply = json_reply({"detail": "Down until noon."}, 503)

    assert "503 Service Unavailable, Down until noon. (3 tries)\n" in str(
        refused(asked, reply, studio)
    )


def test_the_page_of_a_busy_proxy_does_not_blame_the_url(
    studio: StudioServer, asked: Asked
) -> None:
    error = refused(asked, body(b"<html>", HTML, 502), studio)

    assert "it answered 502 Bad Gateway (3 tries)\n" in str(error)


# -- no answer


def unreachable(client: StudioClient) -> StudioUnreachableError:
    with pytest.raises(StudioUnreachableError) as caught:
        client.files(REPO, CHURN)
    return caught.value


@pytest.mark.clock
def test_a_refused_connection_ends_soon_and_names_the_host() -> None:
    began = time.monotonic()
    url = f"http://127.0.0.1:{free_port()}"
    with client_of(url, sleep=time.sleep) as client:
        error = unreachable(client)

    assert time.monotonic() - began < 10
    assert str(error).startswith(
        f"cannot reach Studio at '{url}': connection refused (3 tries)\n"
    )
    assert error.exit_code == 5


NOWHERE = f"https://{'a.' * 140}invalid"  # too long for a name: no resolver is asked


@pytest.mark.clock
def test_an_unknown_host_ends_soon_and_is_named() -> None:
    began = time.monotonic()
    with client_of(NOWHERE, sleep=time.sleep) as client:
        error = unreachable(client)

    assert time.monotonic() - began < 10
    assert f"'{NOWHERE}': host name not found (3 tries)\n" in str(error)


def test_a_resolver_that_takes_long_is_asked_once() -> None:
    pauses: list[float] = []
    clock = itertools.count(step=6).__next__  # each look at it is six seconds later
    with client_of(NOWHERE, sleep=pauses.append, clock=clock) as client:
        error = unreachable(client)

    assert pauses == []
    assert "host name not found\n" in str(error)


def test_any_other_failure_that_takes_long_is_tried_again(
    studio: StudioServer,
) -> None:
    studio.behaviour = Behaviour(close_before_answer=True)
    clock = itertools.count(step=60).__next__
    with client_of(studio.url, clock=clock) as client:
        unreachable(client)

    assert len(studio.requests) == 3


@pytest.mark.clock
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(header_drip_s=0.05), id="head-drips"),
        pytest.param(
            Behaviour(status=200, reply=b" " * 10_000, bytes_per_s=100), id="body-drips"
        ),
        pytest.param(Behaviour(no_answer=True), id="silence"),
    ],
)
def test_a_reply_that_never_ends_is_given_up(
    studio: StudioServer, behaviour: Behaviour
) -> None:
    studio.behaviour = behaviour
    began = time.monotonic()
    with client_of(studio.url, reply_timeout_s=0.5) as client:
        error = unreachable(client)

    assert time.monotonic() - began < 5
    assert "the reply took more than 0.5 s\n" in str(error)
    assert len(studio.requests) == 1


def test_a_slow_reply_is_waited_for(studio: StudioServer, asked: Asked) -> None:
    studio.serve("churn", {PATH: URL})
    studio.behaviour = Behaviour(delay_s=0.5, bytes_per_s=1000)

    assert asked.files()


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_studio_is_followed_with_the_token(
    studio: StudioServer, asked: Asked, status: int
) -> None:
    studio.serve("churn", {PATH: URL})
    studio.behaviour = Behaviour(redirect=Redirect(status=status))
    asked.files()

    assert [request.headers["authorization"] for request in studio.requests] == [
        f"token {PLANTED_TOKEN}"
    ] * 2


def test_five_redirects_are_followed(studio: StudioServer, asked: Asked) -> None:
    studio.serve("churn", {PATH: URL})
    studio.behaviour = Behaviour(redirect=Redirect(hops=5))

    assert asked.files()


def test_more_redirects_are_refused(studio: StudioServer, asked: Asked) -> None:
    error = refused(asked, Behaviour(redirect=Redirect(hops=6)), studio)

    assert str(error).endswith(": more than 5 redirects")
    assert error.exit_code == 5


def test_the_token_does_not_follow_to_another_port(
    studio: StudioServer, asked: Asked, file_server: FileServer
) -> None:
    target = file_server.url("/login?next=PLANTED_SECRET_KEY")
    error = refused(asked, Behaviour(redirect=Redirect(location=target)), studio)

    assert isinstance(error, StudioRedirectError)
    assert error.exit_code == 5
    assert file_server.requests == []


def test_the_token_does_not_follow_to_another_name_of_the_host(
    studio: StudioServer, asked: Asked
) -> None:
    redirect = Behaviour(redirect=Redirect(host="localhost"))
    refused(asked, redirect, studio)

    assert len(studio.requests) == 1


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        pytest.param(
            "https://new.example.com/x?a=b", "https://new.example.com/x", id="host"
        ),
        pytest.param("//new.example.com/x", "http://new.example.com/x", id="no-scheme"),
        pytest.param("ftp://127.0.0.1/x", "ftp://127.0.0.1/x", id="scheme"),
        pytest.param("https://u:PLANTED_SECRET_KEY@h/", "https://h/", id="password"),
        pytest.param("https://h/\x1b[2J", "https://h/?[2J", id="steers-a-terminal"),
        pytest.param(
            f"https://h/{PLANTED_TOKEN}", "https://h/***", id="quotes-the-token"
        ),
        pytest.param("https://[::1/", "an unreadable URL", id="unreadable"),
        pytest.param("https://h:x/", "an unreadable URL", id="bad-port"),
    ],
)
def test_a_redirect_elsewhere_names_the_host_and_the_setting(
    studio: StudioServer, asked: Asked, location: str, shown: str
) -> None:
    redirect = Behaviour(redirect=Redirect(location=location))
    error = refused(asked, redirect, studio)

    assert f"Studio at '{studio.url}' redirects to '{shown}'," in str(error)
    assert "dvc config studio.url" in str(error)


def test_a_redirect_to_https_of_the_same_host_is_another_origin(
    studio: StudioServer, asked: Asked
) -> None:
    location = studio.url.replace("http:", "https:")
    redirect = Behaviour(redirect=Redirect(location=location))

    assert isinstance(refused(asked, redirect, studio), StudioRedirectError)


# -- proxies


@pytest.fixture
def proxied(
    studio: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Make the server the proxy of all hosts."""

    def proxied(scheme: str) -> None:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        url = f"http://ada:PLANTED_SECRET_KEY@127.0.0.1:{studio.port}"
        monkeypatch.setenv(f"{scheme}_proxy", url)

    return proxied


def test_the_proxy_of_the_environment_is_used(
    studio: StudioServer, proxied: Callable[[str], None]
) -> None:
    proxied("http")
    studio.behaviour = json_reply({PATH: URL})
    with client_of("http://studio.example.com:8501") as client:
        client.files(REPO, CHURN)
    request = studio.requests[0]

    assert request.proxied_to == "studio.example.com:8501"
    assert request.headers["proxy-authorization"].startswith("Basic ")


def test_a_proxy_that_refuses_is_named_without_its_password(
    studio: StudioServer, proxied: Callable[[str], None]
) -> None:
    proxied("https")
    studio.behaviour = Behaviour(status=407)
    with client_of("https://studio.example.com") as client:
        error = unreachable(client)

    assert "the proxy failed (407 Proxy Authentication Required)" in str(error)
    assert "PLANTED" not in f"{error} {error!r} {error.__cause__}"


# -- TLS: a key and two certificates for 127.0.0.1, made for these tests

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwFKkIphn2vqtFYCD
rO0clTsHuiW6w4qlBayA+JAmvyChRANCAATBdY23zH6NDx9m7LIAPJrEfEH6n9Y9
u9ni8krPsz8miP6u98slmPLqrNN+crMsv7LpAwANn/oKJ0agvexJXAhM
-----END PRIVATE KEY-----
"""
UNTIL_2120 = """\
-----BEGIN CERTIFICATE-----
MIIBgzCCASmgAwIBAgIBATAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDAR0ZXN0MCAX
DTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAPMQ0wCwYDVQQDDAR0ZXN0
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwXWNt8x+jQ8fZuyyADyaxHxB+p/W
PbvZ4vJKz7M/Joj+rvfLJZjy6qzTfnKzLL+y6QMADZ/6CidGoL3sSVwITKN0MHIw
DwYDVR0RBAgwBocEfwAAATAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIC
hDAdBgNVHQ4EFgQUNwst3ATVz7z7QVhg0WKq9pu5HVswHwYDVR0jBBgwFoAUNwst
3ATVz7z7QVhg0WKq9pu5HVswCgYIKoZIzj0EAwIDSAAwRQIhAKlftgqLsW59t2FB
t/LORz9pTcZgJinL4+TZfxanKRJFAiAGW/uA3cU61bM5pkDYw80KZYYXDaSqIY0d
Je7m44p3sQ==
-----END CERTIFICATE-----
"""
UNTIL_2021 = """\
-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIBATAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDAR0ZXN0MB4X
DTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowDzENMAsGA1UEAwwEdGVzdDBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABMF1jbfMfo0PH2bssgA8msR8Qfqf1j27
2eLySs+zPyaI/q73yyWY8uqs035ysyy/sukDAA2f+gonRqC97ElcCEyjdDByMA8G
A1UdEQQIMAaHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAoQw
HQYDVR0OBBYEFDcLLdwE1c+8+0FYYNFiqvabuR1bMB8GA1UdIwQYMBaAFDcLLdwE
1c+8+0FYYNFiqvabuR1bMAoGCCqGSM49BAMCA0gAMEUCIAdwFrR97QEzgGf8+6Wx
1MO18XCrtAS5gYD8SjwQz2meAiEAzh5FELEXJBQl+LMTiJkHefvtrihSlOMz+shT
aTqHhAg=
-----END CERTIFICATE-----
"""


class Handler(BaseHTTPRequestHandler):
    """Responds as Studio does, and counts requests."""

    def do_GET(self) -> None:
        self.server.count += 1  # type: ignore[attr-defined]
        reply = json.dumps({PATH: URL}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class TlsStudio(ThreadingHTTPServer):
    """A Studio over TLS."""

    daemon_threads = True
    count = 0

    def __init__(self, folder: Path, certificate: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        (folder / "key.pem").write_text(KEY)
        self.bundle = folder / "certificate.pem"
        self.bundle.write_text(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.bundle, folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"https://{host}:{self.server_port}"


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Callable[[str], TlsStudio]]:
    with contextlib.ExitStack() as stack:

        def start(certificate: str) -> TlsStudio:
            server = stack.enter_context(TlsStudio(tmp_path, certificate))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_ca_bundle_of_the_environment_is_trusted(
    tls: Callable[[str], TlsStudio], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server = tls(UNTIL_2120)
    monkeypatch.setenv(variable, os.fspath(server.bundle))
    with client_of(server.url()) as client:
        files = client.files(REPO, CHURN)

    assert [file.path for file in files] == [PATH]


@pytest.mark.parametrize(
    ("certificate", "host", "trusted", "words"),
    [
        pytest.param(UNTIL_2120, "127.0.0.1", False, "self.signed", id="unknown-ca"),
        pytest.param(UNTIL_2021, "127.0.0.1", True, "expired", id="expired"),
        pytest.param(UNTIL_2120, "localhost", True, "'localhost'", id="wrong-host"),
    ],
)
def test_a_certificate_that_is_not_right_ends_at_once(
    tls: Callable[[str], TlsStudio],
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    host: str,
    trusted: bool,
    words: str,
) -> None:
    server = tls(certificate)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.fspath(server.bundle))
    pauses: list[float] = []
    with client_of(server.url(host), sleep=pauses.append) as client:
        error = unreachable(client)

    assert error.exit_code == 5
    assert error.reason.startswith("TLS certificate refused: ")
    assert re.search(words, error.reason)
    assert (pauses, server.count) == ([], 0)


def test_a_ca_bundle_that_is_not_there_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with client_of("https://127.0.0.1:9") as client:
        error = unreachable(client)

    assert "REQUESTS_CA_BUNDLE is not a CA bundle\n" in str(error)


# -- secrets


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(json_reply({PATH: signed(URL)}), id="success"),
        pytest.param(json_reply({PATH: signed("ftp://h/a")}), id="bad-url"),
        pytest.param(json_reply({"detail": PLANTED_TOKEN}, 401), id="401"),
        pytest.param(json_reply({"detail": PLANTED_TOKEN}, 503), id="503"),
        pytest.param(Behaviour(redirect=Redirect(location=signed(URL))), id="redirect"),
        pytest.param(Behaviour(close_before_answer=True), id="cut"),
    ],
)
def test_no_log_and_no_error_shows_a_secret(
    studio: StudioServer,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour,
) -> None:
    studio.behaviour = behaviour
    shown = ""
    with caplog.at_level(logging.DEBUG):
        try:
            shown = repr(asked.files())
        except StudioError as error:
            logging.getLogger("dvc").exception("")
            shown = f"{error!r} {error.__cause__}"

    assert caplog.records
    assert not [s for s in PLANTED_SECRETS if s in caplog.text + shown]
