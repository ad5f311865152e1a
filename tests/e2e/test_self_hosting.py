"""Runs the commands and configurations in ``docs/self-hosting.md``."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from projects import BERT, TOKEN, copy_project, serving
from servers import free_port
from stores import Tls, nginx, session
from test_readme import HELP, flat

if TYPE_CHECKING:
    from conftest import RunDvc

PAGE = (Path(__file__).parents[2] / "docs/self-hosting.md").read_text("utf-8")
SERVE = re.compile(r"dvc models serve( .*)?")


def block(name: str) -> str:
    """Return the code block below the marker ``name``."""
    (found,) = re.findall(rf"<!-- {name} -->\n```\w+\n(.*?)```\n", PAGE, re.S)
    return found


@pytest.mark.slow
def test_ten_lines_lead_from_nothing_to_a_served_registry(tmp_path: Path) -> None:
    lines = block("run")
    script = lines.replace("8501", str(free_port()))
    (tmp_path / "work").mkdir()
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "ada@example.com" for who in ("AUTHOR", "COMMITTER")},
    }

    with session(
        ["bash", "-euc", f"set -o pipefail; cd work\n{script}\nkill %1; wait"],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=120)

    assert process.returncode == 0, said
    assert (tmp_path / "work/laptop/churn.bin").read_text() == "learned\n"
    assert "verified against Git" in said
    assert len(lines.splitlines()) == 10


def test_the_help_in_the_page_is_that_of_the_command(run_dvc: RunDvc) -> None:
    ((command, text),) = HELP.findall(PAGE)

    done = run_dvc(*command.split()[1:], "--help", env={"COLUMNS": "80"})

    assert flat(done.stdout) == flat(text)


@pytest.mark.slow
def test_models_are_pulled_through_the_nginx_of_the_page(
    run_dvc: RunDvc, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, tmp_path / "project")
    clone = project.clone(tmp_path / "clone")
    tls = Tls.make(tmp_path)
    port = free_port()

    with serving(project.repo) as url:
        server = (
            block("nginx")
            .replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
            .replace("http://127.0.0.1:8501", url)
            .replace("/etc/ssl/studio.pem", str(tls.certificate))
            .replace("/etc/ssl/studio.key", str(tls.key))
        )
        with nginx(tmp_path / "nginx", server):
            env = {
                "DVC_STUDIO_URL": f"https://127.0.0.1:{port}",
                "DVC_STUDIO_TOKEN": TOKEN,
                "REQUESTS_CA_BUNDLE": str(tls.ca),
            }
            done = run_dvc("models", "pull", "bert", cwd=clone, env=env)
            urls = run_dvc("models", "pull", "churn", "--urls", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    read = {
        path: (clone / "models/bert" / path).read_bytes() for path in BERT["v2.0.0"]
    }
    assert read == BERT["v2.0.0"]
    assert f"\thttps://127.0.0.1:{port}/objects/" in urls.stdout


def commands() -> list[list[str]]:
    """Return every command line of the page that starts the server."""
    container = block("container")
    parts = [
        json.loads(part) for part in re.findall(r"^\w+ (\[.*\])$", container, re.M)
    ]
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string(block("systemd"))
    program, *started = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/bin/dvc")
    return [parts[0] + parts[1], ["dvc", *started]]


@pytest.mark.parametrize("command", commands(), ids=["container", "systemd"])
@pytest.mark.slow
def test_the_commands_of_the_page_start_the_server(
    run_dvc: RunDvc, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "tokens").write_text("token ci\n")
    (tmp_path / "tokens").chmod(0o600)
    here = {"/run/secrets/tokens": "tokens", "%d/tokens": "tokens"}
    args = [here.get(argument, argument) for argument in command[1:]]

    done = run_dvc(*args, cwd=tmp_path)

    # All is well up to the mirror, which is not on this machine.
    assert done.returncode == 253
    assert "'/srv/models.git' is not a folder" in done.stderr
