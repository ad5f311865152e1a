"""Measures the start of Python and DVC with and without the hook.

Creates two environments that differ in one file, ``dvc-studio-models.pth``. Both use
the packages of the environment that runs this script. The runs alternate, so that a
slow moment of the machine affects both. The difference is the median of the differences
of pairs of runs.

    python benchmarks/hook.py [RUNS]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
PTH = "dvc-studio-models.pth"
COMMANDS = {
    "python -c pass": (["-c", "pass"], 10),
    "dvc --version": (["-m", "dvc", "--version"], 3),
}
"""Title -> arguments of Python, and a factor for RUNS."""


def make_environment(folder: Path, *, hook: bool) -> Path:
    """Create a virtual environment and return its interpreter."""
    venv.create(folder, symlinks=True)
    names = {"base": str(folder), "platbase": str(folder)}
    scheme = sysconfig.get_default_scheme()
    packages = Path(sysconfig.get_path("purelib", scheme, names))
    folders = [str(ROOT), *(path for path in sys.path if path.endswith("-packages"))]
    # Python does not run the .pth files of a folder that is listed in a .pth file.
    (packages / "a.pth").write_text("\n".join(folders) + "\n")
    if hook:
        shutil.copy(ROOT / PTH, packages)
    return folder / Path(sysconfig.get_path("scripts")).name / "python"


def measure(python: Path, args: list[str]) -> float:
    """Run once and return the time in milliseconds."""
    begin = time.perf_counter()
    subprocess.run([python, *args], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1e3


def compare(
    without: Path, with_hook: Path, args: list[str], runs: int
) -> tuple[float, float, float]:
    """Return the median times and the median of the differences, in milliseconds."""
    pairs = []
    for number in range(runs + 1):
        first, second = (without, with_hook) if number % 2 else (with_hook, without)
        times = {python: measure(python, args) for python in (first, second)}
        pairs.append((times[without], times[with_hook]))
    del pairs[0]  # it warmed up
    differences = [after - before for before, after in pairs]
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(differences)


def main(runs: int = 40) -> None:
    """Print a Markdown table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installers compile too
    print("| command | runs each | without, ms | with, ms | difference, ms |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        pythons = [
            make_environment(Path(folder, str(hook)), hook=hook)
            for hook in (False, True)
        ]
        for name, (args, times) in COMMANDS.items():
            without, with_hook, difference = compare(*pythons, args, runs * times)
            cells = f"{without:.2f} | {with_hook:.2f} | {difference:+.2f}"
            print(f"| `{name}` | {runs * times} | {cells} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
