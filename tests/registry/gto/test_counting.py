"""How tags are counted: GTO itself is the judge, over random histories."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from gto.base import BaseRegistryState
from gto.constants import ACTION, NAME, STAGE, VERSION, Action, VersionSort
from gto.exceptions import ManyVersions
from gto.tag import index_tag, parse_name
from gto.versions import SemVer
from histories import COMMITS, SOME_HISTORIES, VERSIONS, histories, make, tag_names
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scmrepo.git import Git
from scmrepo.git.objects import GitTag
from tagging import make_commits

from dvc_studio_models.model import ModelVersion
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.gto.counting import (
    CountedTag,
    RegisteredModel,
    count,
    semver_key,
)
from dvc_studio_models.registry.gto.tags import parse_tag, read_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ORDER = {
    Action.DEPRECATE: 0,
    Action.REGISTER: 1,
    Action.DEREGISTER: 1,
    Action.ASSIGN: 2,
    Action.UNASSIGN: 2,
}


# -- what GTO says


@dataclass
class ByGto:
    """What GTO counts, and where it refuses to choose between versions."""

    models: dict[str, RegisteredModel] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)


def count_by_gto(tags: Sequence[GitTag]) -> ByGto:
    """Count tags as GTO does, in its order; one that it cannot count is left out."""
    found = ByGto()
    state = BaseRegistryState()
    parsed = [(parse_name(tag.name, raise_on_fail=False), tag) for tag in tags]
    ours = [(names, tag) for names, tag in parsed if names.get(ACTION) in ORDER]
    ours.sort(key=lambda pair: (ORDER[pair[0][ACTION]], pair[1].tag_time, pair[1].name))
    for names, tag in ours:
        artifact = state.find_artifact(names[NAME], create_new=True)
        try:
            state.update_artifact(index_tag(artifact, tag))
        except ManyVersions:
            found.undecided.add(names[NAME])
    for name, artifact in state.get_artifacts().items():
        if artifact.is_active:
            found.models[name] = _known(artifact)
    return found


def _known(artifact: Any) -> RegisteredModel:
    def at(each: Any) -> ModelVersion:
        return ModelVersion(each.version, each.commit_hexsha)

    stages = artifact.get_vstages(sort=VersionSort.Timestamp).items()
    return RegisteredModel(
        artifact.artifact,
        tuple(map(at, artifact.get_versions())),
        {stage: at(assigned[0]) for stage, assigned in sorted(stages)},
    )


def annotated_tags(repo: Path) -> list[GitTag]:
    """Read the annotated tags as GTO does, and the commits behind tags of tags."""
    with contextlib.closing(Git(str(repo))) as scm:
        tags = [(name, scm.get_tag(name)) for name in scm.list_tags()]
        return [
            replace(tag, name=name, target=scm.resolve_rev(f"refs/tags/{name}^{{}}"))
            for name, tag in tags
            if isinstance(tag, GitTag)
        ]


def with_one_version_a_commit(tags: Sequence[GitTag]) -> list[GitTag]:
    """Leave out, of several versions on a commit, all but the one that is shown."""
    times: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(dict)
    for tag in sorted(tags, key=lambda tag: (tag.tag_time, tag.name)):
        names = parse_name(tag.name, raise_on_fail=False)
        if VERSION in names:
            at = times[names[NAME], tag.target]
            latest = at.setdefault(names[VERSION], [-1, -1])
            which = names[ACTION] is Action.DEREGISTER
            latest[which] = max(latest[which], tag.tag_time)
    shown = {
        key: max(
            reversed(at), key=lambda v, at=at: (at[v][0] > at[v][1], SemVer.parse(v))
        )
        for key, at in times.items()
    }

    def is_kept(tag: GitTag) -> bool:
        names = parse_name(tag.name, raise_on_fail=False)
        return VERSION not in names or shown[names[NAME], tag.target] == names[VERSION]

    return [tag for tag in tags if is_kept(tag)]


# -- random histories


@functools.cache
def _history(folder: Path) -> tuple[Path, list[str]]:
    return folder, make_commits(folder, COMMITS)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return _history(tmp_path_factory.mktemp("counting") / "repo")


def check(ours: dict[str, RegisteredModel], tags: Sequence[GitTag]) -> None:
    """Compare our models with GTO's."""
    by_gto = count_by_gto(tags)
    for name in {*ours, *by_gto.models} - by_gto.undecided:
        assert ours.get(name) == by_gto.models.get(name)
    # Where a stage is on a commit with several versions, GTO refuses to choose.
    decided = count_by_gto(with_one_version_a_commit(tags))
    assert not decided.undecided
    for name in by_gto.undecided & {*ours}:
        if name in by_gto.models:
            assert ours[name].versions == by_gto.models[name].versions
        if name in decided.models:
            assert ours[name].stages == decided.models[name].stages


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(tags=histories())
@example(tags=SOME_HISTORIES[0])
@example(tags=SOME_HISTORIES[1])
@example(tags=SOME_HISTORIES[2])
def test_the_tags_of_a_repository_are_counted_as_gto_counts_them(
    history: tuple[Path, list[str]], tags: list[tuple[str, int, int, str, str]]
) -> None:
    repo = make(history, tags)
    models = read_registry(open_reader(repo)).models

    check({model.name: model for model in models}, annotated_tags(repo))


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(tags=histories())
@example(tags=SOME_HISTORIES[1])
@example(tags=SOME_HISTORIES[2])
@pytest.mark.slow
def test_any_history_is_counted_as_gto_counts_it(
    tags: list[tuple[str, int, int, str, str]],
) -> None:
    made = [
        GitTag(name, "0" * 40, str(at) * 40, "Ada", "ada@x", time, 0, "m")
        for name, at, time, _, kind in tags
        if kind != "lightweight"
    ]
    named = [(parse_tag(tag.name), tag) for tag in made]
    models, _ = count([CountedTag(w, t.target, int(t.tag_time)) for w, t in named if w])

    check({model.name: model for model in models}, made)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=tag_names() | st.text("av01.@#!=-/_é", max_size=12))
def test_a_tags_name_is_read_as_gto_reads_it(name: str) -> None:
    by_gto = parse_name(name, raise_on_fail=False)
    ours = parse_tag(name)

    if by_gto.get(ACTION) not in ORDER:
        assert ours is None
        return
    assert ours
    action = by_gto[ACTION]
    assert (ours.tag, ours.name) == (name, by_gto[NAME])
    assert (ours.version, ours.stage) == (by_gto.get(VERSION), by_gto.get(STAGE))
    assert ours.cancels == (action in {Action.DEREGISTER, Action.UNASSIGN})
    assert ours.deprecates == (action is Action.DEPRECATE)
    assert ours.counter == by_gto.get("counter")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    versions=st.lists(
        VERSIONS
        | st.from_regex(
            r"v[0-2]\.[0-2]\.[0-2](-(0|[1-9][0-9]?|a|rc|[0-9]a)(\.(1|10|b)){0,2})?",
            fullmatch=True,
        ),
        max_size=8,
    )
)
def test_versions_are_ordered_as_gto_orders_them(versions: list[str]) -> None:
    assert sorted(versions, key=semver_key) == sorted(versions, key=SemVer)


SHAPES = {
    "versions, each on its commit": lambda n: (f"m@v1.{n}.0", n),
    "versions, all on one commit": lambda n: (f"m@v1.{n}.0", 0),
    "as many models": lambda n: (f"m{n}@v1.0.0", n),
    "stages of one version": lambda n: (f"m#prod#{n}" if n else "m@v1.0.0", 0),
    "stages of many versions of one commit": lambda n: (
        f"m@v1.{n}.0" if n % 2 else f"m#prod#{n}",
        0,
    ),
    "stages where no version is": lambda n: (f"m#prod#{n}", n),
    "many stages": lambda n: (f"m#s{n}" if n % 2 else f"m@v1.{n}.0", n // 2),
    "registered and deregistered": lambda n: (f"m@v1.{n // 2}.0{'!' * (n % 2)}", 0),
}


def calls_of_counting(shape: Callable[[int], tuple[str, int]], size: int) -> int:
    """Count the calls of functions that it takes to count so many tags."""
    named = [(parse_tag(name), at) for name, at in map(shape, range(size))]
    tags = [CountedTag(what, f"{at:040}", at) for what, at in named if what]
    calls = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        count(tags)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_twice_as_many_tags_take_twice_as_long(
    shape: Callable[[int], tuple[str, int]],
) -> None:
    once, twice = calls_of_counting(shape, 1000), calls_of_counting(shape, 2000)

    assert once < twice < 2.2 * once
