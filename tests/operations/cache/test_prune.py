"""Random projects, and the removal of what nothing needs from their caches."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from dvc.repo import Repo
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from projects import git
from worlds import (
    World,
    build,
    histories,
    links,
    locked_digests,
    staged_objects,
    workspace_links,
)

from dvc_studio_models.model import PullOptions
from dvc_studio_models.operations.cache.choice import Criteria
from dvc_studio_models.operations.cache.listing import list_cache
from dvc_studio_models.operations.cache.prune import PruneOptions, PrunePlan, prune
from dvc_studio_models.operations.pull import pull_models

if TYPE_CHECKING:
    from pathlib import Path

criteria = st.just(Criteria()) | st.builds(
    Criteria,
    older_than_s=st.sampled_from([None, 0.0, 3600.0]),
    max_bytes=st.sampled_from([None, 0, 100, 10_000]),
    keep_latest=st.sampled_from([None, 0, 1, 2]),
)
_numbers = itertools.count()


def check_random_project(
    root: Path, history: list[Any], link: str, wanted: Criteria
) -> None:
    """Prune, and check that all that is needed is still there, and usable."""
    world = build(root, history, link)
    before = world.objects()
    used = world.used_by_dvc()
    staged = staged_objects(world)
    assert used | staged <= before
    links_before = workspace_links(world)
    contents = {path: path.read_bytes() for path in links_before}
    complete = {
        v.known.key for v in list_cache(folder=world.repo).versions if v.is_complete
    }

    plan = prune(wanted, PruneOptions(folder=world.repo))

    after = world.objects()
    assert used | staged <= after
    assert before - after == {digest.value for digest in plan.objects}
    assert locked_digests(world) & before <= after
    assert {path: path.read_bytes() for path in links_before} == contents
    kept = [v for v in plan.kept if v.known.key in complete]
    for version in kept:
        assert {digest.value for digest in version.known.digests} <= after
    if not wanted.is_given:
        needless = [v for v in plan.kept if not v.needed_by]
        assert not [v for v in needless if v.is_complete]
    assert_nothing_is_lost(world, plan, complete)


def assert_nothing_is_lost(
    world: World, plan: PrunePlan, complete: set[tuple[str | None, str, str]]
) -> None:
    """Check out each branch with DVC, and pull each version that was kept."""
    git(world.repo, "add", "--all")
    git(world.repo, "commit", "--quiet", "--allow-empty", "--message", "end")
    heads = git(world.repo, "for-each-ref", "--format=%(refname:short)", "refs/heads")
    for branch in heads.split():
        git(world.repo, "checkout", "--quiet", "--force", branch)
        with Repo(str(world.repo)) as repo:
            assert not repo.checkout(force=True).get("failed")
            assert repo.status() == {}
    git(world.repo, "checkout", "--quiet", "--force", "main")
    for version in plan.kept:
        name = f"{version.known.name}@{version.known.version}"
        if version.known.key in complete and name in world.tags:
            options = PullOptions(folder=world.repo, source="cache", force=True)
            result = pull_models([name], options)
            for file in result.models[0].files:
                if file.action != "removed":
                    content = (world.repo / file.path).read_bytes()
                    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                    assert md5 == file.md5


HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
PHASES = [Phase.generate]  # a history is short; to shrink it would take minutes


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=PHASES,
    suppress_health_check=HEALTH,
)
@given(history=histories, link=links, wanted=criteria)
def test_what_is_needed_stays_and_can_be_checked_out_and_pulled(
    tmp_path: Path, history: list[Any], link: str, wanted: Criteria
) -> None:
    check_random_project(tmp_path / str(next(_numbers)), history, link, wanted)


@pytest.mark.slow
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=PHASES,
    suppress_health_check=HEALTH,
)
@given(history=histories, link=links, wanted=criteria)
def test_in_many_random_projects_what_is_needed_stays(
    tmp_path: Path, history: list[Any], link: str, wanted: Criteria
) -> None:
    check_random_project(tmp_path / str(next(_numbers)), history, link, wanted)
