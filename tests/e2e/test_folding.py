"""Pulls to a file system that finds names in any case and Unicode form, as on macOS."""

from __future__ import annotations

import json
import posixpath
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import folding_fs
import pytest
from projects import commit_all, git, init_project, read_tree, track, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project
    from servers import FileServer, StudioServer

    from tests.e2e.conftest import Registry

OLD, NEW = b"the first\n" * 500, b"the second\n" * 700
COMPOSED = "m/modèle.bin"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@dataclass
class App:
    """A project on that file system, and the models that Studio serves to it."""

    project: Project
    pull: Callable[..., subprocess.CompletedProcess[str]]
    serve: Callable[..., None]

    @property
    def root(self) -> Path:
        return self.project.repo

    def files(self) -> dict[str, bytes]:
        """Read the files that belong neither to Git nor to DVC."""
        own = (".git", ".dvc")
        found = read_tree(self.root)
        return {path: data for path, data in found.items() if not path.startswith(own)}

    def actions(self, *args: str) -> dict[str, str]:
        """Pull, and return what has happened to each file."""
        done = self.pull(*args, "--json")
        assert done.returncode == 0, done.stderr
        (model,) = json.loads(done.stdout)["models"]
        return {file["path"]: file["action"] for file in model["files"]}


@pytest.fixture
def app(
    folding_path: Path, run_dvc: RunDvc, studio: StudioServer, file_server: FileServer
) -> App:
    project = init_project(folding_path / "app")
    commit_all(project, "Begin")

    def pull(*args: str, command: str = "pull") -> Any:
        argv = ("models", command, *args)
        return run_dvc(*argv, cwd=project.repo, env=studio.environ)

    def serve(files: dict[str, bytes], version: str | None = None) -> None:
        studio.serve("net", file_server.publish(files), version=version)

    return App(project, pull, serve)


def listed(folder: Path) -> set[str]:
    """Return the names in a folder, composed, as Git has them on macOS."""
    return {unicodedata.normalize("NFC", path.name) for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m/A.bin", "m/a.bin"),
        (COMPOSED, DECOMPOSED),
        ("m/straße.bin", "m/STRASSE.bin"),
        ("M/a.bin", "m/a.bin"),
    ],
    ids=["case", "form", "sharp s", "folder"],
)
def test_two_files_of_one_name_are_refused_before_a_byte_is_fetched(
    app: App, file_server: FileServer, one: str, other: str
) -> None:
    app.serve({one: OLD, other: NEW})
    before = app.files()

    done = app.pull("net", "--force")

    assert done.returncode == 7, done.stderr
    shown = ascii if one == COMPOSED else repr  # the two look the same
    assert any(
        f"{second!r}: it is the same file as {shown(first)} here" in done.stderr
        for first, second in ((one, other), (other, one))
    )
    assert (app.files(), file_server.requests) == (before, [])


def test_one_of_two_files_of_one_name_can_be_pulled(app: App) -> None:
    app.serve({"m/A.bin": OLD, "m/a.bin": NEW})

    first = app.actions("net", "--exclude", "A.bin")
    second = app.pull("net", "--include", "A.bin", "--force")

    assert first == {"m/a.bin": "downloaded"}
    assert second.returncode == 0, second.stderr
    assert (app.root / "m/A.bin").read_bytes() == OLD


def test_status_says_that_one_of_two_files_of_one_name_is_another(app: App) -> None:
    app.serve({"m/A.bin": OLD, "m/a.bin": NEW})
    app.actions("net", "--exclude", "A.bin")

    done = app.pull(command="status")

    assert (done.returncode, done.stderr) == (1, "")
    assert "m/A.bin" in done.stdout
    assert "m/a.bin" not in done.stdout


def test_two_files_of_one_name_are_refused_on_a_volume_below_the_root(
    app: App, folding_path: Path, file_server: FileServer
) -> None:
    (folding_path / "there").touch()
    root = folding_path.parents[1]
    inside = folding_path.relative_to(root).as_posix()
    app.serve({f"{inside}/m/A.bin": OLD, f"{inside}/m/a.bin": NEW})

    done = app.pull("net", "--out", str(root))

    assert done.returncode == 7, done.stderr
    assert "it is the same file as" in done.stderr
    assert file_server.requests == []


def test_the_folders_of_two_files_may_differ_in_case_on_no_macos(app: App) -> None:
    """Only one of two folders could have its name."""
    app.serve({"Data/a.bin": OLD, "data/b.bin": NEW})

    done = app.pull("net")

    assert done.returncode == 0, done.stderr
    assert listed(app.root / "data") == {"a.bin", "b.bin"}


def test_a_file_of_the_same_content_in_another_case_is_unchanged(app: App) -> None:
    app.serve({"m/model.bin": NEW})
    write(app.root, {"m/Model.bin": NEW})
    before = (app.root / "m/Model.bin").stat()

    actions = app.actions("net")

    assert actions == {"m/model.bin": "unchanged"}
    after = (app.root / "m/Model.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert listed(app.root / "m") == {"Model.bin"}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [("m/Model.bin", "m/model.bin"), (DECOMPOSED, COMPOSED), ("M/x.bin", "m/X.bin")],
    ids=["case", "form", "folder"],
)
def test_a_file_of_other_content_in_another_spelling_is_kept(
    app: App, mine: str, theirs: str
) -> None:
    app.serve({theirs: NEW})
    write(app.root, {mine: b"exists nowhere else"})
    before = app.files()

    done = app.pull("net")
    kept = app.files()
    forced = app.pull("net", "--force")

    assert (done.returncode, kept) == (7, before), done.stderr
    assert repr(theirs)[1:-1] in done.stderr
    assert forced.returncode == 0, forced.stderr
    assert (app.root / theirs).read_bytes() == NEW
    assert len(app.files()) == len(before)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("m/net.bin", "m/Net.bin"),
        (COMPOSED, DECOMPOSED),
        ("Data/w/net.bin", "data/w/net.bin"),
        ("data/W/net.bin", "Data/w/Net.bin"),
    ],
    ids=["file", "form", "folder", "all"],
)
@pytest.mark.parametrize("content", [OLD, NEW], ids=["same", "other"])
def test_a_file_that_is_respelled_in_the_next_version_is_there(
    app: App, first: str, second: str, content: bytes
) -> None:
    app.serve({first: OLD, "m/stays.bin": OLD}, version="v1.0.0")
    app.serve({second: content, "m/stays.bin": OLD}, version="v2.0.0")
    app.pull("net@v1.0.0")

    there = app.pull("net@v2.0.0")
    found = (app.root / second).read_bytes()
    again = app.pull("net@v2.0.0", "--check")
    back = app.actions("net@v1.0.0")

    assert there.returncode == 0, there.stderr
    assert found == content
    assert (again.returncode, again.stderr) == (0, "")
    assert (app.root / first).read_bytes() == OLD
    assert back["m/stays.bin"] == "unchanged"
    assert "removed" not in back.values()


def test_a_file_of_the_same_content_is_renamed_in_place(app: App) -> None:
    app.serve({"m/a.bin": OLD, "m/Stays.bin": OLD}, version="v1.0.0")
    app.serve({"m/A.bin": OLD, "m/Stays.bin": OLD}, version="v2.0.0")
    app.pull("net@v1.0.0")
    before = (app.root / "m/a.bin").stat()

    actions = app.actions("net@v2.0.0")

    after = (app.root / "m/A.bin").stat()
    assert actions == {"m/A.bin": "renamed", "m/Stays.bin": "unchanged"}
    assert listed(app.root / "m") - {".gitignore"} == {"A.bin", "Stays.bin"}
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("first", "second"), [("m/a.bin", "m/A.bin"), (COMPOSED, DECOMPOSED)]
)
def test_a_pull_that_will_rename_a_file_says_so_before(
    app: App, first: str, second: str
) -> None:
    app.serve({first: OLD, "m/b.bin": OLD}, version="v1.0.0")
    app.serve({second: OLD, "m/b.bin": OLD}, version="v2.0.0")
    app.pull("net@v1.0.0")
    names = [path.name for path in (app.root / "m").iterdir()]
    if posixpath.basename(second) in names:  # HFS+ lists all names decomposed
        assert app.pull("net@v2.0.0", "--check").returncode == 0
        return

    check = app.pull("net@v2.0.0", "--check")
    planned = app.actions("net@v2.0.0", "--dry-run")
    status = app.pull("net@v2.0.0", command="status")
    done = app.actions("net@v2.0.0")
    after = app.pull("net@v2.0.0", "--check")
    agreed = app.pull("net@v2.0.0", command="status")

    assert (check.returncode, status.returncode) == (1, 1)
    assert planned == {second: "rename", "m/b.bin": "unchanged"}
    assert f"rename  {second}  4.9 KiB" in status.stdout
    assert done == {second: "renamed", "m/b.bin": "unchanged"}
    assert (after.returncode, agreed.returncode) == (0, 0)


def test_all_commands_agree_on_a_folder_whose_files_were_respelled(
    run_dvc: RunDvc, own_registry: Registry, folding_path: Path
) -> None:
    project = own_registry.project
    bert = project.repo / "models" / "bert"
    (bert / "config.json").rename(bert / "Config.json")
    track(project.repo, "models/bert")
    commit_all(project, "Respell")
    project.tag("bert@v3.0.0")
    clone = project.clone(folding_path / "clone")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return run_dvc(*args, cwd=clone, env=own_registry.environ)

    for name in ("bert@v2.0.0", "bert"):
        assert run("models", "pull", name).returncode == 0

    assert "Config.json" in listed(clone / "models" / "bert")
    assert run("models", "status", "bert").returncode == 0
    shown = json.loads(run("models", "list", "--json").stdout)
    (found,) = (model["workspace"] for model in shown if model["name"] == "bert")
    assert found == {"state": "registered", "version": "v3.0.0"}
    diff = json.loads(run("models", "diff", "bert", "--json").stdout)
    assert [diff[k] for k in ("added", "deleted", "modified", "renamed")] == [[]] * 4


def test_all_commands_agree_on_a_part_of_a_folder(
    run_dvc: RunDvc, registry: Registry, folding_path: Path
) -> None:
    clone = registry.project.clone(folding_path / "clone")
    pull = ("models", "pull", "bert", "--include", "*.bin")
    assert run_dvc(*pull, cwd=clone, env=registry.environ).returncode == 0

    shown = json.loads(run_dvc("models", "list", "--json", cwd=clone).stdout)

    (found,) = (model["workspace"] for model in shown if model["name"] == "bert")
    assert found == {"state": "partial", "version": "v2.0.0"}


def test_what_a_version_no_longer_has_is_removed(app: App) -> None:
    app.serve(
        {COMPOSED: OLD, "m/Gone.bin": OLD, "m/more/Gone.bin": NEW}, version="v1.0.0"
    )
    app.serve({COMPOSED: OLD}, version="v2.0.0")
    app.pull("net@v1.0.0")

    actions = app.actions("net@v2.0.0")

    assert actions == {
        COMPOSED: "unchanged",
        "m/Gone.bin": "removed",
        "m/more/Gone.bin": "removed",
    }
    assert listed(app.root / "m") == {"modèle.bin"}


@pytest.mark.parametrize("path", [COMPOSED, DECOMPOSED], ids=["NFC", "NFD"])
def test_a_name_that_is_listed_in_another_form_is_known_again(
    app: App, path: str
) -> None:
    app.serve({path: NEW})

    first = app.actions("net", "--lock", "--repo", "git@git.example.com:acme/other")
    second = app.actions("net", "--locked")
    status = app.pull("net", command="status")

    assert (first, second) == ({path: "downloaded"}, {path: "unchanged"})
    assert status.returncode == 0, status.stderr
    # Git finds composed names that are listed decomposed on macOS only.
    assert listed(app.root / "m") - {".gitignore"} == {"modèle.bin"}


@pytest.mark.parametrize(
    ("tracked", "path"),
    [("README.md", "readme.MD"), ("Src/main.py", "src/Main.py"), ("Lib/x.py", "lib")],
    ids=["file", "below a folder", "in its place"],
)
def test_what_git_tracks_in_another_spelling_is_never_replaced(
    app: App, tracked: str, path: str
) -> None:
    write(app.root, {tracked: b"text of the user\n"})
    commit_all(app.project, "Write")
    app.serve({path: NEW})

    done = app.pull("net", "--force")

    assert done.returncode == 7, done.stderr
    assert (app.root / tracked).read_bytes() == b"text of the user\n"
    if path != "lib":
        assert f"'{path}': Git tracks it as '{tracked}'\n" in done.stderr


@pytest.mark.parametrize(
    "path",
    [
        ".GIT/hooks/post-checkout",
        ".g\u200cit/hooks/post-checkout",
        ".\ufeffgit/config",
        "m/.Git\u200d/config",
        ".Dvc/config",
        ".d\u202avc/config",
        "M/.DVCignore",
        "DVC.yaml",
        ".GitAttributes",
        "m/net.bin.DVC",
        ".DVC-Models/x",
    ],
    ids=ascii,
)
def test_what_would_be_found_as_a_file_of_git_or_dvc_is_refused(
    app: App, file_server: FileServer, path: str
) -> None:
    app.serve({path: b"#!/bin/sh\nexit 1\n"})
    before = read_tree(app.root)

    done = app.pull("net", "--force")

    assert done.returncode == 7, done.stderr
    after = read_tree(app.root)
    tmp = ".dvc/tmp"
    kept = {name: data for name, data in after.items() if not name.startswith(tmp)}
    assert kept == {n: d for n, d in before.items() if not n.startswith(tmp)}
    assert file_server.requests == []


def test_git_ignores_a_file_in_whatever_case_a_version_has_it(app: App) -> None:
    app.serve({"Data/Net.bin": OLD}, version="v1.0.0")
    app.serve({"data/net.bin": NEW}, version="v2.0.0")
    other = ("--repo", "git@git.example.com:acme/other")

    app.pull("net@v1.0.0", *other)
    app.pull("net@v2.0.0", *other)

    shown = git(app.root, "status", "--short", "--untracked-files=all")
    assert shown == "?? Data/.gitignore\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Data/m.bin", "data/n.bin"),
        ("Data/x/m.bin", "data/X/n.bin"),
        ("Data/m.bin", "data/y/modele.bin"),
    ],
    ids=["folder", "both folders", "below"],
)
def test_git_ignores_models_whose_folder_is_there_in_another_case(
    app: App, first: str, second: str
) -> None:
    app.serve({first: OLD}, version="v1.0.0")
    other = ("--repo", "git@git.example.com:acme/other")
    app.pull("net@v1.0.0", *other)
    app.serve({second: OLD, f"{second}.json": NEW}, version="v2.0.0")
    write(app.root, {first: OLD})

    done = app.pull("net@v2.0.0", *other)

    assert done.returncode == 0, done.stderr
    shown = git(app.root, "status", "--short", "--untracked-files=all").splitlines()
    assert [line for line in shown if not line.endswith(".gitignore")] == []


@pytest.mark.parametrize(
    ("there", "files"),
    [
        ("Data", {"data/n.bin": OLD}),
        ("Data", {"data/a.bin": OLD, "data/b.bin": NEW}),
        ("Data/w", {"data/W/a.bin": OLD, "data/W/b.bin": NEW}),
        ("\u0416/w", {"\u0436/W/a.bin": OLD, "\u0436/W/b.bin": NEW}),
    ],
    ids=["file", "files", "folder", "letters"],
)
def test_git_ignores_the_files_of_a_folder_that_has_another_spelling(
    app: App, there: str, files: dict[str, bytes]
) -> None:
    write(app.root, {f"{there}/mine.txt": b"of the user\n"})
    commit_all(app.project, "Write")
    app.serve(files)

    app.pull("net", "--repo", "git@git.example.com:acme/other")

    shown = git(app.root, "status", "--short", "--untracked-files=all")
    (line,) = shown.splitlines()
    assert line.strip('"').endswith("/.gitignore")


def test_git_ignores_what_is_listed_in_another_form(
    app: App,
) -> None:
    app.serve({COMPOSED: OLD, "m/x.bin": NEW})
    write(app.root, {"m/mine.txt": b"of the user\n"})
    commit_all(app.project, "Write")

    app.pull("net", "--gitignore")

    shown = git(app.root, "status", "--short", "--untracked-files=all")
    assert shown == "?? m/.gitignore\n"


def test_an_ignored_folder_stays_clean(app: App) -> None:
    (app.root / ".gitignore").write_text("/m\n")
    commit_all(app.project, "Ignore the model")
    app.serve({COMPOSED: OLD, "m/Net.bin": NEW})

    app.pull("net")
    app.pull("net", "--check")

    assert git(app.root, "status", "--short") == ""


def test_prune_keeps_what_is_in_the_workspace(
    run_dvc: RunDvc, registry: Registry, folding_path: Path
) -> None:
    """Objects of the old version go; those of the pulled one are found again."""
    clone, env = registry.project.clone(folding_path / "clone"), registry.environ
    for name in ("bert@v1.0.0", "bert"):
        run_dvc("models", "pull", name, cwd=clone, env=env)
    before = read_tree(clone / "models" / "bert")

    prune = ("models", "cache", "prune", "--force", "--json")
    pruned = run_dvc(*prune, cwd=clone, env=env)
    checked = run_dvc("models", "pull", "bert", "--check", cwd=clone, env=env)
    offline = run_dvc("models", "pull", "bert", "--source", "remote", cwd=clone)

    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["removed"] is True
    assert (checked.returncode, checked.stderr) == (0, "")
    assert offline.returncode == 0, offline.stderr
    assert read_tree(clone / "models" / "bert") == before


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["--help"], 0, "run KIND COMMAND"),
        ([], 2, "{serve,run}"),
        (["run"], 2, "usage: "),
        (["run", "ntfs", "true"], 2, "'apfs', 'hfs+'"),
    ],
    ids=["help", "nothing", "no kind", "no such kind"],
)
def test_the_program_that_mounts_it_says_how_to_use_it(
    args: list[str], code: int, text: str
) -> None:
    done = subprocess.run(
        [sys.executable, folding_fs.__file__, *args],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
