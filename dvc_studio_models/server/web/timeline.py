"""Which version was in which stage, and when: the lanes of a time line. No I/O."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.server.web.stages import stage_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.model import TagEvent

MAX_MOMENTS = 40
"""The newest moments that are drawn; more would be too narrow to see."""

NARROWEST = 0.02
"""Of the whole width: what the shortest time between two moments takes."""


@dataclass(frozen=True)
class Span:
    """A version, while it was in a stage."""

    version: str
    begin: int
    """Seconds since 1970."""

    end: int | None
    """Seconds since 1970; None if it still is."""

    left: float = 0.0
    """Where it is drawn, in percent of the width."""

    width: float = 0.0
    """In percent of the whole width."""


@dataclass(frozen=True)
class Lane:
    """A stage, and the versions that were in it, oldest first."""

    stage: str
    spans: tuple[Span, ...]

    @property
    def now(self) -> str | None:
        """The version that is in it now."""
        return self.spans[-1].version if self.spans[-1].end is None else None


@dataclass(frozen=True)
class Timeline:
    """The lanes of a model, those near production first."""

    lanes: tuple[Lane, ...]
    begin: int
    """Its left end, in seconds since 1970."""


def draw_timeline(
    history: Sequence[TagEvent], stages: Mapping[str, str], now: int
) -> Timeline | None:
    """Lay out the history of a model's stages.

    Times are to scale, but for short ones, which are widened.

    Args:
        history: Of the model, newest first.
        stages: Stage to version, as they are now.
        now: The right end, in seconds since 1970.

    Returns:
        None if no stage was ever assigned.
    """
    spans = _find_spans(history, stages)
    ends = (span.end for each in spans.values() for span in each)
    begins = {span.begin for each in spans.values() for span in each}
    moments = sorted(begins | {end for end in ends if end is not None})
    if not moments:
        return None
    moments = moments[-MAX_MOMENTS:]
    now = max(now, moments[-1])
    at = _positions([*moments, now])
    lanes = []
    for stage in sorted(spans, key=stage_order):
        drawn = [_place(span, moments[0], now, at) for span in spans[stage]]
        if kept := tuple(span for span in drawn if span is not None):
            lanes.append(Lane(stage, kept))
    return Timeline(tuple(lanes), moments[0])


def _find_spans(
    history: Sequence[TagEvent], stages: Mapping[str, str]
) -> dict[str, list[Span]]:
    """List the spans of each stage, oldest first."""
    spans: dict[str, list[Span]] = {}
    for event in reversed(history):
        if event.event == "assignment" and event.stage and event.version:
            lane = spans.setdefault(event.stage, [])
            _close(lane, event.time)
            lane.append(Span(event.version, event.time, None))
        elif event.event != "registration":
            stage = event.stage
            ended = [spans.get(stage, [])] if stage else list(spans.values())
            for lane in ended:
                _close(lane, event.time, event.version)
    for stage, lane in spans.items():
        _correct(lane, stages.get(stage), history[0].time)
    return spans


def _correct(lane: list[Span], now: str | None, time: int) -> None:
    """Let a lane end with the version that is in the stage now, which Git says."""
    is_open = lane[-1].end is None
    if is_open and lane[-1].version == now:
        return
    _close(lane, time)
    if now:
        lane.append(Span(now, lane[-1].end or time, None))


def _close(lane: list[Span], time: int, version: str | None = None) -> None:
    """End the open span, if it has this version, or whatever version it has."""
    if lane and lane[-1].end is None and version in {None, lane[-1].version}:
        lane[-1] = Span(lane[-1].version, lane[-1].begin, time)


def _positions(moments: Sequence[int]) -> dict[int, float]:
    """Return where each moment is drawn, in percent."""
    total = max(moments[-1] - moments[0], 1)
    gaps = [
        max((after - before) / total, NARROWEST)
        for before, after in itertools.pairwise(moments)
    ]
    scale, at = 100 / sum(gaps), 0.0
    positions = {moments[0]: 0.0}
    for moment, gap in zip(moments[1:], gaps, strict=True):
        at += gap * scale
        positions[moment] = at
    return positions


def _place(span: Span, begin: int, now: int, at: Mapping[int, float]) -> Span | None:
    """Return where a span is drawn; None if it ended before the time line begins."""
    if span.end is not None and span.end < begin:
        return None
    left = at[max(span.begin, begin)]
    right = at[now if span.end is None else span.end]
    return Span(
        span.version, span.begin, span.end, round(left, 3), round(right - left, 3)
    )
