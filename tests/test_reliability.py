"""``docs/reliability.md`` lists the tests that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mutate_guards import MODULES, mutants
from reliability import fingerprint, matching
from reliability_rows import ROWS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Every case of every chapter, none of which is run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "reliability"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_page_lists_the_cases_that_there_are(names: list[str]) -> None:
    text = (ROOT / "docs/reliability.md").read_text("utf-8")

    assert f"<!-- {fingerprint(names)} -->" in text, "run 'make reliability'"


def test_each_row_of_the_page_has_a_test(names: list[str]) -> None:
    rows = [row for rows in ROWS.values() for row in rows]

    assert [row.case for row in rows if not matching(row, names)] == []


def test_no_case_is_not_right() -> None:
    text = (ROOT / "docs/reliability.md").read_text("utf-8")

    assert re.search(r"^(\d+) cases: \1 right\.$", text, re.M)


@pytest.mark.parametrize("module", MODULES)
def test_the_last_mutation_check_was_of_the_guards_that_there_are(module: str) -> None:
    guards = len(list(mutants(module)))
    text = (ROOT / "docs/reliability.md").read_text("utf-8")

    assert f"\n    {module}: {guards} guards, 0 missed, " in text, "run 'make mutants'"
