"""The workflows: what the linters cannot know, and that the linters look at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from needs import need_program
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FOLDER = ROOT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
COMMANDS = ("make ", ".ci/")
"""How a step starts that runs what a developer runs."""


def jobs(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(path)["jobs"]
    return loaded


def steps() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Go through all steps, each with its workflow and its job."""
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            for step in job.get("steps", []):
                yield path.stem, name, step


def lines(job: str) -> list[str]:
    """Return the lines of shell of a job of the release."""
    ran = [step["run"] for _, name, step in steps() if name == job and "run" in step]
    return "\n".join(ran).splitlines()


def test_there_are_three_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["release", "tests", "weekly"]


def test_each_make_command_has_a_target() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = "\n".join(step.get("run", "") for *_, step in steps())
    named = re.findall(r"^make (?:--silent )?([\w-]+)", text, re.M)

    assert set(named) >= {"check", "test", "dist", "check-dist", "try-dist", "sbom"}
    assert set(named) <= targets


def test_only_what_needs_github_is_not_a_command_of_a_developer() -> None:
    others = {
        job
        for _, job, step in steps()
        if "run" in step and not step["run"].startswith(COMMANDS)
    }

    assert others == {"publish", "page"}


def test_one_job_may_ask_for_a_token_of_identity_and_it_waits_for_an_approval() -> None:
    asking = [
        (path.stem, name, job.get("environment"))
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        if "id-token" in job["permissions"]
    ]

    assert asking == [("release", "publish", "pypi")]


def test_the_job_that_publishes_runs_no_code_of_the_repository() -> None:
    used = [
        step["uses"].partition("@")[0]
        for _, job, step in steps()
        if job in {"publish", "page"} and "uses" in step
    ]

    assert "actions/checkout" not in used
    assert lines("publish") == [
        "uv publish --trusted-publishing always dist/*.whl dist/*.tar.gz"
    ]


def test_what_is_published_is_from_the_job_that_has_installed_no_dependency() -> None:
    downloads = [
        (job, step["with"])
        for _, job, step in steps()
        if "download-artifact" in step.get("uses", "")
    ]
    both = [{"name": name, "path": f"{name}/"} for name in ("dist", "about")]

    assert downloads == [
        ("try", both[0]),
        *(("publish", each) for each in both),
        *(("page", each) for each in both),
    ]
    release = jobs(FOLDER / "release.yml")
    made = {
        step["with"]["name"]: name
        for name in release
        for step in release[name].get("steps", [])
        if "upload-artifact" in step.get("uses", "")
    }
    assert made == {"dist": "build", "about": "try"}


def test_a_job_with_slow_tests_installs_the_stores_before() -> None:
    found = 0
    for path in WORKFLOWS:
        for job in jobs(path).values():
            ran = [step.get("run", "") for step in job.get("steps", [])]
            for number, line in enumerate(ran):
                if re.match("make (coverage|test-slow)", line):
                    assert "make test-servers" in ran[:number]
                    found += 1
    assert found


def test_nothing_is_published_that_was_not_tested() -> None:
    release = jobs(FOLDER / "release.yml")

    assert set(release["publish"]["needs"]) == {"tests", "build", "try"}
    assert release["page"]["needs"] == "publish"


def test_an_action_has_the_same_hash_everywhere() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    pinned = set(re.findall(r"uses: (\w[\w/-]+)@([0-9a-f]{40}) # v[\d.]+$", text, re.M))

    assert len(pinned) == len({name for name, _ in pinned}) == 6
    assert text.count("uses: ") == text.count("# v") + 2  # two call tests.yml


def test_each_python_that_the_package_names_is_tested() -> None:
    named = re.findall(r":: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    tested = jobs(FOLDER / "tests.yml")["quick"]["strategy"]["matrix"]["python"]

    assert named
    assert set(named) <= set(tested)


def test_each_cell_of_the_matrix_is_one_of_nox() -> None:
    listed = subprocess.run(
        [BIN / "nox", "--list", "--json"],
        cwd=ROOT,
        env={**os.environ, "CELLS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    known = {each["session"] for each in json.loads(listed.stdout)}
    matrix = jobs(FOLDER / "weekly.yml")["oldest"]["strategy"]["matrix"]
    cells = {f"{p}-{v}" for p in matrix["python"] for v in matrix["versions"]}

    assert len(cells) == 6
    assert cells <= known


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the workflows, which a test may break."""
    for name in (".github", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def lint(checkout: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run the linter as ``make check`` does."""
    need_program(name, str(BIN))
    command = ["make", "--dry-run", "check", f"VENV={BIN.parent}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = re.findall(rf"^\S*/{name} .*$", made.stdout, re.M)
    return subprocess.run(
        line, shell=True, cwd=checkout, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("linter", "text", "wrong", "finding"),
    [
        ("zizmor", r"checkout@\w+ # ", "checkout@v7 # ", "unpinned-uses"),
        ("zizmor", "permissions: {}", "permissions: write-all", "excessive-permission"),
        ("zizmor", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("zizmor", "make check", "make ${{ github.head_ref }}", "template-injection"),
        ("actionlint", "matrix.python", "matrix.release", '"release" is not defined'),
        ("actionlint", "runs-on: ubuntu-24.04", "runs-on: ubuntu-4", "is unknown"),
    ],
)
def test_a_linter_accepts_the_workflows_and_finds_what_is_wrong(
    checkout: Path, linter: str, text: str, wrong: str, finding: str
) -> None:
    assert lint(checkout, linter).returncode == 0
    path = checkout / ".github/workflows/tests.yml"
    written = path.read_text()
    assert re.search(text, written)

    path.write_text(re.sub(text, wrong, written))
    found = lint(checkout, linter)

    assert found.returncode != 0
    assert finding in found.stdout + found.stderr
