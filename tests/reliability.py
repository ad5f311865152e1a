"""A pytest plugin: writes what was tried, and how it ended, as ``docs/reliability.md``.

Run by ``make reliability``. Each test of a chapter is a row, with its sentence and its
case; nothing is written by hand, and a test that fails is a row that says so.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CHAPTERS = {
    "test_paths.py": "Paths that a reply may name",
    "test_workspace.py": "What lies in the workspace",
    "test_receipts.py": "What earlier pulls left",
    "test_studio.py": "Studio's replies",
    "test_transport.py": "Speaking HTTP",
    "test_storage.py": "Storage's answers",
    "test_transfer.py": "Faults of a download",
    "test_resume.py": "Pulls that were stopped",
    "test_parts.py": "Part files",
    "test_verify.py": "Hashes",
    "test_cache.py": "The DVC cache",
    "test_faults.py": "Through the executable: faults, signals, secrets",
    "test_pull.py": "Through the executable: pulling",
    "test_plugin.py": "The hook",
}
HEAD = """\
# Reliability

Every case that the test run below tried, and how it ended. Written by the run itself:
`make reliability`. A case is `right` when it ended as its sentence says: in the right
bytes, or in a clear error with the old bytes untouched.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", metavar="FILE", help="write the table of cases")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--reliability"):
        config.pluginmanager.register(Table(config.getoption("--reliability")))


class Table:
    """Collects the outcome of every test of a chapter."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._rows: dict[str, list[tuple[str, str, str]]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        chapter = Path(report.location[0]).name
        if chapter not in CHAPTERS or (report.when != "call" and report.passed):
            return
        name, _, case = report.location[2].partition("[")
        sentence = name.rpartition(".")[2].removeprefix("test_").replace("_", " ")
        outcome = "right" if report.passed else report.outcome.upper()
        self._rows[chapter].append((sentence, case.removesuffix("]"), outcome))

    def pytest_sessionfinish(self) -> None:
        chapters = [name for name in CHAPTERS if self._rows[name]]
        total = sum(map(len, self._rows.values()))
        right = sum(row[2] == "right" for rows in self._rows.values() for row in rows)
        blocks = [HEAD, f"{total} cases, {right} right.\n", *map(self._block, chapters)]
        self._path.write_text("\n".join(blocks), "utf-8")

    def _block(self, chapter: str) -> str:
        lines = [
            f"## {CHAPTERS[chapter]}",
            "",
            "| what | case | outcome |",
            "|---|---|---|",
        ]
        lines += [
            f"| {sentence} | {_cell(case)} | {outcome} |"
            for sentence, case, outcome in self._rows[chapter]
        ]
        return "\n".join([*lines, ""])


def _cell(case: str) -> str:
    shown = case.encode("unicode_escape").decode() if not case.isprintable() else case
    return f"`{shown}`".replace("|", "\\|") if case else ""
