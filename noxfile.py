"""The quick tests with each Python, and with other versions of DVC and dependencies.

``make test-matrix`` runs all cells, ``make test-matrix CELLS='3.10-dvc3.50'`` some of
them. A cell has an environment and a log in ``.matrix/``, and a row in the table of
``CONTRIBUTING.md``. The row of a cell that is not run stays, as it does if only some of
the tests are run (``PYTEST_ARGS``).

The names end with what is not the newest: ``dvc3.50`` has the newest dependencies that
this DVC allows, ``lowest`` the oldest that pyproject.toml and this DVC allow.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

import nox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
NO_TESTS = 5  # pytest's exit code when it ran none
PARALLEL = ("-n", os.environ.get("WORKERS", "6"), "--dist", "worksteal")
PAGE = Path("CONTRIBUTING.md")
BEGIN, END = "<!-- matrix: written by `make test-matrix` -->", "<!-- end of matrix -->"
HEAD = (
    "cell | Python | DVC | dependencies | passed | failed | skipped | commit | date",
    "--- | --- | --- | --- | --: | --: | --: | --- | ---",
)

os.environ.pop("PYTEST_ADDOPTS", None)  # the table is of all tests
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True

# The shims of pyenv hide all but one version.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
FOLDERS = [*map(str, PYENV.glob("versions/3.*/bin")), os.environ["PATH"]]
os.environ["PATH"] = os.pathsep.join(FOLDERS)


@dataclass(frozen=True)
class Cell:
    """One environment."""

    python: str
    dvc: str | None
    """Its first two numbers; None for the newest."""

    is_lowest: bool
    """Whether our own dependencies are the oldest that pyproject.toml allows."""

    @property
    def name(self) -> str:
        """The name of the cell."""
        dvc = f"dvc{self.dvc}" if self.dvc else "newest"
        return f"{self.python}-{dvc}{'-lowest' if self.is_lowest else ''}"


CELLS = [
    Cell(python, dvc, is_lowest)
    for python in PYTHONS
    for dvc, is_lowest in (
        *(("3.50", False), ("3.50", True), ("3.60", False)),
        *((None, False), (None, True)),
    )
]


def run_cell(session: nox.Session, cell: Cell) -> None:
    """Install, check what is used of other packages, and run the quick tests."""
    folder = Path(session.virtualenv.location)
    install(session, cell, folder / "constraints.txt")
    if session.run("uv", "pip", "check") is None:  # nox --install-only
        return
    session.log(f"the log is in {folder / 'log.txt'}")
    tested = now()
    counts = run_tests(session.run, folder, *PARALLEL, *session.posargs)
    session.log("passed: %d, failed: %d, skipped: %d", *counts)
    if not counts.passed:
        session.error(f"no test has passed: {folder / 'log.txt'}")
    if session.posargs:
        session.log("some tests were chosen: the table stays as it is")
    else:
        write_row(session, cell, counts, tested)
    if counts.failed:
        session.error(f"{counts.failed} failed: {folder / 'log.txt'}")


def write_row(
    session: nox.Session, cell: Cell, counts: Counts, tested: tuple[str, str]
) -> None:
    """Write the row of a cell into the table."""
    dependencies = "lowest" if cell.is_lowest else "newest"
    row = [cell.name, *versions(session), dependencies, *map(str, counts), *tested]
    PAGE.write_text(with_row(PAGE.read_text("utf-8"), row), "utf-8")


def run_tests(run: Callable[..., object], folder: Path, *args: str) -> Counts:
    """Run the seams, then all quick tests if those pass.

    What failed of the tests of time-outs runs once more, alone: on a busy machine, one
    may be late.

    Args:
        run: Runs a command, as :meth:`nox.Session.run` does.
        folder: Gets the log, and pytest's report and cache.
        args: Of pytest, for the quick tests.

    Returns:
        The counts of all, where what passes in its second run is passed; those of the
        seams if one has failed.
    """
    report = folder / "report.xml"
    options = ("-o", f"cache_dir={folder / 'cache'}", f"--junitxml={report}")
    late = ("--last-failed", "--last-failed-no-failures=none", "-m", "clock")

    with (folder / "log.txt").open("w") as out:

        def pytest(*args: str) -> Counts:
            run(
                *("python", "-m", "pytest", *options, *args),
                stdout=out,
                stderr=out,
                success_codes=(0, 1, NO_TESTS),
            )
            return count(report.read_text("utf-8"))

        counts = pytest("--cache-clear", "tests/test_seams.py")
        if counts.failed:
            return counts
        counts = pytest("--cache-clear", "-m", "not slow", *args)
        again = pytest(*late).passed if counts.failed else 0
    return counts._replace(passed=counts.passed + again, failed=counts.failed - again)


def install(session: nox.Session, cell: Cell, constraints: Path) -> None:
    """Install the project and its tests into the environment of a cell."""
    tests = ("--constraints", str(constraints), "--editable", ".[tests]")
    # DVC before 3.66 allows pathspec 1, and fails with it. The oldest requests warns of
    # chardet 6 and 7, which a tool of the tests brings.
    constraints.write_text(f"dvc=={cell.dvc}.*\npathspec<1\n" if cell.dvc else "")
    session.install(*tests)
    if not cell.is_lowest:
        return
    if not cell.dvc:
        constraints.write_text(f"dvc=={versions(session)[1]}\n")
    resolved = session.run_install(
        *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
        *("--resolution", "lowest-direct", "--constraints", str(constraints)),
        *("--extra", "serve", "pyproject.toml"),
        silent=True,
    )
    constraints.write_text(f"{only_ours(str(resolved))}chardet<6\n")
    session.install(*tests)


def only_ours(resolved: str) -> str:
    """Return the lines of the packages that pyproject.toml names for users."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    names = {name_of(requirement) for requirement in wanted}
    lines = resolved.splitlines(keepends=True)
    return "".join(line for line in lines if name_of(line) in names)


def name_of(requirement: str) -> str:
    """Return the name of the package that is required."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def versions(session: nox.Session) -> list[str]:
    """Return the versions of Python and of DVC."""
    code = (
        "import platform; from importlib.metadata import version;"
        "print(platform.python_version(), version('dvc'))"
    )
    return str(session.run_install("python", "-c", code, silent=True)).split()


def now() -> tuple[str, str]:
    """Return the commit, with a ``+`` if files were changed since, and the day."""
    git = functools.partial(subprocess.check_output, text=True)
    commit = git(["git", "rev-parse", "--short", "HEAD"]).strip()
    changed = git(["git", "status", "--porcelain", "--", ".", f":!{PAGE}"])
    return commit + "+" * bool(changed), time.strftime("%Y-%m-%d")


class Counts(NamedTuple):
    """The tests of one run."""

    passed: int
    failed: int
    skipped: int


def count(report: str) -> Counts:
    """Count the tests of a report in the form of JUnit."""
    suite = ET.fromstring(report).find("testsuite")
    total, failures, errors, skipped = (
        int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return Counts(total - failed - skipped, failed, skipped)


def with_row(page: str, row: Sequence[str]) -> str:
    """Return the page with one row of its table replaced or added.

    The rows are in the order of the cells. Rows of cells that no longer exist go.
    """
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = [
        [each.strip() for each in line.split("|")[1:-1]] for line in table.splitlines()
    ]
    known = {each[0]: each for each in [*rows, list(row)] if each}
    names = [each.name for each in CELLS if each.name in known]
    lines = [*HEAD, *(" | ".join(known[name]) for name in names)]
    written = "".join(f"| {line} |\n" for line in lines)
    return f"{before}{BEGIN}\n{written}{END}{after}"


def chosen(names: str) -> list[str]:
    """Return the names of the cells to run: those that are named, or all."""
    known = [cell.name for cell in CELLS]
    if unknown := sorted({*names.split()} - {*known}):
        cells = "\n  ".join(known)
        sys.exit(f"no such cell: {' '.join(unknown)}\nThe cells are:\n  {cells}")
    return names.split() or known


def add_session(cell: Cell) -> None:
    """Let Nox know a cell. Without its Python, the cell fails."""
    is_missing = shutil.which(f"python{cell.python}") is None

    @nox.session(python=False if is_missing else cell.python, name=cell.name)
    def run(session: nox.Session) -> None:
        if is_missing:
            session.error(
                f"Python {cell.python} is missing: 'pyenv install {cell.python}', "
                f"or put python{cell.python} on PATH"
            )
        run_cell(session, cell)


for each in CELLS:
    add_session(each)
nox.options.sessions = chosen(os.environ.get("CELLS", ""))
