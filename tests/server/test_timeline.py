"""The time line of a model's stages: which version, from when to when, and where."""

from __future__ import annotations

import pytest

from dvc_studio_models.model import TagEvent
from dvc_studio_models.server.web.timeline import MAX_MOMENTS, Timeline, draw_timeline

NOW = 1000


def event(time: int, kind: str, version: str | None, stage: str | None) -> TagEvent:
    return TagEvent(kind, version, stage, "c" * 40, time, "Ada", "", "", "tag")


def draw(
    *events: tuple[int, str, str | None, str | None], **stages: str
) -> Timeline | None:
    history = [event(*each) for each in sorted(events, reverse=True)]
    return draw_timeline(history, stages, NOW)


def spans(timeline: Timeline | None) -> dict[str, list[tuple[str, int, int | None]]]:
    assert timeline
    return {
        lane.stage: [(span.version, span.begin, span.end) for span in lane.spans]
        for lane in timeline.lanes
    }


def test_a_version_is_in_a_stage_until_the_next_one_is() -> None:
    timeline = draw(
        (0, "assignment", "v1", "prod"),
        (400, "assignment", "v2", "prod"),
        (500, "assignment", "v2", "dev"),
        prod="v2",
        dev="v2",
    )

    assert spans(timeline) == {
        "prod": [("v1", 0, 400), ("v2", 400, None)],
        "dev": [("v2", 500, None)],
    }
    assert timeline
    assert [lane.now for lane in timeline.lanes] == ["v2", "v2"]


@pytest.mark.parametrize(
    ("kind", "version", "stage"),
    [
        ("unassignment", "v1", "prod"),
        ("deregistration", "v1", None),
        ("deprecation", None, None),
    ],
)
def test_a_version_leaves_a_stage(
    kind: str, version: str | None, stage: str | None
) -> None:
    timeline = draw((0, "assignment", "v1", "prod"), (600, kind, version, stage))

    assert spans(timeline) == {"prod": [("v1", 0, 600)]}


def test_what_is_in_a_stage_now_is_what_git_says() -> None:
    timeline = draw(
        (0, "assignment", "v1", "prod"),
        (300, "assignment", "v2", "prod"),
        (600, "unassignment", "v2", "prod"),
        (0, "assignment", "v1", "dev"),
        prod="v1",
    )

    assert spans(timeline) == {
        "prod": [("v1", 0, 300), ("v2", 300, 600), ("v1", 600, None)],
        "dev": [("v1", 0, 600)],
    }


def test_a_time_line_is_to_scale_and_fills_the_width() -> None:
    timeline = draw(
        (0, "assignment", "v1", "prod"), (250, "assignment", "v2", "prod"), prod="v2"
    )

    assert timeline
    (lane,) = timeline.lanes
    assert [(span.left, span.width) for span in lane.spans] == [(0, 25), (25, 75)]


def test_short_times_can_be_seen_and_old_ones_are_left_out() -> None:
    many = [(t, "assignment", f"v{t}", "prod") for t in range(100)]
    timeline = draw((0, "assignment", "v0", "dev"), *many, prod="v99", dev="v0")

    assert timeline
    prod, dev = timeline.lanes
    assert len(prod.spans) <= MAX_MOMENTS + 1
    assert min(span.width for span in prod.spans[1:]) > 1
    assert dev.spans[0].left == 0
    assert sum(span.width for span in prod.spans) == pytest.approx(100, abs=0.1)


def test_without_stages_there_is_no_time_line() -> None:
    assert draw((0, "registration", "v1", None)) is None
    assert draw() is None
