"""The sections of a changelog, and the text of a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from releasing.changelog import HEADING, dated, release_text, section
from releasing.refusal import RefusalError

CHANGELOG = """# Changelog

The format follows rules.

## [Unreleased]

### Added

- New, see [docs/new.md](docs/new.md) and [the
  page](docs/page.md#part).
- `a [b](c)`, and [a site](https://site.test/x).

## [1.2.0] - 2030-01-31

### Fixed

- Something that is told
  in two lines.
  - A part of it.

## [1.1.0]

## [1.0.0] - 2029-12-01

### Added

### Fixed
"""


def test_a_section_ends_where_the_next_begins() -> None:
    assert section(CHANGELOG, "1.2.0").startswith("### Fixed\n")
    assert section(CHANGELOG, "1.2.0").endswith("- A part of it.")


def test_dating_begins_an_empty_section_and_changes_nothing_else() -> None:
    new = dated(CHANGELOG, "1.3.0", "2030-02-01")

    heading = "## [Unreleased]\n\n## [1.3.0] - 2030-02-01\n"
    assert new == CHANGELOG.replace("## [Unreleased]\n", heading)
    assert section(new, "1.3.0") == section(CHANGELOG, "Unreleased")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("3.0.0", "CHANGELOG.md has 0 sections '[3.0.0]', not one"),
        ("1.1.0", "CHANGELOG.md has nothing under '[1.1.0]'"),
        ("1.0.0", "CHANGELOG.md has nothing under '[1.0.0]'"),
        ("Unreleased", "the section '[Unreleased]' of CHANGELOG.md has no date"),
    ],
)
def test_a_section_without_text_or_date_is_no_release(
    version: str, sentence: str
) -> None:
    with pytest.raises(RefusalError) as refused:
        release_text(CHANGELOG, version)

    assert str(refused.value) == sentence


def test_two_sections_of_one_version_are_refused() -> None:
    with pytest.raises(RefusalError, match="has 2 sections"):
        section(CHANGELOG + "## [1.2.0] - 2030-02-01\n", "1.2.0")


def test_a_sentence_that_quotes_the_heading_is_not_dated() -> None:
    rule = "Add yours below `## [Unreleased]`."
    new = dated(
        CHANGELOG.replace("The format follows rules.", rule), "1.3.0", "2030-02-01"
    )

    assert rule in new
    assert section(new, "1.3.0") == section(CHANGELOG, "Unreleased")


def test_a_version_is_not_dated_twice() -> None:
    with pytest.raises(RefusalError, match=r"a section '\[1.1.0\]' already"):
        dated(CHANGELOG, "1.1.0", "2030-02-01")


def test_the_text_of_a_release_has_no_wrapped_line() -> None:
    assert release_text(CHANGELOG, "1.2.0") == (
        "### Fixed\n\n- Something that is told in two lines.\n  - A part of it.\n"
    )


def test_a_relative_link_becomes_the_name_of_the_file() -> None:
    text = release_text(dated(CHANGELOG, "1.3.0", "2030-02-01"), "1.3.0")

    assert "- New, see `docs/new.md` and the page (`docs/page.md#part`).\n" in text
    assert "[a site](https://site.test/x)" in text


def test_the_changelog_of_this_project_can_be_released() -> None:
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text("utf-8")
    headings = [each["version"] for each in HEADING.finditer(changelog)]
    newest = dated(
        changelog.replace("## [Unreleased]\n", "## [Unreleased]\n\n- One.\n"),
        "98.7.6",
        "2030-02-01",
    )

    assert headings[0] == "Unreleased"
    assert len(headings) == len(set(headings)) == changelog.count("\n## ")
    assert "](docs/" not in release_text(newest, "98.7.6")
