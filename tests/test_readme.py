"""The help texts in the README equal those of the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunDvc

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
HELP = re.compile(r"<!-- help: (.+) -->\n```text\n(.*?)```\n<!-- end of help -->", re.S)


def flat(text: str) -> str:
    """Replace layout that differs between versions of Python."""
    once = re.sub(r"(-[\w-]+) (<\w+>), (--[\w-]+) \2", r"\1, \3 \2", text)
    return " ".join(once.split())


@pytest.mark.parametrize(
    ("command", "text"),
    HELP.findall(README.read_text("utf-8")),
    ids=lambda value: value[:30],
)
def test_the_help_in_the_readme_is_that_of_the_command(
    run_dvc: RunDvc, command: str, text: str
) -> None:
    name, *args = command.split()
    assert name == "dvc"

    done = run_dvc(*args, "--help", env={"COLUMNS": "80"})

    assert flat(done.stdout) == flat(text)


def test_the_readme_shows_the_help_of_pull() -> None:
    shown = [command for command, _ in HELP.findall(README.read_text("utf-8"))]

    assert "dvc models pull" in shown


def test_the_readme_names_every_command(run_dvc: RunDvc) -> None:
    done = run_dvc("models", "--help", env={"COLUMNS": "80"})
    commands = re.findall(r"^    (\w+) ", done.stdout, re.M)
    assert "pull" in commands

    readme = README.read_text("utf-8")
    assert [name for name in commands if f"`dvc models {name}" not in readme] == [
        "pull"  # its help is shown
    ]


FROM_INDEX = re.compile(
    r"(?:install|inject|--with)\b[^\n]*?(?<![/\w.-])dvc-studio-models"
)
"""A command that would install whatever has this name on a package index."""


def test_nothing_says_to_install_the_package_from_an_index() -> None:
    assert FROM_INDEX.search("pip install 'dvc-studio-models[serve]'")
    folders = (ROOT / "docs", ROOT / "deploy", ROOT / "examples")
    pages = ROOT / "dvc_studio_models" / "server" / "web" / "templates"
    texts = [ROOT / "README.md", *pages.iterdir()]
    texts += [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".png", ".svg", ".pyc"}
    ]

    found = {path for path in texts if FROM_INDEX.search(path.read_text("utf-8"))}

    assert found == set()
