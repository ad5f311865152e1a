"""``make release`` in a real clone: what it commits, refuses, and how to undo it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML
from servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.releasing.conftest import Clone

PACKAGE = "dvc_studio_models/__init__.py"
PLACEHOLDER = "https://" + "git.example.com/dvc-studio-models"
ROOT = Path(__file__).parents[2]
CHECKER = Path(sys.executable).with_name("check-jsonschema")


def today() -> str:
    return datetime.now(tz=timezone.utc).date().isoformat()


def printed(text: str, before: str) -> str:
    """Return the command that is printed after some words."""
    (command,) = re.findall(rf"^{before}: +(.+)$", text, re.M)
    return command


def test_a_release_is_dated_committed_and_tagged(clone: Clone) -> None:
    days = [today()]
    done = clone.module("release", "98.7.6")
    days.append(today())

    assert done.returncode == 0, done.stderr
    subjects = clone.git("log", "--format=%s", "-3").splitlines()
    assert subjects == ["Begin 98.7.7.dev0", "Release 98.7.6", "Get ready"]
    assert clone.git("rev-parse", "v98.7.6^{commit}", "HEAD~1").count("\n") == 2
    assert len(set(clone.git("rev-parse", "v98.7.6^{commit}", "HEAD~1").split())) == 1
    assert clone.git("cat-file", "-t", "v98.7.6").strip() == "tag"
    tagged = clone.git("show", f"v98.7.6:{PACKAGE}")
    assert '__version__ = "98.7.6"' in tagged
    assert '__version__ = "98.7.7.dev0"' in clone.read(PACKAGE)
    headings = re.findall(r"^## .*", clone.read("CHANGELOG.md"), re.M)
    assert headings[0] == "## [Unreleased]"
    assert headings[1] in {f"## [98.7.6] - {day}" for day in days}
    assert clone.git("status", "--porcelain") == ""


def test_the_citation_names_the_release_and_stays_valid(clone: Clone) -> None:
    for version in ("98.7.6", "98.8.0"):
        clone.change("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- One.\n")
        clone.commit()
        assert clone.module("release", version).returncode == 0
    cited = YAML(typ="safe").load(clone.folder / "CITATION.cff")
    schema = ("--builtin-schema", "vendor.citation-file-format")

    checked = clone.run(CHECKER, *schema, "CITATION.cff")

    assert cited["version"] == "98.8.0"
    assert f"## [98.8.0] - {cited['date-released']}\n" in clone.read("CHANGELOG.md")
    assert checked.returncode == 0, checked.stdout


def test_the_release_text_is_the_section_that_was_dated(clone: Clone) -> None:
    assert clone.module("release", "98.7.6").returncode == 0

    text = clone.module("changelog", "v98.7.6").stdout

    assert text.startswith("### Added\n\n- A test, see `docs/x.md`.\n")


def test_the_printed_command_undoes_it(clone: Clone) -> None:
    before = clone.state()
    done = clone.module("release", "98.7.6")
    assert clone.state() != before

    clone.shell(printed(done.stdout, "Or undo it"))

    assert clone.state() == before


def test_the_printed_command_publishes_branch_and_tag(clone: Clone) -> None:
    done = clone.module("release", "98.7.6")
    assert "v98.7.6" not in clone.git("ls-remote", "origin")

    clone.shell(printed(done.stdout, "Publish it"))

    pushed = clone.git("ls-remote", "origin")
    assert f"{clone.git('rev-parse', 'HEAD').strip()}\trefs/heads/main" in pushed
    assert f"{clone.git('rev-parse', 'v98.7.6').strip()}\trefs/tags/v98.7.6" in pushed


def test_what_was_pushed_can_be_reverted_and_released_again(clone: Clone) -> None:
    before = clone.git("rev-parse", "HEAD^{tree}")
    done = clone.module("release", "98.7.6")
    clone.shell(printed(done.stdout, "Publish it"))

    clone.git("revert", "--no-edit", "HEAD", "HEAD~1")
    clone.git("tag", "--delete", "v98.7.6")
    clone.git("push", "--delete", "origin", "v98.7.6")

    assert clone.git("rev-parse", "HEAD^{tree}") == before
    again = clone.module("release", "98.7.6")
    clone.shell(printed(again.stdout, "Publish it"))
    assert "refs/tags/v98.7.6" in clone.git("ls-remote", "origin")


def test_a_higher_number_than_the_announced_one_can_be_released(clone: Clone) -> None:
    assert clone.module("release", "99.0.0").returncode == 0

    assert '__version__ = "99.0.1.dev0"' in clone.read(PACKAGE)


def test_only_a_release_has_the_number_of_a_release() -> None:
    """So that an upgrade to a release replaces what was built before it."""
    text = (ROOT / PACKAGE).read_text("utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', text, re.M)
    released = YAML(typ="safe").load(ROOT / "CITATION.cff").get("version")

    assert version == released or re.fullmatch(r"\d+\.\d+\.\d+\.dev0", version)


def edit(clone: Clone) -> None:
    clone.change("README.md", "DVC", "dvc")


def add_file(clone: Clone) -> None:
    (clone.folder / "new file").touch()


def switch(clone: Clone) -> None:
    clone.git("switch", "--quiet", "--create", "other")


def detach(clone: Clone) -> None:
    clone.git("switch", "--quiet", "--detach")


def tag(clone: Clone) -> None:
    clone.git("tag", "v98.7.6")


def tag_newer(clone: Clone) -> None:
    clone.git("tag", "v98.10.0")


def release_all(clone: Clone) -> None:
    text = clone.read("CHANGELOG.md")
    clone.change("CHANGELOG.md", text, "# Changelog\n\n## [Unreleased]\n\n## [1.0.0]\n")
    clone.commit()


def leave_headings(clone: Clone) -> None:
    text = clone.read("CHANGELOG.md")
    clone.change(
        "CHANGELOG.md", text, "# Changelog\n\n## [Unreleased]\n\n### Added\n\n"
    )
    clone.commit()


def give_a_section(clone: Clone) -> None:
    text = clone.read("CHANGELOG.md")
    clone.change("CHANGELOG.md", text, text + "\n## [98.7.6]\n")
    clone.commit()


def announce_a_higher_one(clone: Clone) -> None:
    clone.change(PACKAGE, "98.7.6.dev0", "98.7.7.dev0")
    clone.commit()


def announce_another_kind(clone: Clone) -> None:
    clone.change(PACKAGE, "98.7.6.dev0", "2.0rc1")
    clone.commit()


def forget_the_version(clone: Clone) -> None:
    clone.change(PACKAGE, "__version__ = ", "version = ")
    clone.commit()


def forget_the_address(clone: Clone) -> None:
    with (clone.folder / "pyproject.toml").open("a") as settings:
        settings.write(f"# {PLACEHOLDER}\n")
    clone.commit()


def tag_at_origin(clone: Clone) -> None:
    clone.git("switch", "--quiet", "--create", "other")
    clone.commit("Of another branch")
    clone.git("tag", "v98.7.6")
    clone.git("push", "--quiet", "origin", "v98.7.6")
    clone.git("tag", "--delete", "v98.7.6")
    clone.git("switch", "--quiet", "main")


def advance_origin(clone: Clone) -> None:
    clone.commit("Of another clone")
    clone.git("push", "--quiet", "origin", "heads/main")
    clone.git("reset", "--quiet", "--hard", "HEAD~1")


def lose_origin(clone: Clone) -> None:
    clone.git("remote", "set-url", "origin", str(clone.origin / "gone"))


def begin_a_merge(clone: Clone) -> None:
    clone.git("switch", "--quiet", "--create", "other")
    clone.commit("Of another branch")
    clone.git("switch", "--quiet", "main")
    clone.git("merge", "--quiet", "--strategy=ours", "--no-commit", "--no-ff", "other")


def begin_a_revert(clone: Clone) -> None:
    clone.change("README.md", "DVC", "dvc")
    clone.commit()
    clone.git("revert", "--no-commit", "HEAD")
    clone.git("checkout", "--quiet", "HEAD", "--", "README.md")


def tag_main_at_origin(clone: Clone) -> None:
    clone.git("push", "--quiet", "origin", "HEAD:refs/tags/main")
    advance_origin(clone)


def lose_the_citation(clone: Clone) -> None:
    (clone.folder / "CITATION.cff").unlink()
    clone.commit()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (edit, "uncommitted changes: 'README.md'; commit or remove them"),
        (add_file, "uncommitted changes: '\"new file\"'; commit or remove them"),
        (switch, "releases are made from 'main', not from 'other': run "),
        (detach, "releases are made from 'main', not from 'a detached HEAD': run "),
        (tag, "98.7.6 is not newer than 98.7.6, which has a tag: give another"),
        (tag_at_origin, "98.7.6 is not newer than 98.7.6, which has a tag: give "),
        (tag_newer, "98.7.6 is not newer than 98.10.0, which has a tag: give another"),
        (release_all, "CHANGELOG.md has nothing under '[Unreleased]'"),
        (leave_headings, "CHANGELOG.md has nothing under '[Unreleased]'"),
        (give_a_section, "CHANGELOG.md has a section '[98.7.6]' already"),
        (
            announce_a_higher_one,
            f"98.7.6 is lower than 98.7.7, which {PACKAGE} announces: give 98.7.7 or ",
        ),
        (announce_another_kind, '2.0rc1": set it to "98.7.6.dev0" and commit\n'),
        (forget_the_version, f"{PACKAGE} has no line '__version__ = \"...\"'"),
        (forget_the_address, "'git.example.com', which stands for this repository's"),
        (advance_origin, "'main' lacks commits that origin has: run 'git pull "),
        (lose_origin, "'git fetch' failed: "),
        (begin_a_merge, "a merge has begun: commit it, or run 'git merge --abort'"),
        (begin_a_revert, "a revert has begun: commit it, or run 'git revert --abort'"),
        (tag_main_at_origin, "'main' lacks commits that origin has: run 'git pull "),
        (lose_the_citation, "CITATION.cff': No such file or directory"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_release_is_refused_and_nothing_is_changed(
    clone: Clone, spoil: Callable[[Clone], None], sentence: str
) -> None:
    spoil(clone)
    before = clone.state()

    done = clone.module("release", "98.7.6")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR: ")
    assert sentence in done.stderr
    assert clone.state() == before


@pytest.mark.parametrize(
    "version", ["", "v98.7.6", "98.7", "98.7.06", "98.7.6.dev0", "98.7٣.6"]
)
def test_what_is_no_version_is_refused(clone: Clone, version: str) -> None:
    done = clone.module("release", version)

    assert done.returncode == 1
    assert done.stderr == (
        f"ERROR: '{version}' is not a version: give one as VERSION=1.2.0\n"
    )


def test_the_command_that_is_printed_for_the_address_helps(clone: Clone) -> None:
    forget_the_address(clone)
    refused = clone.module("release", "98.7.6").stderr
    hint = refused.splitlines()[-1]
    assert "ADDRESS" in hint

    clone.shell(hint.replace("ADDRESS", "https://git.acme.test/ours"))
    clone.commit()

    assert clone.run("git", "grep", PLACEHOLDER).stdout == ""
    assert clone.module("release", "98.7.6").returncode == 0


def test_the_command_that_is_printed_for_origins_commits_helps(clone: Clone) -> None:
    advance_origin(clone)
    refused = clone.module("release", "98.7.6").stderr
    (command,) = re.findall(r"run '(.+)'", refused)

    clone.shell(command)
    done = clone.module("release", "98.7.6")
    clone.shell(printed(done.stdout, "Publish it"))

    assert clone.run("make", "check-tag").returncode == 0


def test_a_tag_that_is_not_in_main_is_refused(clone: Clone) -> None:
    clone.module("release", "98.7.6")
    clone.git("push", "--quiet", "origin", "v98.7.6")

    done = clone.run("make", "check-tag")

    assert done.returncode == 2
    assert "ERROR: this commit is not in origin's main\n" in done.stderr + done.stdout


def test_a_release_succeeds_where_nobody_reads_what_it_prints(clone: Clone) -> None:
    command = f"set -o pipefail; {sys.executable} -m releasing.release 98.7.6"
    done = clone.run("bash", "-c", f"{command} | true")

    assert (done.returncode, done.stderr) == (0, "")
    assert clone.git("tag", "--list") == "v98.7.6\n"


@pytest.mark.parametrize("signal", ["INT", "TERM", "HUP", "QUIT"])
@pytest.mark.parametrize("subject", ["Release", "Begin"])
def test_if_it_is_interrupted_branch_files_and_tags_are_as_before(
    clone: Clone, subject: str, signal: str
) -> None:
    before = clone.state()
    _hook(clone, f'! grep -q "^{subject}" "$1" || {{ {_kill(signal)}; sleep 9; }}')

    done = clone.module("release", "98.7.6")

    said = "ERROR: interrupted; branch, files and tags are as before\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert clone.state() == before


@pytest.fixture
def before_git(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Release, where a case of the shell comes before each command of Git."""

    def release(cases: str) -> subprocess.CompletedProcess[str]:
        program = tmp_path / "bin/git"
        program.parent.mkdir()
        real = shutil.which("git")
        program.write_text(f'#!/bin/sh\ncase "$*" in {cases} esac\nexec {real} "$@"\n')
        program.chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
            return clone.module("release", "98.7.6")

    return release


@pytest.mark.parametrize("command", ["fetch", "commit", "tag --annotate"])
def test_a_second_interrupt_does_not_stop_the_undo(
    clone: Clone,
    before_git: Callable[[str], subprocess.CompletedProcess[str]],
    command: str,
) -> None:
    before = clone.state()

    done = before_git(
        f'"{command}"*) kill -INT $PPID; sleep 9;; '
        '"worktree list"*|"worktree remove"*|"tag --list --no"*|"tag --delete"*) '
        "kill -INT $PPID; kill -INT $$;;"
    )

    said = "ERROR: interrupted; branch, files and tags are as before\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert clone.state() == before


def test_an_undo_that_fails_prints_the_commands_for_it(
    clone: Clone, before_git: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    before = clone.state()
    _hook(clone, '! grep -q "^Begin" "$1"')

    done = before_git('"tag --delete"*) echo full >&2; exit 1;;')

    assert done.returncode == 1
    assert done.stderr.startswith(
        "ERROR: the tag v98.7.6 is left, as 'git tag' failed: full\nDelete it:  "
    )
    clone.shell(printed(done.stderr, "Delete it"))
    assert clone.state() == before


@pytest.mark.parametrize("subject", ["Release", "Begin"])
def test_the_commands_of_the_docs_restore_what_was_killed(
    clone: Clone, subject: str
) -> None:
    before = clone.state()
    kill = f"{_kill('KILL')}; kill -KILL $PPID"
    _hook(clone, f'! grep -q "^{subject}" "$1" || {{ {kill}; }}')
    clone.module("release", "98.7.6")
    assert clone.state() != before
    (folder,) = re.findall(r"^(/.*/release) ", clone.git("worktree", "list"), re.M)
    page = (ROOT / "docs/releasing.md").read_text("utf-8")
    (undo,) = re.findall(r"`(git tag --delete v0.1.0; git checkout .*?)`", page)
    (remove,) = re.findall(r"`(git worktree remove .*?)`", page)

    clone.run("bash", "-c", undo.replace("0.1.0", "98.7.6"))
    clone.shell(remove.replace("FOLDER", folder))

    assert clone.state() == before


def test_ctrl_c_does_not_reach_the_git_of_the_undo(clone: Clone) -> None:
    """Git handles SIGINT even if it was started with the signal ignored."""
    before = clone.state()
    _hook(clone, '! grep -q "^Begin" "$1"')
    group = "$(ps -o pgid= -p $(ps -o ppid= -p $PPID) | tr -d ' ')"
    is_deleted = 'grep -q " 0\\{40\\} refs/tags/"'
    kill = "{ kill -INT -$$GROUP; sleep 0.1; }"
    line = f'[ "$1" = prepared ] && {is_deleted} && {kill}; true'
    _hook(clone, line.replace("$$GROUP", group), name="reference-transaction")

    done = subprocess.run(
        [sys.executable, "-m", "releasing.release", "98.7.6"],
        cwd=clone.folder,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr.startswith("ERROR: 'git commit' failed: ")
    assert clone.state() == before


def test_make_ends_the_release_if_it_is_terminated(clone: Clone) -> None:
    before = clone.state()
    command = ["make", "release", "VERSION=98.7.6", f"PYTHON={sys.executable}"]
    started = clone.folder / ".git/started"
    _hook(clone, f"touch {started}; sleep 9")

    with subprocess.Popen(
        command, cwd=clone.folder, stderr=subprocess.PIPE, text=True
    ) as making:
        wait_until(started.exists, timeout_s=60)
        making.terminate()
        _, errors = making.communicate(timeout=60)

    assert "ERROR: interrupted; branch, files and tags are as before\n" in errors
    assert clone.state() == before


@pytest.mark.parametrize("ends_with", [0, 1])
def test_an_edit_that_is_made_meanwhile_is_kept_and_not_committed(
    clone: Clone, ends_with: int
) -> None:
    readme = clone.folder / "README.md"
    start = clone.git("rev-parse", "HEAD").strip()
    _hook(
        clone, f"echo mine >> {readme}; echo formatted >> README.md; exit {ends_with}"
    )

    done = clone.module("release", "98.7.6")

    assert done.returncode == ends_with
    text = readme.read_text("utf-8")
    assert text.endswith("mine\n")
    assert "formatted" not in text
    assert clone.git("status", "--porcelain") == " M README.md\n"
    assert clone.git("diff", "--name-only", start, "HEAD").split() == (
        [] if ends_with else ["CHANGELOG.md", "CITATION.cff", PACKAGE]
    )


def test_an_edit_of_the_changelog_that_is_made_meanwhile_is_kept(clone: Clone) -> None:
    before = clone.state()
    changelog = clone.folder / "CHANGELOG.md"
    _hook(clone, f"echo mine >> {changelog}")

    done = clone.module("release", "98.7.6")

    assert done.returncode == 1
    assert done.stderr.startswith(
        "ERROR: 'git read-tree' failed: error: Entry 'CHANGELOG.md' "
    )
    assert changelog.read_text("utf-8").endswith("mine\n")
    clone.git("checkout", "CHANGELOG.md")
    assert clone.state() == before


@pytest.mark.parametrize("commit", ["main", "other"])
def test_a_tag_that_another_program_makes_meanwhile_is_kept(
    clone: Clone, commit: str
) -> None:
    clone.git("switch", "--quiet", "--create", "other")
    clone.commit("Of another branch")
    clone.git("switch", "--quiet", "main")
    _hook(clone, f"git -C {clone.folder} tag v98.7.6 {commit}")

    done = clone.module("release", "98.7.6")

    assert (
        done.stderr == "ERROR: 'git tag' failed: fatal: tag 'v98.7.6' already exists\n"
    )
    assert clone.git("tag", "--list", "--points-at", commit) == "v98.7.6\n"


def test_a_commit_that_is_made_meanwhile_is_kept(clone: Clone) -> None:
    begun = '! grep -q "^Begin" "$1" && exit'
    elsewhere = f"unset $(git rev-parse --local-env-vars); cd {clone.folder}"
    commit = "git commit --no-verify --allow-empty --message mine"
    _hook(clone, f"{begun}\n{elsewhere}\n{commit}")

    done = clone.module("release", "98.7.6")

    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: 'git update-ref' failed: ")
    assert clone.git("log", "-1", "--format=%s") == "mine\n"
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("tag", "--list") == ""


def test_a_branch_that_cannot_be_moved_leaves_all_as_before(clone: Clone) -> None:
    before = clone.state()
    lock = clone.folder / ".git/refs/heads/main.lock"
    _hook(clone, f"touch {lock}")

    done = clone.module("release", "98.7.6")

    lock.unlink()
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: 'git update-ref' failed: ")
    assert clone.state() == before


@pytest.mark.parametrize(
    "names", [["GIT_DIR"], ["GIT_DIR", "GIT_WORK_TREE"], ["GIT_INDEX_FILE"]]
)
def test_variables_that_name_a_repository_do_not_count(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    places = {"GIT_DIR": ".git", "GIT_WORK_TREE": ".", "GIT_INDEX_FILE": ".git/index"}
    with monkeypatch.context() as patch:
        for name in names:
            patch.setenv(name, str(clone.folder / places[name]))
        done = clone.module("release", "98.7.6")

    assert done.returncode == 0, done.stderr
    assert clone.git("status", "--porcelain") == ""
    changed = clone.git("diff", "--name-only", "v98.7.6~", "v98.7.6").split()
    assert changed == ["CHANGELOG.md", "CITATION.cff", PACKAGE]


def test_names_that_are_not_utf_8_do_no_harm(clone: Clone, tmp_path: Path) -> None:
    other = tmp_path / os.fsdecode(b"\xe9")
    clone.git("worktree", "add", "--quiet", "--detach", other)

    assert clone.module("release", "98.7.6").returncode == 0


def test_what_cannot_be_removed_is_a_warning(
    before_git: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = before_git('"worktree remove"*) exit 1;;')

    assert done.returncode == 0
    assert re.fullmatch(
        r"WARNING: cannot remove '.*': remove it, and run 'git worktree prune'\n",
        done.stderr,
    )
    assert done.stdout.startswith("Committed and tagged 98.7.6")


@pytest.mark.parametrize("times", [200, 0])
def test_a_checkout_that_is_interrupted_leaves_nothing(
    clone: Clone, tmp_path: Path, times: int
) -> None:
    before = clone.state()
    write = f"for n in $(seq {times}); do touch late$n; sleep 0.01; done"
    _hook(clone, f"{_kill('TERM')}; {write}", name="post-checkout")

    done = clone.module("release", "98.7.6")

    said = "ERROR: interrupted; branch, files and tags are as before\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert clone.state() == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_command_that_is_printed_for_a_merge_that_has_begun_helps(
    clone: Clone,
) -> None:
    begin_a_merge(clone)
    refused = clone.module("release", "98.7.6").stderr
    (command,) = re.findall(r"run '(.+)'", refused)

    clone.shell(command)

    assert clone.module("release", "98.7.6").returncode == 0


def test_what_is_printed_works_where_a_branch_and_a_tag_have_those_names(
    clone: Clone,
) -> None:
    clone.git("branch", "v98.7.6")
    clone.git("tag", "main")
    before = clone.state()
    done = clone.module("release", "98.7.6")
    made = clone.state()

    clone.shell(printed(done.stdout, "Publish it"))
    clone.shell(printed(done.stdout, "Or undo it"))

    assert made[0].strip() in clone.git("ls-remote", "origin", "refs/heads/main")
    assert clone.state() == before


def _kill(signal: str) -> str:
    """Return a shell command that kills the Python above Git above the hook."""
    return f"kill -{signal} $(ps -o ppid= -p $PPID)"


def refuse_to_sign(clone: Clone) -> str:
    clone.git("config", "tag.gpgSign", "true")
    clone.git("config", "gpg.program", "false")
    return "'git tag' failed: "


def refuse_to_commit(clone: Clone) -> str:
    _hook(clone, "exit 1")
    return "'git commit' failed: it printed nothing, as a hook that refuses may\n"


def refuse_the_second_commit(clone: Clone) -> str:
    _hook(clone, '! grep -q "^Begin" "$1"')
    return "'git commit' failed: "


def _hook(clone: Clone, line: str, *, name: str = "commit-msg") -> None:
    hook = clone.folder / ".git/hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{line}\n")
    hook.chmod(0o755)


@pytest.mark.parametrize(
    "break_it",
    [refuse_to_sign, refuse_to_commit, refuse_the_second_commit],
    ids=lambda value: value.__name__,
)
def test_if_git_fails_branch_files_and_tags_are_as_before(
    clone: Clone, break_it: Callable[[Clone], str]
) -> None:
    before = clone.state()
    sentence = break_it(clone)

    done = clone.module("release", "98.7.6")

    assert done.returncode == 1
    assert done.stderr.startswith(f"ERROR: {sentence}")
    assert clone.state() == before
