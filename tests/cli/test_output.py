"""Aligned text, and the JSON of errors."""

from __future__ import annotations

import pytest

from dvc_studio_models.cli.output import align, error_to_json, format_model
from dvc_studio_models.errors import UsageError
from dvc_studio_models.model import ModelRef, ModelResult

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
