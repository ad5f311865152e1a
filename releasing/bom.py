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
from pathlib import Path
from typing import Any, cast

import tomlkit

from releasing.refusal import RefusalError, end

NAME = "dvc-studio-models"
MAKER = Path(sys.executable).with_name("cyclonedx-py")
EXTRA = "serve"
"""The extra that the environment has."""

VERSION = """
from importlib.metadata import distributions
print(*(each.version for each in distributions(name="{name}")))
"""


def write(python: Path, target: Path, root: Path) -> str:
    """Write the SBOM of the environment of ``python``; return what it says, in a line.

    Raises:
        RefusalError: It could not be made, is not valid, or lacks a dependency; or a
            wheel of another version is beside the target.
    """
    version = _run(python, "-c", VERSION.format(name=NAME)).strip()
    if not version:
        message = f"'{python}' has no {NAME}: run 'make try-dist' first"
        raise RefusalError(message)
    for wheel in target.parent.glob("*.whl"):
        if wheel.name.split("-")[1] != version:
            message = (
                f"'{python}' has {version}, and '{wheel}' is another version: "
                "run 'make try-dist' first"
            )
            raise RefusalError(message)
    with tempfile.TemporaryDirectory() as folder:
        stated = Path(folder, "pyproject.toml")
        stated.write_text(_installed((root / "pyproject.toml"), version), "utf-8")
        made = Path(folder, "sbom.json")
        command = ["environment", "--output-reproducible", "--validate"]
        command += ["--mc-type", "library", "--pyproject", str(stated)]
        _run(MAKER, *command, "--output-file", str(made), str(python))
        text = made.read_text("utf-8")
    said = summary(text)
    target.write_text(text, "utf-8")
    return said


def _installed(settings: Path, version: str) -> str:
    """Return ``pyproject.toml`` with the version, and only the extra of users."""
    document = tomlkit.parse(settings.read_text("utf-8"))
    project = cast("dict[str, Any]", document["project"])
    project["version"] = version
    project["dynamic"].remove("version")
    extras = project["optional-dependencies"]
    project["optional-dependencies"] = {EXTRA: extras[EXTRA]}
    return tomlkit.dumps(document)


def summary(text: str) -> str:
    """Say in a line what an SBOM lists.

    Raises:
        RefusalError: This package does not depend on DVC by it.
    """
    bom = json.loads(text)
    subject = bom["metadata"]["component"]
    versions = {each["bom-ref"]: each["version"] for each in bom["components"]}
    names = {each["bom-ref"]: each["name"] for each in bom["components"]}
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
    print(f"{args.target}: {write(args.python, args.target, Path.cwd())}")


if __name__ == "__main__":
    end(main)
