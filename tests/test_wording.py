"""Readers stopped at the sentences in ``wordings.txt``; none of them comes back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDINGS = Path(__file__).with_name("wordings.txt")
BETWEEN_STRINGS = re.compile(r"[\"']\s*\n\s*[frb]*[\"']")


def test_no_text_has_a_sentence_that_readers_stopped_at() -> None:
    sentences = WORDINGS.read_text("utf-8").splitlines()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md", "*.py", "*.sh", "*.yml", "Makefile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert len(files) > 100

    found = [
        (path.name, sentence)
        for path in files
        if path.is_file()
        for text in [flat(path.read_text("utf-8"))]
        for sentence in sentences
        if sentence in text
    ]

    assert found == []


def test_a_sentence_is_found_in_pieces() -> None:
    assert "Only tell what" in flat('help="Only "\n    "tell what",')


def flat(text: str) -> str:
    """Join adjacent strings and lines."""
    return " ".join(BETWEEN_STRINGS.sub("", text).split())
