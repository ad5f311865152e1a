"""A served repo cannot use what belongs to the server, whatever is committed to it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from environments import DVC
from projects import (
    CHURN,
    ORIGIN_URL,
    Project,
    commit_all,
    git,
    serving,
    write,
)

from tests.server.api import ask, fetch, links, refusal

pytestmark = pytest.mark.reliability("The server: hostile repos")

AWS = "[default]\nregion = us-east-1\ncredential_process = {command}\n"
KEY = {"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "secret"}


def s3_config(*options: str) -> str:
    lines = ("url = s3://models/folder", "endpointurl = http://127.0.0.1:9", *options)
    text = "".join(f"    {line}\n" for line in lines)
    return f"[core]\n    remote = s3\n['remote \"s3\"']\n{text}"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a hostile program creates; the machine has no AWS credentials."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "ran"


@pytest.fixture
def program(ran: Path) -> str:
    """The path of an AWS config whose credentials come from a program."""
    config = ran.with_name("aws.cfg")
    script = ran.with_name("program.sh")
    script.write_text(f"touch {ran}\necho '{json.dumps(KEY)}'\n")
    config.write_text(AWS.format(command=f"sh {script}"))
    return str(config)


def place_of(project: Project, kind: str) -> Path:
    if kind == "bare":
        project.mirror()
        return project.bare
    return project.repo


@pytest.mark.parametrize("kind", ["clone", "bare"])
@pytest.mark.parametrize(
    "option",
    ["configpath = {file}", "configpath = aws.cfg", "credentialpath = {file}"],
    ids=["absolute", "relative", "credentials"],
)
def test_a_committed_config_runs_no_program(
    project: Project,
    ran: Path,
    program: str,
    kind: str,
    option: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = s3_config(option.format(file=program))
    inside = Path(program).read_bytes()
    write(project.repo, {".dvc/config": config.encode(), ".dvc/aws.cfg": inside})
    git(project.repo, "add", "--force", ".dvc/aws.cfg")
    commit_all(project, "Choose credentials")

    with serving(f"acme/models={place_of(project, kind)}") as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert not ran.exists()
    assert status == 500
    assert detail.startswith("cannot sign links for the DVC remote 's3': ")
    name = option.partition(" ")[0]
    assert f"must not set '{name}' of the DVC remote 's3'" in caplog.text


@pytest.mark.parametrize("kind", ["clone", "bare"])
def test_dvc_models_serve_runs_no_program_of_a_commit(
    project: Project, ran: Path, program: str, kind: str
) -> None:
    config = s3_config(f"configpath = {program}")
    write(project.repo, {".dvc/config": config.encode()})
    commit_all(project, "Choose credentials")
    argv = [DVC, "models", "serve", "--port", "0", place_of(project, kind)]

    with subprocess.Popen(
        [*argv, "--no-auth"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        status, _ = refusal(ask(url, repo=str(argv[-1]), name="churn"))
        server.terminate()

    assert (status, ran.exists()) == (500, False)


def test_a_config_local_that_is_committed_is_not_the_operators(
    project: Project, ran: Path, program: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = s3_config(f"configpath = {program}")
    write(project.repo, {".dvc/config.local": config.encode()})
    git(project.repo, "add", "--force", ".dvc/config.local")
    commit_all(project, "Choose credentials")

    with serving(project.repo) as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]
    assert not ran.exists()
    assert "its '.dvc/config.local' is ignored: it is in Git" in caplog.text


def test_a_config_local_is_the_operators_until_a_commit_brings_one(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = project.storage.rename(project.root / "elsewhere")
    local = project.repo / ".dvc/config.local"
    local.write_text(f"['remote \"storage\"']\nurl = {elsewhere}\n")

    with serving(project.repo) as url:
        assert links(url, "churn")
        git(project.repo, "add", "--force", ".dvc/config.local")
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert status == 502
    assert "a folder that this server does not have" in detail
    assert f"the folder is '{project.storage}'" in caplog.text


@pytest.mark.parametrize("link", [".dvc/config.local", ".dvc", ".dvc/config"])
def test_a_config_local_or_a_config_behind_a_committed_symlink_is_not_read(
    project: Project, ran: Path, program: str, link: str
) -> None:
    config = s3_config(f"configpath = {program}").encode()
    if link == ".dvc":
        (project.repo / ".dvc").rename(project.repo / "moved")
        write(project.repo, {"moved/config.local": config})
        (project.repo / ".dvc").symlink_to("moved")
    else:
        write(project.repo, {"mine": config})
        (project.repo / link).unlink(missing_ok=True)
        (project.repo / link).symlink_to("../mine")

    with serving(project.repo) as url:
        status = ask(url, repo=ORIGIN_URL, name="churn").status_code

    assert status == (200 if link == ".dvc/config.local" else 500)
    assert not ran.exists()


def test_a_config_local_is_not_read_while_git_writes_files(
    project: Project, ran: Path, program: str
) -> None:
    """Git has the lock until all files of a pull are there, and in the index."""
    config = s3_config(f"configpath = {program}").encode()
    write(project.repo, {".dvc/config.local": config, ".git/index.lock": b""})

    with serving(project.repo) as url:
        status, _ = refusal(ask(url, repo=ORIGIN_URL, name="churn"))
        assert (status, ran.exists()) == (500, False)

        (project.repo / ".git/index.lock").unlink()
        git(project.repo, "add", "--force", ".dvc/config.local")

        assert ask(url, repo=ORIGIN_URL, name="churn").status_code == 200
    assert not ran.exists()


def test_a_config_local_in_a_repo_inside_is_ignored(
    project: Project, ran: Path, program: str
) -> None:
    config = s3_config(f"configpath = {program}").encode()
    fraud = "services/fraud"
    write(project.repo, {f"{fraud}/.dvc/config": config})
    commit_all(project, "Make a project of a folder")
    project.tag("services/fraud=fraud@v2.0.0")
    write(project.repo, {f"{fraud}/.dvc/config.local": config})
    git(project.repo / fraud, "init", "--quiet")

    with serving(project.repo) as url:
        query = {"repo": ORIGIN_URL, "name": f"{fraud}:fraud"}
        assert ask(url, **query).status_code == 500
    assert not ran.exists()


def test_the_operators_own_config_local_may_name_a_program(
    project: Project, ran: Path, program: str
) -> None:
    """The other tests could not fail if none could."""
    local = project.repo / ".dvc/config.local"
    write(project.repo, {".dvc/config": s3_config().encode()})
    local.write_text(f"['remote \"s3\"']\n    configpath = {program}\n")

    with serving(project.repo) as url:
        link = links(url, "churn")["models/churn.pkl"]

    assert ran.exists()
    assert "AKIA" in link


def test_a_committed_config_that_asks_for_a_password_hangs_no_reader(
    project: Project,
) -> None:
    config = project.repo / ".dvc/config"
    asking = "url = http://127.0.0.1:9/x\nauth = basic\nuser = a\nask_password = true"
    with config.open("a") as file:
        file.write(f"['remote \"asks\"']\n{asking}\n")
    dvc = (project.repo / "models/churn.pkl.dvc").read_text()
    out = f"- md5: {'a' * 32}\n  path: remote://asks/x\n"
    (project.repo / "models/churn.pkl.dvc").write_text(f"{dvc}{out}")
    commit_all(project, "Ask for a password")
    project.tag("churn@v3.0.0")

    with serving(project.repo) as url:
        assert links(url, "churn", version="v3.0.0")


@pytest.mark.parametrize(
    "content",
    [
        b"[core]\nremote = " + b"x" * 3000,
        b"#" * 70_000,
        b"".join(b"[" * n + b"a" + b"]" * n + b"\n" for n in range(1, 200)),
        b"[a]\na0 = xxxxxxxxxx\n"
        + b"".join(
            b"a%d = %s\n" % (n, b"%%(a%d)s" % (n - 1) * 10) for n in range(1, 9)
        ),
        b"\xff\xfe[core]\n",
        b"a" + b" " * 1900 + b"b\n",
        b"['remote \"storage\"']\nurl = a, b\n",
        b"[core]\nremote = storage\n['remote \"storage\"']\nurl = http://[\n",
        b"[remote]\nx = y\n[core]\n[[remote]]\n",
        b"core = 3\n",
    ],
    ids=[
        *("long line", "large", "deep", "insertions", "UTF-16", "spaces", "list"),
        *("bad url", "sections", "no section"),
    ],
)
@pytest.mark.parametrize("kind", ["clone", "bare"])
def test_a_committed_config_that_is_odd_is_refused_in_a_sentence(
    project: Project, content: bytes, kind: str
) -> None:
    (project.repo / ".dvc/config").write_bytes(content)
    commit_all(project, "Break the config")

    with serving(f"acme/models={place_of(project, kind)}") as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert status >= 400
    assert "internal error" not in detail
