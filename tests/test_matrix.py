"""``make test-matrix``: its cells, what it installs, and the table that it writes."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

import pytest
from environments import ROOT, run
from needs import need_package

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REPORT = """<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3"
tests="10" time="1.5"></testsuite></testsuites>"""


@pytest.fixture(scope="module")
def noxfile() -> Any:
    need_package("nox")
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(cell: str, passed: int) -> list[str]:
    versions = ["3.10.13", "3.50.3", "newest"]
    return [cell, *versions, str(passed), "0", "1", "abcdef0", "2026-11-29"]


def table_of(page: str) -> Sequence[str]:
    return re.findall(r"^\| 3.*", page, re.MULTILINE)


def test_a_row_is_replaced_and_the_others_stay(noxfile: Any) -> None:
    page = f"before\n{noxfile.BEGIN}\n{noxfile.END}\nafter\n"
    for cell, passed in (("3.13-newest", 1), ("3.10-dvc3.50", 2), ("3.13-newest", 3)):
        page = noxfile.with_row(page, row(cell, passed))

    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert [line.split(" | ")[:5:4] for line in table_of(page)] == [
        ["| 3.10-dvc3.50", "2"],
        ["| 3.13-newest", "3"],
    ]


def test_the_row_of_a_cell_that_has_gone_goes(noxfile: Any) -> None:
    page = f"{noxfile.BEGIN}\n{noxfile.END}\n"
    old = f"| {' | '.join(row('3.9-newest', 1))} |\n"
    page = page.replace(noxfile.END, old + noxfile.END)

    assert "3.9" not in noxfile.with_row(page, row("3.10-newest", 1))


def test_errors_are_failures(noxfile: Any) -> None:
    assert noxfile.count(REPORT) == (4, 3, 3)


LATE = """
import pytest
from pathlib import Path

def test_passes(): pass

def test_fails(): assert not {fails}

@pytest.mark.clock
def test_is_late_once():
    before = Path("before")
    was_late = before.exists()
    before.touch()
    assert was_late

@pytest.mark.slow
def test_slow(): assert False
"""


@pytest.mark.parametrize(("fails", "counts"), [(0, (4, 0, 0)), (1, (3, 1, 0))])
def test_only_a_late_test_gets_a_second_run(
    noxfile: Any, tmp_path: Path, fails: int, counts: tuple[int, int, int]
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_seams.py").write_text("def test_seam(): pass\n")
    (tmp_path / "tests/test_late.py").write_text(LATE.format(fails=fails))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = clock\n slow\n")

    def in_folder(*args: str, stdout: IO[str], success_codes: Any, **_: Any) -> None:
        command = [sys.executable, *args[1:]]
        done = subprocess.run(command, cwd=tmp_path, stdout=stdout, check=False)
        assert done.returncode in success_codes

    assert noxfile.run_tests(in_folder, tmp_path) == counts


def test_only_what_users_need_is_the_oldest(
    noxfile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    resolved = "certifi==2026.1.1\ndvc==3.50.0\npyjwt==2.10.0\npytest==8.0.0\n"

    assert noxfile.only_ours(resolved) == "dvc==3.50.0\npyjwt==2.10.0\n"


def test_each_python_that_is_promised_has_its_cells(noxfile: Any) -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    promised = re.findall(r'Programming Language :: Python :: (3\.\d+)"', text)

    assert list(noxfile.PYTHONS) == promised
    assert {each.python for each in noxfile.CELLS} == set(promised)


def test_the_page_has_the_place_of_the_table(noxfile: Any) -> None:
    text = (ROOT / noxfile.PAGE).read_text("utf-8")

    assert text.index(noxfile.BEGIN) < text.index(noxfile.END)


def test_a_cell_that_does_not_exist_is_answered_with_those_that_do(
    noxfile: Any,
) -> None:
    names = [each.name for each in noxfile.CELLS]

    assert noxfile.chosen("") == names
    assert noxfile.chosen("3.13-newest 3.10-dvc3.50") == ["3.13-newest", "3.10-dvc3.50"]
    with pytest.raises(SystemExit) as ended:
        noxfile.chosen("3.13-newest 3.10-dvc3.5")
    assert str(ended.value).splitlines()[0] == "no such cell: 3.10-dvc3.5"
    assert str(ended.value).split()[-len(names) :] == names


@pytest.mark.usefixtures("noxfile")
def test_a_missing_python_is_named_with_what_installs_it(tmp_path: Path) -> None:
    done = run(
        *(sys.executable, "-m", "nox", "--noxfile", ROOT / "noxfile.py"),
        *("--envdir", tmp_path, "--session", "3.10-newest"),
        PYENV_ROOT=str(tmp_path),
        PATH=str(tmp_path),
    )

    assert done.returncode == 1
    assert "Python 3.10 is missing: 'pyenv install 3.10', or put" in done.stderr
