"""Bytes, rate and time left, as the terminal can show them."""

from __future__ import annotations

import io
import json

import pytest

from dvc_studio_models.cli.progress import (
    JSON_EVERY_S,
    LINE_EVERY_S,
    BarProgress,
    JsonProgress,
    LineProgress,
    NoProgress,
    make_progress,
)
from dvc_studio_models.model import ModelProgress, PullProgress, format_bytes

MIB = 1 << 20


def progress_of(
    done: int, total: int | None, files: int = 0, files_total: int = 1
) -> PullProgress:
    model = ModelProgress("churn", done, total, files, files_total)
    return PullProgress(done, total, files, files_total, (model,))


class Lines:
    """Lines that were written, and the time at which."""

    def __init__(self) -> None:
        self.now = 100.0
        self.written: list[str] = []
        self.progress = LineProgress(
            "churn", write=self.written.append, clock=lambda: self.now
        )

    def update_after(
        self, seconds: float, done: int, total: int | None, *files: int
    ) -> None:
        self.now += seconds
        self.progress.update(progress_of(done, total, *files))


def test_a_line_has_bytes_rate_and_time_left() -> None:
    lines = Lines()
    lines.update_after(0, 0, None)

    lines.update_after(LINE_EVERY_S, 10 * MIB, 40 * MIB)

    assert lines.written == ["churn: 10.0 MiB of 40.0 MiB (25%), 2.0 MiB/s, 15 s left"]


def test_resumed_bytes_are_done_but_do_not_count_for_the_rate() -> None:
    lines = Lines()
    lines.update_after(0, 20 * MIB, 40 * MIB)

    lines.update_after(LINE_EVERY_S, 30 * MIB, 40 * MIB)

    assert lines.written == ["churn: 30.0 MiB of 40.0 MiB (75%), 2.0 MiB/s, 5 s left"]


def test_a_line_has_the_number_of_files_if_there_are_several() -> None:
    lines = Lines()
    lines.update_after(0, 0, None, 0, 300)

    lines.update_after(LINE_EVERY_S, 5 * MIB, None, 12, 300)

    assert lines.written == ["churn: 5.0 MiB, 12/300 files, 1.0 MiB/s"]


def test_without_a_total_a_line_has_bytes_and_rate() -> None:
    lines = Lines()
    lines.update_after(0, 0, None)

    lines.update_after(LINE_EVERY_S, 5 * MIB, None)

    assert lines.written == ["churn: 5.0 MiB, 1.0 MiB/s"]


def test_lines_are_written_every_few_seconds_however_many_updates() -> None:
    lines = Lines()

    for done in range(100):
        lines.update_after(LINE_EVERY_S / 10, done, 100)

    assert len(lines.written) == 9


def test_a_pull_that_is_short_writes_no_line() -> None:
    lines = Lines()

    lines.update_after(0, 0, 100)
    lines.update_after(LINE_EVERY_S / 2, 100, 100)
    lines.progress.close()

    assert lines.written == []


def test_bytes_that_were_discarded_do_not_count_for_the_rate() -> None:
    lines = Lines()
    lines.update_after(0, 10 * MIB, 40 * MIB)

    lines.update_after(LINE_EVERY_S, 0, 40 * MIB)
    lines.update_after(LINE_EVERY_S, 10 * MIB, 40 * MIB)

    assert lines.written == [
        "churn: 0 B of 40.0 MiB (0%), 0 B/s",
        "churn: 10.0 MiB of 40.0 MiB (25%), 2.0 MiB/s, 15 s left",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    bar = BarProgress("churn")

    bar.update(progress_of(10, 100, 1, 300))
    bar.update(progress_of(60, 100, 2, 300))
    drawn = terminal.getvalue()
    bar.close()

    assert "churn" in drawn
    assert "/300 files" in drawn
    assert terminal.getvalue().rpartition("\r")[0].strip()
    assert not terminal.getvalue().rstrip("\r").rpartition("\r")[2].strip()


def test_a_bar_that_was_never_drawn_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    BarProgress("churn").close()

    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("stderr", "kind", "expected"),
    [
        pytest.param(Terminal(), "auto", BarProgress, id="terminal"),
        pytest.param(io.StringIO(), "auto", LineProgress, id="file"),
        pytest.param(None, "auto", LineProgress, id="closed"),
        pytest.param(Terminal(), "none", NoProgress, id="none"),
        pytest.param(Terminal(), "plain", LineProgress, id="plain"),
        pytest.param(io.StringIO(), "bar", BarProgress, id="bar"),
        pytest.param(Terminal(), "json", JsonProgress, id="json"),
    ],
)
def test_the_kind_of_progress_fits_the_terminal_or_the_option(
    monkeypatch: pytest.MonkeyPatch, stderr: object, kind: str, expected: type
) -> None:
    monkeypatch.setattr("sys.stderr", stderr)

    assert type(make_progress("churn", kind)) is expected


# -- JSON


def test_the_progress_is_a_json_object_a_line_not_too_often_and_complete() -> None:
    now, written = 100.0, []
    progress = JsonProgress(write=written.append, clock=lambda: now)
    for count in range(21):
        progress.update(progress_of(count * MIB, 20 * MIB, count, 20))
        now += JSON_EVERY_S / 4
    progress.close()
    progress.end({"seconds": 2})

    *states, result = map(json.loads, written)
    assert result == {"event": "result", "seconds": 2}
    assert [state["files"] for state in states] == [0, 4, 8, 12, 16, 20]
    assert states[-1] == {
        "event": "progress",
        "bytes": 20 * MIB,
        "total": 20 * MIB,
        "files": 20,
        "files_total": 20,
        "rate": 8 * MIB,
        "models": [
            {
                "name": "churn",
                "bytes": 20 * MIB,
                "total": 20 * MIB,
                "files": 20,
                "files_total": 20,
            }
        ],
    }


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (47395840, "45.2 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5.0 TiB"),
        (5000 << 40, "5000.0 TiB"),
    ],
)
def test_bytes_have_a_unit_that_people_can_read(count: int, text: str) -> None:
    assert format_bytes(count) == text
