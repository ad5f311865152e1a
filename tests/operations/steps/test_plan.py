"""Every decision about a file, from what is known of it; no disk is asked."""

from __future__ import annotations

import pytest

from dvc_studio_models.model import MD5, Digest, ModelFile
from dvc_studio_models.operations.steps.plan import (
    CONFLICT,
    DOWNLOAD,
    LINK,
    UNCHANGED,
    Plan,
    Step,
    TargetState,
    downloads_of,
    make_plan,
)

NEW, OLD = Digest(MD5, "a" * 32), Digest(MD5, "b" * 32)
FILE = ModelFile("m/a", "https://storage/a", NEW, size=10)
UNNAMED = ModelFile("m/a", "https://storage/a", None, size=10)
RIGHT = TargetState(NEW, recoverable=True, size=11)
RIGHT_AND_LOST = TargetState(NEW, recoverable=False, size=11)
OTHER = TargetState(OLD, recoverable=True, size=3)
MINE = TargetState(OLD, recoverable=False, size=3)
LOOSE_LINK = TargetState(None, recoverable=True, size=0)
UNREADABLE = TargetState(None, recoverable=False, size=0)


def decide(
    file: ModelFile, target: TargetState | None, *, cached: int | None, force: bool
) -> Step:
    plan = make_plan(
        [file],
        targets={file.path: target} if target else {},
        cached_size={NEW: cached}.get,
        force=force,
    )
    (step,) = plan.steps
    return step


@pytest.mark.parametrize(
    ("target", "cached", "force", "expected"),
    [
        pytest.param(None, None, False, (DOWNLOAD, 10), id="nothing there"),
        pytest.param(None, 12, False, (LINK, 12), id="nothing there, cached"),
        pytest.param(RIGHT, None, False, (UNCHANGED, 11), id="right"),
        pytest.param(RIGHT, 12, False, (UNCHANGED, 11), id="right, cached"),
        pytest.param(RIGHT, 12, True, (UNCHANGED, 11), id="right, forced"),
        pytest.param(
            RIGHT_AND_LOST, None, False, (UNCHANGED, 11), id="right, nowhere else"
        ),
        pytest.param(OTHER, None, False, (DOWNLOAD, 10), id="known content"),
        pytest.param(OTHER, 12, False, (LINK, 12), id="known content, cached"),
        pytest.param(MINE, None, False, (CONFLICT, 10), id="unknown content"),
        pytest.param(MINE, 12, False, (CONFLICT, 10), id="unknown content, cached"),
        pytest.param(MINE, None, True, (DOWNLOAD, 10), id="unknown, forced"),
        pytest.param(MINE, 12, True, (LINK, 12), id="unknown, forced, cached"),
        pytest.param(LOOSE_LINK, None, False, (DOWNLOAD, 10), id="link to nothing"),
        pytest.param(LOOSE_LINK, 12, False, (LINK, 12), id="link to nothing, cached"),
        pytest.param(UNREADABLE, 12, False, (CONFLICT, 10), id="unreadable"),
        pytest.param(None, 0, False, (LINK, 0), id="an empty file, cached"),
    ],
)
def test_a_file_with_a_hash_is_decided(
    target: TargetState | None,
    cached: int | None,
    force: bool,
    expected: tuple[str, int],
) -> None:
    step = decide(FILE, target, cached=cached, force=force)

    assert (step.action, step.size) == expected


@pytest.mark.parametrize(
    ("target", "force", "expected"),
    [
        pytest.param(None, False, DOWNLOAD, id="nothing there"),
        pytest.param(OTHER, False, DOWNLOAD, id="known content"),
        pytest.param(LOOSE_LINK, False, DOWNLOAD, id="link to nothing"),
        pytest.param(MINE, False, CONFLICT, id="unknown content"),
        pytest.param(MINE, True, DOWNLOAD, id="unknown content, forced"),
    ],
)
def test_a_file_without_a_hash_is_never_taken_for_unchanged(
    target: TargetState | None, force: bool, expected: str
) -> None:
    assert decide(UNNAMED, target, cached=12, force=force).action == expected


def test_the_cache_is_not_asked_about_a_file_that_stays() -> None:
    """To answer, it may have to read a large object."""
    asked: list[Digest] = []
    files = [FILE, ModelFile("m/b", "https://storage/b", NEW)]

    make_plan(files, targets={"m/a": RIGHT, "m/b": MINE}, cached_size=asked.append)

    assert asked == []


def test_files_keep_their_order() -> None:
    files = [ModelFile(path, "https://storage") for path in ("b", "a", "c")]

    plan = make_plan(files, targets={"a": MINE}, cached_size={}.get)

    assert [step.file.path for step in plan.steps] == ["b", "a", "c"]
    assert [step.file.path for step in plan.steps_to(DOWNLOAD)] == ["b", "c"]
    assert [step.file.path for step in plan.steps_to(DOWNLOAD, CONFLICT)] == list("bac")


def test_each_content_is_downloaded_once() -> None:
    files = [
        ModelFile("a", "https://storage/1", NEW),
        ModelFile("b", "https://storage/2", NEW),
        ModelFile("c", "https://storage/3", OLD),
        ModelFile("d", "https://storage/4"),
        ModelFile("e", "https://storage/5"),
    ]

    plan = make_plan(files, targets={}, cached_size={}.get)

    assert [file.path for file in downloads_of([plan])] == ["a", "c", "d", "e"]


def test_what_is_cached_is_not_downloaded() -> None:
    plan = make_plan([FILE], targets={}, cached_size={NEW: 12}.get)

    assert downloads_of([plan]) == []


def test_leftovers_are_part_of_the_plan() -> None:
    plan = make_plan([FILE], targets={}, cached_size={}.get, leftovers=["m/gone"])

    assert plan == Plan((Step(FILE, DOWNLOAD, 10),), ("m/gone",))
