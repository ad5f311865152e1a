from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import table, write

if TYPE_CHECKING:
    from pathlib import Path


def test_columns_of_numbers_are_aligned_to_the_right() -> None:
    text = table(("command", "ms"), [("`dvc`", "130"), ("`python`", "8")])

    assert text.splitlines() == [
        "| command | ms |",
        "| --- | --: |",
        "| `dvc` | 130 |",
        "| `python` | 8 |",
    ]


def test_notes_that_people_wrote_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Old\n\n## Notes\n\nWhy.\n\n### Which HTTP client\n\nThis one.\n")

    write(path, "# New\n")

    kept = "## Notes\n\nWhy.\n\n### Which HTTP client\n\nThis one.\n"
    assert path.read_text() == f"# New\n\n{kept}"
