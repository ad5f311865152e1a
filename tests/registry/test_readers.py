"""Both readers of a repository, by git and by scmrepo: one contract, Git the judge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import closed, without_rights
from projects import git, write

from dvc_studio_models.errors import NotGitRepoError, UnreadableRepoError
from dvc_studio_models.registry.git.library import LibraryReader
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.git.program import ProgramReader
from dvc_studio_models.registry.git.reader import NO_OID, is_oid

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.registry.git.reader import GitReader

    Open = Callable[[Path], GitReader]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    write(folder, {"README.md": b"x", "in/a": b"a"})
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    return folder


@pytest.fixture(params=["git", "scmrepo"])
def reading(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Open:
    """Open a repository with git on PATH, and without it."""

    def reading(folder: Path) -> GitReader:
        if request.param == "scmrepo":
            monkeypatch.setenv("PATH", str(tmp_path))
        reader = open_reader(folder)
        expected = ProgramReader if request.param == "git" else LibraryReader
        assert isinstance(reader, expected)
        return reader

    return reading


def test_refs_are_listed_with_broken_ones(repo: Path, reading: Open) -> None:
    git(repo, "branch", "a/b")
    git(repo, "pack-refs", "--all")
    git(repo, "branch", "c")
    (repo / ".git/refs/heads/torn").write_text("no id\n")
    commit = git(repo, "rev-parse", "HEAD").strip()

    found = reading(repo).refs("refs/heads")

    assert found == [("a/b", commit), ("c", commit), ("main", commit), ("torn", NO_OID)]
    assert reading(repo).refs("refs/exps") == []


READ = """
import sys
from pathlib import Path
from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.registry.git.open import open_reader
try:
    print(getattr(open_reader(Path(sys.argv[1])), sys.argv[2])())
except StudioModelsError as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444], ids=oct)
@pytest.mark.parametrize("folder", ["refs/tags", "refs/tags/b", "refs"])
@pytest.mark.parametrize("backend", ["git", "scmrepo"])
def test_tags_of_a_folder_that_cannot_be_read_are_not_taken_for_none(
    repo: Path, tmp_path: Path, backend: str, folder: str, mode: int
) -> None:
    for name in ("a", "b/c", "b/d"):
        git(repo, "tag", name)
    path = os.environ["PATH"] if backend == "git" else str(tmp_path)

    assert read_without_rights(repo, "tags", path=path).count("b/") == 2
    with closed(repo / ".git" / folder, mode):
        found = read_without_rights(repo, "tags", path=path)

    assert not found.startswith("["), found


@pytest.mark.parametrize("backend", ["git", "scmrepo"])
@pytest.mark.parametrize("head", ["main", "gone"])
def test_a_branch_that_cannot_be_read_is_not_taken_for_none(
    repo: Path, tmp_path: Path, backend: str, head: str
) -> None:
    git(repo, "branch", "other")
    git(repo, "symbolic-ref", "HEAD", f"refs/heads/{head}")
    path = os.environ["PATH"] if backend == "git" else str(tmp_path)

    whole = read_without_rights(repo, "head", path=path)
    with closed(repo / ".git/refs/heads/main"):
        found = read_without_rights(repo, "head", path=path)

    assert is_oid(whole) == (head == "main")
    assert found.startswith(f"cannot read the Git repository at '{repo}")


def read_without_rights(repo: Path, method: str, *, path: str) -> str:
    prefix = without_rights()
    prefix[:1] = [str(shutil.which(each)) for each in prefix[:1]]
    return subprocess.run(
        [*prefix, sys.executable, "-c", READ, repo, method],
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def ask(folder: Path, *args: str) -> str:
    """Ask Git, wherever it is, with this test's own environment."""
    command = [GIT, *args]
    done = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


GIT = shutil.which("git") or "git"


# -- where it is


@pytest.mark.parametrize("inner", [".", "in"])
def test_a_folder_may_be_named_relative_to_the_current_one(
    reading: Open, repo: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    monkeypatch.chdir(repo.parent)

    assert reading(Path("repo") / inner).root == repo.resolve()


@pytest.mark.parametrize("name", ["a b", "größe 模型", "a'b\"c", "-x", "#", "%"])
def test_a_repository_may_lie_in_a_folder_of_any_name(
    reading: Open, repo: Path, tmp_path: Path, name: str
) -> None:
    moved = tmp_path / name / "inner"
    moved.parent.mkdir()
    repo.rename(moved)

    reader = reading(moved / "in")

    assert reader.root == moved.resolve()
    assert reader.common_dir.samefile(moved / ".git")
    assert reader.tracked(["in/a"]) == {"in/a"}


@pytest.mark.parametrize("where", ["a\nb/repo", "repo\n", "a\n/repo"])
def test_a_line_break_in_the_path_of_a_repository_is_never_misread(
    repo: Path, tmp_path: Path, where: str
) -> None:
    moved = tmp_path / "moved" / where
    moved.parent.mkdir(parents=True)
    repo.rename(moved)

    with pytest.raises(UnreadableRepoError, match="its path contains a line break"):
        open_reader(moved / "in")
    with pytest.raises(UnreadableRepoError, match="its path contains a line break"):
        open_reader(moved / ".git")


def test_a_bare_repository_has_no_working_tree(
    reading: Open, repo: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")

    reader = reading(tmp_path / "bare.git")

    assert reader.root is None
    assert reader.common_dir.samefile(tmp_path / "bare.git")


def test_refs_of_a_worktree_are_those_of_its_repository(
    reading: Open, repo: Path, tmp_path: Path
) -> None:
    git(repo, "tag", "one")
    git(repo, "worktree", "add", "--quiet", "../tree", "-b", "other")

    reader = reading(tmp_path / "tree")

    assert [name for name, _ in reader.tags()] == ["one"]
    assert reader.current_branch() == "other"
    assert reader.common_dir.samefile(repo / ".git")


# -- refs


def test_branches_are_listed_with_their_commits(reading: Open, repo: Path) -> None:
    git(repo, "branch", "feature/größe")
    git(repo, "pack-refs", "--all")
    git(repo, "branch", "b")
    oid = ask(repo, "rev-parse", "main").strip()

    assert reading(repo).refs("refs/heads") == [
        ("b", oid),
        ("feature/größe", oid),
        ("main", oid),
    ]


def test_a_head_on_a_branch_that_is_gone_is_at_no_commit(
    reading: Open, repo: Path
) -> None:
    git(repo, "branch", "--move", "main", "trunk")
    git(repo, "symbolic-ref", "HEAD", "refs/heads/main")

    reader = reading(repo)

    assert reader.head() is None
    assert reader.current_branch() == "main"


@pytest.mark.parametrize("head", ["main", "gone"])
@pytest.mark.parametrize("content", ["", "garbage\n"], ids=["empty", "garbage"])
def test_a_broken_branch_is_not_taken_for_one_without_commits(
    reading: Open, repo: Path, content: str, head: str
) -> None:
    git(repo, "branch", "other")
    git(repo, "symbolic-ref", "HEAD", f"refs/heads/{head}")
    (repo / ".git/refs/heads/main").write_text(content)

    with pytest.raises(UnreadableRepoError, match="cannot read 'refs/heads/main'"):
        reading(repo).head()


@pytest.mark.parametrize("where", ["HEAD", "refs/heads/main"])
@pytest.mark.parametrize("digit", "01", ids=["no-id", "no-object"])
def test_a_head_without_its_commit_is_an_error(
    repo: Path, where: str, digit: str
) -> None:
    (repo / ".git" / where).write_text(f"{digit * 40}\n")

    with pytest.raises(UnreadableRepoError, match="cannot read"):
        open_reader(repo).head()


def test_a_detached_head_is_on_no_branch(reading: Open, repo: Path) -> None:
    git(repo, "checkout", "--quiet", "--detach")
    oid = ask(repo, "rev-parse", "HEAD").strip()

    reader = reading(repo)

    assert reader.head() == oid
    assert reader.current_branch() is None


def test_broken_refs_have_no_id_and_symbolic_ones_are_followed(
    reading: Open, repo: Path
) -> None:
    git(repo, "tag", "one")
    tags = repo / ".git" / "refs" / "tags"
    (tags / "empty").write_text("")
    (tags / "garbage").write_text("garbage\n")
    (tags / "nowhere").write_text("ref: refs/tags/none\n")
    (tags / "same").write_text("ref: refs/tags/one\n")
    oid = ask(repo, "rev-parse", "one").strip()

    found = reading(repo).tags()
    assert [pair for pair in found if pair[1] != NO_OID] == [
        ("one", oid),
        ("same", oid),
    ]
    assert {name for name, none in found if none == NO_OID} <= {"empty", "garbage"}


def test_only_an_id_in_full_is_one() -> None:
    assert is_oid("0" * 40)
    assert is_oid("f" * 64)
    for text in ("0" * 39, "0" * 41, "F" * 40, "main", "", "0" * 40 + "\n"):
        assert not is_oid(text)


# -- objects


def test_an_object_that_was_replaced_is_read_as_git_reads_it(
    reading: Open, repo: Path
) -> None:
    write(repo, {"in/a": b"other"})
    git(repo, "commit", "--quiet", "--all", "--message", "two")
    old, new = (ask(repo, "rev-parse", f"{r}:in/a").strip() for r in ("main~1", "main"))
    git(repo, "replace", old, new)

    with reading(repo).objects() as objects:
        found = objects.read(old)

    assert found
    assert found.data.decode() == ask(repo, "cat-file", "-p", old) == "other"


def test_what_is_not_there_is_none_among_what_is(reading: Open, repo: Path) -> None:
    commit = ask(repo, "rev-parse", "main").strip()
    oids = ["1" * 40, commit, "2" * 40]
    reader = reading(repo)

    assert reader.kinds(oids) == [None, "commit", None]
    assert [found and found.kind for found in reader.read_all(oids)] == [
        *(None, "commit", None)
    ]
    assert reader.kinds([]) == []
    assert reader.read_all([]) == []


# -- the config


def test_settings_are_those_that_git_lists(
    reading: Open, repo: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").write_text('[Remote "Up/Stream"]\n\turl = ../x\n')
    git(repo, "config", "include.path", str(tmp_path / "more"))
    git(repo, "config", "--add", "remote.origin.url", "one")
    git(repo, "config", "--add", "remote.origin.url", "two\nlines")
    with (home / ".gitconfig").open("a") as file:
        file.write('[branch "main"]\n\tremote = first\n')
    git(repo, "config", "branch.main.remote", "second")
    listed = ask(repo, "config", "-z", "--list").split("\0")
    by_git = dict(entry.partition("\n")[::2] for entry in listed if entry)

    ours = dict(reading(repo).config())

    for key in ("remote.Up/Stream.url", "branch.main.remote", "core.bare"):
        assert ours[key] == by_git[key]
    assert ours["remote.origin.url"] == by_git["remote.origin.url"]


def test_a_remote_without_a_name_like_it_has_no_url(reading: Open, repo: Path) -> None:
    git(repo, "remote", "add", "origin", "git@h:o/r")
    reader = reading(repo)

    assert reader.remote_url("origin") == "git@h:o/r"
    assert reader.remote_url("none") is None
    assert reader.remote_url("--push") is None


# -- the working tree


def test_files_are_found_that_git_does_not_ignore(reading: Open, repo: Path) -> None:
    write(
        repo,
        {
            "dvc.yaml": b"",
            "in/deep/größe/dvc.yaml": b"",
            "in/not-dvc.yaml": b"",
            ".dvc/config": b"",
            "sub/.dvc/config": b"",
            "sub/.dvc/config.local": b"",
            "ignored/dvc.yaml": b"",
            "dvc.yaml.d/dvc.yaml": b"",
            "*/dvc.yaml": b"",
            ".gitignore": b"ignored/\n",
        },
    )
    other = repo / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    write(other, {"dvc.yaml": b""})
    git(repo, "add", "dvc.yaml")

    assert reading(repo).find_files("dvc.yaml", ".dvc/config") == sorted(
        [
            *("*/dvc.yaml", ".dvc/config", "dvc.yaml", "dvc.yaml.d/dvc.yaml"),
            *("in/deep/größe/dvc.yaml", "sub/.dvc/config"),
        ]
    )


def test_files_are_listed_that_git_neither_tracks_nor_ignores(
    reading: Open, repo: Path
) -> None:
    write(
        repo,
        {
            "m/a.bin": b"a",
            "m/*.bin": b"a",
            "m/größe": b"a",
            "m/tracked": b"a",
            "m/skipped.log": b"a",
            "other/b": b"b",
            "c": b"c",
            ".gitignore": b"*.log\n",
        },
    )
    git(repo, "add", "m/tracked")

    found = reading(repo).untracked(["m", "c", "in/a", "none"])

    assert found == {"m/a.bin", "m/*.bin", "m/größe", "c"}


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "größe",
        "*",
        "?",
        "[a]",
        ":(top)x",
        "a\nb",
        '"q"',
        "\\",
        "-",
        "!x",
        "\udcff",
    ],
)
def test_what_is_tracked_is_known_by_its_very_name(
    reading: Open, repo: Path, name: str
) -> None:
    write(repo, {f"{name}/b": b"", "ab/b": b"", "top": b""})
    git(repo, "add", "--all")

    reader = reading(repo)

    assert f"{name}/b" in reader.tracked([f"{name}/c"])
    assert "ab/b" not in reader.tracked([f"{name}/c"])
    assert reader.tracked([]) == set()


# -- whose it is


def test_a_repository_of_another_user_is_refused_unless_it_is_named(
    repo: Path, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")
    for folder in (repo, tmp_path / "bare.git"):
        subprocess.run(["chown", "-R", "4242", str(folder)], check=True)

    for folder in (repo, repo / "in", tmp_path / "bare.git"):
        with pytest.raises(UnreadableRepoError, match="it belongs to another user"):
            open_reader(folder)
        reader = open_reader(folder, trusted=True)
        assert reader.head() == ask_as_owner(repo)


def ask_as_owner(repo: Path) -> str:
    safe = ("-c", "safe.directory=*")
    git_dir = f"--git-dir={repo / '.git'}"
    return ask(repo, *safe, git_dir, "rev-parse", "main").strip()


def test_what_git_takes_for_safe_is_read(repo: Path, home: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    subprocess.run(["chown", "-R", "4242", str(repo)], check=True)
    with (home / ".gitconfig").open("a") as file:
        file.write(f"[safe]\n\tdirectory = {repo}\n")

    assert open_reader(repo / "in").root == repo.resolve()


@pytest.mark.parametrize("folder", [".", "none", "file"])
@pytest.mark.parametrize("trusted", [False, True])
def test_where_there_is_none_the_error_says_so(
    tmp_path: Path, folder: str, trusted: bool
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotGitRepoError, match="not in a Git repository"):
        open_reader(tmp_path / folder, trusted=trusted)


@pytest.mark.parametrize("inner", [".", "in", ".git"])
def test_a_named_repository_is_found_from_inside(repo: Path, inner: str) -> None:
    reader = open_reader(repo / inner, trusted=True)

    assert reader.common_dir.samefile(repo / ".git")
    assert reader.head() == ask(repo, "rev-parse", "HEAD").strip()
    assert reader.root == (None if inner == ".git" else repo)
