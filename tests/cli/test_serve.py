"""``dvc models serve``: its options, its tokens, and what it refuses to serve."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import requires
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    copy_project,
    git,
    serving,
)
from servers import free_port, wait_until

from dvc_studio_models.cli import serve as command
from dvc_studio_models.errors import StudioConfigError, UsageError
from dvc_studio_models.server import service
from dvc_studio_models.server.links.signing_key import KEY_VARIABLE, signing_key
from tests.server.api import (
    API,
    TIMEOUT_S,
    ask,
    links,
    read_log,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


OURS = ("-m", "dvc_studio_models")
WITHOUT_STARLETTE = """if True:
    import sys
    from dvc_studio_models.__main__ import main
    sys.modules["starlette"] = None
    sys.exit(main())
"""
WITHOUT_STDOUT = """if True:
    import os, sys
    os.close(1)
    os.execv(sys.executable, [sys.executable, "-m", "dvc_studio_models", *sys.argv[1:]])
"""


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@contextlib.contextmanager
def started(*args: str, token: str = TOKEN) -> Iterator[subprocess.Popen[str]]:
    """Run ``dvc-models`` as a process, and end it in any case."""
    process = subprocess.Popen(
        [sys.executable, *(() if args[0] == "-c" else OURS), *args],
        env={**os.environ, "DVC_STUDIO_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def outcome(*args: str, token: str = TOKEN) -> tuple[int, str]:
    """Run a command that ends at once; give its exit code and stderr."""
    with started(*args, token=token) as process:
        _, errors = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_the_command_says_where_it_serves_and_stops_when_told(
    project: Project, number: signal.Signals
) -> None:
    with started("--cd", str(project.repo), "serve", "--port", "0") as process:
        assert process.stdout
        said, url = process.stdout.readline().strip().rsplit(" ", 1)
        found = links(url, "churn")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=TIMEOUT_S)

    assert said == "Serving 1 repo at"
    assert list(found) == ["models/churn.pkl"]
    assert (process.returncode, errors) == (0, "")
    (line,) = rest.splitlines()
    assert (read_log(line)["path"], read_log(line)["status"]) == (API, "200")


def test_a_server_whose_stdout_is_closed_serves(project: Project) -> None:
    port = free_port()
    args = ("--cd", str(project.repo), "serve", "--port", str(port))
    with started("-c", WITHOUT_STDOUT, *args) as process:
        wait_until(lambda: bool(is_open(port)), timeout_s=TIMEOUT_S)
        found = links(f"http://127.0.0.1:{port}", "churn")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=TIMEOUT_S)

    assert list(found) == ["models/churn.pkl"]
    assert (process.returncode, errors) == (0, "")


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    "broken",
    [
        "[core\nremote",
        "secret_access_key hunter2\n",
        "[remote]\nx = hunter2\n",
        None,
    ],
    ids=["half a section", "no pair", "no name", "a folder"],
)
def test_a_config_that_cannot_be_read_is_told_without_what_it_says(
    project: Project, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    config = project.repo / ".dvc/config.local"
    if broken is None:
        config.mkdir()
    else:
        config.write_text(broken)

    with serving(project.repo) as url:
        refused = ask(url, repo=ORIGIN_URL, name="churn")

    assert refusal(refused) == (
        500,
        "the server cannot read the repo's DVC config; its log has details",
    )
    assert "repo 'models': cannot read its DVC config: " in caplog.text
    assert "hunter2" not in caplog.text


def test_a_mirror_of_another_user_is_served(project: Project) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (project.bare, *project.bare.rglob("*")):
        os.chown(path, 65534, 65534)

    with started("serve", str(project.bare), "--port", "0") as process:
        assert process.stdout
        url = process.stdout.readline().strip().rpartition(" ")[2]
        reply = ask(url, repo=str(project.bare), name="churn")

    assert list(reply.json()) == ["models/churn.pkl"]


def test_a_repo_that_libgit2_refuses_is_not_served(project: Project) -> None:
    git(project.bare, "config", "core.repositoryFormatVersion", "1")
    git(project.bare, "config", "extensions.fromTheFuture", "true")

    code, errors = outcome("serve", str(project.bare))

    assert code == 253
    assert f"cannot read the Git repository at '{project.bare}': " in errors


def test_a_repo_that_cannot_be_read_keeps_no_other_from_being_served(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = project.clone(
        tmp_path / "broken", origin="git@git.example.com:acme/broken"
    )
    (broken / ".git/packed-refs").write_bytes(b"\xff\n")

    with serving(project.repo, broken) as url:
        found = links(url, "churn")

    assert list(found) == ["models/churn.pkl"]
    assert "cannot read the repo 'broken'" in caplog.text


def test_a_port_that_is_taken_is_a_configuration_error(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, errors = outcome("serve", str(project.repo), "--port", port)

    assert code == 251
    assert f"cannot listen on '127.0.0.1:{port}': Address already in use" in errors


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [
        pytest.param("--port", "65536", "0 to 65535", id="no port"),
        pytest.param("--expires", "0", "1 to 604800", id="no life"),
        pytest.param("--expires", "1h", "1 to 604800", id="no number"),
    ],
)
def test_a_number_out_of_bounds_is_told_with_them(
    project: Project, option: str, value: str, bounds: str
) -> None:
    code, errors = outcome("serve", str(project.repo), option, value)

    assert code == 254
    assert f"argument {option}: '{value}' is not a number from {bounds}\n" in errors


def test_without_a_token_nothing_is_served(project: Project) -> None:
    code, errors = outcome("serve", str(project.repo), token="")

    assert code == 251
    assert "DVC_STUDIO_TOKEN is not set" in errors


def test_a_token_file_that_is_a_named_pipe_is_refused_at_once(
    project: Project,
) -> None:
    tokens = project.root / "tokens"
    os.mkfifo(tokens)

    code, errors = outcome("serve", str(project.repo), "--token-file", str(tokens))

    assert code == 251
    assert f"cannot read the token file '{tokens}': it is not a regular file" in errors


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nothing", "not a folder"),
        ("loop", "not a folder"),
        (".", "not a Git repository"),
    ],
)
def test_what_is_no_git_repo_is_not_served(
    tmp_path: Path, path: str, reason: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")

    code, errors = outcome("serve", str(tmp_path / path))

    assert code == 253
    assert f"is {reason}" in errors


def test_without_its_packages_the_command_says_how_to_install_them() -> None:
    code, errors = outcome("-c", WITHOUT_STARLETTE, "serve")

    assert code == 251
    assert "needs the package 'starlette'" in errors
    assert f"pip install {' '.join(command.NEEDED.values())}" in errors


def test_the_hint_names_the_packages_of_the_extra() -> None:
    named = [Requirement(each) for each in requires("dvc-studio-models") or ()]
    serve = {each.name for each in named if "serve" in str(each.marker)}

    # cryptography comes with pyjwt[crypto].
    assert set(command.NEEDED.values()) == serve | {"cryptography"}


@pytest.mark.parametrize(
    ("host", "options", "refused"),
    [
        ("127.0.0.1", {"no_auth": True}, False),
        ("127.8.9.1", {"no_auth": True}, False),
        ("::1", {"no_auth": True}, False),
        ("localhost", {"no_auth": True}, False),
        ("0.0.0.0", {}, True),
        ("10.0.0.1", {}, True),
        ("studio.example.com", {}, True),
        ("10.0.0.1", {"behind_proxy": True}, False),
        ("10.0.0.1", {"behind_proxy": True, "no_auth": True}, True),
        ("127.0.0.1", {"behind_proxy": True, "no_auth": True}, True),
        ("127.0.0.1", {"behind_proxy": True}, False),
    ],
)
def test_only_loopback_is_served_without_a_proxy_and_without_tokens(
    host: str, options: dict[str, bool], refused: bool
) -> None:
    flags = {"behind_proxy": False, "no_auth": False, **options}
    expected = pytest.raises(UsageError) if refused else contextlib.nullcontext()

    with expected:
        command.check_exposure(host, **flags)


def test_no_auth_behind_a_proxy_is_a_usage_error(project: Project) -> None:
    options = ("--no-auth", "--behind-proxy", "--port", "0")
    code, errors = outcome("serve", str(project.repo), *options)

    assert code == 254
    assert "'--no-auth' and '--behind-proxy' cannot be combined" in errors
    assert "Leave out '--no-auth', and require tokens" in errors


@pytest.mark.parametrize("token", ["größe", "\udcff", "two words", "a\x7f"])
def test_a_token_that_cannot_be_sent_is_refused(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("DVC_STUDIO_TOKEN", token)

    with pytest.raises(StudioConfigError) as refused:
        command.choose_tokens(None, no_auth=False)

    assert "DVC_STUDIO_TOKEN contains a token that cannot be sent" in str(refused.value)
    assert token not in str(refused.value)


@pytest.mark.parametrize("key", ["k" * 32, "\udcff\udcfe" * 16])
def test_a_signing_key_may_be_any_bytes(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)

    assert signing_key() == os.fsencode(key)


@pytest.mark.parametrize("key", ["x", " ", "k" * 31])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signing_key_that_can_be_guessed_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, key: str, workers: int
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    options = ["--port", "0", f"--workers={workers}", str(project.repo)]
    done = subprocess.run(
        [sys.executable, "-m", "dvc_studio_models", "serve", *options],
        env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 251
    assert f"{KEY_VARIABLE} is shorter than 32 characters" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, b"\xff", b"# nobody\n"])
def test_a_token_file_without_tokens_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)

    with pytest.raises(StudioConfigError, match=str(file)):
        command.choose_tokens(str(file), no_auth=False)


def test_a_token_file_and_no_auth_exclude_each_other() -> None:
    with pytest.raises(UsageError):
        command.choose_tokens("tokens", no_auth=True)


def test_a_repo_must_be_named_or_be_here() -> None:
    with pytest.raises(UsageError), serving():
        pass


def test_a_reply_does_not_wait_for_more_to_send() -> None:
    with service.listen("127.0.0.1", 0) as listener:
        no_delay = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert no_delay == 1
