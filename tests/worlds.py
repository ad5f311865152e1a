"""Random projects: models that share files, branches, tags, stages, locks, pulls."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from hypothesis import strategies as st
from projects import Project, commit_all, git, init_project, write

from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.model import PullOptions
from dvc_studio_models.operations.pull import pull_models

CONTENTS = [f"content {number}\n".encode() * (number + 1) for number in range(6)]
FILE_MODELS, FOLDER_MODELS = ("a", "b"), ("f", "g")
STAGES = ("dev", "prod")
DVC_YAML = "artifacts:\n" + "".join(
    f"  {name}:\n    path: models/{name}\n    type: model\n"
    for name in (*FILE_MODELS, *FOLDER_MODELS)
)

content = st.integers(0, len(CONTENTS) - 1)
folder = st.dictionaries(st.sampled_from("xyz"), content, min_size=1, max_size=3)
actions = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(FILE_MODELS), content),
    st.tuples(st.just("folder"), st.sampled_from(FOLDER_MODELS), folder),
    st.tuples(st.just("data"), folder),
    st.tuples(st.just("release")),
    st.tuples(st.just("release")),
    st.tuples(st.just("assign"), st.sampled_from(STAGES), content),
    st.tuples(st.just("unassign"), content),
    st.tuples(st.just("deregister"), content),
    st.tuples(st.just("branch"), content),
    st.tuples(st.just("lock"), content),
    st.tuples(st.just("pull"), content),
    st.tuples(st.just("uncommitted"), st.sampled_from(FILE_MODELS), content),
)
histories = st.lists(actions, min_size=1, max_size=10)
links = st.sampled_from(["copy", "symlink", "hardlink"])


@dataclass
class World:
    """One project, in which every version is in the cache."""

    project: Project
    tags: list[str] = field(default_factory=list)
    """Of versions, as ``a@v1.0.0``."""

    assigned: dict[str, str] = field(default_factory=dict)
    """Stage, as ``a#prod``, to the tag of its version."""

    counter: int = 0
    branches: int = 0

    @property
    def repo(self) -> Path:
        return self.project.repo

    @property
    def cache(self) -> Path:
        return self.repo / ".dvc/cache/files/md5"

    def objects(self) -> set[str]:
        """Return the names of all objects in the cache."""
        return {path.parent.name + path.name for path in self.cache.glob("??/*")}

    def used_by_dvc(self) -> set[str]:
        """Return what DVC itself needs: of the workspace, HEAD and all branches."""
        used = set()
        with Repo(str(self.repo)) as repo:
            for kind in ({"all_branches": True}, {"revs": ["HEAD"]}):
                for objects in repo.used_objs(force=True, **kind).values():
                    used |= {each.value for each in objects}
        return used


def build(root: Path, history: list[Any], link: str) -> World:
    """Make a project by a history."""
    world = World(init_project(root))
    config = world.repo / ".dvc/config"
    config.write_text(f"{config.read_text()}[cache]\n    type = {link}\n")
    write(world.repo, {"dvc.yaml": DVC_YAML.encode()})
    _track_file(world, "a", 0)
    _track_folder(world, "models/f", {"x": 0, "y": 1})
    _do_release(world)
    _track_file(world, "a", 2)
    _track_folder(world, "models/f", {"x": 0, "y": 3})
    _do_release(world)
    for action, *values in history:
        globals()[f"_do_{action}"](world, *values)
    return world


def _track(world: World, path: str) -> None:
    with Repo(str(world.repo)) as repo:
        repo.add([str(world.repo / path)])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _track_file(world: World, name: str, number: int) -> None:
    target = world.repo / "models" / name
    _remove(target)
    write(world.repo, {f"models/{name}": CONTENTS[number]})
    _track(world, f"models/{name}")


def _track_folder(world: World, path: str, files: dict[str, int]) -> None:
    _remove(world.repo / path)
    write(world.repo / path, {name: CONTENTS[n] for name, n in files.items()})
    _track(world, path)


def _commit(world: World) -> None:
    if git(world.repo, "status", "--porcelain"):
        commit_all(world.project, "change")


def _do_file(world: World, name: str, number: int) -> None:
    _track_file(world, name, number)
    _commit(world)


def _do_folder(world: World, name: str, files: dict[str, int]) -> None:
    _track_folder(world, f"models/{name}", files)
    _commit(world)


def _do_data(world: World, files: dict[str, int]) -> None:
    _track_folder(world, "data", files)
    _commit(world)


def _do_uncommitted(world: World, name: str, number: int) -> None:
    """Track a file; then remove it, or let DVC's file say what the branch does."""
    _track_file(world, name, number)
    if number % 3 == 0:
        (world.repo / "models" / name).unlink()
    elif number % 3 == 1 and git(world.repo, "ls-files", f"models/{name}.dvc"):
        git(world.repo, "checkout", "--quiet", "--", f"models/{name}.dvc")


def _do_release(world: World) -> None:
    """Register the models that the branch has."""
    _commit(world)
    number = len(world.tags) + 1
    for name in (*FILE_MODELS, *FOLDER_MODELS):
        if (world.repo / f"models/{name}.dvc").exists():
            tag = f"{name}@v{number}.0.0"
            world.project.tag(tag)
            world.tags.append(tag)


def _chosen(world: World, number: int) -> str | None:
    return world.tags[number % len(world.tags)] if world.tags else None


def _do_assign(world: World, stage: str, number: int) -> None:
    if tag := _chosen(world, number):
        name = tag.partition("@")[0]
        world.counter += 1
        world.project.tag(f"{name}#{stage}#{world.counter}", tag)
        world.assigned[f"{name}#{stage}"] = tag


def _do_unassign(world: World, number: int) -> None:
    if world.assigned:
        stage = sorted(world.assigned)[number % len(world.assigned)]
        world.counter += 1
        world.project.tag(f"{stage}!#{world.counter}", world.assigned.pop(stage))


def _do_deregister(world: World, number: int) -> None:
    if (tag := _chosen(world, number)) and len(world.tags) > 1:
        world.project.tag(f"{tag}!", tag)
        world.tags.remove(tag)
        for stage in [s for s, at in world.assigned.items() if at == tag]:
            del world.assigned[stage]


def _do_branch(world: World, number: int) -> None:
    if tag := _chosen(world, number):
        world.branches += 1
        git(world.repo, "branch", f"branch-{world.branches}", f"{tag}^{{commit}}")


def _pull(world: World, name: str, **options: object) -> None:
    kept = PullOptions(folder=world.repo, source="cache", force=True, **options)
    with contextlib.suppress(StudioModelsError):  # deregistered, for one
        pull_models([name], kept)


def _do_lock(world: World, number: int) -> None:
    """Pin a version in a lock file that a branch has, and the workspace has not."""
    if tag := _chosen(world, number):
        _pull(world, tag, lock="pins.yaml" if number % 2 else True)
        locks = [p for p in ("models.lock", "pins.yaml") if (world.repo / p).exists()]
        if locks and number % 3:
            world.branches += 1
            branch = f"branch-{world.branches}"
            git(world.repo, "checkout", "--quiet", "-b", branch)
            git(world.repo, "add", *locks)
            git(world.repo, "commit", "--quiet", "--message", "lock")
            git(world.repo, "checkout", "--quiet", "main")
            _pull(world, tag.partition("@")[0])  # only the lock file needs it


def _do_pull(world: World, number: int) -> None:
    if tag := _chosen(world, number):
        _pull(world, tag)


def locked_digests(world: World) -> set[str]:
    """Return the hashes in all lock files: of the workspace and of all branches."""
    texts = [
        path.read_text()
        for path in (world.repo / "models.lock", world.repo / "pins.yaml")
        if path.exists()
    ]
    heads = git(world.repo, "for-each-ref", "--format=%(refname)", "refs/heads")
    for branch in heads.split():
        names = git(world.repo, "ls-tree", "--name-only", branch).split()
        locks = {"models.lock", "pins.yaml"} & set(names)
        texts += [git(world.repo, "show", f"{branch}:{name}") for name in locks]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return {line.split(": ")[1] for line in lines if line.startswith("md5: ")}


def staged_objects(world: World) -> set[str]:
    """Return the objects of the versions in stages, as DVC's files record them."""
    found = set()
    for tag in world.assigned.values():
        path = f"models/{tag.partition('@')[0]}.dvc"
        recorded = git(world.repo, "show", f"{tag}^{{commit}}:{path}")
        value = next(
            line.split(": ")[1] for line in recorded.splitlines() if "md5: " in line
        )
        found.add(value)
        listing = world.cache / value[:2] / value[2:]
        if value.endswith(".dir") and listing.exists():
            found |= {entry["md5"] for entry in json.loads(listing.read_text())}
    return found


def workspace_links(world: World) -> list[Path]:
    """Return the symbolic links of the workspace."""
    found = []
    for at, folders, files in os.walk(world.repo):
        folders[:] = [name for name in folders if name not in {".git", ".dvc"}]
        found += [Path(at, name) for name in files if Path(at, name).is_symlink()]
    return found
