"""Repositories in any state are read as ``git`` reads them."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from projects import git, write

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.git.library import LibraryReader
from dvc_studio_models.registry.git.program import ProgramReader
from dvc_studio_models.registry.git.tree import CommitTree
from dvc_studio_models.registry.gto.tags import read_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.registry.git.reader import GitReader

COMMITS = 3
PATHS = [
    "README.md",
    "in/deep/model.dvc",
    "in/other",
    "größe 模型.txt",
    "in/none",
    "no",
]
ALLOW = ("-c", "protocol.file.allow=always")


# -- kinds of clones


@functools.cache
def upstream(folder: Path, *init: str) -> Path:
    """Make the origin of all clones: some commits on main, a file that changes."""
    repo = folder / f"upstream{len(init)}" / "repo"
    repo.mkdir(parents=True)
    git(repo, "init", "--quiet", "--initial-branch", "main", *init)
    git(repo, "config", "uploadpack.allowFilter", "true")
    for number in range(COMMITS):
        changing = f"version {number}\n".encode()
        write(
            repo,
            {
                "README.md": b"x",
                "in/deep/model.dvc": changing,
                "in/other": b"\0\xff",
                "größe 模型.txt": b"\r\n",
            },
        )
        git(repo, "add", "--all")
        git(repo, "commit", "--quiet", "--message", str(number))
    return repo


def url_of(repo: Path) -> str:
    return repo.resolve().as_uri()


def clone(*args: str) -> Callable[[Path, Path], Path]:
    def make(repo: Path, to: Path) -> Path:
        git(to.parent, *ALLOW, "clone", "--quiet", *args, url_of(repo), str(to))
        return to

    return make


def shared(repo: Path, to: Path) -> Path:
    git(to.parent, "clone", "--quiet", "--shared", str(repo), str(to))
    return to


def sparse(*args: str) -> Callable[[Path, Path], Path]:
    def make(repo: Path, to: Path) -> Path:
        clone()(repo, to)
        git(to, "sparse-checkout", "set", "--cone", *args, "none")
        return to

    return make


def worktree(repo: Path, to: Path) -> Path:
    main = clone()(repo, to.with_name("main"))
    git(main, "worktree", "add", "--quiet", str(to), "-b", "other")
    return to


def worktree_config(repo: Path, to: Path) -> Path:
    clone()(repo, to)
    git(to, "config", "extensions.worktreeConfig", "true")
    git(to, "config", "--worktree", "core.sparseCheckout", "false")
    return to


def submodule(repo: Path, to: Path) -> Path:
    outer = to.with_name("outer")
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch", "main")
    git(outer, *ALLOW, "submodule", "--quiet", "add", url_of(repo), "sub")
    return outer / "sub"


def split_index(repo: Path, to: Path) -> Path:
    clone()(repo, to)
    git(to, "update-index", "--split-index")
    return to


KINDS: dict[str, Callable[[Path, Path], Path]] = {
    "plain": clone(),
    "mirror": clone("--mirror"),
    "no blobs": clone("--filter=blob:none"),
    "no blobs, bare": clone("--filter=blob:none", "--mirror"),
    "no trees": clone("--filter=tree:0"),
    "shallow": clone("--depth", "1"),
    "sparse": sparse("--no-sparse-index"),
    "sparse index": sparse("--sparse-index"),
    "worktree": worktree,
    "worktree config": worktree_config,
    "submodule": submodule,
    "alternates": shared,
    "split index": split_index,
    "SHA-256": clone(),
    "reftable": clone("--ref-format=reftable"),
}
ONLY_GIT_READS = {
    *("no blobs", "no blobs, bare", "no trees", "sparse index", "split index"),
    *("worktree config", "SHA-256", "reftable"),
}
"""What scmrepo's backend refuses, in one version or another."""

INIT = {"SHA-256": ("--object-format=sha256",)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    usage = subprocess.run(
        ["git", "clone", "-h"], capture_output=True, text=True, check=False
    ).stdout
    if kind == "reftable" and "--ref-format" not in usage:
        pytest.skip("this git has no reftable")
    return kind


# -- what happens to it

TAGS = st.integers(1, 3)
STEPS = st.one_of(
    st.tuples(st.just("tag"), st.booleans(), TAGS, st.integers(0, COMMITS - 1)),
    st.tuples(st.just("delete"), st.booleans(), TAGS),
    st.tuples(st.just("nest"), st.booleans(), TAGS, TAGS),
    st.tuples(st.just("light"), st.booleans(), TAGS),
    st.tuples(st.sampled_from(["pack", "gc", "repack"]), st.booleans()),
    st.tuples(st.sampled_from(["fetch", "prune"])),
)


def take(step: tuple[str | int, ...], repo: Path, here: Path) -> None:
    """Run a command of a user, a CI job or a maintainer, upstream or in the clone."""
    what, *args = step
    if what in {"fetch", "prune"}:
        how = {
            "fetch": ["--tags", "--force"],
            "prune": ["--prune", "--prune-tags", "--force", "--tags"],
        }[what]
        git(here, *ALLOW, "fetch", "--quiet", *how, "origin")
        return
    at = repo if args[0] else here
    if what in {"pack", "gc", "repack"}:
        command = {"pack": ["pack-refs", "--all"], "gc": ["gc", "--quiet"]}
        git(at, *command.get(str(what), ["repack", "-a", "-d", "--quiet"]))
        return
    name = f"m@v{args[1]}.0.0"
    with contextlib.suppress(subprocess.CalledProcessError):  # no such tag, say
        if what == "delete":
            git(at, "tag", "--delete", name)
        elif what == "light":
            git(at, "tag", "--force", name, "main")
        else:
            target = f"main~{args[2]}" if what == "tag" else f"m@v{args[2]}.0.0"
            git(at, "tag", "--force", "--annotate", "--message", "m", name, target)


# -- what git says


def ask(here: Path, *args: str) -> bytes:
    """Ask Git, as the user does."""
    done = subprocess.run(
        ["git", *ALLOW, *args], cwd=here, check=True, capture_output=True
    )
    return done.stdout


def peeled(here: Path) -> dict[str, str]:
    """Return the commits of all tags."""
    names = ask(here, "for-each-ref", "--format=%(refname)", "refs/tags")
    refs = names.decode().split()
    if not refs:
        return {}
    commits = ask(here, "rev-parse", *(f"{ref}^{{commit}}" for ref in refs))
    return dict(zip(refs, commits.decode().split(), strict=True))


def shown(here: Path, commit: str, path: str) -> bytes | None:
    try:
        return ask(here, "show", f"{commit}:{path}")
    except subprocess.CalledProcessError:
        return None


def compare(reader: GitReader, here: Path) -> None:
    """Compare everything that we read with Git, which runs after us."""
    tags = dict(reader.tags())
    registry = read_registry(reader)
    ours = {v.version: v.commit for m in registry.models for v in m.versions}
    light = {tag.tag for tag in registry.lightweight}
    commits = dict.fromkeys([*ours.values(), *filter(None, [reader.head()])])
    contents = {}
    with reader.objects() as objects:
        for commit in commits:
            tree = CommitTree(objects, commit, where="here")
            for path in PATHS:
                entry = tree.entry(tuple(path.split("/")))
                contents[commit, path] = tree.read(entry) if entry else None
    tracked = reader.tracked(PATHS) if reader.root else set()

    names = ask(here, "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags")
    listed = [line.split() for line in names.decode().splitlines()]
    assert tags == {name.removeprefix("refs/tags/"): oid for name, oid in listed}
    by_git = peeled(here)
    assert ours == {
        name.removeprefix("refs/tags/m@"): commit
        for name, commit in by_git.items()
        if name.removeprefix("refs/tags/") not in light
    }
    kinds = ask(here, "for-each-ref", "--format=%(objecttype) %(refname)", "refs/tags")
    assert light == {
        line.partition(" refs/tags/")[2]
        for line in kinds.decode().splitlines()
        if line.startswith("commit")
    }
    for (commit, path), content in contents.items():
        assert content == shown(here, commit, path)
    assert reader.head() == ask(here, "rev-parse", "HEAD").decode().strip()
    branch = ask(here, "symbolic-ref", "--short", "HEAD").decode().strip()
    assert reader.current_branch() == branch
    assert reader.remote_url("origin") == (
        ask(here, "remote", "get-url", "origin").decode().strip()
    )
    if reader.root:
        index = ask(here, "ls-files", "-z").decode().split("\0")
        assert {path for path in PATHS if path in tracked} == {*PATHS} & {*index}


MOVED_WHEN_PACKED: list[tuple[str | int, ...]] = [
    ("pack", False),
    ("tag", True, 2, 0),
    ("nest", True, 1, 2),
    ("fetch",),
    ("pack", False),
    ("tag", True, 3, 1),
    ("delete", True, 1),
    ("prune",),
    ("light", False, 3),
]


@pytest.mark.slow
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
@example(steps=MOVED_WHEN_PACKED)
def test_any_state_of_any_clone_is_read_as_git_reads_it(
    folder: Path, kind: str, steps: list[tuple[str | int, ...]]
) -> None:
    if steps != MOVED_WHEN_PACKED:  # each kind its own order
        at = list(KINDS).index(kind) % len(steps)
        steps = steps[at:] + steps[:at]
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        repo = Path(inner) / "repo"
        shutil.copytree(upstream(folder, *INIT.get(kind, ())), repo)
        git(repo, "tag", "--annotate", "--message", "m", "m@v1.0.0", "main~1")
        git(repo, "tag", "--annotate", "--message", "m", "m@v2.0.0", "main")
        here = KINDS[kind](repo, Path(inner) / "clone")
        # A server has read before, and goes on with the same reader.
        readers = [find_program(here), *library_readers(here)]
        for reader in readers:
            reader.tags()
        for step in steps:
            take(step, repo, here)

        for reader in [*library_readers(here), *reversed(readers), find_program(here)]:
            try:
                compare(reader, here)
            except UnreadableRepoError:
                assert isinstance(reader, LibraryReader)
                assert kind in ONLY_GIT_READS


def find_program(here: Path) -> GitReader:
    return ProgramReader.find(shutil.which("git") or "git", here, trusted=False)


def library_readers(here: Path) -> list[GitReader]:
    """Open without git; None where that is refused."""
    with contextlib.suppress(UnreadableRepoError):
        return [LibraryReader.find(here)]
    return []
