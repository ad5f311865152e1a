"""The SBOM of an environment: valid, reproducible, and of what is installed there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest

from releasing.bom import summary
from releasing.refusal import RefusalError

ROOT = Path(__file__).parents[2]


def bom(python: str | Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "releasing.bom", python, target],
        cwd=target.parent,  # without a pyproject.toml
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def write_wheel(folder: Path, files: str) -> Path:
    """Write a wheel whose RECORD has some lines."""
    record = "dvc_studio_models-98.7.6.dist-info/RECORD"
    wheel = folder / "dvc_studio_models-98.7.6-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(record, f"{files}{record},,\n")
    return wheel


@pytest.mark.slow
def test_an_sbom_lists_what_is_installed_and_names_no_path(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    installed = distribution("dvc-studio-models").read_text("RECORD")
    write_wheel(tmp_path, str(installed))

    done = bom(sys.executable, first)
    bom(sys.executable, second)

    assert done.returncode == 0, done.stderr
    own, dvc = version("dvc-studio-models"), version("dvc")
    said = f"{first}: dvc-studio-models {own}: "
    assert done.stdout.startswith(said)
    assert f" direct dependencies, with DVC {dvc}, and " in done.stdout
    made = json.loads(first.read_text("utf-8"))
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    (direct,) = (
        each["dependsOn"]
        for each in made["dependencies"]
        if each["ref"] == made["metadata"]["component"]["bom-ref"]
    )
    names = {each.partition("==")[0] for each in direct}
    assert names >= {"dvc", "starlette"}
    assert not names & {"gto", "cryptography", "pytest", "twine", "pyte"}
    listed = {each["name"].lower(): each["version"] for each in made["components"]}
    for name in ("dvc", "dvc-data", "pycurl", "starlette", "pygit2"):
        assert listed[name] == version(name)
    assert str(ROOT) not in first.read_text("utf-8")
    assert first.read_bytes() == second.read_bytes()


def test_without_the_environment_the_command_that_makes_it_is_named(
    tmp_path: Path,
) -> None:
    python = tmp_path / "env/bin/python"

    done = bom(python, tmp_path / "made")

    said = f"ERROR: '{python}' is missing: run 'make try-dist' first\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (tmp_path / "made").exists()


def test_an_environment_without_the_package_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "python"
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    empty.chmod(0o755)

    done = bom(empty, tmp_path / "made")

    said = f"ERROR: '{empty}' has no dvc-studio-models: run 'make try-dist' first\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (tmp_path / "made").exists()


def test_an_environment_with_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "dvc_studio_models/new.py,sha256=0,1\n")

    done = bom(sys.executable, tmp_path / "made")

    said = f"ERROR: '{sys.executable}' does not have what '{wheel}' contains: "
    assert (done.returncode, done.stderr) == (1, f"{said}run 'make try-dist' first\n")
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "dvc_studio_models-98.7.6-py3-none-any.whl"
    for content in (b"", b"PK\5\6" + bytes(18)):  # the second is an empty archive
        broken.write_bytes(content)

        done = bom(sys.executable, tmp_path / "made")

        said = f"ERROR: '{broken}' is no wheel: run 'make dist' first\n"
        assert (done.returncode, done.stderr) == (1, said)


def listing(direct: list[str]) -> dict[str, Any]:
    return {
        "metadata": {
            "component": {"bom-ref": "root", "name": "ours", "version": "1.2.0"}
        },
        "components": [
            {"bom-ref": "dvc==3.1", "name": "dvc", "version": "3.1"},
            {"bom-ref": "gto==2.0", "name": "gto", "version": "2.0"},
        ],
        "dependencies": [
            {"ref": "dvc==3.1", "dependsOn": ["gto==2.0"]},
            {"ref": "root", "dependsOn": direct},
        ],
    }


def test_the_summary_counts_direct_and_all_dependencies() -> None:
    said = summary(json.dumps(listing(["dvc==3.1"])))

    assert said == "ours 1.2.0: 1 direct dependencies, with DVC 3.1, and 2 in all"


@pytest.mark.parametrize("direct", [[], ["gto==2.0"]])
def test_an_sbom_without_dvc_is_refused(direct: list[str]) -> None:
    with pytest.raises(RefusalError) as refused:
        summary(json.dumps(listing(direct)))

    assert str(refused.value) == "by the SBOM, the package does not depend on 'dvc'"


def test_an_sbom_without_components_is_refused() -> None:
    nothing = {**listing([]), "dependencies": [{"ref": "root"}]}
    del nothing["components"]

    with pytest.raises(RefusalError):
        summary(json.dumps(nothing))
