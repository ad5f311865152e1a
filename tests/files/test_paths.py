"""Which paths may be written: the cases of safety-cases.md A, and Git as the judge."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvc_studio_models.files.paths import _UNPRINTABLE, clashes, path_problem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.reliability("Paths in a reply")

EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


ZERO_WIDTH = "\u200c"  # HFS+ does not see it


def named(*paths: str) -> list[object]:
    return [pytest.param(path, id=ascii(path)[1:-1] or "empty") for path in paths]


# Refused everywhere


@pytest.mark.parametrize(
    "path",
    named("../x", "m/../../x", "..", ".", "./m/a", "m/./a", "m//a", "m/", "", "m/.."),
)
def test_a_path_that_is_not_normal_is_refused(path: str) -> None:
    reason = path_problem(path)

    assert reason == "it has a component that is empty, or only dots and spaces"


@pytest.mark.parametrize(
    "path", named("m/.. /x", "m/... /x", "..:x", f".{ZERO_WIDTH}.", " ", ZERO_WIDTH)
)
def test_what_another_system_reads_as_dots_or_nothing_is_refused(path: str) -> None:
    reason = path_problem(path)

    assert reason == "it has a component that is empty, or only dots and spaces"


@pytest.mark.parametrize("path", named("/x", "//x", "//srv/share/x", "C:/x", "c:x"))
def test_an_absolute_path_is_refused(path: str) -> None:
    assert path_problem(path) == "it is absolute"


@pytest.mark.parametrize(
    "path", named(r"\\srv\share\x", r"..\x", r"m\..\..\x", r"\x", "a\\")
)
def test_a_backslash_is_refused(path: str) -> None:
    assert path_problem(path) == "it contains a backslash"


@pytest.mark.parametrize(
    "path",
    named(
        ".git",
        ".GIT/config",
        "m/.git/hooks/x",
        "m/n/.git",
        ".git /x",
        ".git./x",
        ".git . .",
        ".git::$INDEX_ALLOCATION/x",
        ".git:x",
        f".g{ZERO_WIDTH}it/x",
        "\ufeff.git/x",
        ".g\u200bit/x",
        ".gi\u00adt/x",
        "\uff0egit/x",
    ),
)
def test_every_spelling_of_git_is_refused(path: str) -> None:
    assert path_problem(path) == "it leads into '.git'"


@pytest.mark.parametrize(
    "path",
    named(".dvc", "m/.DVC/config", ".dvc./x", ".dvc::$DATA", f".d{ZERO_WIDTH}vc/x"),
)
def test_every_spelling_of_dvc_is_refused(path: str) -> None:
    assert path_problem(path) == "it leads into '.dvc'"


def test_our_own_hidden_folder_is_refused() -> None:
    reason = path_problem("m/.dvc-models/x")

    assert reason == "it leads into '.dvc-models'"


@pytest.mark.parametrize(
    "path",
    named(
        ".dvcignore",
        ".gitattributes",
        ".gitignore",
        ".gitmodules",
        ".gto",
        ".lfsconfig",
        ".pre-commit-config.yaml",
        "azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        ".circleci/config.yml",
        ".forgejo/workflows/x.yml",
        ".gitea/workflows/x.yml",
        ".github/workflows/x.yml",
        ".gitlab/ci.yml",
        ".gitlab-ci.yml",
        ".travis.yml",
        "Jenkinsfile",
        "dvc.lock",
        "dvc.yaml",
        "churn.pkl.dvc",
        "m/DVC.YAML",
        "m/Churn.DVC ",
        "dvc.yaml::$DATA",
        "dvc.loc\u212a",  # the Kelvin sign is a k where case is folded
        ".gitignor\uff45",
    ),
)
def test_a_file_that_steers_git_dvc_or_ci_is_refused(path: str) -> None:
    reason = path_problem(path)

    assert reason == "it is a file that configures Git, DVC or CI"


@pytest.mark.parametrize(
    "path",
    named(
        "git~1",
        "GIT~1/config",
        "dvc~1",
        "dvc~2.yam",
        "DVC~1.LOC",
        "gitmod~1",
        "gitmod~4",
        "gitatt~1",
        "gitign~1",
        "gi7eba~1",
        "gi7eb~12",
        "gi7e~123",
        "gi7~1234",
        "gi~12345",
        "g~123456",
        "~1234567",
        "gi7d29~1",
        "gi250a~9",
        "github~1",
        "gitlab~1.yml",
        "gitmod~1 .",
        "gi7eba~1:x",
    ),
)
def test_a_short_name_on_ntfs_of_such_a_file_is_refused(path: str) -> None:
    reason = path_problem(path)

    assert reason == "it is a file that configures Git, DVC or CI"


@pytest.mark.parametrize(
    "char",
    [
        pytest.param("\0", id="NUL"),
        pytest.param("\n", id="newline"),
        pytest.param("\x1b", id="ESC"),
        pytest.param("\x7f", id="DEL"),
        pytest.param("\x85", id="NEL"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("\u2028", id="line separator"),
        pytest.param("\u2029", id="paragraph separator"),
    ],
)
def test_a_character_that_ends_lines_or_steers_terminals_is_refused(char: str) -> None:
    reason = path_problem(f"m/a{char}b")

    assert reason == "it contains control characters or invalid Unicode"


@pytest.mark.parametrize(
    "name", [pytest.param("x" * 256, id="ASCII"), pytest.param("é" * 128, id="UTF-8")]
)
def test_a_name_over_255_bytes_is_refused(name: str) -> None:
    reason = path_problem(f"m/{name}")

    assert reason == "a name in it is longer than 255 bytes"


def test_a_path_over_4095_bytes_is_refused() -> None:
    assert path_problem("é/" * 1365 + "x") == ("it is longer than 4095 bytes")


def test_a_path_of_4095_bytes_is_accepted() -> None:
    assert path_problem("é/" * 1364 + "abc") is None


# Accepted


@pytest.mark.parametrize(
    "path",
    named(
        "models/churn.pkl",
        ".mlem/model/clf-model",
        "my model/part one.bin",
        "größe/模型.bin",
        "a:b",
        "m/C:x",
        "m/a:b",
        ":memory:",
        "what?.bin",
        "-rf",
        "~root/.ssh",
        "~",
        "$HOME/x",
        "${IFS}",
        "%2e%2e/x",
        "..x",
        "x..",
        "x.",
        ".x",
        "aux",
        "con.txt",
        "git",
        "dvc",
        ".gitx",
        ".git-x",
        "x.git",
        "model.dvcx",
        "dvc.yaml.bin",
        "git~",
        "git~12",
        "gitmod~5",
        "gi7eba~0",
        "gi7eba~12",
        "~12345678",
        "churn~1",
        "'\"`;&|",
        "👩\u200d🔬.bin",  # joined by a zero-width character
        "x" * 255,
    ),
)
def test_a_real_name_is_accepted(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    named(
        "a:b",
        "a?",
        "a<",
        "a*",
        'a"',
        "a|b",
        "x.",
        "m./x",
        "x ",
        "aux",
        "CON.txt",
        "nul .x",
        "m/com1/x",
        "com¹",
        "LPT9",
        "conin$",
    ),
)
def test_a_name_that_only_windows_lacks_is_accepted(path: str) -> None:
    assert path_problem(path) is None


# Git is the judge


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


def refused_by_git(folder: Path, paths: Iterable[str]) -> set[bytes]:
    """Ask Git to put paths into an index, as files and as links."""
    lines = [
        f"{mode} {EMPTY_BLOB}\t{path}".encode()
        for path in paths
        for mode in ("100644", "120000")
    ]
    (folder / ".git" / "index").unlink(missing_ok=True)
    protect = ["-c", "core.protectNTFS=true", "-c", "core.protectHFS=true"]
    add = ["update-index", "-z", "--add", "--replace", "--index-info"]
    told = subprocess.run(
        ["git", *protect, *add],
        cwd=folder,
        input=b"".join(line + b"\0" for line in lines),
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        check=True,
    ).stderr
    said = b"Ignoring path "
    return {
        line.removeprefix(said) for line in told.splitlines() if line.startswith(said)
    }


def test_git_judges_what_it_is_asked(index: Path) -> None:
    refused = refused_by_git(index, ["m/a", ".git/x", "gi7eba~1"])

    assert refused == {b".git/x", b"gi7eba~1"}


FRAGMENTS = (
    *(".", "..", "git", "GIT", ".git", ".Git", "git~1", "dvc", ".dvc", "x", "-", "é"),
    *("gitmodules", "gitmod", "gi7eba", "gi7", "g", "~", "~1", "~4", "~1234", "0"),
    *(ZERO_WIDTH, "\u202a", "\u206f", "\ufeff", "\u200b", "\u0131", "\u212a"),
    *(" ", ":", "::$INDEX_ALLOCATION", "\\", "\x01", "%2e", "x" * 250),
)
NAMES = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_git_refuses_of_all_short_mixtures_is_refused(
    index: Path, length: int
) -> None:
    names = map("".join, itertools.product(FRAGMENTS, repeat=length))
    accepted = [f"m/{name}" for name in names if not path_problem(name)]

    assert refused_by_git(index, accepted) == set()


@settings(max_examples=30, deadline=None)
@given(paths=st.lists(PATHS, min_size=10, max_size=20))
def test_what_git_refuses_is_refused(index: Path, paths: list[str]) -> None:
    accepted = [path for path in paths if path_problem(path) is None]

    assert refused_by_git(index, accepted) == set()


@settings(max_examples=100, deadline=None)
@given(path=PATHS)
def test_an_accepted_path_leads_where_it_says(path: str) -> None:
    if path_problem(path) is None:
        assert os.path.normpath(f"/root/{path}") == f"/root/{path}"
        assert not {".git", ".dvc"} & {name.lower() for name in path.split("/")}


# Two paths


def test_one_name_twice_is_a_clash() -> None:
    assert list(clashes(["m/a", "m/a"], folding=False)) == [
        ("m/a", "it is the same file as 'm/a' here")
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("m/A", "m/a", id="case"),
        pytest.param("M/a", "m/a", id="case of a folder"),
        pytest.param("m/é", "m/e\u0301", id="composed and not"),
        pytest.param("m/É", "m/e\u0301", id="case and composition"),
        pytest.param("straße", "STRASSE", id="case that changes the length"),
        pytest.param("a\u200cb", "ab", id="zero width"),
    ],
)
def test_names_that_fold_to_one_clash_only_where_names_fold(
    one: str, other: str
) -> None:
    looks_the_same = unicodedata.normalize("NFC", other) == one
    shown = ascii(one) if looks_the_same else repr(one)
    assert list(clashes([one, other], folding=False)) == []
    assert list(clashes([one, other], folding=True)) == [
        (other, f"it is the same file as {shown} here")
    ]


def test_every_name_of_a_clash_is_told() -> None:
    found = dict(clashes(["a", "A", "b", "\u00e1", "a\u0301", "A\u0301"], folding=True))

    assert set(found) == {"A", "a\u0301", "A\u0301"}


def test_a_file_that_is_a_folder_of_another_is_a_clash() -> None:
    found = list(clashes(["m", "m/a", "m/b/c", "m-1", "m.x"], folding=False))

    assert found == [
        ("m/a", "'m' is a file too, so it cannot be a folder"),
        ("m/b/c", "'m' is a file too, so it cannot be a folder"),
    ]


def test_a_file_that_folds_to_a_folder_of_another_is_a_clash() -> None:
    assert list(clashes(["M", "m/a"], folding=True)) == [
        ("m/a", "'M' is a file too, so it cannot be a folder")
    ]


def test_files_beside_each_other_are_no_clash() -> None:
    paths = ["m/a", "m/b", "m/a-1", "m/a.b/c", "n/a", "m/ab/c"]

    assert list(clashes(paths, folding=True)) == []


def test_many_deep_paths_are_compared_in_time() -> None:
    deep = "a/" * 2000
    paths = [f"{deep}{number}" for number in range(2000)]

    assert list(clashes(paths, folding=False)) == []


def test_exactly_unprintable_characters_are_refused() -> None:
    bad = {"Cc", "Cs", "Zl", "Zp"}  # control, lone surrogate, line, paragraph
    why = "it contains control characters or invalid Unicode"
    refused = {
        number
        for number in range(sys.maxunicode + 1)
        if _UNPRINTABLE.search(chr(number))
    }

    assert refused == {
        number
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in bad
    }
    assert {path_problem(f"a{chr(number)}b") for number in refused} == {why}
