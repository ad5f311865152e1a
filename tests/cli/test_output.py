"""Aligned text, and the JSON of errors."""

from __future__ import annotations

import pytest

from dvc_studio_models.cli.output import (
    align,
    error_to_json,
    fold,
    format_files,
    format_model,
    shorten_lists,
)
from dvc_studio_models.errors import UsageError
from dvc_studio_models.model import FileResult, ModelRef, ModelResult

COMMIT = "3f2a1bc" + "0" * 33


def test_columns_are_aligned_and_lines_have_no_trailing_space() -> None:
    rows = [
        ("a.bin", "1.0 KiB", "unchanged"),
        ("longer.bin", "", "removed"),
        ("b", "", ""),
    ]

    assert align(rows, "<><") == [
        "  a.bin       1.0 KiB  unchanged",
        "  longer.bin           removed",
        "  b",
    ]


def test_no_rows_are_no_lines() -> None:
    assert align([], "<<") == []


@pytest.mark.parametrize(
    ("ref", "version", "commit", "text"),
    [
        pytest.param(
            ModelRef("churn", stage="prod"),
            "v2.0.0",
            COMMIT,
            "churn#prod = v2.0.0 (3f2a1bc)",
            id="stage",
        ),
        pytest.param(
            ModelRef("churn", version="v1.0.0"),
            "v1.0.0",
            COMMIT,
            "churn@v1.0.0 (3f2a1bc)",
            id="version",
        ),
        pytest.param(ModelRef("churn"), None, None, "churn", id="unknown"),
    ],
)
def test_a_model_has_its_version_once(
    ref: ModelRef, version: str | None, commit: str | None, text: str
) -> None:
    assert format_model(ModelResult(ref, version, commit, ())) == text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(UsageError("no name\nGive one"), "no name\nGive one", id="ours"),
        pytest.param(KeyboardInterrupt(), "interrupted by the user", id="interrupt"),
        pytest.param(ValueError(), "ValueError()", id="no message"),
    ],
)
def test_an_error_has_a_message_in_any_case(error: BaseException, message: str) -> None:
    kind = type(error).__name__
    expected = {"kind": kind, "message": message, "exit_code": 5}

    assert error_to_json(error, 5) == {"error": expected}


# -- many files


def files_of(**counts: int) -> list[FileResult]:
    """Return as many files of 1 KiB of each action, in one folder."""
    actions = [action for action, count in counts.items() for _ in range(count)]
    return [
        FileResult(f"models/bert/{at}.bin", 1024, None, action, None)
        for at, action in enumerate(actions)
    ]


@pytest.mark.parametrize(
    ("counts", "row"),
    [
        pytest.param(
            {"downloaded": 288, "unchanged": 12},
            ("models/bert/", "300 files, 300.0 KiB", "downloaded (12 unchanged)"),
            id="some unchanged",
        ),
        pytest.param(
            {"unchanged": 300},
            ("models/bert/", "300 files, 300.0 KiB", "unchanged"),
            id="all unchanged",
        ),
        pytest.param(
            {"unchanged": 290, "link": 3, "download": 5, "conflict": 2},
            (
                "models/bert/",
                "300 files, 300.0 KiB",
                "conflict (5 download, 3 link, 290 unchanged)",
            ),
            id="conflicts first",
        ),
    ],
)
def test_many_files_of_a_folder_are_one_row(
    counts: dict[str, int], row: tuple[str, ...]
) -> None:
    assert format_files(files_of(**counts), each=False) == [row]


def test_each_file_has_a_row_if_there_are_few_or_on_request() -> None:
    few, many = files_of(downloaded=10), files_of(downloaded=11)

    assert len(format_files(few, each=False)) == 10
    assert len(format_files(many, each=False)) == 1
    assert format_files(many, each=True)[10] == (
        *("models/bert/10.bin", "1.0 KiB", "downloaded"),
    )


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        pytest.param(
            ["m/config.json", *(f"m/{part}/{n}" for part in "ab" for n in range(9))],
            {"m/config.json": 1, "m/a/": 9, "m/b/": 9},
            id="folders of folders",
        ),
        pytest.param(
            [f"m/{n}/x/{file}" for n in range(20) for file in "yz"],
            {"m/": 40},
            id="too many folders",
        ),
        pytest.param([f"{n}.bin" for n in range(11)], {"./": 11}, id="the root"),
        pytest.param(
            ["m/alone/x", *(f"m/b/{n}" for n in range(20))],
            {"m/alone/x": 1, "m/b/": 20},
            id="a folder with one file",
        ),
    ],
)
def test_folders_are_as_deep_as_can_be(
    paths: list[str], groups: dict[str, int]
) -> None:
    files = [FileResult(path, 1, None, "link", None) for path in paths]

    assert {path: len(group) for path, group in fold(files).items()} == groups


def test_files_of_unknown_size_are_counted() -> None:
    files = [FileResult(f"m/{n}", None, None, "removed", None) for n in range(20)]

    assert format_files(files, each=False) == [("m/", "20 files", "removed")]


def test_a_long_list_in_a_message_is_shortened_with_a_count() -> None:
    items = [f"  {n}" for n in range(300)]
    message = "\n".join(["would be lost:", *items, "Move them"])

    assert shorten_lists(message, hint="all with -v").split("\n") == [
        "would be lost:",
        *items[:10],
        "  ... and 290 more (all with -v)",
        "Move them",
    ]


@pytest.mark.parametrize("count", [0, 1, 11])
def test_a_list_that_would_not_get_shorter_stays(count: int) -> None:
    message = "\n".join(["lost:", *(f"  {n}" for n in range(count)), "Move them"])

    assert shorten_lists(message, hint="") == message
