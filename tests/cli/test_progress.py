"""Bytes, rate and time left, as the terminal can show them."""

from __future__ import annotations

import io

import pytest

from dvc_studio_models.cli.progress import (
    LINE_EVERY_S,
    BarProgress,
    LineProgress,
    SilentProgress,
    format_bytes,
    make_progress,
)

MIB = 1 << 20


class Lines:
    """Lines that were written, and the time at which."""

    def __init__(self) -> None:
        self.now = 100.0
        self.written: list[str] = []
        self.progress = LineProgress(
            "churn", write=self.written.append, clock=lambda: self.now
        )

    def update_after(self, seconds: float, done: int, total: int | None) -> None:
        self.now += seconds
        self.progress.update(done, total)


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

    bar.update(10, 100)
    bar.update(60, 100)
    drawn = terminal.getvalue()
    bar.close()

    assert "churn" in drawn
    assert terminal.getvalue().rpartition("\r")[0].strip()
    assert not terminal.getvalue().rstrip("\r").rpartition("\r")[2].strip()


def test_a_bar_that_was_never_drawn_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    BarProgress("churn").close()

    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("stderr", "quiet", "kind"),
    [
        pytest.param(Terminal(), False, BarProgress, id="terminal"),
        pytest.param(io.StringIO(), False, LineProgress, id="file"),
        pytest.param(None, False, LineProgress, id="closed"),
        pytest.param(Terminal(), True, SilentProgress, id="quiet"),
    ],
)
def test_the_kind_of_progress_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, stderr: object, quiet: bool, kind: type
) -> None:
    monkeypatch.setattr("sys.stderr", stderr)

    assert type(make_progress("churn", quiet=quiet)) is kind


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
