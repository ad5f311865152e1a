"""Placing into real folders: whatever comes, nothing is lost and nothing led astray."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leftovers import killed_name, owned_by
from needs import mount_namespace, need_program, other_file_system

from dvc_studio_models import log
from dvc_studio_models.errors import (
    LocalDiskError,
    TargetChangedError,
    UnsafePathError,
)
from dvc_studio_models.files.folders import (
    FOLDER,
    FileStamp,
    SafeFolders,
    check_root,
)
from dvc_studio_models.files.scratch import hide_from_git, lay_out
from dvc_studio_models.files.workspace import Staged, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

pytestmark = pytest.mark.reliability("The workspace")

OLD, NEW = b"what was there\n", b"what is to be there\n"


class Bench:
    """A workspace, and files that are staged for it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self.workspace = Workspace(root)

    def stage(self, *paths: str) -> dict[str, Path]:
        staged = {path: self.scratch / f"new-{n}" for n, path in enumerate(paths)}
        for path, new in staged.items():
            new.write_bytes(NEW + path.encode())
        return staged

    def place(
        self,
        staged: Mapping[str, Path],
        *,
        remove: Sequence[str] = (),
        changing: Callable[[], object] = bool,
    ) -> None:
        """Look, let ``changing`` do its work, and place."""
        seen = {
            path: self.workspace.stat_target(path) for path in (*staged.keys(), *remove)
        }
        changing()
        self.workspace.place(
            Staged(staged, stamps_of(staged)),
            remove=remove,
            seen=seen,
            backups=self.scratch,
        )

    def write(self, path: str, content: bytes = OLD) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target


def stamps_of(staged: Mapping[str, Path]) -> dict[str, FileStamp]:
    return {path: FileStamp.of(staged[path].lstat()) for path in staged}


class Between(dict[str, Path]):
    """Staged files; something happens when only the last of them has no name yet."""

    def __init__(self, staged: Mapping[str, Path], act: Callable[[], object]) -> None:
        super().__init__(staged)
        self._act = act

    def items(self) -> Iterator[tuple[str, Path]]:  # type: ignore[override]
        *first, last = super().items()
        yield from first
        self._act()
        yield last


def failing(staged: Mapping[str, Path]) -> Between:
    """Let the last file fail when its turn comes."""
    return Between(staged, list(staged.values())[-1].unlink)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    root, scratch = tmp_path / "root", tmp_path / "tmp" / "scratch"
    root.mkdir()
    scratch.mkdir(parents=True)
    return Bench(root, scratch)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that no placing may change."""
    folder = tmp_path / "outside"
    (folder / "empty").mkdir(parents=True)
    (folder / "precious").write_bytes(OLD)
    return folder


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Bench]:
    """A workspace on another file system than its scratch folder."""
    with tempfile.TemporaryDirectory(dir=other_file_system(tmp_path)) as folder:
        scratch = tmp_path / "tmp" / "scratch"
        scratch.mkdir(parents=True)
        yield Bench(Path(folder), scratch)


def snapshot(folder: Path) -> dict[str, object]:
    """Read everything below a folder, and what tells whether it is the same."""
    found: dict[str, object] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            inner = path.relative_to(folder).as_posix()
            status = path.lstat()
            if path.is_symlink():
                found[inner] = f"-> {path.readlink()}"
            elif path.is_dir():
                found[inner] = "a folder"
            elif path.is_file():
                changed = (status.st_ino, status.st_mtime_ns, status.st_mode)
                found[inner] = (path.read_bytes(), *changed)
            else:
                found[inner] = status.st_ino
    return found


def freeze(folder: Path, *, thaw: bool = False) -> None:
    """Let nobody change a folder, not even root; or let them again."""
    if os.geteuid() == 0:
        change = ["chattr", "-i" if thaw else "+i", folder]
        done = subprocess.run(change, check=False, capture_output=True, text=True)
        if "not supported" in done.stderr:
            pytest.skip("the file system freezes no folders")
        assert done.returncode == 0, done.stderr
    else:
        folder.chmod(0o755 if thaw else 0o555)


@contextlib.contextmanager
def frozen(folder: Path) -> Iterator[None]:
    freeze(folder)
    try:
        yield
    finally:
        freeze(folder, thaw=True)


def as_nobody(act: Callable[[Bench], None]) -> None:
    """Run in a process without root's rights, in a folder of its own.

    The target ``old`` and the staged file ``roots`` are there and belong to root:
    nobody may make hard links of them.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user's")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder, "root"), Path(folder, "scratch"))
        for made in (bench.root, bench.scratch, Path(folder)):
            made.mkdir(exist_ok=True)
            os.chown(made, 65534, 65534)
        bench.write("old")
        (bench.scratch / "roots").write_bytes(NEW)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                act(bench)
                status = 0
            except BaseException as error:  # noqa: BLE001 - told by the parent
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(status)

        assert os.waitpid(child, 0)[1] == 0


# Before anything is fetched


def test_free_names_and_files_may_be_written(bench: Bench) -> None:
    bench.write("m/old")

    bench.workspace.check(["m/old", "m/new", "n/o/new", "new"])


def test_a_root_that_is_still_to_be_made_may_be_written(bench: Bench) -> None:
    Workspace(bench.root / "out" / "deep").check(["m/a"])


def test_a_root_that_is_reached_through_a_link_may_be_written(bench: Bench) -> None:
    link = bench.root / "link"
    link.symlink_to("real")
    bench.write("real/m/old")

    Workspace(link).check(["m/old"])


@pytest.mark.parametrize(
    "leads_to",
    [
        pytest.param("../outside", id="outside"),
        pytest.param("real", id="inside"),
        pytest.param("nowhere", id="nowhere"),
        pytest.param(".git", id="git"),
        pytest.param(".", id="itself"),
    ],
)
@pytest.mark.parametrize("path", ["link/a", "link/b/a", "real/link/a"])
def test_a_parent_that_is_a_link_is_refused(
    bench: Bench, outside: Path, leads_to: str, path: str
) -> None:
    (bench.root / ".git").mkdir()
    (bench.root / "real").mkdir()
    link = path.partition("link")[0] + "link"
    (bench.root / link).symlink_to(leads_to)

    with pytest.raises(UnsafePathError) as caught:
        bench.workspace.check([path])

    assert caught.value.problems == ((path, f"'{link}' is a symlink or not a folder"),)
    assert set(snapshot(outside)) == {"empty", "precious"}


def test_a_parent_that_is_a_file_is_refused(bench: Bench) -> None:
    bench.write("m")

    with pytest.raises(UnsafePathError, match="'m' is a symlink or not a folder"):
        bench.workspace.check(["m/a"])


def test_a_parent_that_is_a_pipe_is_refused_at_once(bench: Bench) -> None:
    os.mkfifo(bench.root / "m")

    with pytest.raises(UnsafePathError, match="'m' is a symlink or not a folder"):
        bench.workspace.check(["m/a"])


def test_a_folder_in_the_place_of_a_target_is_refused(bench: Bench) -> None:
    (bench.root / "m").mkdir()

    with pytest.raises(UnsafePathError, match="'m': a folder exists at this path"):
        bench.workspace.check(["m"])


def test_what_is_no_file_in_the_place_of_a_target_is_refused(bench: Bench) -> None:
    os.mkfifo(bench.root / "m")

    with pytest.raises(
        UnsafePathError, match="'m': something other than a file exists"
    ):
        bench.workspace.check(["m"])


@pytest.mark.parametrize("leads_to", ["../outside/precious", "nowhere", "../outside"])
def test_a_link_in_the_place_of_a_target_may_be_written(
    bench: Bench, outside: Path, leads_to: str
) -> None:
    assert outside
    (bench.root / "m").symlink_to(leads_to)

    bench.workspace.check(["m"])


def test_every_problem_is_told_at_once(bench: Bench) -> None:
    bench.write("file")

    with pytest.raises(UnsafePathError) as caught:
        bench.workspace.check(["ok", "../a", "b\x1b", "twice", "twice", "file/c"])

    assert [path for path, _ in caught.value.problems] == [
        "../a",
        "b\x1b",
        "twice",
        "file/c",
    ]
    assert r"'b\x1b'" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_check_changes_nothing(bench: Bench) -> None:
    bench.write("m/old")
    before = snapshot(bench.root), bench.root.stat()

    bench.workspace.check(["m/old", "m/new", "n/new"])

    after = bench.root.stat()
    assert (snapshot(bench.root), after.st_mtime_ns) == (
        before[0],
        before[1].st_mtime_ns,
    )


def test_a_check_that_has_to_try_leaves_nothing(bench: Bench) -> None:
    bench.write("m/old")
    before = snapshot(bench.root)

    with pytest.raises(UnsafePathError):
        bench.workspace.check(["m/old/x", "M/new", "m/New", "m/new"])

    assert snapshot(bench.root) == before


def need_every_case(bench: Bench) -> None:
    """Skip the test on a file system that finds names in any case."""
    if (bench.root / ".." / "ROOT").exists():
        pytest.skip("names fold here")


def test_names_that_fold_to_one_are_accepted_where_names_do_not_fold(
    bench: Bench,
) -> None:
    need_every_case(bench)

    bench.workspace.check(["m/a", "m/A", "m/é", "m/e\u0301"])


def test_names_are_tried_above_a_root_that_is_still_to_be_made(bench: Bench) -> None:
    need_every_case(bench)

    Workspace(bench.root / "out" / "deep").check(["README", "readme"])

    assert list(bench.root.iterdir()) == []


def test_whether_names_fold_is_found_out_without_a_change(bench: Bench) -> None:
    bench.write("123")
    before = snapshot(bench.root), bench.root.stat().st_mtime_ns

    with frozen(bench.root):
        bench.workspace.check(["m/a", "m/A"])

    assert (snapshot(bench.root), bench.root.stat().st_mtime_ns) == before


def test_names_that_fold_to_one_are_refused_where_names_fold(bench: Bench) -> None:
    """A second name for a file looks like a file system without upper case."""
    need_every_case(bench)
    (bench.root / "readme").hardlink_to(bench.write("README"))

    with pytest.raises(UnsafePathError, match="it is the same file"):
        bench.workspace.check(["m/a", "m/A"])
    bench.workspace.check(["m/a", "m/A"], together=False)


def test_a_path_that_is_too_long_with_the_root_is_refused(bench: Bench) -> None:
    path = "/".join(["x" * 200] * 20 + ["y" * 70])

    with pytest.raises(
        UnsafePathError, match="its absolute path is longer than 4095 bytes"
    ):
        bench.workspace.check([path])


def test_a_name_that_the_system_cannot_encode_is_refused(bench: Bench) -> None:
    (bench.root / "m").mkdir()
    code = (
        "import sys; from pathlib import Path;"
        "from dvc_studio_models.files.workspace import Workspace;"
        "Workspace(Path(sys.argv[1])).check(['m/mod\\u00e8le'])"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, bench.root],
        env={**os.environ, **ascii_only},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "UnsafePathError" in done.stderr
    assert "it contains characters that file names cannot have here" in done.stderr


def test_a_folder_that_may_not_be_looked_into_is_told() -> None:
    def check(bench: Bench) -> None:
        (bench.root / "m").mkdir(mode=0o600)
        with pytest.raises(LocalDiskError, match=r"cannot read .*permission denied"):
            bench.workspace.check(["m/n/a"])
        with pytest.raises(LocalDiskError, match=r"cannot read .*permission denied"):
            bench.workspace.stat_target("m/n/a")

    as_nobody(check)


# Looking


def test_nothing_is_seen_where_nothing_is(bench: Bench) -> None:
    assert bench.workspace.stat_target("m/a") is None


def test_nothing_is_seen_behind_a_link(bench: Bench, outside: Path) -> None:
    (bench.root / "link").symlink_to(outside)

    assert bench.workspace.stat_target("link/precious") is None


def test_a_link_is_seen_as_itself(bench: Bench, outside: Path) -> None:
    (bench.root / "link").symlink_to(outside / "precious")

    seen = bench.workspace.stat_target("link")

    assert seen
    assert seen.inode == (bench.root / "link").lstat().st_ino


# Placing


def test_targets_that_were_just_looked_at_are_not_looked_at_again(
    bench: Bench,
) -> None:
    bench.write("m/file")
    staged = bench.stage("m/file")
    seen = bench.workspace.stat_targets(["m/file"])

    with pytest.raises(TargetChangedError):
        bench.workspace.place(
            Staged(staged, stamps_of(staged)),
            remove=[],
            seen=seen,
            backups=bench.scratch,
            now={"m/file": None},
        )

    assert (bench.root / "m/file").read_bytes() == OLD


def test_files_get_their_names_and_folders(bench: Bench) -> None:
    staged = bench.stage("a", "m/b", "m/n/o/c")

    bench.place(staged)

    assert (bench.root / "a").read_bytes() == NEW + b"a"
    assert (bench.root / "m/b").read_bytes() == NEW + b"m/b"
    assert (bench.root / "m/n/o/c").read_bytes() == NEW + b"m/n/o/c"
    assert not any(new.exists() for new in staged.values())


def test_folders_are_made_as_the_users_mask_says(bench: Bench) -> None:
    before = os.umask(0o027)
    try:
        bench.place(bench.stage("m/a"))
    finally:
        os.umask(before)

    assert stat.S_IMODE((bench.root / "m").stat().st_mode) == 0o750


def test_a_root_that_is_a_link_is_followed(bench: Bench, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bench.root)

    Bench(link, bench.scratch).place(bench.stage("m/a"))

    assert (bench.root / "m/a").read_bytes() == NEW + b"m/a"


def test_a_file_is_replaced_as_a_whole(bench: Bench) -> None:
    target = bench.write("m/a")
    with target.open("rb") as reader:
        bench.place(bench.stage("m/a"))

        assert reader.read() == OLD
    assert target.read_bytes() == NEW + b"m/a"


def test_a_link_is_replaced_and_not_written_through(
    bench: Bench, outside: Path
) -> None:
    before = snapshot(outside)
    target = bench.root / "m"
    target.symlink_to(outside / "precious")

    bench.place(bench.stage("m"))

    assert not target.is_symlink()
    assert target.read_bytes() == NEW + b"m"
    assert snapshot(outside) == before


@pytest.mark.parametrize("leads_to", ["nowhere", "../outside"])
def test_a_link_to_no_file_is_replaced(
    bench: Bench, outside: Path, leads_to: str
) -> None:
    before = snapshot(outside)
    target = bench.root / "m"
    target.symlink_to(leads_to)

    bench.place(bench.stage("m"))

    assert target.read_bytes() == NEW + b"m"
    assert snapshot(outside) == before


def test_the_other_names_of_a_replaced_file_keep_its_content(
    bench: Bench, tmp_path: Path
) -> None:
    target = bench.write("m/a")
    target.chmod(0o444)
    other = tmp_path / "object"
    other.hardlink_to(target)
    before = snapshot(tmp_path)["object"]

    bench.place(bench.stage("m/a"))

    assert target.read_bytes() == NEW + b"m/a"
    assert snapshot(tmp_path)["object"] == before


def test_a_staged_link_is_placed_as_a_link(bench: Bench, outside: Path) -> None:
    new = bench.scratch / "new"
    new.symlink_to(outside / "precious")

    bench.place({"m/a": new})

    assert (bench.root / "m/a").readlink() == outside / "precious"


def test_files_that_are_not_of_the_pull_stay(bench: Bench) -> None:
    bench.write("m/mine")
    before = snapshot(bench.root)

    bench.place(bench.stage("m/a"))

    assert snapshot(bench.root).items() >= before.items()


def test_a_leftover_goes_with_the_folders_that_it_leaves_empty(bench: Bench) -> None:
    bench.write("m/n/o/gone")
    bench.write("m/stays")

    bench.place({}, remove=["m/n/o/gone"])

    assert set(snapshot(bench.root)) == {"m", "m/stays"}


def test_the_root_stays_when_its_last_file_goes(bench: Bench) -> None:
    bench.write("gone")

    bench.place({}, remove=["gone"])

    assert list(bench.root.iterdir()) == []


def test_nothing_is_hidden_beside_targets_of_the_same_file_system(
    bench: Bench,
) -> None:
    bench.write("m/gone")
    bench.write("m/old")
    mine = bench.write("m/.dvc-models")

    bench.place(bench.stage("m/old", "m/new"), remove=["m/gone"])

    assert mine.read_bytes() == OLD


def test_a_leftover_that_is_a_link_goes_and_its_file_stays(
    bench: Bench, outside: Path
) -> None:
    before = snapshot(outside)
    (bench.root / "gone").symlink_to(outside / "precious")

    bench.place({}, remove=["gone"])

    assert list(bench.root.iterdir()) == []
    assert snapshot(outside) == before


def test_removing_makes_no_folder(bench: Bench) -> None:
    with pytest.raises(LocalDiskError):
        bench.place({}, remove=["m/gone"])

    assert list(bench.root.iterdir()) == []


# What changed since the plan was made


def rewrite(path: Path) -> None:
    path.write_bytes(b"somebody's own work\n")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(rewrite, id="rewritten"),
        pytest.param(Path.unlink, id="removed"),
        pytest.param(lambda path: os.utime(path, ns=(1, 1)), id="touched"),
        pytest.param(
            lambda path: (
                shutil.copy2(path, f"{path}-2") and Path(f"{path}-2").replace(path)
            ),
            id="replaced by its copy",
        ),
        pytest.param(lambda path: path.unlink() or path.mkdir(), id="made a folder"),
        pytest.param(
            lambda path: path.unlink() or path.symlink_to("x"), id="made a link"
        ),
    ],
)
def test_a_target_that_changed_is_refused(
    bench: Bench, change: Callable[[Path], object]
) -> None:
    target = bench.write("m/b")
    staged = bench.stage("m/a", "m/b")
    before: dict[str, object] = {}

    def changing() -> None:
        change(target)
        before.update(snapshot(bench.root))

    with pytest.raises(TargetChangedError) as caught:
        bench.place(staged, changing=changing)

    assert caught.value.paths == ("m/b",)
    assert snapshot(bench.root) == before


def test_every_target_that_changed_is_told(bench: Bench) -> None:
    targets = [bench.write("a"), bench.write("b"), bench.root / "c"]

    with pytest.raises(TargetChangedError) as caught:
        bench.place(
            bench.stage("a", "c", "d"),
            remove=["b"],
            changing=lambda: [rewrite(target) for target in targets],
        )

    assert caught.value.paths == ("a", "c", "b")


def test_a_leftover_that_changed_is_refused(bench: Bench) -> None:
    target = bench.write("m/a")

    with pytest.raises(TargetChangedError):
        bench.place({}, remove=["m/a"], changing=lambda: rewrite(target))

    assert target.read_bytes() == b"somebody's own work\n"


def test_a_file_that_appears_while_others_are_placed_is_not_replaced(
    bench: Bench,
) -> None:
    target = bench.root / "m/b"
    staged = Between(bench.stage("m/a", "m/b"), lambda: rewrite(target))

    with pytest.raises(TargetChangedError):
        bench.place(staged)

    assert target.read_bytes() == b"somebody's own work\n"
    assert not (bench.root / "m/a").exists()


def test_a_file_that_changes_while_others_are_placed_is_not_replaced(
    bench: Bench,
) -> None:
    target = bench.write("m/b")
    staged = Between(bench.stage("m/a", "m/b"), lambda: rewrite(target))

    with pytest.raises(TargetChangedError):
        bench.place(staged)

    assert target.read_bytes() == b"somebody's own work\n"
    assert not (bench.root / "m/a").exists()


def test_two_targets_that_turn_out_to_be_one_file_are_refused(bench: Bench) -> None:
    """As on a case-insensitive file system that is mounted below the root."""
    staged = bench.stage("m/a", "m/./a")

    with pytest.raises(TargetChangedError):
        bench.place(staged)

    assert not (bench.root / "m").exists()


def test_a_file_that_appears_is_not_replaced_by_another_users() -> None:
    def act(bench: Bench) -> None:
        staged = {**bench.stage("first"), "new": bench.scratch / "roots"}

        with pytest.raises(TargetChangedError):
            bench.place(Between(staged, lambda: rewrite(bench.root / "new")))

        assert (bench.root / "new").read_bytes() == b"somebody's own work\n"

    as_nobody(act)


def test_a_staged_file_of_another_user_is_placed() -> None:
    def act(bench: Bench) -> None:
        bench.place({"new": bench.scratch / "roots"})

        assert (bench.root / "new").read_bytes() == NEW

    as_nobody(act)


def test_a_file_of_another_user_that_changes_is_not_replaced() -> None:
    def act(bench: Bench) -> None:
        def swap() -> None:
            (bench.root / "old").rename(bench.root / "moved")
            rewrite(bench.root / "old")

        with pytest.raises(TargetChangedError):
            bench.place(Between(bench.stage("new", "old"), swap))

        assert (bench.root / "old").read_bytes() == b"somebody's own work\n"

    as_nobody(act)


# Links that appear


def test_a_parent_that_became_a_link_is_not_followed(
    bench: Bench, outside: Path
) -> None:
    before = snapshot(outside)
    (bench.root / "m").mkdir()

    def changing() -> None:
        (bench.root / "m").rmdir()
        (bench.root / "m").symlink_to(outside)

    with pytest.raises(UnsafePathError, match="'m': it is a symlink or not a folder"):
        bench.place(bench.stage("m/a"), changing=changing)

    assert snapshot(outside) == before


def test_a_parent_that_became_a_file_is_refused(bench: Bench) -> None:
    with pytest.raises(UnsafePathError, match="'m': it is a symlink or not a folder"):
        bench.place(bench.stage("m/a"), changing=lambda: bench.write("m"))

    assert (bench.root / "m").read_bytes() == OLD


def test_a_parent_that_becomes_a_link_over_and_over_is_never_followed(
    bench: Bench, outside: Path, tmp_path: Path
) -> None:
    folder, link, aside = bench.root / "m", tmp_path / "link", tmp_path / "aside"
    folder.mkdir()
    link.symlink_to(outside)
    before = snapshot(outside)
    done = threading.Event()

    def put(source: Path) -> None:
        while source.is_symlink() or source.exists():
            try:
                source.rename(folder)
            except OSError:  # who places has made the folder anew, and goes on
                shutil.rmtree(folder, ignore_errors=True)

    def flip() -> None:
        for pause_s in itertools.cycle((0, 0.001, 0.003, 0.01)):
            time.sleep(pause_s)
            folder.rename(aside)
            put(link)
            time.sleep(pause_s)
            folder.rename(link)
            put(aside)
            if done.is_set():
                return

    flipper = threading.Thread(target=flip)
    flipper.start()
    try:
        for _ in range(60):
            with contextlib.suppress(
                UnsafePathError, LocalDiskError, TargetChangedError
            ):
                bench.place(bench.stage("m/precious", "m/empty/a"))
    finally:
        done.set()
        flipper.join()

    assert snapshot(outside) == before


def test_whose_parent_became_a_link_is_not_rolled_back_through_it(
    bench: Bench, outside: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write("m/precious", b"my own\n")
    before = snapshot(outside)

    def swap() -> None:
        (bench.root / "m").rename(bench.root / "moved")
        (bench.root / "m").symlink_to(outside)

    with pytest.raises(UnsafePathError):
        bench.place(Between(bench.stage("m/precious", "m/b"), swap))

    (backup,) = bench.scratch.parent.glob("backup-*")
    assert backup.read_bytes() == b"my own\n"
    assert f"cannot restore 'm/precious'; its previous content is in '{backup}'" in (
        caplog.text
    )
    assert snapshot(outside) == before


def test_a_folder_is_not_taken_back_through_a_link(bench: Bench, outside: Path) -> None:
    before = snapshot(outside)

    def swap() -> None:
        (bench.root / "m").rename(bench.root / "moved")
        (bench.root / "m").symlink_to(outside)

    with pytest.raises(UnsafePathError):
        bench.place(Between(bench.stage("m/empty/a", "m/b"), swap))

    assert snapshot(outside) == before


# Failures midway


def test_what_was_there_comes_back_when_a_later_file_fails(
    bench: Bench, outside: Path
) -> None:
    bench.write("m/file")
    (bench.root / "m/link").symlink_to(outside / "precious")
    before = snapshot(bench.root)
    staged = bench.stage("m/file", "m/link", "m/new", "n/o/new", "last")

    with pytest.raises(LocalDiskError, match=r"cannot write '.*last': no such file"):
        bench.place(failing(staged))

    assert snapshot(bench.root) == before


def test_what_was_placed_goes_back_to_where_it_came_from(
    bench: Bench, tmp_path: Path
) -> None:
    """The next pull looks for its files there."""
    bench.write("m/file")
    before = snapshot(bench.root)
    staged = {path: tmp_path / f"part-of-{path[2:]}" for path in ("m/file", "m/new")}
    for part in staged.values():
        part.write_bytes(NEW)
    fails = bench.stage("m/fails")

    with pytest.raises(LocalDiskError):
        bench.place(failing(staged | fails))

    assert [part.read_bytes() for part in staged.values()] == [NEW, NEW]
    assert snapshot(bench.root) == before


def test_a_target_whose_turn_did_not_come_is_left_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write("m/file")
    bench.write("m/last")
    before = snapshot(bench.root)

    with pytest.raises(LocalDiskError):
        bench.place(failing(bench.stage("m/file", "m/last")))

    assert snapshot(bench.root) == before
    assert list(bench.scratch.parent.glob("backup-*")) == []
    assert caplog.text == ""


def test_what_was_there_comes_back_when_a_leftover_cannot_go(bench: Bench) -> None:
    bench.write("m/file")
    bench.write("m/gone")
    stays = bench.write("ice/stays").parent
    before = snapshot(bench.root)

    with frozen(stays), pytest.raises(LocalDiskError, match=r"cannot remove '.*stays'"):
        bench.place(bench.stage("m/file", "x/new"), remove=["m/gone", "ice/stays"])

    assert snapshot(bench.root) == before


def test_a_folder_that_cannot_be_written_is_told(bench: Bench) -> None:
    (bench.root / "ice").mkdir()
    bench.write("m/file")
    before = snapshot(bench.root)

    with (
        frozen(bench.root / "ice"),
        pytest.raises(
            LocalDiskError, match=r"cannot write '.*ice/new': .*permi"
        ) as caught,
    ):
        bench.place(bench.stage("m/file", "ice/new"))

    assert caught.value.exit_code == 8
    assert snapshot(bench.root) == before


def test_an_interrupt_midway_takes_everything_back(bench: Bench) -> None:
    bench.write("m/file")
    before = snapshot(bench.root)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.place(Between(bench.stage("m/file", "n/new"), interrupt))

    assert snapshot(bench.root) == before


class Signalling(logging.Handler):
    """Sends this process a signal when something is logged."""

    def __init__(self, number: int) -> None:
        super().__init__(logging.WARNING)
        self._number = number

    def emit(self, _: logging.LogRecord) -> None:
        signal.raise_signal(self._number)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """As ``dvc models`` does."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=int)
def test_a_second_signal_waits_until_all_that_was_there_is_back(
    bench: Bench, number: int
) -> None:
    targets = [bench.write(path) for path in ("a", "m/b", "c")]
    before = snapshot(bench.root)
    staged = bench.stage("a", "m/b", "c", "new", "last")
    second = Signalling(number)  # when "c" is told, the first to be taken back

    def act() -> None:
        rewrite(targets[-1])
        signal.raise_signal(signal.SIGINT)

    with ending_on_sigterm():
        answers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        logging.getLogger(log.NAME).addHandler(second)
        try:
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                bench.place(Between(staged, act))
        finally:
            logging.getLogger(log.NAME).removeHandler(second)

        assert answers == [
            signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)
        ]
    after = snapshot(bench.root)
    assert targets[-1].read_bytes() == b"somebody's own work\n"
    assert {**after, "c": None} == {**before, "c": None}


def test_what_somebody_wrote_since_is_not_taken_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    target = bench.write("m/file")
    staged = bench.stage("m/file", "m/fails")

    def act() -> None:
        rewrite(target)
        staged["m/fails"].unlink()

    with pytest.raises(LocalDiskError):
        bench.place(Between(staged, act))

    (backup,) = bench.scratch.parent.glob("backup-*")
    assert target.read_bytes() == b"somebody's own work\n"
    assert backup.read_bytes() == OLD
    assert str(backup) in caplog.text


def test_a_new_file_that_somebody_rewrote_since_stays(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    staged = bench.stage("m/file", "m/fails")

    def act() -> None:
        rewrite(bench.root / "m/file")
        staged["m/fails"].unlink()

    with pytest.raises(LocalDiskError):
        bench.place(Between(staged, act))

    assert (bench.root / "m/file").read_bytes() == b"somebody's own work\n"
    assert "cannot remove 'm/file', which this pull has placed" in caplog.text


def test_a_made_folder_that_somebody_uses_since_stays(bench: Bench) -> None:
    staged = bench.stage("m/file", "m/fails")

    def act() -> None:
        bench.write("m/mine")
        staged["m/fails"].unlink()

    with pytest.raises(LocalDiskError):
        bench.place(Between(staged, act))

    assert set(snapshot(bench.root)) == {"m", "m/mine"}


def test_all_that_can_come_back_does_when_something_cannot(
    bench: Bench, outside: Path
) -> None:
    bench.write("a")
    bench.write("m/b")
    staged = bench.stage("a", "m/b", "last")

    def act() -> None:
        (bench.root / "m").rename(bench.root / "moved")
        (bench.root / "m").symlink_to(outside)
        staged["last"].unlink()

    with pytest.raises(LocalDiskError):
        bench.place(Between(staged, act))

    assert (bench.root / "a").read_bytes() == OLD
    assert not (outside / "b").exists()


def test_a_file_of_another_user_comes_back_with_its_mode_and_time() -> None:
    def act(bench: Bench) -> None:
        before = (bench.root / "old").stat()

        with pytest.raises(LocalDiskError):
            bench.place(failing(bench.stage("old", "fails")))

        after = (bench.root / "old").stat()
        assert (bench.root / "old").read_bytes() == OLD
        assert (after.st_mode, after.st_mtime_ns) == (
            before.st_mode,
            before.st_mtime_ns,
        )

    as_nobody(act)


def test_a_file_of_another_user_is_replaced() -> None:
    def act(bench: Bench) -> None:
        bench.place(bench.stage("old"))

        assert (bench.root / "old").read_bytes() == NEW + b"old"

    as_nobody(act)


# Another file system


def test_a_file_is_placed_on_another_file_system(far: Bench) -> None:
    far.write("m/old")

    far.place(far.stage("m/old", "m/new", "top"))

    assert {
        path: (far.root / path).read_bytes() for path in ("m/old", "m/new", "top")
    } == {path: NEW + path.encode() for path in ("m/old", "m/new", "top")}
    assert set(snapshot(far.root)) == {"m", "m/old", "m/new", "top"}


def test_a_file_is_placed_from_another_file_system(
    bench: Bench, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(dir=other_file_system(tmp_path)) as folder:
        part = Path(folder, "part")
        part.write_bytes(NEW)

        bench.place({"m/file": part})

        assert part.read_bytes() == NEW
    assert (bench.root / "m/file").read_bytes() == NEW
    assert set(snapshot(bench.root)) == {"m", "m/file"}


def test_a_file_has_its_mode_on_another_file_system(far: Bench) -> None:
    staged = far.stage("m/a")
    staged["m/a"].chmod(0o640)

    far.place(staged)

    assert stat.S_IMODE((far.root / "m/a").stat().st_mode) == 0o640


def test_a_link_is_placed_on_another_file_system(far: Bench, outside: Path) -> None:
    new = far.scratch / "new"
    new.symlink_to(outside / "precious")

    far.place({"m/a": new})

    assert (far.root / "m/a").readlink() == outside / "precious"


def test_a_leftover_goes_from_another_file_system(far: Bench) -> None:
    far.write("m/gone")

    far.place({}, remove=["m/gone"])

    assert list(far.root.iterdir()) == []


def test_what_was_there_comes_back_on_another_file_system(far: Bench) -> None:
    far.write("m/file")
    (far.root / "m/link").symlink_to("nowhere")
    before = snapshot(far.root)

    with pytest.raises(LocalDiskError):
        far.place(failing(far.stage("m/file", "m/link", "n/new", "last")))

    assert snapshot(far.root) == before


def test_what_was_there_comes_back_when_only_the_backups_are_elsewhere(
    far: Bench,
) -> None:
    far.write("m/file")
    before = snapshot(far.root)
    with tempfile.TemporaryDirectory(dir=far.root.parent) as folder:
        staged = {f"m/{name}": Path(folder, name) for name in ("file", "fails")}
        for part in staged.values():
            part.write_bytes(NEW)

        with pytest.raises(LocalDiskError):
            far.place(failing(staged))

        assert staged["m/file"].read_bytes() == NEW
    assert snapshot(far.root) == before


def test_a_leftover_comes_back_on_another_file_system(far: Bench) -> None:
    gone, other = far.write("m/gone"), far.write("m/other")
    before = snapshot(far.root)["m/gone"]
    staged = Between(far.stage("m/new"), lambda: rewrite(other))

    with pytest.raises(TargetChangedError):
        far.place(staged, remove=["m/gone", "m/other"])

    assert gone.exists()
    assert snapshot(far.root)["m/gone"] == before


def test_a_full_disk_midway_takes_everything_back(far: Bench) -> None:
    far.write("m/file")
    before = snapshot(far.root)
    staged = far.stage("m/file", "m/large")
    with staged["m/large"].open("wb") as large:
        large.truncate(1 << 20)
    child = os.fork()
    if child == 0:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        try:
            far.place(staged)
        except LocalDiskError as error:
            os._exit(0 if os.strerror(errno.EFBIG).lower() in str(error) else 2)
        os._exit(1)

    assert os.waitpid(child, 0)[1] == 0
    assert snapshot(far.root) == before


def test_an_interrupt_ends_a_copy_to_another_file_system(far: Bench) -> None:
    target = far.write("m/file")
    before = snapshot(far.root)
    staged = far.stage("m/file")
    staged["m/file"].unlink()
    os.mkfifo(staged["m/file"])  # whose end is far

    def pour() -> None:
        with contextlib.suppress(BrokenPipeError), staged["m/file"].open("wb") as pipe:
            pipe.write(bytes(1 << 20))
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(256):  # the other file system may be the memory
                pipe.write(bytes(1 << 20))

    source = threading.Thread(target=pour)
    source.start()
    with pytest.raises(KeyboardInterrupt):
        far.place(staged)
    source.join()

    assert target.read_bytes() == OLD
    assert snapshot(far.root) == before


@pytest.mark.parametrize("folder", ["", "m/"], ids=["the root", "a folder"])
def test_what_cannot_come_back_on_another_file_system_is_kept_there(
    far: Bench, caplog: pytest.LogCaptureFixture, folder: str
) -> None:
    target = far.write(f"{folder}file")
    staged = far.stage(f"{folder}file", f"{folder}fails")

    def act() -> None:
        rewrite(target)
        staged[f"{folder}fails"].unlink()

    with pytest.raises(LocalDiskError):
        far.place(Between(staged, act))

    (backup,) = (target.parent / ".dvc-models").glob("backup-*")
    assert backup.read_bytes() == OLD
    assert (
        f"its previous content is in '{folder}.dvc-models/{backup.name}'" in caplog.text
    )


def test_what_can_neither_come_back_nor_be_kept_is_told(
    far: Bench, outside: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far.write("m/file")

    def swap() -> None:
        (far.root / "m").rename(far.root / "moved")
        (far.root / "m").symlink_to(outside)

    with pytest.raises(UnsafePathError):
        far.place(Between(far.stage("m/file", "m/b"), swap))

    assert "cannot restore 'm/file'; its previous content is lost" in caplog.text


def test_a_hidden_folder_that_is_a_link_is_not_followed(
    far: Bench, outside: Path
) -> None:
    before = snapshot(outside)
    far.write("m/old")
    (far.root / "m/.dvc-models").symlink_to(outside)

    with pytest.raises(UnsafePathError, match=r"'m/\.dvc-models': it is a symlink"):
        far.place(far.stage("m/old"))

    assert (far.root / "m/old").read_bytes() == OLD
    assert snapshot(outside) == before


def test_what_a_killed_pull_left_on_another_file_system_is_swept(far: Bench) -> None:
    far.write(f"m/.dvc-models/{killed_name()}")
    live = f"m/.dvc-models/{owned_by(os.getppid())}"
    far.write(live)

    far.place(far.stage("m/a"))

    assert set(snapshot(far.root)) == {
        "m",
        "m/a",
        "m/.dvc-models",
        "m/.dvc-models/.gitignore",
        live,
    }


def test_what_a_killed_pull_left_is_swept_where_nothing_is_placed(bench: Bench) -> None:
    left = killed_name()
    bench.write(f"m/.dvc-models/{left}")
    bench.write("m/.dvc-models/.gitignore", b"*\n")

    bench.workspace.sweep(["m/a", "m/b", "gone/c"])

    assert set(snapshot(bench.root)) == {"m"}


def test_sweeping_follows_no_link(bench: Bench, outside: Path) -> None:
    left = killed_name()
    (outside / left).touch()
    (outside / ".dvc-models").mkdir()
    (outside / ".dvc-models" / left).touch()
    before = snapshot(outside)
    (bench.root / "m").mkdir()
    (bench.root / "m/.dvc-models").symlink_to(outside)
    (bench.root / "n").symlink_to(outside)

    bench.workspace.sweep(["m/a", "n/a"])

    assert snapshot(outside) == before


def test_two_mounts_of_one_file_system_are_told_apart(tmp_path: Path) -> None:
    """Only a rename can tell: both have the same device number."""
    code = """
import sys
from pathlib import Path
from dvc_studio_models.files.workspace import FileStamp, Staged, Workspace

root, scratch = map(Path, sys.argv[1:])
workspace = Workspace(root)
(root / "m" / "old").write_bytes(b"old")
staged = {name: scratch / name for name in ("old", "new")}
for new in staged.values():
    new.write_bytes(b"new")
staged = {f"m/{name}": new for name, new in staged.items()}
seen = {path: workspace.stat_target(path) for path in staged}
stamps = {path: FileStamp.of(new.lstat()) for path, new in staged.items()}
workspace.place(Staged(staged, stamps), remove=[], seen=seen, backups=scratch)
"""
    volume, root, scratch = (tmp_path / name for name in ("volume", "root", "scratch"))
    for folder in (volume, root, root / "m", scratch):
        folder.mkdir()
    mount = 'mount --bind "$1" "$2/m" && exec "$0" -c "$4" "$2" "$3"'
    subprocess.run(
        [
            *mount_namespace(),
            "sh",
            "-c",
            mount,
            sys.executable,
            volume,
            root,
            scratch,
            code,
        ],
        check=True,
    )

    assert {path.name: path.read_bytes() for path in volume.iterdir()} == {
        "old": b"new",
        "new": b"new",
    }


# What Git shows


def test_git_shows_no_hidden_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    hidden = tmp_path / "m" / ".dvc-models"
    hidden.mkdir(parents=True)
    with SafeFolders(tmp_path) as tree, tree.open("m/.dvc-models") as folder:
        hide_from_git(folder)
        hide_from_git(folder)
    (hidden / "part").write_bytes(NEW)
    shown = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout

    assert shown == b""


# Whatever the reply


NASTY = st.lists(
    st.sampled_from(
        [
            *("m", "M", "file", "link-out", "link-in", "link-git", "dangling", "n"),
            *(".git", ".GIT", ".git ", "git~1", ".dvc", ".dvc-models", "hooks"),
            *("config", "..", ".", "", "../outside", "/tmp", "C:", "a\\b", "a\nb"),
            *("dvc.yaml", "x.dvc", ".gitignore", "é", "e\u0301", "pipe", "x" * 256),
        ]
    ),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(max_examples=200, deadline=None)
@given(paths=st.lists(NASTY, min_size=1, max_size=5, unique=True))
def test_whatever_the_reply_nothing_outside_the_root_or_of_git_or_dvc_changes(
    paths: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        bench = hostile(world)
        before = snapshot(world)
        try:
            bench.workspace.check(paths)
        except UnsafePathError:
            assert snapshot(world) == before
            return
        bench.place(bench.stage(*paths))

        after = snapshot(world)
        targets = {f"root/{path}" for path in paths}
        kept = {path: seen for path, seen in before.items() if path not in targets}
        made = {path for path in after if path not in before}
        assert after.items() >= kept.items()
        parents = {parent for path in targets for parent in above(path)}
        assert {path for path in made if not path.startswith("scratch/")} <= (
            targets | parents
        )
        for path in paths:
            assert (bench.root / path).read_bytes() == NEW + path.encode()
            assert os.path.realpath(bench.root / path) == f"{bench.root}/{path}"


def hostile(world: Path) -> Bench:
    """Build a clone with everything in it that a path could lead astray."""
    bench = Bench(world / "root", world / "scratch")
    for folder in (bench.root, bench.scratch, world / "outside"):
        folder.mkdir()
    for path in (
        ".git/config",
        ".git/hooks/x",
        ".dvc/config",
        "m/old",
        "file",
        "dvc.yaml",
    ):
        bench.write(path)
    (world / "outside" / "config").write_bytes(OLD)
    for name, leads_to in (
        ("link-out", "../outside"),
        ("link-in", "m"),
        ("link-git", ".git"),
        ("dangling", "nowhere"),
    ):
        (bench.root / name).symlink_to(leads_to)
    os.mkfifo(bench.root / "pipe")
    return bench


def above(path: str) -> list[str]:
    return [parent.as_posix() for parent in Path(path).parents]


def test_a_folder_is_opened_as_one_and_never_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(".")

    with pytest.raises(NotADirectoryError):
        os.open(tmp_path / "file", FOLDER)
    with pytest.raises(NotADirectoryError):
        os.open(tmp_path / "link", FOLDER)


def test_a_file_that_cannot_be_made_executable_is_told_and_stays(
    bench: Bench, outside: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bench.root / "m").symlink_to(outside)
    (outside / "a").write_bytes(OLD)

    bench.workspace.make_executable(["gone", "m/a"])

    told = "cannot make 'gone' executable: No such file or directory"
    assert told in caplog.text
    assert "cannot make 'm/a' executable: refusing to write" in caplog.text
    assert not (outside / "a").stat().st_mode & stat.S_IEXEC


# New folders


class NewFolders:
    """Files that are staged in folders, which are placed as a whole."""

    def __init__(self, bench: Bench, *paths: str) -> None:
        self.bench = bench
        missing = bench.workspace.missing_folders(paths)
        made, folders = lay_out(paths, bench.scratch, missing)
        files = {path: Path(new) for path, new in made.items()}
        for path, new in files.items():
            new.write_bytes(NEW + path.encode())
        self.staged = Staged(files, stamps_of(files), folders)
        self.inodes = {path: folder.stat().st_ino for path, folder in folders.items()}

    def place(
        self, *, act: Callable[[], object] | None = None, **options: object
    ) -> Mapping[str, FileStamp | None]:
        """Place them; ``act`` is called when only the last file has no name yet."""
        staged = self.staged
        if act:
            files = Between(staged.files, act)
            staged = Staged(files, staged.stamps, staged.folders)
        return self.bench.workspace.place(
            staged,
            remove=[],
            seen=dict.fromkeys(staged.files),
            backups=self.bench.scratch,
            now=dict.fromkeys(staged.files),
            **options,  # type: ignore[arg-type]
        )

    def contents(self) -> dict[str, bytes]:
        return {path: (self.bench.root / path).read_bytes() for path in self.expected}

    @property
    def expected(self) -> dict[str, bytes]:
        return {path: NEW + path.encode() for path in self.staged.files}


@pytest.mark.linux
def test_a_new_folder_is_placed_as_a_whole(bench: Bench) -> None:
    bench.write("m/there")
    new = NewFolders(bench, "a/b", "a/c/d/e", "m/n/f", "m/g", "h")

    placed = new.place()

    assert set(new.staged.folders) == {"a", "m/n"}
    assert new.contents() == new.expected
    assert {
        path: (bench.root / path).stat().st_ino for path in new.staged.folders
    } == new.inodes
    assert list(bench.scratch.iterdir()) == []
    assert placed == {
        path: bench.workspace.stat_target(path) for path in new.staged.files
    }


def test_a_new_root_has_new_folders(bench: Bench) -> None:
    bench.root.rmdir()
    new = NewFolders(bench, "a/b", "c")

    new.place()

    assert set(new.staged.folders) == {"a"}
    assert new.contents() == new.expected


def test_only_the_outermost_of_new_folders_is_one(bench: Bench) -> None:
    paths = ["m/a", "n/o/p/b", "n/o/c", "d"]
    bench.write("m/x")

    assert bench.workspace.missing_folders(paths) == {"n"}


def test_folders_of_long_paths_are_not_placed_as_a_whole(bench: Bench) -> None:
    """They would be longer in the scratch folder, perhaps too long."""
    long = "/".join(["l", *["x" * 200] * 5])

    assert bench.workspace.missing_folders([f"{long}/a", "l/b", "m/c"]) == {"m"}
    assert bench.workspace.missing_folders(["l/b", f"{long}/a", "m/c"]) == {"m"}


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_a_new_folder_has_the_mode_that_the_users_mask_says(
    bench: Bench, umask: int
) -> None:
    before = os.umask(umask)
    try:
        new = NewFolders(bench, "m/n/a")
        new.place()
    finally:
        os.umask(before)

    for folder in ("m", "m/n"):
        mode = (bench.root / folder).stat().st_mode
        assert stat.S_IMODE(mode) == 0o777 & ~umask


def test_a_new_folder_has_the_group_of_its_parent_where_folders_inherit_it(
    bench: Bench,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to a group it is not in")
    shared = bench.root / "m"
    shared.mkdir()
    os.chown(shared, -1, 12345)
    shared.chmod(0o2775)
    new = NewFolders(bench, "m/n/a")

    new.place()

    made = (shared / "n").stat()
    assert (made.st_gid, made.st_mode & stat.S_ISGID) == (12345, stat.S_ISGID)
    assert new.contents() == new.expected


def test_a_new_folder_has_the_mode_of_its_parent_where_folders_inherit_it(
    bench: Bench,
) -> None:
    """The group is the same, but not whether folders in it inherit the group."""
    shared = bench.root / "m"
    shared.mkdir()
    shared.chmod(0o2775)
    new = NewFolders(bench, "m/n/a")

    new.place()

    assert (shared / "n").stat().st_mode & stat.S_ISGID
    assert new.contents() == new.expected


@pytest.mark.linux
def test_a_new_folder_has_the_access_list_of_its_parent(bench: Bench) -> None:
    shared = bench.root / "m"
    shared.mkdir()
    entries = [(1, 7, -1), (2, 7, 12345), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)
    try:
        os.setxattr(shared, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("the file system has no access lists")
    new = NewFolders(bench, "m/n/a")

    new.place()

    assert os.getxattr(shared / "n", "system.posix_acl_default") == acl
    assert new.contents() == new.expected


def test_a_new_folder_is_placed_on_another_file_system(far: Bench) -> None:
    new = NewFolders(far, "m/a", "m/n/b")

    new.place()

    assert new.contents() == new.expected
    assert set(snapshot(far.root)) == {"m", "m/a", "m/n", "m/n/b"}


def test_a_folder_that_appears_keeps_its_files(bench: Bench) -> None:
    new = NewFolders(bench, "m/a", "m/n/b")
    mine = bench.write("m/mine")
    inode = mine.parent.stat().st_ino

    new.place()

    assert new.contents() == new.expected
    assert mine.read_bytes() == OLD
    assert mine.parent.stat().st_ino == inode


def test_an_empty_folder_that_appears_is_used_and_not_replaced(bench: Bench) -> None:
    new = NewFolders(bench, "m/a")
    (bench.root / "m").mkdir(0o700)
    inode = (bench.root / "m").stat().st_ino

    new.place()

    assert new.contents() == new.expected
    assert (bench.root / "m").stat().st_ino == inode


def test_a_file_in_a_folder_that_appears_is_not_replaced(bench: Bench) -> None:
    new = NewFolders(bench, "m/a", "m/n/b", "x/c")
    mine = bench.write("m/n/b")
    before = snapshot(bench.root)

    with pytest.raises(TargetChangedError) as caught:
        new.place()

    assert caught.value.paths == ("m/n/b",)
    assert mine.read_bytes() == OLD
    assert snapshot(bench.root) == before


@pytest.mark.parametrize("leads_to", ["../outside/empty", "nowhere"])
@pytest.mark.parametrize("link", ["m", "m/n"])
def test_a_link_that_appears_in_the_place_of_a_new_folder_is_refused(
    bench: Bench, outside: Path, link: str, leads_to: str
) -> None:
    before = snapshot(outside)
    new = NewFolders(bench, "m/n/a", "m/n/o/b")
    (bench.root / link).parent.mkdir(exist_ok=True)
    (bench.root / link).symlink_to(bench.root / leads_to)

    with pytest.raises(UnsafePathError):
        new.place()

    assert snapshot(outside) == before
    assert set(snapshot(bench.root)) == {"m", link}


def test_new_folders_go_when_a_later_file_fails(bench: Bench) -> None:
    bench.write("old/there")
    before = snapshot(bench.root)
    new = NewFolders(bench, "m/a", "m/n/o/b", "old/x/c", "last")

    with pytest.raises(LocalDiskError):
        new.place(act=new.staged.files["last"].unlink)

    assert snapshot(bench.root) == before


def test_what_somebody_did_in_a_new_folder_since_stays(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    new = NewFolders(bench, "m/a", "m/n/b", "o/c", "last")

    def act() -> None:
        rewrite(bench.root / "m/a")
        bench.write("m/n/mine")
        new.staged.files["last"].unlink()

    with pytest.raises(LocalDiskError):
        new.place(act=act)

    assert set(snapshot(bench.root)) == {"m", "m/a", "m/n", "m/n/mine"}
    assert (bench.root / "m/a").read_bytes() == b"somebody's own work\n"
    assert "cannot remove 'm/a', which this pull has placed" in caplog.text


def test_an_interrupt_takes_new_folders_back(bench: Bench) -> None:
    new = NewFolders(bench, "m/a", "n/b", "last")

    with pytest.raises(KeyboardInterrupt):
        new.place(act=lambda: signal.raise_signal(signal.SIGINT))

    assert snapshot(bench.root) == {}


def test_a_part_that_is_not_in_the_staged_folder_is_placed_there(
    bench: Bench, tmp_path: Path
) -> None:
    new = NewFolders(bench, "m/a", "m/b")
    part = tmp_path / "part"
    new.staged.files["m/b"].rename(part)
    files = {**new.staged.files, "m/b": part}
    new.staged = Staged(files, new.staged.stamps, new.staged.folders)

    new.place()

    assert new.contents() == new.expected
    assert not part.exists()


def test_files_of_a_new_folder_are_made_executable(bench: Bench) -> None:
    new = NewFolders(bench, "m/a", "m/b")

    new.place(executable={"m/a"})

    assert (bench.root / "m/a").stat().st_mode & stat.S_IEXEC
    assert not (bench.root / "m/b").stat().st_mode & stat.S_IEXEC


# Folders are opened once


def test_a_folder_that_is_replaced_while_files_are_placed_is_told(
    bench: Bench,
) -> None:
    bench.write("m/old")
    staged = bench.stage("m/old", "m/a")

    def act() -> None:
        (bench.root / "m").rename(bench.root / "moved")
        (bench.root / "m").mkdir()

    with pytest.raises(TargetChangedError) as caught:
        bench.place(Between(staged, act))

    (backup,) = bench.scratch.parent.glob("backup-*")
    assert caught.value.paths == ("m",)
    assert backup.read_bytes() == OLD
    assert list((bench.root / "m").iterdir()) == []


PLACE_MANY = """
import sys
from pathlib import Path
from dvc_studio_models.files.workspace import FileStamp, Staged, Workspace

root, scratch = map(Path, sys.argv[1:3])
files = {}
for number in range(400):
    path = f"m{number % int(sys.argv[3])}/{number:03}"
    (root / path).parent.mkdir(exist_ok=True)
    files[path] = scratch / f"new-{number}"
    files[path].touch()
files = dict(sorted(files.items()))
seen = dict.fromkeys(files)
stamps = {path: FileStamp.of(new.lstat()) for path, new in files.items()}
Workspace(root).place(Staged(files, stamps), remove=[], seen=seen, backups=scratch)
"""


@pytest.mark.parametrize(
    ("folders", "inject", "flushes"),
    [
        pytest.param(8, [], {"fsync": 8}, id="a few"),
        pytest.param(20, [], {"syncfs": 1}, id="many", marks=pytest.mark.linux),
        pytest.param(20, ["--inject=syncfs:error=EIO"], {"fsync": 20}, id="an error"),
    ],
)
def test_folders_are_opened_once_and_flushed(
    bench: Bench,
    tmp_path: Path,
    folders: int,
    inject: list[str],
    flushes: dict[str, int],
) -> None:
    need_program("strace")
    log = tmp_path / "calls"
    trace = ["-e", "trace=fsync,syncfs,openat", *inject]
    command = [sys.executable, "-c", PLACE_MANY, bench.root, bench.scratch]
    command.append(str(folders))
    subprocess.run(["strace", "-f", "-y", "-o", log, *trace, *command], check=True)
    lines = log.read_text().splitlines()

    opened = [line for line in lines if "openat(" in line and f"{bench.root}/m" in line]
    synced = re.findall(r"\b(fsync|syncfs)\(.* = 0$", "\n".join(lines), re.MULTILINE)
    assert dict(Counter(synced)) == flushes
    assert len(opened) <= 3 * folders  # to look, to place, and to flush


@pytest.mark.parametrize(
    "inner", [".git", ".git/hooks", ".GIT/x", ".dvc", "sub/.dvc/x", ".git/modules/a/x"]
)
@pytest.mark.parametrize("is_clone", [True, False])
def test_a_root_inside_of_a_folder_of_git_or_dvc_is_refused(
    tmp_path: Path, inner: str, is_clone: bool
) -> None:
    if is_clone:
        (tmp_path / ".git").mkdir()

    with pytest.raises(UnsafePathError, match=r"it leads into '\.(git|dvc)'$"):
        check_root(tmp_path / inner)


def test_a_root_below_a_folder_of_dvc_may_be_in_a_clone_of_its_own(
    tmp_path: Path,
) -> None:
    """DVC runs experiments in such clones."""
    clone = tmp_path / ".dvc/tmp/exps/tmp1"
    (clone / ".git").mkdir(parents=True)

    check_root(clone)
    check_root(clone / "out")
    check_root(tmp_path / "out/.github")
    with pytest.raises(UnsafePathError):
        check_root(clone / ".git/hooks")
