"""Lists what an installed wheel brought, as an SBOM (CycloneDX).

The environment is the one that ``make try-dist`` made: the wheel with its extra
``serve``, and each dependency in the version that the demo has just run with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import Requirement

from releasing.refusal import RefusalError, end

NAME = "dvc-studio-models"
MAKER = Path(sys.executable).with_name("cyclonedx-py")
EXTRA = "serve"
"""The extra that the environment has."""

INSTALLED = f"""
import json
from importlib.metadata import distributions
for each in distributions(name="{NAME}"):
    print(json.dumps([each.metadata.json, each.read_text("RECORD")]))
    break
"""


def write(python: Path, target: Path) -> str:
    """Write the SBOM of the environment of ``python``; return what it says, in a line.

    Raises:
        RefusalError: It could not be made, is not valid, or lacks a dependency; or
            another wheel is beside the target.
    """
    found = _run(python, "-c", INSTALLED)
    if not found:
        message = f"'{python}' has no {NAME}: run 'make try-dist' first"
        raise RefusalError(message)
    metadata, record = json.loads(found)
    for wheel in target.parent.glob("*.whl"):
        if not _files(wheel) <= {*(record or "").splitlines()}:
            message = (
                f"'{python}' does not have what '{wheel}' contains: "
                "run 'make try-dist' first"
            )
            raise RefusalError(message)
    with tempfile.TemporaryDirectory() as folder:
        stated = Path(folder, "pyproject.toml")
        stated.write_text(tomlkit.dumps({"project": _project(metadata)}), "utf-8")
        made = Path(folder, "sbom.json")
        command = ["environment", "--output-reproducible", "--validate"]
        command += ["--mc-type", "library", "--pyproject", str(stated)]
        _run(MAKER, *command, "--output-file", str(made), str(python))
        text = made.read_text("utf-8")
    said = summary(text)
    target.write_text(text, "utf-8")
    return said


def _files(wheel: Path) -> set[str]:
    """Return the lines of a wheel's RECORD: its files, with their hashes.

    Raises:
        RefusalError: It is no wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
            lines = archive.read(record).decode("utf-8").splitlines()
    except (zipfile.BadZipFile, ValueError):
        message = f"'{wheel}' is no wheel: run 'make dist' first"
        raise RefusalError(message) from None
    return {line for line in lines if not line.startswith(record)}


def _project(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of the wheel as ``pyproject.toml`` has it.

    The maker reads the package itself only there. The extras are those of users.
    """
    requires = list(map(Requirement, metadata["requires_dist"]))
    always = [each for each in requires if each.marker is None]
    extra = [r for r in requires if r.marker and r.marker.evaluate({"extra": EXTRA})]
    return {
        "name": metadata["name"],
        "version": metadata["version"],
        "description": metadata["summary"],
        "license": metadata["license_expression"],
        "keywords": metadata["keywords"][0].split(","),
        "urls": dict(url.split(", ", 1) for url in metadata["project_url"]),
        "dependencies": list(map(str, always)),
        "optional-dependencies": {
            EXTRA: [str(each).partition(";")[0] for each in extra]
        },
    }


def summary(text: str) -> str:
    """Say in a line what an SBOM lists.

    Raises:
        RefusalError: This package does not depend on DVC by it.
    """
    bom = json.loads(text)
    subject = bom["metadata"]["component"]
    components = bom.get("components", [])
    versions = {each["bom-ref"]: each["version"] for each in components}
    names = {each["bom-ref"]: each["name"] for each in components}
    (direct,) = (
        each.get("dependsOn", [])
        for each in bom["dependencies"]
        if each["ref"] == subject["bom-ref"]
    )
    dvc = [versions[ref] for ref in direct if names[ref] == "dvc"]
    if not dvc:
        message = "by the SBOM, the package does not depend on 'dvc'"
        raise RefusalError(message)
    return (
        f"{subject['name']} {subject['version']}: {len(direct)} direct dependencies, "
        f"with DVC {dvc[0]}, and {len(versions)} in all"
    )


def _run(program: Path, *args: str) -> str:
    try:
        done = subprocess.run(
            [program, *args], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        message = f"'{program}' is missing: run 'make try-dist' first"
        raise RefusalError(message) from None
    if done.returncode:
        message = f"'{program.name}' failed:\n{done.stderr.strip()}"
        raise RefusalError(message)
    return done.stdout


def main() -> None:
    """Write the SBOM of an environment, and print what is in it."""
    parser = argparse.ArgumentParser(prog="releasing.bom", description=__doc__)
    parser.add_argument("python", type=Path, help="Python of the environment")
    parser.add_argument("target", type=Path, help="the file, which is replaced")
    args = parser.parse_args()
    print(f"{args.target}: {write(args.python, args.target)}")


if __name__ == "__main__":
    end(main)
