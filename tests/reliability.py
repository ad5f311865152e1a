"""A pytest plugin: writes what was tried, and how it ended, as ``docs/reliability.md``.

Run by ``make reliability``. Results are kept in pytest's cache, so that a run of some
tests brings the page up to date too. Nothing in its tables is written by hand but the
words of ``reliability_rows``; a test that fails is a row that says so.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import pytest
from mutate_guards import FIGURES
from reliability_rows import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Results = Mapping[str, Mapping[str, Any]]

CHAPTERS = (
    "Paths in a reply",
    "The workspace",
    "Temporary files and folders",
    "Copies and flushes",
    "Copies during a download",
    "Receipts of earlier pulls",
    "Studio's replies",
    "HTTP sessions",
    "Connections",
    "Requests by the batch",
    "Failures in words, and pauses",
    "URLs",
    "Storage's responses",
    "Storage's responses, byte by byte",
    "Faults of a download",
    "Interrupted downloads",
    "Part files",
    "Hashes",
    "The DVC cache",
    "The hook",
    "Installations",
    "Through `dvc`: pulling",
    "Through `dvc`: a cache without links",
    "Through `dvc`: a user's cache",
    "Through `dvc`: a user's cache that fails",
    "Through `dvc`: a placement that fails",
    "Through `dvc`: dry runs",
    "Through `dvc`: hostile servers",
    "Through `dvc`: faults, signals, locks",
    "Through `dvc`: kills",
    "The server: hostile repos",
    "The server: where remotes may be",
    "The server: hostile DVC files",
    "The server: large replies",
)
"""In the order of the page; a test file names its own by the marker ``reliability``."""

KEPT = "reliability/results"
HEAD = """\
# Reliability

This page lists the faults that the tests cause, and the outcome of each: the correct
bytes, or a clear error with the previous files unchanged. `make reliability` runs the
tests and writes the page; the exit codes are those of `dvc` in these tests.
"""
KILLS_HEAD = """\
## Killed at a file-system call

A pull under strace is killed at the start of a system call that changes a file. The
test does this for each such call in the clone or its cache. The columns count the kills
after which all targets were old, some were new, or all were new; no target was ever a
mix of both. After each kill, Git showed no files but the targets, and every object in
the cache was complete. The next pull exited with 0, placed all files, left no temporary
files, and did not touch the unchanged file.

| pull | kills | all old | some new | all new | calls |
|---|--:|--:|--:|--:|---|
"""
GUARDS = """\
## Guards

`make mutants` removes the guards of the modules that protect paths and the workspace,
one at a time, and runs the tests. A guard is "missed" if no test fails without it, and
"excused" if it matters only for speed or on other systems. The last run:

{figures}
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", metavar="FILE", help="write the table of cases")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--reliability"):
        config.pluginmanager.register(Table(config))


class Table:
    """Collects the outcome of every test that the marker gives a chapter."""

    def __init__(self, config: pytest.Config) -> None:
        self._path = Path(config.getoption("--reliability"))
        self._cache = config.cache
        self._is_worker = hasattr(config, "workerinput")
        self._whole = not any("::" in arg for arg in config.args)
        self._collected: set[str] = set()
        self._results: dict[str, dict[str, Any]] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        if mark := item.get_closest_marker("reliability"):
            item.user_properties.append(("chapter", mark.args[0]))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._collected.update(item.nodeid for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Learn from a worker what there is."""
        self._collected.update(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        said = dict(report.user_properties)
        self._results[report.nodeid] = {
            "chapter": said["chapter"],
            "outcome": "right" if report.passed else report.outcome,
            "exit": said.get("exit"),
            "said": said.get("said", ""),
            "kills": [
                value for name, value in report.user_properties if name == "kill"
            ],
        }

    def pytest_sessionfinish(self) -> None:
        """Add what was run to what earlier runs kept, and forget what is gone."""
        if self._is_worker:
            return
        files = set(map(_file, self._collected)) if self._whole else set()
        results = {**self._cache.get(KEPT, {}), **self._results}
        kept = {
            name: result
            for name, result in results.items()
            if result.get("chapter") in CHAPTERS
            if name in self._collected or _file(name) not in files
        }
        self._cache.set(KEPT, kept)
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(page(kept), "utf-8")


def page(results: Results) -> str:
    """Write the page."""
    chapters = {name: result["chapter"] for name, result in results.items()}
    names = sorted(results, key=lambda name: (CHAPTERS.index(chapters[name]), name))
    outcomes = Counter(results[name].get("outcome", "not run") for name in names)
    total = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    blocks = [HEAD, f"{len(names)} cases: {total}.\n"]
    blocks += [_rows(title, rows, results) for title, rows in ROWS.items()]
    blocks += [
        _kills(results),
        GUARDS.format(figures=indent(FIGURES.read_text(), "    ").rstrip()),
        "## Every case\n",
    ]
    for title in CHAPTERS:
        blocks.append(
            _chapter(title, [n for n in names if chapters[n] == title], results)
        )
    return "\n".join([*blocks, f"<!-- {fingerprint(names)} -->\n"])


def fingerprint(names: Iterable[str]) -> str:
    """Tell one set of cases from another."""
    names = sorted(names)
    text = "\n".join(names).encode("utf-8", "backslashreplace")
    return f"{len(names)} cases, {hashlib.sha256(text).hexdigest()[:16]}"


def matching(row: Row, names: Iterable[str]) -> list[str]:
    """Find the tests of a row."""
    return [
        name
        for name in names
        if re.search(row.tests, re.sub(r"^.*?(?=test_\w+\.py::)", "", name))
    ]


def _file(name: str) -> str:
    return name.partition("::")[0]


def _rows(title: str, rows: Iterable[Row], results: Results) -> str:
    lines = [
        f"## {title}",
        "",
        "| case | outcome | exit | tried |",
        "|---|---|---|--:|",
    ]
    for row in rows:
        found = matching(row, (name for name in results if "::" in name))
        codes = sorted({results[name].get("exit") for name in found} - {None})
        right = sum(results[name].get("outcome") == "right" for name in found)
        tried = f"{right}" if right == len(found) else f"{right} of {len(found)}"
        exits = ", ".join(map(str, codes))
        lines.append(f"| {row.case} | {row.outcome} | {exits} | {tried} |")
    return "\n".join([*lines, ""])


def _kills(results: Results) -> str:
    lines = []
    for name, result in sorted(results.items()):
        states: Counter[str] = Counter()
        calls: Counter[str] = Counter()
        for call, state, count in result.get("kills", ()):
            states[state] += count
            calls[call] += count if state != "not reached" else 0
        if calls:
            counts = [states[state] for state in ("old", "between", "new")]
            cells = " | ".join(map(str, [_case(name), calls.total(), *counts]))
            listed = ", ".join(
                f"{call} {count}" for call, count in sorted(calls.items())
            )
            lines.append(f"| {cells} | {listed} |")
    return "\n".join([KILLS_HEAD.rstrip(), *lines, ""])


def _chapter(title: str, names: Iterable[str], results: Results) -> str:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_sentence(name)].append(name)
    lines = [f"### {title}", ""]
    for sentence, group in groups.items():
        lines += [*_group(sentence, group, results)]
    return "\n".join([*lines, ""])


def _group(sentence: str, names: list[str], results: Results) -> Iterator[str]:
    wrong = {name: results[name].get("outcome", "not run") for name in names}
    marks = {name: "" if o == "right" else f" ({o})" for name, o in wrong.items()}
    if any(results[name].get("exit") is not None for name in names):
        yield f"- {sentence}:"
        for name in names:
            said = _steady(results[name].get("said", "").partition("\n")[0])
            code = results[name].get("exit")
            shown = f": {_escape(said)}" if said else ""
            yield f"  - {_code(_case(name))}{marks[name]}, exit {code}{shown}"
    elif cases := [f"{_code(_case(n))}{marks[n]}" for n in names if _case(n)]:
        yield f"- {sentence}: {', '.join(cases)}"
    else:
        yield f"- {sentence}{marks[names[0]]}"


def _sentence(name: str) -> str:
    test = name.partition("::")[2].partition("[")[0]
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def _case(name: str) -> str:
    return name.partition("[")[2].removesuffix("]")


def _code(text: str) -> str:
    if not text.isprintable():
        text = text.encode("unicode_escape").decode()
    text = text.replace("\\\\", "\\")  # pytest escapes what it shows
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}" if text else "(empty)"


def _steady(text: str) -> str:
    """Leave out what is another in each run: folders of tests, and free space."""
    text = re.sub(r"'/[^']*/pytest-[^']*?([^/']+)'", r"'.../\1'", text)
    return re.sub(r", [\d.]+ .?i?B free", "", text)


def _escape(text: str) -> str:
    return re.sub(r"([|<>*_`\\])", r"\\\1", text)
