"""The conda recipe: read by rattler-build's parser, and run as far as pip goes."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from environments import BUILDS_OFFLINE, Environment
from rattler_build import RattlerBuildError, Stage0Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from tests.releasing.conftest import Clone

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "conda/recipe.yaml"
OF_CONDA = {"python", "pip", "__unix"}
"""What the recipe needs besides: Python, its installer, a POSIX system."""


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The recipe, evaluated for version 98.7.6."""
    monkeypatch.setenv("VERSION", "98.7.6")
    return evaluated(RECIPE.read_text("utf-8"))


def evaluated(recipe: str) -> dict[str, Any]:
    """Read a recipe with rattler-build's own parser."""
    (variant,) = Stage0Recipe.from_yaml(recipe).render()
    made: dict[str, Any] = variant.recipe.to_dict()
    return made


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def bounds(requirement: str) -> tuple[str, frozenset[str]]:
    """Split a requirement of pip or conda into its name and its bounds."""
    found = re.fullmatch(r"([\w-]+) ?([<>=!~\d.,]*)", requirement)
    assert found, requirement
    return found[1], frozenset(found[2].split(","))


def both(requirements: list[str]) -> dict[str, frozenset[str]]:
    return dict(map(bounds, requirements))


def test_it_needs_what_the_package_needs(
    recipe: dict[str, Any], settings: dict[str, Any]
) -> None:
    needed = both(recipe["requirements"]["run"])
    others = {name: needed.pop(name, None) for name in OF_CONDA}

    assert needed == both(settings["project"]["dependencies"])
    assert others["python"] == {settings["project"]["requires-python"]}


def test_it_is_built_with_what_the_package_is_built_with(
    recipe: dict[str, Any], settings: dict[str, Any]
) -> None:
    needed = both(recipe["requirements"]["host"])
    others = {name: needed.pop(name, None) for name in OF_CONDA}

    assert needed == both(settings["build-system"]["requires"])
    assert others["python"] == {settings["project"]["requires-python"]}


def test_its_facts_are_those_of_the_package(
    recipe: dict[str, Any], settings: dict[str, Any]
) -> None:
    project, about = settings["project"], recipe["about"]
    scripts = [f"{name} = {target}" for name, target in project["scripts"].items()]

    assert recipe["package"] == {"name": project["name"], "version": "98.7.6"}
    assert about["summary"] == project["description"]
    assert about["license"] == project["license"]
    assert about["license_file"] == project["license-files"]
    assert about["homepage"] == project["urls"]["Homepage"]
    assert recipe["build"]["python"]["entry_points"] == scripts


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("noarch: python", "noarch: ruby"),
        ("license_file:", "licence_file:"),
        ("dvc-data >=3.15", "dvc-data >=3.15,,"),
    ],
)
def test_the_parser_refuses_what_is_wrong(
    text: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSION", "98.7.6")
    written = RECIPE.read_text("utf-8")
    assert text in written

    with pytest.raises(RattlerBuildError):
        evaluated(written.replace(text, wrong))


@pytest.mark.slow
def test_its_script_installs_the_sdist_and_its_tests_pass(
    recipe: dict[str, Any], clone: Clone, tmp_path: Path
) -> None:
    clone.change("dvc_studio_models/__init__.py", "98.7.6.dev0", "98.7.6")
    clone.commit()
    assert clone.module("dist", "dist").returncode == 0
    (source,) = recipe["source"]
    sdist = clone.folder / "conda" / source["path"]
    unpacked = tmp_path / "unpacked"
    clone.shell(f"mkdir {unpacked}; tar xf {sdist} -C {unpacked} --strip-components 1")
    environment = Environment(tmp_path / "env")
    script = recipe["build"]["script"].replace("${{ PYTHON }}", str(environment.python))

    installed = environment.run(
        *(str(unpacked) if part == "." else part for part in shlex.split(script)),
        **BUILDS_OFFLINE,
    )

    assert installed.returncode == 0, installed.stdout + installed.stderr
    (commands,) = (test["script"] for test in recipe["tests"] if "script" in test)
    for command in commands:
        name, *args = command.split()
        if name == "dvc":
            helped = environment.dvc(*args)
        else:
            helped = environment.run(environment.scripts / name, *args)
        assert helped.stdout.startswith("usage: dvc models pull"), helped.stderr
