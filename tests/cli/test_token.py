"""``dvc models token``: a token is printed once, and the server needs only its hash."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from dvc_studio_models.server.config.file import ConfigFile
from dvc_studio_models.server.config.token_file import read_token_file

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.server.config.values import TokenConfig

REPOS = "repos:\n- path: models.git\n"


def run(*args: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc_studio_models", "token", *args],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def paragraphs(output: str) -> list[str]:
    return output.split("\n\n")


def accepted(folder: Path, entry: str) -> TokenConfig:
    """Read the token of a config with these lines."""
    file = folder / "serve.yaml"
    file.write_text(f"{REPOS}tokens:\n{entry}\n")
    tokens = ConfigFile(file).read().tokens
    assert tokens
    return tokens[0]


@pytest.mark.parametrize("name", ["ci", "Ada's laptop: 2", "no", "007", "größe"])
def test_the_printed_lines_are_those_of_serve_yaml(tmp_path: Path, name: str) -> None:
    said, token, _, entry, *_ = paragraphs(run(name))
    config = accepted(tmp_path, entry)

    assert said == f"The token of '{name}', which is shown only now:"
    assert config.name == name
    assert config.sha256 == hashlib.sha256(token.strip().encode()).hexdigest()
    assert (config.repos, config.until) == (("*",), None)


def test_a_token_may_be_limited_to_repos_and_days(tmp_path: Path) -> None:
    args = ("ci", "--repos", "team-*", "--repos", "models", "--until", "2999-12-31")
    _, _, _, entry = paragraphs(run(*args))
    config = accepted(tmp_path, entry.rstrip("\n"))

    assert config.repos == ("team-*", "models")
    assert config.until == date(2999, 12, 31)


def test_the_last_line_is_one_of_a_token_file(tmp_path: Path) -> None:
    _, token, *_, line = paragraphs(run("ci runner"))
    file = tmp_path / "tokens"
    file.write_text(line)

    (config,) = read_token_file(file)

    assert config.name == "ci runner"
    assert config.sha256 == hashlib.sha256(token.strip().encode()).hexdigest()


def test_no_two_tokens_are_the_same() -> None:
    first, second = (json.loads(run("ci", "--json")) for _ in range(2))

    assert first.keys() == {"name", "sha256", "token"}
    assert first["token"].startswith("dsm_")
    assert len(first["token"]) >= 40
    assert first["token"] != second["token"]


def test_json_has_what_the_token_may_do() -> None:
    printed = json.loads(run("ci", "--json", "--repos", "a", "--until", "2999-12-31"))

    assert (printed["repos"], printed["until"]) == (["a"], "2999-12-31")


def test_the_yaml_is_valid_in_a_list_of_tokens() -> None:
    entries = "".join(paragraphs(run(name))[3] + "\n" for name in ("a", "b"))

    assert [each["name"] for each in YAML(typ="safe").load(entries)] == ["a", "b"]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["ci", "--until", "2020-01-31"], "'2020-01-31' is in the past"),
        (["ci", "--until", "soon"], "'soon' is not a date, such as 2027-01-31"),
        (["two\nlines"], "is not a name: use printable characters except '#'"),
        (["a #1"], "is not a name"),
        ([""], "is not a name"),
        (["ci", "--repos", ""], "an empty name fits no repo"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(args: list[str], problem: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc_studio_models", "token", *args],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 254
    assert problem in done.stderr
