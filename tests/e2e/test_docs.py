"""Runs every command in README.md and docs/, page by page.

In a ```console block, lines with ``$ `` are commands and the other lines their output,
which may be left out. A command may end in ``# exits with N``.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from projects import copy_project, git

from tests.e2e.conftest import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Registry

ROOT = Path(__file__).parents[2]
ORIGIN = "git@github.com:acme/models.git"
RUN_ELSEWHERE = {
    "docker.md": "test_docker.py",
    "urls.md": "test_options.py",
    "self-hosting.md": "test_self_hosting.py",
}
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *(page for page in DOCS if page.name not in RUN_ELSEWHERE)]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
EXITS = re.compile(r"#.*\bexits with (\d+)")
NOT_RUN = {
    **dict.fromkeys(("pip ", "uv ", "pipx "), "is run by tests/test_installation.py"),
    "export DVC_STUDIO_TOKEN=": "is the reader's own token",
    "make bench": "takes minutes, on a quiet machine",
}
VOLATILE = [
    (r"\x1b\[\d*m", ""),
    (r"\b[0-9a-f]{7}\b", "COMMIT"),
    (r" in \d+\.\d s", " in SECONDS"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE"),
    (r"'/[^']*/\.dvc/cache'", "'CACHE'"),
    (r"\d+(\.\d)? (B|KiB|MiB)", "SIZE"),
    (r"[0-9a-f]{8,}", "HASH"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\d+ files?", "FILES"),
    (r"[ \t]+", " "),
]


@dataclass(frozen=True)
class Command:
    """One command of a page."""

    text: str
    shown: str
    """What the page shows of its output."""

    @property
    def exit_code(self) -> int:
        found = EXITS.search(self.text)
        return int(found[1]) if found else 0

    @property
    def is_run(self) -> bool:
        return not self.text.startswith(tuple(NOT_RUN))


def commands(page: Path) -> Iterator[Command]:
    for language, block in FENCED.findall(page.read_text("utf-8")):
        assert language, f"{page.name}: a block without a language"
        if language in {"bash", "sh", "shell"}:
            pytest.fail(f"{page.name}: write ```console, which is run")
        if language == "console":
            first, *parts = re.split(r"^\$ ", block, flags=re.M)
            assert not first, f"{page.name}: {first!r} comes before a command"
            yield from map(cut, parts)


def cut(part: str) -> Command:
    """Split a command, which may be continued by a backslash, from its output."""
    lines = part.splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines, 1) if not line.endswith("\\\n"))
    return Command("".join(lines[:end]).rstrip("\n"), "".join(lines[end:]))


@pytest.fixture
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Serve a project, to which a page may push, under the name in the pages."""
    folder = tmp_path_factory.mktemp("acme")
    project = copy_project(
        tmp_path_factory.getbasetemp() / "template", folder / "project"
    )
    git(project.repo, "remote", "set-url", "origin", ORIGIN)
    with serve(project, folder) as served:
        yield served


@pytest.fixture
def reader(acme: Registry, tmp_path: Path) -> Path:
    """A clone that contains the examples which the pages link to."""
    clone = acme.project.clone(tmp_path / "clone", origin=ORIGIN)
    shutil.copytree(ROOT / "examples", clone / "examples")
    git(clone, "remote", "set-url", "--push", "origin", str(acme.project.repo))
    (clone / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\n    url = {acme.project.storage}\n"
    )
    return clone


def run(
    page: list[Command], folder: Path, env: dict[str, str]
) -> list[tuple[int, str]]:
    """Run all commands in one shell; return the exit code and output of each."""
    mark = "=-=-="
    lines = [f"{command.text}\nprintf '\\n%s\\n' \"{mark} $?\"\n" for command in page]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{''.join(lines)}"],
        cwd=folder,
        env={**os.environ, **env, "PATH": path},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    found = re.findall(rf"(.*?)\n{mark} (\d+)\n", done.stdout, re.S)
    assert len(found) == len(page), done.stdout
    return [(int(code), output) for output, code in found]


def level(text: str) -> list[str]:
    """Replace values that differ between runs."""
    for pattern, word in VOLATILE:
        text = re.sub(pattern, word, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.slow
def test_what_a_page_shows_is_what_happens(
    acme: Registry, reader: Path, page: Path
) -> None:
    shown = [command for command in commands(page) if command.is_run]

    happened = run(shown, reader, acme.environ)

    for command, (code, output) in zip(shown, happened, strict=True):
        assert (command.text, code) == (command.text, command.exit_code), output
        if command.shown or not output.strip():
            assert (command.text, level(output)) == (command.text, level(command.shown))


@pytest.mark.parametrize(
    "page", [page for page in DOCS if page.name in RUN_ELSEWHERE], ids=lambda p: p.name
)
def test_a_page_that_is_not_run_here_has_a_test_of_its_own(page: Path) -> None:
    test = Path(__file__).with_name(RUN_ELSEWHERE[page.name])

    assert f"docs/{page.name}" in test.read_text("utf-8")


def test_what_is_not_run_is_shown_somewhere() -> None:
    texts = [command.text for page in PAGES for command in commands(page)]

    assert [
        start for start in NOT_RUN if not any(text.startswith(start) for text in texts)
    ] == []


TOLD = re.compile(r"^- \*\*`(.+?)`\*\*:", re.M)
GAP = "..."


def said_by_the_code() -> str:
    """Return all strings of the package; values filled in at run time are gaps."""
    texts = []
    for path in (ROOT / "dvc_studio_models").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [getattr(value, "value", GAP) for value in node.values]
                texts.append("".join(p if isinstance(p, str) else GAP for p in parts))
    return "\n".join(" ".join(text.split()) for text in texts)


def test_each_message_of_the_troubleshooting_is_one_of_ours() -> None:
    messages = TOLD.findall((ROOT / "docs/troubleshooting.md").read_text("utf-8"))
    assert len(messages) > 5
    ours = said_by_the_code()

    def is_ours(message: str) -> bool:
        filled_in = re.sub(r"\d{3}( Forbidden)?|text/html", GAP, message)
        words = map(re.escape, filled_in.split(GAP))
        return bool(re.search(".*?".join(words), ours))

    assert [message for message in messages if not is_ours(message)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.slow
def test_the_python_of_a_page_runs(acme: Registry, reader: Path, page: Path) -> None:
    blocks = FENCED.findall(page.read_text("utf-8"))
    code = "".join(block for language, block in blocks if language == "python")

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=reader,
        env={**os.environ, **acme.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_rule_on_the_page_of_pins_pulls_what_is_pinned(
    acme: Registry, reader: Path
) -> None:
    blocks = FENCED.findall((ROOT / "docs/pins.md").read_text("utf-8"))
    (rule,) = (block for language, block in blocks if language == "make")
    (reader / "Makefile").write_text(rule)
    page = [
        Command("dvc models pull churn --lock --quiet && rm models/churn.pkl", ""),
        Command("make --silent && make --question && ls models/churn.pkl", ""),
    ]

    assert [code for code, _ in run(page, reader, acme.environ)] == [0, 0]


def test_the_page_on_the_hook_quotes_its_line() -> None:
    line = (ROOT / "dvc-studio-models.pth").read_text("utf-8")

    assert f"```text\n{line}```" in (ROOT / "docs/hook.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
def test_the_demo_reads_nothing_of_the_users(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "dvc", tmp_path / "git"):
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text("no config\n")
    users = {
        **dict.fromkeys(("XDG_CONFIG_HOME", "DVC_GLOBAL_CONFIG_DIR"), str(tmp_path)),
        "GIT_DIR": "/none",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    done = subprocess.run(
        ["bash", ROOT / "examples/demo.sh"],
        env={**os.environ, **users},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_picture_is_small_and_shows_pulls() -> None:
    picture = ROOT / "docs" / "pull.svg"

    shown = "".join(ET.parse(picture).getroot().itertext())

    assert picture.stat().st_size < 40_000
    assert "$ dvc models pull churn --stage prod" in shown
    assert "verified against Git" in shown
