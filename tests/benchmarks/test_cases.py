"""The benchmark itself, with very small sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from environments import ROOT
from needs import lacking

from benchmarks import needs
from benchmarks.cases import CASES, LARGEST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

SMALL = "imports,many,calls,one-cached"


def test_every_size_is_that_of_a_case() -> None:
    assert set(LARGEST_BYTES) <= set(CASES)


@pytest.mark.slow
def test_the_cases_of_small_files_run(tmp_path: Path) -> None:
    if missing := needs.missing():
        lacking(f"{', '.join(missing)}: missing")
    before = (ROOT / "benchmarks/RESULTS.md").read_bytes()
    (tmp_path / "tmp").mkdir()
    env = {"BENCH_CASES": SMALL, "BENCH_ROUNDS": "1", "BENCH_SCALE": "0.005"}

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks"],
        cwd=ROOT,
        env={**os.environ, **env, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("### ") for line in lines) == len(SMALL.split(","))
    for row in ("dvc models pull", "dvc artifacts get", "bare prototype", "md5sum"):
        assert sum(line.startswith(f"| `{row}` |") for line in lines) == 1
    assert any(line.startswith("| 1,000 x 100 KiB | `dvc mod") for line in lines)
    assert (ROOT / "benchmarks/RESULTS.md").read_bytes() == before
    assert list((tmp_path / "tmp").iterdir()) == []
