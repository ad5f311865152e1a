"""The options of ``dvc models pull`` that select files, or only show information."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import BERT, CHURN, git
from servers import Behaviour, wait_until
from terminals import heed_ctrl_c

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from conftest import RunDvc
    from servers import FileServer, StudioServer

    from tests.e2e.conftest import Registry

CONFIG = "models/bert/config.json"


def names(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        pytest.param(["--include=*.json"], {"config.json"}, id="in every folder"),
        pytest.param(
            [
                "--include=models/bert/**",
                "--exclude=weights/",
                "--exclude=/models/*.pkl",
            ],
            {"config.json", "empty.txt"},
            id="excludes are stronger",
        ),
        pytest.param(
            ["--exclude=*.bin"], {"config.json", "empty.txt"}, id="all but these"
        ),
    ],
)
def test_globs_choose_the_files(
    run_dvc: RunDvc, registry: Registry, clone: Path, globs: list[str], left: set[str]
) -> None:
    done = run_dvc("models", "pull", "bert", *globs, cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert names(clone / "models/bert") == left
    assert "verified against Git" in done.stdout


def test_globs_that_match_nothing_are_an_error(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "bert", "--include=*.onnx", cwd=clone, env=registry.environ
    )

    assert done.returncode == 254
    assert "no file matches --include *.onnx" in done.stderr


@pytest.mark.parametrize("option", ["--include", "--exclude"])
@pytest.mark.parametrize("glob", ["!", "m.bin\\", "[z-a]"])
@pytest.mark.parametrize("mode", [[], ["--urls"]], ids=["pull", "urls"])
def test_an_invalid_glob_is_an_error_before_any_request_to_studio(
    run_dvc: RunDvc,
    studio: StudioServer,
    clone: Path,
    option: str,
    glob: str,
    mode: list[str],
) -> None:
    done = run_dvc(
        *("models", "pull", "bert", "--include=*.json", option, glob, *mode),
        cwd=clone,
        env=studio.environ,
    )

    assert done.returncode == 254, done.stderr
    assert f"'{glob}' is not a valid glob" in done.stderr
    assert studio.requests == []


def test_a_partial_pull_removes_no_other_files_of_the_model(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=registry.environ)
    run_dvc(
        *("models", "pull", "bert@v2.0.0", "--include=*.json"),
        cwd=clone,
        env=registry.environ,
    )
    partly = names(clone / "models/bert")

    run_dvc("models", "pull", "bert@v2.0.0", cwd=clone, env=registry.environ)

    assert partly == set(BERT["v1.0.0"])
    assert names(clone / "models/bert") == set(BERT["v2.0.0"])


def test_check_prints_nothing_and_reports_by_its_exit_code(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    pull = ("models", "pull", "churn")
    before = run_dvc(*pull, "--check", cwd=clone, env=registry.environ)
    absent = not (clone / "models/churn.pkl").exists()
    run_dvc(*pull, cwd=clone, env=registry.environ)

    after = run_dvc(*pull, "--check", cwd=clone, env=registry.environ)

    assert absent
    assert (before.returncode, before.stdout, before.stderr) == (1, "", "")
    assert (after.returncode, after.stdout, after.stderr) == (0, "", "")


def test_check_reports_a_conflict(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    (clone / "models/churn.pkl").write_bytes(b"mine")

    done = run_dvc(
        "models", "pull", "churn", "--check", cwd=clone, env=registry.environ
    )

    assert done.returncode == 1
    assert (clone / "models/churn.pkl").read_bytes() == b"mine"


def test_urls_can_be_fetched_with_curl(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "churn", "--urls", cwd=clone, env=registry.environ)

    path, url = done.stdout.rstrip("\n").split("\t")
    fetched = subprocess.run(
        ["curl", "--silent", "--fail", url], check=True, capture_output=True
    )
    assert path == "models/churn.pkl"
    assert fetched.stdout == CHURN["v2.0.0"]
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize("by", ["option", "environment"])
def test_urls_need_no_git_repo(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path, by: str
) -> None:
    options = ("--repo", "acme/models") if by == "option" else ()
    repo = {} if options else {"DVC_STUDIO_REPO_URL": "acme/models"}

    done = run_dvc(
        *("models", "pull", "churn", "--urls", *options),
        cwd=tmp_path,
        env={**registry.environ, **repo},
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"models/churn.pkl\t{registry.url}")


@pytest.mark.parametrize(
    ("command", "places"),
    [
        pytest.param(("pull", "churn"), True, id="pull"),
        pytest.param(("status",), False, id="status"),
        pytest.param(("list",), False, id="list"),
    ],
)
def test_outside_a_clone_the_error_says_what_to_do(
    run_dvc: RunDvc, tmp_path: Path, command: tuple[str, ...], places: bool
) -> None:
    done = run_dvc("models", *command, cwd=tmp_path)

    assert done.returncode == 253
    assert "Run inside a clone of the model's repo\n" in done.stderr
    assert ("--repo URL --out DIR" in done.stderr) == places


def test_urls_come_as_json_too(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "bert", "--urls", "--json", f"--include={CONFIG}"),
        cwd=clone,
        env=registry.environ,
    )

    urls = json.loads(done.stdout)
    assert list(urls) == [CONFIG]
    assert urls[CONFIG].startswith(registry.url)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("pull",), id="pull"),
        pytest.param(("pull", "--urls"), id="urls"),
        pytest.param(("status",), id="status"),
    ],
)
def test_a_model_that_is_given_twice_is_requested_once(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    command: tuple[str, ...],
) -> None:
    files = {"models/churn.pkl": CHURN["v2.0.0"]}
    studio.serve("churn", file_server.publish(files))
    models, env = ("models", *command), studio.environ

    done = run_dvc(*models, "churn", "churn", cwd=clone, env=env)
    asked = len(studio.requests)
    other = run_dvc(*models, "churn@v1.0.0", "churn@2.0.0", cwd=clone, env=env)

    assert (done.returncode, asked) == (int(command == ("status",)), 1), done.stderr
    assert done.stdout.count("models/churn.pkl") == 1
    assert other.returncode == 254
    assert "'churn' is given twice: churn@v1.0.0, churn@v2.0.0" in other.stderr


@pytest.mark.parametrize("jobs", ["0", "257", "1000000000"])
def test_a_number_of_connections_out_of_range_is_refused(
    run_dvc: RunDvc, clone: Path, jobs: str
) -> None:
    done = run_dvc("models", "pull", "churn", "-j", jobs, cwd=clone)

    assert done.returncode == 254
    assert done.stderr == "ERROR: '--jobs' must be between 1 and 256\n"


def test_two_modes_at_once_are_refused(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc("models", "pull", "churn", "--urls", "--check", cwd=clone)

    assert done.returncode == 254


# -- the page about --urls


DOC = Path(__file__).parents[2] / "docs/urls.md"
COMMANDS = re.findall(r"```sh\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("tool", ["aria2c", "curl"])
def test_the_commands_of_the_page_about_urls_download_every_file(
    registry: Registry, clone: Path, tool: str
) -> None:
    (fetch,) = (command for command in COMMANDS if tool in command)
    (check,) = (command for command in COMMANDS if "|" not in command)
    path = f"{DVC.parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **registry.environ, "PATH": path}

    fetched = sh(fetch, clone, env)
    there = {
        name: (clone / "models/bert" / name).read_bytes() for name in BERT["v2.0.0"]
    }
    checked = sh(check, clone, env)

    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert there == BERT["v2.0.0"]
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.count("unchanged") == len(BERT["v2.0.0"])
    assert "verified against Git" in checked.stdout


def sh(script: str, folder: Path, env: dict[str, str]) -> CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_urls_come_only_from_studio(run_dvc: RunDvc, clone: Path) -> None:
    urls = ("models", "pull", "churn", "--urls")

    other = run_dvc(*urls, "--source", "cache", cwd=clone)
    offline = run_dvc(*urls, cwd=clone, env={"DVC_STUDIO_OFFLINE": "1"})

    assert (other.returncode, offline.returncode) == (254, 251)
    assert "leave out '--source' and '--lock'" in other.stderr
    assert "leave out '--source studio' or '--urls'" in offline.stderr


def test_urls_of_several_models_are_lines_of_path_and_url(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "bert", "churn", "--urls", cwd=clone, env=registry.environ
    )

    lines = [line.split("\t") for line in done.stdout.splitlines()]
    bert = {f"models/bert/{name}" for name in BERT["v2.0.0"]}
    assert {path for path, _ in lines} == bert | {"models/churn.pkl"}
    assert all(url.startswith(registry.url) for _, url in lines)


# -- a dry run, and sizes


def sizes(text: str) -> dict[str, int | None]:
    (model,) = json.loads(text)["models"]
    return {file["path"]: file["size"] for file in model["files"]}


def test_a_dry_run_requests_sizes_from_storage_if_nothing_else_has_them(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    files = {f"models/bert/{name}": data for name, data in BERT["v2.0.0"].items()}
    studio.serve("bert", file_server.publish(files))
    env = studio.environ

    done = run_dvc("models", "pull", "bert", "--dry-run", "--json", cwd=clone, env=env)

    asked = file_server.requests
    assert sizes(done.stdout) == {path: len(data) for path, data in files.items()}
    assert {(each.method, each.headers["range"]) for each in asked} == {
        ("GET", "bytes=0-0")
    }
    assert not (clone / "models/bert").exists()


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("pull", "bert", "--check"), id="check"),
        pytest.param(("status", "bert"), id="status"),
    ],
)
def test_check_and_status_send_no_request_to_storage(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    command: tuple[str, ...],
) -> None:
    files = {f"models/bert/{name}": data for name, data in BERT["v2.0.0"].items()}
    studio.serve("bert", file_server.publish(files))

    done = run_dvc("models", *command, cwd=clone, env=studio.environ)

    assert done.returncode == 1, done.stderr
    assert file_server.requests == []


def test_a_dry_run_has_no_verification_for_a_file_without_a_hash(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    file_server.objects["/churn.pkl"] = CHURN["v2.0.0"]
    studio.serve("churn", {"models/churn.pkl": file_server.sign("/churn.pkl")})

    done = run_dvc(
        *("models", "pull", "churn", "--dry-run", "--json"),
        cwd=clone,
        env=studio.environ,
    )

    (file,) = json.loads(done.stdout)["models"][0]["files"]
    assert (file["action"], file["md5"], file["verified_by"]) == (
        "download",
        None,
        None,
    )


def test_a_dry_run_succeeds_if_storage_fails(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    files = {f"models/bert/{name}": data for name, data in BERT["v2.0.0"].items()}
    studio.serve("bert", file_server.publish(files))
    file_server.behaviour = Behaviour(status=503)

    done = run_dvc("models", "pull", "bert", "--dry-run", cwd=clone, env=studio.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert "download" in done.stdout
    assert "nothing was changed" in done.stdout


# -- one JSON document, whatever happens


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param(("--dry-run",), 0, id="dry run"),
        pytest.param(("--check",), 1, id="check"),
        pytest.param((), 0, id="pull"),
    ],
)
def test_json_is_one_document_with_the_same_keys(
    run_dvc: RunDvc,
    registry: Registry,
    clone: Path,
    options: tuple[str, ...],
    code: int,
) -> None:
    done = run_dvc(
        *("models", "pull", "churn", "bert@v1.0.0", "--json", "-v", *options),
        cwd=clone,
        env=registry.environ,
    )

    result = json.loads(done.stdout)
    assert done.returncode == code
    assert list(result) == ["repo", "models", "bytes_downloaded", "seconds"]
    assert [model["version"] for model in result["models"]] == ["v2.0.0", "v1.0.0"]
    actions = {file["action"] for model in result["models"] for file in model["files"]}
    assert actions == {"download" if options else "downloaded"}
    assert {
        file["verified_by"] for model in result["models"] for file in model["files"]
    } == {"git"}


@pytest.mark.parametrize("command", ["pull", "status"])
@pytest.mark.parametrize(
    ("number", "kind", "code", "message"),
    [
        pytest.param(
            signal.SIGINT,
            "KeyboardInterrupt",
            252,
            "interrupted by the user",
            id="Ctrl-C",
        ),
        pytest.param(
            signal.SIGTERM, "SystemExit", 143, "terminated by SIGTERM", id="SIGTERM"
        ),
    ],
)
def test_a_signal_ends_a_command_with_one_json_object(
    studio: StudioServer,
    clone: Path,
    command: str,
    number: signal.Signals,
    kind: str,
    code: int,
    message: str,
) -> None:
    studio.behaviour = Behaviour(no_answer=True)
    with subprocess.Popen(
        [DVC, "models", command, "churn", "--json"],
        cwd=clone,
        env={**os.environ, **studio.environ, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - it only sets a handler
    ) as process:
        wait_until(lambda: bool(studio.requests), timeout_s=60)
        process.send_signal(number)
        try:
            stdout, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # prints where its threads are
            raise

    error = {"kind": kind, "message": message, "exit_code": code}
    assert json.loads(stdout) == {"error": error}
    assert process.returncode == code


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(("pull", "-j", "many"), "argument -j/--jobs: ", id="value"),
        pytest.param(("list", "churn"), "unrecognized arguments: churn", id="argument"),
        pytest.param(
            ("status", "--no-such"), "unrecognized arguments: --no-such", id="option"
        ),
        pytest.param(("pull",), "no model", id="no model"),
        pytest.param(
            ("status", "--stage=prod", "--version=1.0.0"),
            "argument --version/--rev: not allowed with argument --stage",
            id="both",
        ),
    ],
)
def test_a_usage_error_is_one_json_object(
    run_dvc: RunDvc, clone: Path, args: tuple[str, ...], message: str
) -> None:
    done = run_dvc("models", *args, "--json", cwd=clone)

    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("UsageError", done.returncode)
    assert error["message"].startswith(message)
    assert done.stderr == f"ERROR: {error['message']}\n"
    assert done.returncode == 254


def test_a_usage_error_prints_the_help_for_people(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc("models", "list", "churn", cwd=clone)

    assert done.returncode == 254
    assert done.stderr == "ERROR: unrecognized arguments: churn\n"
    assert done.stdout.startswith("usage: dvc models list [-h]")


@pytest.mark.parametrize("command", ["pull", "status", "list"])
def test_a_folder_that_is_missing_is_one_json_object(
    run_dvc: RunDvc, clone: Path, command: str
) -> None:
    done = run_dvc("--cd", "missing", "models", command, "--json", cwd=clone)

    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("UsageError", 254)
    assert error["message"] in done.stderr
    assert done.returncode == 254


@pytest.mark.parametrize("command", ["pull", "status"])
def test_a_config_that_dvc_cannot_read_is_one_json_object(
    run_dvc: RunDvc, registry: Registry, clone: Path, command: str
) -> None:
    """Also where DVC's analytics, which read the config again, are enabled."""
    (clone / ".dvc/config").write_text("[core\n")
    env = {**registry.environ, "DVC_NO_ANALYTICS": None}

    done = run_dvc("models", command, "churn", "--json", cwd=clone, env=env)

    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["exit_code"]) == (251, 251), done.stderr
    assert done.stderr == f"ERROR: {error['message']}\n"


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
@pytest.mark.parametrize("close", ["| true", ">&-"], ids=["pipe", "closed"])
def test_a_closed_stdout_is_no_error(
    clone: Path, options: tuple[str, ...], close: str
) -> None:
    command = shlex.join([str(DVC), "models", "list", *options])

    done = sh(f"{command} {close}", clone, {**os.environ})

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
