"""For any response: the correct bytes, or a clear error with nothing written.

``dvc`` pulls each case twice: once as a user does, to check the exit code and message,
and once with ``-vv``, to check that no output, file or file name contains a secret.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import logging
import os
import re
import shutil
import threading
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from projects import git
from servers import (
    ACCESS_DENIED,
    AZURE_REFUSED,
    NO_SUCH_KEY,
    PLANTED_SECRETS,
    PLANTED_TOKEN,
    REQUEST_EXPIRED,
    TOKEN_EXPIRED,
    Behaviour,
    FileServer,
    Redirect,
    StudioServer,
    busy,
    free_port,
    json_reply,
    s3_error,
    wait_until,
)
from stores import session

from dvc_studio_models import pull
from dvc_studio_models.errors import StudioModelsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from warm import Warm

pytestmark = pytest.mark.reliability("Through `dvc`: hostile servers")

MODEL = "models/churn.pkl"


CONTENT = b"the model's bytes\n" * 5000
PASSWORD = "PLANTED_PASSWORD_OF_THE_REMOTE"
USERINFO = "PLANTED_PASSWORD_OF_A_LINK"
PROXY_PASSWORD = "PLANTED_PASSWORD_OF_THE_PROXY"
SECRETS = {*PLANTED_SECRETS, PLANTED_TOKEN, PASSWORD, USERINFO, PROXY_PASSWORD}


@dataclass(frozen=True)
class Done:
    """The result of a pull."""

    code: int | None
    output: str
    clone: Path

    @property
    def files(self) -> set[str]:
        """Files in the clone that do not belong to Git or DVC."""
        return {
            str(path.relative_to(self.clone))
            for path in self.clone.rglob("*")
            if path.relative_to(self.clone).parts[0] not in {".git", ".dvc"}
        } - {".dvcignore"}


class Bench:
    """Clones to pull into, and the servers that they use."""

    def __init__(self, folder: Path, dvc: Warm, template: Path) -> None:
        self._folder = folder
        self._dvc = dvc
        self._template = template
        self.studio: StudioServer
        self.storage: FileServer
        self.env: dict[str, str] = {}
        self.limits: dict[str, int] = {}
        self.stack = contextlib.ExitStack()

    def pull(self, *options: str) -> Done:
        """Pull into a new clone, from new servers, while the processes are watched."""
        clone = self.clone()
        output = self._folder / "output"
        with Watch(self._dvc.process.pid) as watch:
            code = self._dvc.run(
                *("models", "pull", "churn", *options),
                cwd=clone,
                env={
                    **os.environ,
                    **self.studio.environ,
                    "DVC_SITE_CACHE_DIR": str(clone.parent / "site"),
                    **self.env,
                },
                output=output,
                limits=self.limits,
            )
        text = output.read_text(errors="backslashreplace")
        assert watch.leaks == set()
        return Done(code, text, clone)

    def clone(self) -> Path:
        """Make a new clone."""
        clone = self._folder / f"{len(list(self._folder.iterdir()))}/clone"
        return Path(shutil.copytree(self._template, clone))

    def offer(self, content: bytes = CONTENT, path: str = MODEL) -> None:
        self.studio.serve("churn", self.storage.publish({path: content}))


class Watch:
    """Repeatedly checks the arguments of a process and all its children."""

    def __init__(self, process: int) -> None:
        self._process = psutil.Process(process)

    def __enter__(self) -> Watch:
        self.leaks: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for child in self._process.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    text = " ".join(child.cmdline())
                    self.leaks |= {secret for secret in SECRETS if secret in text}


def test_the_watch_sees_what_a_process_began_and_nothing_of_others(
    warm_dvc: Warm,
) -> None:
    command = ["bash", "-c", "sleep 60; exit", PASSWORD]

    with (
        session(command),
        Watch(warm_dvc.process.pid) as others,
        Watch(os.getpid()) as ours,
    ):
        wait_until(lambda: bool(ours.leaks))

    assert ours.leaks == {PASSWORD}
    assert others.leaks == set()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, warm_dvc: Warm) -> Path:
    """A DVC project whose Git remote's URL contains a password."""
    folder = tmp_path_factory.mktemp("template")
    clone = folder / "clone"
    clone.mkdir()
    git(clone, "init", "--quiet")
    url = f"https://oauth2:{PASSWORD}@git.example.com/acme/models.git"
    git(clone, "remote", "add", "origin", url)
    env = {**os.environ, "HOME": str(folder), "DVC_NO_ANALYTICS": "1"}
    run = warm_dvc.run("init", "-q", cwd=clone, env=env, output=folder / "output")
    assert run == 0
    return clone


@pytest.fixture
def bench(
    tmp_path: Path,
    warm_dvc: Warm,
    template: Path,
    studio: StudioServer,
    file_server: FileServer,
) -> Iterator[Bench]:
    bench = Bench(tmp_path, warm_dvc, template)
    bench.studio, bench.storage = studio, file_server
    with bench.stack:
        yield bench


def leaks(folder: Path, output: str) -> set[str]:
    """Find secrets in the output, in all files of a folder and in their names."""
    texts = [output]
    for path in folder.rglob("*"):
        texts.append(path.as_posix())
        if path.is_file() and not path.is_symlink() and path.parts[-2:] != GIT_CONFIG:
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    return {secret for secret in SECRETS if any(secret in text for text in texts)}


GIT_CONFIG = (".git", "config")


def check(
    bench: Bench,
    arrange: Callable[[Bench], object],
    code: int,
    sentence: str,
    record: Callable[[str, object], None],
) -> None:
    """Pull twice, and check the results."""
    for options in ((), ("-vv",)):
        arrange(bench)
        done = bench.pull(*options)
        assert done.code == code, done.output
        assert re.search(sentence, done.output), done.output
        assert "unexpected error" not in done.output
        assert "having any troubles" not in done.output.lower()
        if not options:
            record("exit", done.code)
            record("said", last_sentence(done.output) if code else "")
            assert "Traceback" not in done.output
            assert done.output.count("ERROR: ") == (code != 0)
        if code:
            assert done.files == set()
        else:
            assert (done.clone / MODEL).read_bytes() == CONTENT
        assert leaks(bench._folder, done.output) == set()
        parts = done.clone / ".dvc/cache/parts"
        assert code or not (parts.exists() and list(parts.iterdir()))


def last_sentence(output: str) -> str:
    text = output.rpartition("ERROR: ")[2].strip()
    return re.sub(r":\d{4,5}\b", ":PORT", text)


# Paths

PATHS = [
    *("../x", "m/../../x", "..", ".", "./m/a", "m/./a", "m//a", "m/", ""),
    *("/x", "//x", "C:/x", "C:x", "\\\\srv\\share\\x", "..\\x", "m\\..\\..\\x"),
    *(".git", ".GIT/config", "m/.git/hooks/x", "git~1/x", ".git /x", ".git./x"),
    *(".git::$INDEX_ALLOCATION/x", ".g\u200cit/config", "m/.GI\ufeffT/x", ".git\u200b"),
    *(".dvc/config", ".DVC/config", "m/.dvc/x", "dvc~1/config", ".dvc /x", ".dvc./x"),
    *(".dvc::$INDEX_ALLOCATION/x", ".d\u200bvc/x", ".dvc/cache/files/md5/00/00"),
    *(".gitmodules", ".gitattributes", ".gitignore", "m/.gitignore", ".dvcignore"),
    *(".github/workflows/x.yml", ".gitlab-ci.yml", "dvc.yaml", "dvc.lock", "m/a.dvc"),
    *("m/DVC.YAML", "GITIGN~1", "m/x.DVC", ".dvc-models/x", "gitmod~1", "GI7EBA~1"),
    *("m/a\0", "m/a\nb", "m/\x1b[2J", "m/\ud800", "m/\x7f", "m/a\u2028b", "\x85"),
    *("m/" + "n" * 256, "m/" + "é" * 128, "/".join(["d" * 200] * 21)),
    *("\uff0e\uff0e/x", ".\uff47it/config", "m/.\u2024/x", ". ./x", "... /x"),
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[:60])
def test_a_path_that_must_not_be_written_is_refused_before_any_byte(
    bench: Bench, path: str, record_property: Callable[[str, object], None]
) -> None:
    def arrange(bench: Bench) -> None:
        good = bench.storage.publish({MODEL: CONTENT})()
        bench.studio.behaviour = json_reply({**good, path: good[MODEL]})

    check(
        bench,
        arrange,
        7,
        "refusing to write these paths from Studio's reply",
        record_property,
    )
    assert bench.storage.requests == []


def test_every_refused_path_is_listed_escaped(bench: Bench) -> None:
    good = bench.storage.publish({MODEL: CONTENT})()
    reply = dict.fromkeys(("../x", "m/\x1b[2J", "a", "a/b", MODEL), good[MODEL])
    bench.studio.behaviour = json_reply(reply)

    done = bench.pull()

    assert done.code == 7
    assert "'../x': " in done.output
    assert "'m/\\x1b[2J': it contains control characters" in done.output
    assert "'a/b': 'a' is a file too" in done.output
    assert MODEL not in done.output
    assert done.files == set()


@pytest.mark.parametrize(
    "path",
    [
        ".mlem/model/clf-model",
        "with space",
        "größe-模型",
        "a:b?c",
        "-rf",
        "~/x",
        "$HOME",
        "%2e%2e/x",
        "aux",
        "a.",
        "COM1.txt",
        "e\u0301",
        "🙂",
        "a&b;c|d`e`",
        "n" * 255,
    ],
    ids=lambda path: ascii(path)[:60],
)
def test_a_real_name_is_placed_as_it_is(bench: Bench, path: str) -> None:
    bench.offer(path=path)

    done = bench.pull()

    assert done.code == 0, done.output
    assert (done.clone / path).read_bytes() == CONTENT


# Replies


def body(reply: bytes, **headers: str) -> Behaviour:
    kind = {"Content-Type": "application/json"}
    return Behaviour(status=200, reply=reply, headers={**kind, **headers})


HTML = Behaviour(
    status=200, reply=b"<html>Log in</html>", headers={"Content-Type": "text/html"}
)
REPLIES: dict[str, tuple[Behaviour, int, str]] = {
    "[]": (body(b"[]"), 5, "a JSON object was expected, not list"),
    "null": (body(b"null"), 5, "a JSON object was expected"),
    "a string": (body(b'"x"'), 5, "a JSON object was expected"),
    "a number": (body(b"7"), 5, "a JSON object was expected"),
    "empty body": (body(b""), 5, "not JSON"),
    "204": (Behaviour(status=204), 5, "unexpected reply"),
    "cut JSON": (body(b'{"a": "ht'), 5, "not JSON"),
    "trailing garbage": (body(b'{"a": "http://h/a"} x'), 5, "not JSON"),
    "byte order mark": (body(b"\xef\xbb\xbf{}"), 5, "not JSON"),
    "NaN": (body(b'{"a": NaN}'), 5, "NaN is not JSON"),
    "bad UTF-8": (body(b'{"a": "\xff"}'), 5, "not JSON"),
    "100,000 nested brackets": (body(b"[" * 100_000), 5, "not JSON"),
    "duplicate keys": (
        body(b'{"a": "http://h/a", "a": "http://h/b"}'),
        5,
        "the same path appears twice",
    ),
    "{}": (json_reply({}), 4, "Studio returned no files for it"),
    "HTML": (HTML, 5, r"not JSON \(text/html\); check studio.url"),
    "an endless body": (replace(body(b"{"), endless=True), 5, "larger than 64 MiB"),
    "a gzip bomb": (
        body(gzip.compress(b" " * (66 << 20)), **{"Content-Encoding": "gzip"}),
        5,
        "larger than 64 MiB",
    ),
    "a gzip that is none": (body(b"{}", **{"Content-Encoding": "gzip"}), 5, "Studio"),
    "an unknown encoding": (body(b"\x00\x01", **{"Content-Encoding": "x"}), 5, "JSON"),
    "an error as 200": (json_reply({"detail": "Not found."}), 5, "'detail': its URL"),
}


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_that_is_none_ends_in_a_clear_error(
    bench: Bench, case: str, record_property: Callable[[str, object], None]
) -> None:
    reply, code, sentence = REPLIES[case]

    def arrange(bench: Bench) -> None:
        bench.studio.behaviour = reply

    check(bench, arrange, code, sentence, record_property)


LINKS: dict[str, tuple[object, str]] = {
    "null": (None, "not a string"),
    "a number": (7, "not a string"),
    "a list": (["https://h/a"], "not a string"),
    "an object": ({"url": "https://h/a"}, "not a string"),
    "empty": ("", "not of the form"),
    "file:": ("file:///etc/passwd", "not of the form"),
    "ftp:": ("ftp://h/a", "not of the form"),
    "data:": ("data:text/plain,a", "not of the form"),
    "s3:": ("s3://bucket/a", "not of the form"),
    "relative": ("a/b", "not of the form"),
    "no scheme": ("//h/a", "not of the form"),
    "no host": ("https:///a", "not of the form"),
    "bad port": ("https://h:99999/a", "cannot be parsed"),
    "space": ("https://h/a b", "characters that URLs cannot have"),
    "CR LF": ("https://h/a\r\nX: y", "characters that URLs cannot have"),
    "backslash": ("http://127.0.0.1\\@h/a", "characters that URLs cannot have"),
    "metadata address": ("http://169.254.169.254/latest", "link-local"),
    "metadata as a number": ("http://2852039166/latest", "link-local"),
    "metadata in hex": ("http://0xA9FEA9FE/", "link-local"),
    "metadata in octal": ("http://0251.0376.0251.0376/", "link-local"),
    "metadata shortened": ("http://169.254.43518/", "link-local"),
    "metadata with a dot": ("http://169.254.169.254./", "link-local"),
    "metadata of Google": ("http://metadata.google.internal/", "link-local"),
    "metadata of Google, with a dot": ("http://METADATA.google.internal./", "link-lo"),
    "metadata of AWS in IPv6": ("http://[fd00:ec2::254]/", "link-local"),
    "link-local in IPv6": ("http://[fe80::1]/a", "link-local"),
    "link-local in IPv6, with a zone": ("http://[fe80::1%25eth0]/a", "link-local"),
    "metadata mapped into IPv6": ("http://[::ffff:169.254.169.254]/", "link-local"),
    "metadata in NAT64": ("http://[64:ff9b::a9fe:a9fe]/", "link-local"),
    "metadata in IPv4-compatible IPv6": ("http://[::169.254.169.254]/", "link-local"),
    "metadata in 6to4": ("http://[2002:a9fe:a9fe::]/", "link-local"),
}


@pytest.mark.parametrize("case", LINKS)
def test_a_link_that_is_none_is_refused_before_any_byte(
    bench: Bench, case: str, record_property: Callable[[str, object], None]
) -> None:
    value, sentence = LINKS[case]
    if isinstance(value, str):
        value += "?X-Amz-Signature=PLANTED_SECRET_SIGNATURE"

    def arrange(bench: Bench) -> None:
        good = bench.storage.publish({"a": CONTENT})()
        bench.studio.behaviour = json_reply({**good, MODEL: value})

    check(bench, arrange, 5, sentence, record_property)
    assert bench.storage.requests == []


NO_WAIT = {"Retry-After": "0"}
REFUSALS: dict[str, tuple[Behaviour, int, str]] = {
    "401": (json_reply({"detail": "Invalid token."}, 401), 3, "Invalid token."),
    "401 as HTML": (replace(HTML, status=401), 3, "refused the token"),
    "403": (json_reply({"detail": "No scope."}, 403), 3, "model-registry scope"),
    "404 with a detail": (json_reply({"detail": "Unknown."}, 404), 4, "Unknown."),
    "404 with a message": (json_reply({"message": "Unknown."}, 404), 4, "Unknown."),
    "404 as HTML": (replace(HTML, status=404), 5, "check studio.url"),
    "400 with fields": (json_reply({"repo": ["Odd."]}, 400), 4, "repo: Odd."),
    "422": (json_reply({"detail": "Odd."}, 422), 4, "Odd."),
    "429": (
        replace(busy(429), headers=NO_WAIT),
        5,
        r"429 Too Many Requests \(3 tries\)",
    ),
    "500": (replace(busy(500), headers=NO_WAIT), 5, r"500 .* \(3 tries\)"),
    "503": (replace(busy(503), headers=NO_WAIT), 5, r"503 .* \(3 tries\)"),
    "another host": (
        Behaviour(redirect=Redirect(location="http://PLANTED.example.com/?t=1")),
        5,
        "redirects to 'http://PLANTED.example.com/', to which the token will not",
    ),
    "another port": (
        Behaviour(redirect=Redirect(location="http://127.0.0.1:1/x")),
        5,
        "to which the token will not be sent",
    ),
    "another scheme": (
        Behaviour(redirect=Redirect(location="https://127.0.0.1/x")),
        5,
        "to which the token will not be sent",
    ),
    "a token in the redirect": (
        Behaviour(
            redirect=Redirect(location=f"http://u:{PLANTED_TOKEN}@h/{PLANTED_TOKEN}")
        ),
        5,
        "to which the token will not be sent",
    ),
    "redirects without end": (
        Behaviour(redirect=Redirect(location="/x")),
        5,
        "more than 5 redirects",
    ),
    "a detail with the token": (
        json_reply({"detail": f"bad {PLANTED_TOKEN}\x1b[2J"}, 401),
        3,
        r"bad \*\*\*",
    ),
    "close before an answer": (Behaviour(close_before_answer=True), 5, "3 tries"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_of_studio_ends_in_its_code_and_sentence(
    bench: Bench, case: str, record_property: Callable[[str, object], None]
) -> None:
    reply, code, sentence = REFUSALS[case]

    def arrange(bench: Bench) -> None:
        bench.studio.behaviour = reply

    check(bench, arrange, code, sentence, record_property)


# Faults, of storage and of the machine

EXPIRING: Mapping[str, Behaviour] = {
    "403 of S3, expired": REQUEST_EXPIRED,
    "400 ExpiredToken": TOKEN_EXPIRED,
    "403 of Azure": AZURE_REFUSED,
    "403 for another reason, once": ACCESS_DENIED,
    "401": s3_error(401, "Unauthorized"),
}
PASSING: Mapping[str, Behaviour] = {
    **{str(n): busy(n, retry_after=0) for n in (408, 425, 429, 500, 502, 503, 504)},
    "503 until a date": Behaviour(
        status=503, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}
    ),
    "FIN within the body": Behaviour(cut_after=100),
    "RST within the body": Behaviour(cut_after=100, reset=True),
    "chunked body cut": Behaviour(framing="chunked", cut_after=100),
    "close before an answer": Behaviour(close_before_answer=True),
    "RST before an answer": Behaviour(close_before_answer=True, reset=True),
    "200 to a range": Behaviour(ranges=False),
    "416 to a range": Behaviour(refuse_ranges=True),
    "206 of another start": Behaviour(start_shift=1),
    "206 of another size": Behaviour(total_shift=1),
    "less than asked for": Behaviour(range_limit=1000),
    "an ETag that changes": Behaviour(etag="changing"),
    "unasked gzip": Behaviour(gzip=True),
    "a redirect": Behaviour(redirect=Redirect(host="localhost", hops=5)),
    "wrong bytes, once": Behaviour(wrong_bytes=True),
    "more than was announced": Behaviour(endless=True, framing="chunked"),
}
LASTING: Mapping[str, tuple[Behaviour, int, str]] = {
    "400": (s3_error(400, "InvalidArgument"), 5, "storage answered 400 Bad Request"),
    "404 NoSuchKey": (NO_SUCH_KEY, 5, "it is not in storage; was it pushed"),
    "410": (Behaviour(status=410), 5, "storage answered 410 Gone"),
    "501": (Behaviour(status=501), 5, "storage answered 501"),
    "403 for another reason": (ACCESS_DENIED, 5, "Studio's credentials"),
    "wrong bytes of the right size": (
        Behaviour(wrong_bytes=True),
        6,
        "does not have the expected content",
    ),
    "empty": (Behaviour(status=200), 6, "does not have the expected content"),
    "cut short": (Behaviour(resize=-1), 6, "does not have the expected content"),
    "too long": (Behaviour(resize=1), 6, "does not have the expected content"),
    "6 redirects": (Behaviour(redirect=Redirect(hops=6)), 5, "more than 5 redirects"),
    "a redirect to a file": (
        Behaviour(redirect=Redirect(location="file:///etc/passwd?PLANTED_SECRET_KEY")),
        5,
        "redirects to 'file:///etc/passwd', which is refused",
    ),
    "a redirect to a metadata address": (
        Behaviour(redirect=Redirect(location="http://169.254.169.254/latest")),
        5,
        "redirects to 'http://169.254.169.254/latest', which is refused",
    ),
}


@pytest.mark.parametrize("case", [*EXPIRING, *PASSING])
def test_a_fault_that_passes_is_survived(
    bench: Bench, case: str, record_property: Callable[[str, object], None]
) -> None:
    def arrange(bench: Bench) -> None:
        bench.offer()
        bench.storage.script({**EXPIRING, **PASSING}[case])

    check(bench, arrange, 0, "1 file, 87.9 KiB", record_property)


@pytest.mark.parametrize("case", LASTING)
def test_a_fault_that_lasts_ends_in_its_code_and_sentence(
    bench: Bench, case: str, record_property: Callable[[str, object], None]
) -> None:
    behaviour, code, sentence = LASTING[case]

    def arrange(bench: Bench) -> None:
        bench.offer()
        bench.storage.behaviour = behaviour

    check(bench, arrange, code, sentence, record_property)


def test_a_studio_that_refuses_connections_is_named(
    bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    bench.env = {"DVC_STUDIO_URL": url}

    check(bench, Bench.offer, 5, f"'{url}': connection refused", record_property)


@pytest.mark.clock
def test_a_studio_whose_name_nobody_knows_is_named(
    bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    bench.env = {"DVC_STUDIO_URL": "http://no-such-host.invalid"}
    began = time.monotonic()

    check(bench, Bench.offer, 5, "host name not found", record_property)
    assert time.monotonic() - began < 2 * 10


def test_a_password_in_a_link_is_used_and_never_shown(
    bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    def arrange(bench: Bench) -> None:
        bench.offer()
        links = bench.storage.publish({MODEL: CONTENT})()
        url = links[MODEL].replace("http://", f"http://user:{USERINFO}@")
        bench.studio.serve("churn", {MODEL: url})

    check(bench, arrange, 0, "1 file", record_property)
    assert "authorization" in bench.storage.requests[0].headers


def test_the_password_of_a_proxy_that_refuses_is_not_shown(
    bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    proxy = f"http://user:{PROXY_PASSWORD}@127.0.0.1:{free_port()}"
    bench.env = {
        "HTTP_PROXY": proxy,
        "http_proxy": proxy,
        "NO_PROXY": "",
        "no_proxy": "",
    }

    check(bench, Bench.offer, 5, "the proxy failed", record_property)


DISK: Mapping[str, tuple[dict[str, int], str]] = {
    "a file that is too large": ({"RLIMIT_FSIZE": 50_000}, "cannot write .*: "),
    "too many open files": ({"RLIMIT_NOFILE": 14}, "too many open files"),
}


@pytest.mark.parametrize("case", DISK)
def test_what_the_system_refuses_is_told(
    bench: Bench, case: str, record_property: Callable[[str, object], None]
) -> None:
    bench.limits, sentence = DISK[case]

    check(bench, Bench.offer, 8, sentence, record_property)


def test_a_stage_that_moves_while_links_are_renewed_is_an_error(
    bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    def arrange(bench: Bench) -> None:
        bench.storage.script(REQUEST_EXPIRED)
        contents = itertools.chain([CONTENT], itertools.repeat(b"another version"))

        def links() -> dict[str, str]:
            return bench.storage.publish({MODEL: next(contents)})()

        bench.studio.serve("churn", links)

    check(
        bench, arrange, 6, "moved to another version during the pull", record_property
    )


# Exceptions, through the Python interface


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the causes of an error, including suppressed ones."""
    waiting = [error]
    while waiting:
        if (found := waiting.pop()) is not None:
            yield found
            waiting += [found.__cause__, found.__context__]


@pytest.mark.parametrize("case", [*REFUSALS, *LASTING, *LINKS])
def test_no_exception_and_no_cause_of_one_shows_a_secret(
    bench: Bench, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.offer()
    if case in REFUSALS:
        bench.studio.behaviour = REFUSALS[case][0]
    elif case in LASTING:
        bench.storage.behaviour = LASTING[case][0]
    else:
        bench.studio.behaviour = json_reply({MODEL: LINKS[case][0]})

    with pytest.raises(StudioModelsError) as raised:
        pull(
            "churn",
            folder=bench.clone(),
            url=bench.studio.url,
            token=bench.studio.environ["DVC_STUDIO_TOKEN"],
        )

    texts = [caplog.text, *traceback.format_exception(raised.value)]
    for error in chain(raised.value):
        texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
    assert {secret for secret in SECRETS if secret in "".join(texts)} == set()
