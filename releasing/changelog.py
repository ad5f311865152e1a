"""The sections of CHANGELOG.md: finds them, dates them, prints one as release text."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from releasing.refusal import RefusalError, end

UNRELEASED = "## [Unreleased]"
HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>.+))?$", re.M)
RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")
TITLE = re.compile(r"^#+ .*$", re.M)
WRAPPED = re.compile(r"(?<=\S)\n +(?![-*] )(?=\S)")


def section(changelog: str, version: str) -> str:
    """Return the text below the heading of a version, without the heading.

    Raises:
        RefusalError: There is no such section, or more than one, or it has nothing
            but titles.
    """
    headings = list(HEADING.finditer(changelog))
    found = [n for n, each in enumerate(headings) if each["version"] == version]
    if len(found) != 1:
        message = f"CHANGELOG.md has {len(found)} sections '[{version}]', not one"
        raise RefusalError(message)
    (n,) = found
    end_of_text = headings[n + 1].start() if n + 1 < len(headings) else None
    text = changelog[headings[n].end() : end_of_text].strip()
    if not TITLE.sub("", text).strip():
        message = f"CHANGELOG.md has nothing under '[{version}]'"
        raise RefusalError(message)
    return text


def dated(changelog: str, version: str, date: str) -> str:
    """Give the unreleased section a version and a date; begin an empty one above it.

    Raises:
        RefusalError: Nothing is unreleased, or the version has a section already.
    """
    section(changelog, "Unreleased")
    if any(each["version"] == version for each in HEADING.finditer(changelog)):
        message = f"CHANGELOG.md has a section '[{version}]' already"
        raise RefusalError(message)
    (old,) = (h for h in HEADING.finditer(changelog) if h["version"] == "Unreleased")
    new = f"{UNRELEASED}\n\n## [{version}] - {date}"
    return f"{changelog[: old.start()]}{new}{changelog[old.end() :]}"


def release_text(changelog: str, version: str) -> str:
    """Return the section of a release as a page outside of the repo shows it.

    There, a relative link leads nowhere and a line break is kept. A link becomes the
    name of the file, and a wrapped line becomes one.

    Raises:
        RefusalError: There is no such section, or it has no date.
    """
    text = section(changelog, version)
    if not any(
        each["version"] == version and each["date"]
        for each in HEADING.finditer(changelog)
    ):
        message = f"the section '[{version}]' of CHANGELOG.md has no date"
        raise RefusalError(message)
    return RELATIVE_LINK.sub(_file_name, WRAPPED.sub(" ", text)) + "\n"


def _file_name(link: re.Match[str]) -> str:
    text, path = link.groups()
    return f"`{path}`" if text == path else f"{text} (`{path}`)"


def main() -> None:
    """Print the release text of a version or of its tag."""
    parser = argparse.ArgumentParser(prog="releasing.changelog", description=__doc__)
    parser.add_argument("version", help="as 1.2.0, or the tag v1.2.0")
    version = parser.parse_args().version.removeprefix("v")
    changelog = Path("CHANGELOG.md").read_text("utf-8")
    print(release_text(changelog, version), end="")


if __name__ == "__main__":
    end(main)
