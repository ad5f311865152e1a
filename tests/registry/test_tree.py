"""One commit's files in DVC's file system are those of ``git ls-tree``."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from projects import git

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.committed.bounds import MAX_BYTES, TooComplexError
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.git.tree import SUBMODULE, CommitTree, open_commit

if TYPE_CHECKING:
    from pathlib import Path

FILE, PROGRAM, LINK, MODULE = 0o100644, 0o100755, 0o120000, 0o160000
ODD_NAMES = [
    *(b"a", b"b", b"a b", b" ", b"a\nb", b"a\tb", b'"q"', b"'", b"\\", b"a\\b"),
    *(b"\xff\xfe", "größe".encode(), "größe".encode("latin-1"), b":", b"a:b", b"C:"),
    *(b"-", b"--", b"*", b"?", b"[a]", b"#", b"~", b"$HOME", b"%41", b"...", b"@{u}"),
    *(b"a::b", b"\r", b"\x01", b".dvc", b"!", b"{}", "模型".encode()),
]
NAMES = st.sampled_from(ODD_NAMES) | st.binary(min_size=1, max_size=6).filter(
    lambda name: (
        not {0, 47} & {*name}
        and name not in {b".", b".."}
        and not name.lower().startswith(b".git")
    )
)
Tree = dict[bytes, tuple[int, bytes]]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Generate files: mode and content by path."""
    modes = st.sampled_from([FILE, FILE, PROGRAM, LINK, MODULE])
    paths = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
    drawn = draw(
        st.dictionaries(paths, st.tuples(modes, st.binary(max_size=9)), max_size=8)
    )
    # A name is a file or a folder, never both.
    folders = {path[: at - 1] for path in drawn for at in _slashes(path)}
    return {path: file for path, file in drawn.items() if path not in folders}


def _slashes(path: bytes) -> list[int]:
    return [at + 1 for at, byte in enumerate(path) if byte == ord("/")]


def commit(repo: Path, tree: Tree) -> str:
    """Commit a tree, with one call of Git."""
    lines = [b"commit refs/heads/main", b"committer Ada <ada@x> 1700000000 +0000"]
    lines += [b"data 0", b"deleteall"]
    for path, (mode, content) in tree.items():
        quoted = b'"%s"' % b"".join(b"\\%03o" % byte for byte in path)
        if mode == MODULE:
            lines.append(b"M 160000 %s %s" % (b"1" * 40, quoted))
        else:
            lines.append(b"M %o inline %s" % (mode, quoted))
            lines.append(b"data %d\n%s" % (len(content), content))
    command = ["git", "fast-import", "--quiet", "--force"]
    stream = b"\n".join([*lines, b""])
    subprocess.run(command, cwd=repo, input=stream, check=True)
    return git(repo, "rev-parse", "main").strip()


def listed(repo: Path, rev: str) -> dict[bytes, tuple[int, str]]:
    """List files, links and submodules as Git does: mode and object by path."""
    command = ["git", "ls-tree", "-r", "-z", rev]
    out = subprocess.run(command, cwd=repo, check=True, capture_output=True).stdout
    rows = (row.split(b"\t", 1) for row in out.split(b"\0") if row)
    return {
        path: (int(head.split()[0], 8), head.split()[2].decode()) for head, path in rows
    }


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=trees())
@example(tree={name: (FILE, name) for name in ODD_NAMES})
@example(tree={name + b"/" + name: (PROGRAM, b"") for name in ODD_NAMES})
@example(tree={b"a": (MODULE, b""), b"b": (LINK, b"a"), b"c/d": (LINK, b"../none")})
@example(tree={})
def test_any_tree_is_what_git_lists(repo: Path, tree: Tree) -> None:
    rev = commit(repo, tree)
    by_git = listed(repo, rev)

    with open_reader(repo).objects() as objects:
        commit_tree = CommitTree(objects, rev, where="here")
        fs = open_commit(commit_tree)
        found = {os.fsencode(path)[1:]: fs.info(path) for path in fs.find("/")}
        contents = {}
        for path in found:
            with fs.open(f"/{os.fsdecode(path)}", "rb") as file:
                contents[path] = file.read()
        files = {
            os.fsencode("/".join(key)): (entry.mode, entry.oid)
            for key, entry in commit_tree.files(())
        }
        sizes = {path: info["size"] for path, info in found.items()}

    assert {path: (i["mode"], i["sha"]) for path, i in found.items()} == by_git
    assert files == by_git
    assert contents == {
        path: b"" if mode == MODULE else content
        for path, (mode, content) in tree.items()
    }
    assert sizes == {path: len(content) for path, content in contents.items()}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(tree=trees(), other=st.lists(NAMES, min_size=1, max_size=3).map(b"/".join))
def test_what_is_at_a_path_is_what_git_says(
    repo: Path, tree: Tree, other: bytes
) -> None:
    rev = commit(repo, tree)
    by_git = listed(repo, rev)
    folders = {path[: at - 1] for path in by_git for at in _slashes(path)} | {b""}

    with open_reader(repo).objects() as objects:
        fs = open_commit(CommitTree(objects, rev, where="here"))
        for path in [*by_git, *folders, other, *(path + b"/x" for path in by_git)]:
            named = f"/{os.fsdecode(path)}"
            assert fs.isdir(named) == (path in folders)
            assert fs.isfile(named) == (path in by_git)  # DVC knows no links
            assert fs.exists(named) == (path in folders or path in by_git)


def test_a_large_dvc_file_is_refused_only_where_its_writers_are_not_trusted(
    repo: Path,
) -> None:
    content = b"# x\n" * MAX_BYTES
    rev = commit(repo, {b"a\nb/dvc.yaml": (FILE, content)})

    with open_reader(repo).objects() as objects:
        trusted = CommitTree(objects, rev, where="here")
        bounded = CommitTree(objects, rev, where="here", bounded=True)
        assert open_commit(trusted).cat_file("/a\nb/dvc.yaml") == content
        with pytest.raises(TooComplexError) as refused:
            open_commit(bounded).cat_file("/a\nb/dvc.yaml")
    assert str(refused.value) == "'a?b/dvc.yaml' is larger than 4 MiB"


def test_a_folder_is_read_only_when_somebody_looks_into_it(repo: Path) -> None:
    tree = {b"in/deep/a": (FILE, b"a"), b"out/deep/b": (FILE, b"b"), b"c": (FILE, b"c")}
    rev = commit(repo, tree)
    asked = []

    with open_reader(repo).objects() as objects:

        class Counted:
            def read(self, oid: str) -> object:
                asked.append(oid)
                return objects.read(oid)

        fs = open_commit(CommitTree(Counted(), rev, where="here"))  # type: ignore[arg-type]
        for _ in range(3):
            with fs.open("/in/deep/a") as file:
                assert file.read() == "a"
            assert fs.exists("/c")

    revs = [rev, f"{rev}^{{tree}}", f"{rev}:in", f"{rev}:in/deep", f"{rev}:in/deep/a"]
    named = git(repo, "rev-parse", *revs).split()
    assert asked[:5] == named
    assert set(asked[5:]) == {named[-1]}  # contents are not cached


def test_what_is_not_there_raises_as_in_dvc(repo: Path) -> None:
    rev = commit(repo, {b"in/a": (FILE, b"a")})

    with open_reader(repo).objects() as objects:
        fs = open_commit(CommitTree(objects, rev, where="here"))
        with pytest.raises(FileNotFoundError):
            fs.open("/none")
        with pytest.raises(FileNotFoundError):
            fs.info("/in/none")
        with pytest.raises(IsADirectoryError):
            fs.open("/in")
        assert not fs.exists("/in/a/b")


@pytest.mark.parametrize("missing", ["in", "in/a"])
def test_an_object_that_is_not_there_is_an_error_and_no_empty_place(
    tmp_path: Path, missing: str
) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "config", "fastimport.unpackLimit", "1000")
    rev = commit(tmp_path, {b"in/a": (FILE, b"a"), b"out/b": (FILE, b"b")})
    oid = git(tmp_path, "rev-parse", f"{rev}:{missing}").strip()
    (tmp_path / ".git" / "objects" / oid[:2] / oid[2:]).unlink()

    with open_reader(tmp_path).objects() as objects:
        fs = open_commit(CommitTree(objects, rev, where="here"))
        with pytest.raises(UnreadableRepoError, match=f"it has no object {oid}"):
            fs.open("/in/a")
        with fs.open("/out/b") as file:
            assert file.read() == "b"


def test_a_submodule_is_neither_file_nor_folder(repo: Path) -> None:
    rev = commit(repo, {b"sub": (MODULE, b"")})

    with open_reader(repo).objects() as objects:
        tree = CommitTree(objects, rev, where="here")
        entry = tree.entry(("sub",))

    assert entry
    assert (entry.mode, entry.is_file, entry.is_folder) == (SUBMODULE, False, False)
