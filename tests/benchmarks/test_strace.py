from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from needs import need_program

from benchmarks.strace import GROUPS, read_counts, traced

if TYPE_CHECKING:
    from pathlib import Path

CODE = """\
import os, threading
for name in ("a", "b", "c"):
    with open(name, "w") as file:
        os.fsync(file.fileno())
    os.rename(name, name * 2)
os.link("aa", "link")
os.fdatasync(os.open(".", os.O_RDONLY))
os.sync()
"""


def count(folder: Path, code: str) -> dict[str, int]:
    log = folder / "calls"
    command = [*traced(log), sys.executable, "-S", "-c", code]
    subprocess.run(command, cwd=folder, check=True)
    return read_counts(log.read_text("utf-8"))


def test_calls_are_counted_by_group(tmp_path: Path) -> None:
    need_program("strace")
    before = count(tmp_path, "import os, threading")

    after = count(tmp_path, CODE)

    more = {group: after[group] - before[group] for group in GROUPS}
    calls = {"fsync": 4, "syncfs": 1, "rename": 3, "link": 1, "open": 4}
    assert {group: more[group] for group in calls} == calls
    assert before["stat"] > 10
    assert before["read"] > 10


def test_calls_of_children_are_counted_too(tmp_path: Path) -> None:
    need_program("strace")
    before = count(tmp_path, "import subprocess")

    after = count(tmp_path, "import subprocess; subprocess.run(['ln', '.', 'x', '-s'])")

    assert after["open"] > before["open"]


@pytest.mark.parametrize("errors", ["", "7"])
def test_a_row_is_read_with_and_without_errors(errors: str) -> None:
    table = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        f" 60.00    0.030000          30      1000 {errors:>9} openat\n"
        " 40.00    0.020000          40       500           open\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    0.050000          33      1500         7 total\n"
    )

    counts = read_counts(table)

    assert counts["open"] == 1500
    assert sum(counts.values()) == 1500
