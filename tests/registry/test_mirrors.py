"""A mirror has the branches, the tags and the HEAD of its remote."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from fetching import largest_file, noise
from needs import need_proc
from projects import git
from tagging import NewTag, import_tags

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.git import mirrors
from dvc_studio_models.registry.git.mirrors import (
    KilledGitError,
    Patience,
    clean_mirror,
    clone_mirror,
    maintain_mirror,
    update_mirror,
)
from dvc_studio_models.registry.git.parsing import remote_reason


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=First")
    git(folder, "tag", "--annotate", "--message=m", "m@v1.0.0")
    return folder


@pytest.fixture
def mirror(origin: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "mirror.git"
    clone_mirror(str(origin), folder)
    return folder


def refs(folder: Path) -> dict[str, str]:
    listed = git(folder, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split(" ") for line in listed.splitlines())


def head(folder: Path) -> str:
    return git(folder, "symbolic-ref", "HEAD").strip()


def test_a_clone_is_bare_and_has_branches_and_tags(origin: Path, mirror: Path) -> None:
    assert refs(mirror) == refs(origin)
    assert head(mirror) == "refs/heads/main"
    assert git(mirror, "rev-parse", "--is-bare-repository").strip() == "true"


def test_a_clone_leaves_out_what_anybody_may_push(origin: Path, tmp_path: Path) -> None:
    git(origin, "update-ref", "refs/pull/1/head", "HEAD")
    commit = git(origin, "rev-parse", "HEAD").strip()
    git(origin, "update-ref", f"refs/replace/{'1' * 40}", commit)

    clone_mirror(str(origin), tmp_path / "mirror.git")
    update_mirror(tmp_path / "mirror.git", str(origin))

    assert set(refs(tmp_path / "mirror.git")) == {
        "refs/heads/main",
        "refs/tags/m@v1.0.0",
    }


def test_new_moved_and_deleted_refs_are_those_of_the_remote(
    origin: Path, mirror: Path
) -> None:
    git(origin, "commit", "--quiet", "--allow-empty", "--message=Second")
    git(origin, "tag", "--force", "--annotate", "--message=m", "m@v1.0.0")
    git(origin, "tag", "--annotate", "--message=m", "m#prod#1")
    git(origin, "branch", "other")

    assert update_mirror(mirror, str(origin))
    assert refs(mirror) == refs(origin)

    git(origin, "tag", "--delete", "m#prod#1")
    git(origin, "branch", "--delete", "other")
    git(origin, "branch", "other/inner")  # a folder where a file was

    assert update_mirror(mirror, str(origin))
    assert refs(mirror) == refs(origin)


def test_history_that_was_rewritten_is_taken_over(origin: Path, mirror: Path) -> None:
    git(origin, "commit", "--quiet", "--amend", "--allow-empty", "--message=Other")

    assert update_mirror(mirror, str(origin))
    assert refs(mirror) == refs(origin)


def test_nothing_is_written_where_nothing_has_changed(
    origin: Path, mirror: Path
) -> None:
    files = {path: path.stat().st_mtime_ns for path in mirror.rglob("*")}

    assert not update_mirror(mirror, str(origin))
    assert {path: path.stat().st_mtime_ns for path in mirror.rglob("*")} == files


def test_head_follows_the_default_branch_of_the_remote(
    origin: Path, mirror: Path
) -> None:
    git(origin, "branch", "--move", "main", "trunk")

    assert update_mirror(mirror, str(origin))
    assert head(mirror) == "refs/heads/trunk"

    git(origin, "branch", "develop")
    git(origin, "symbolic-ref", "HEAD", "refs/heads/develop")

    assert update_mirror(mirror, str(origin))
    assert head(mirror) == "refs/heads/develop"
    assert refs(mirror) == refs(origin)


def test_a_head_that_names_no_branch_changes_nothing(
    origin: Path, mirror: Path
) -> None:
    git(origin, "symbolic-ref", "HEAD", "refs/heads/gone")

    update_mirror(mirror, str(origin))

    assert head(mirror) == "refs/heads/main"


def test_an_empty_repo_can_be_mirrored(tmp_path: Path) -> None:
    origin, mirror = tmp_path / "empty", tmp_path / "mirror.git"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch=main")
    clone_mirror(str(origin), mirror)
    git(origin, "commit", "--quiet", "--allow-empty", "--message=First")

    assert update_mirror(mirror, str(origin))
    assert refs(mirror) == refs(origin)


def test_no_hook_of_the_user_gets_into_a_mirror(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "reference-transaction").chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))

    clone_mirror(str(origin), tmp_path / "mirror.git")
    git(origin, "tag", "other")
    update_mirror(tmp_path / "mirror.git", str(origin))

    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "mirror.git" / "hooks").exists()


@pytest.mark.parametrize("url", ["ext::sh -c touch% {}", "fd::17"])
def test_a_url_that_names_a_program_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableRepoError, match="not allowed"):
        clone_mirror(url.format(tmp_path / "ran"), tmp_path / "mirror.git")

    assert not (tmp_path / "ran").exists()


def test_an_option_in_the_place_of_a_url_is_none(tmp_path: Path) -> None:
    url = f"--upload-pack=touch {tmp_path}/ran"

    with pytest.raises(UnreadableRepoError):
        clone_mirror(url, tmp_path / "mirror.git")

    assert not (tmp_path / "ran").exists()


def test_the_reason_of_ssh_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = "sh -c 'echo git@host: Permission denied \\(publickey\\). >&2; exit 255'"
    monkeypatch.setenv("GIT_SSH_COMMAND", ssh)

    with pytest.raises(UnreadableRepoError) as raised:
        clone_mirror("git@host:o/r.git", tmp_path / "mirror.git")

    assert raised.value.reason == "Permission denied (publickey)."


def test_a_repo_of_another_user_is_named_as_one(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    with pytest.raises(UnreadableRepoError) as raised:
        clone_mirror(origin.as_uri(), tmp_path / "mirror.git")

    assert (
        raised.value.reason == "it belongs to another user, and Git does not trust it"
    )


def commit_noise(origin: Path) -> None:
    (origin / "notes.bin").write_bytes(noise(2 << 20))
    git(origin, "add", "notes.bin")
    git(origin, "commit", "--quiet", "--message=Large")


@pytest.mark.parametrize("has_mirror", [True, False])
def test_a_disk_without_room_is_the_reason(
    origin: Path,
    mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_mirror: bool,
) -> None:
    commit_noise(origin)
    script = tmp_path / "bin/git"
    script.parent.mkdir()
    # Python would let the signal kill Git, which is what no full disk does.
    real = shutil.which("git")
    script.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {real} \"$@\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)

    folder = mirror if has_mirror else tmp_path / "other.git"

    def bring() -> None:
        if has_mirror:
            update_mirror(folder, origin.as_uri())
        else:
            clone_mirror(origin.as_uri(), folder)

    with largest_file(1 << 20), pytest.raises(UnreadableRepoError) as raised:
        bring()

    assert os.strerror(errno.EFBIG) in raised.value.reason


CUT = """\
error: RPC failed; curl 18 transfer closed with 2602749 bytes remaining to read
error: 1950 bytes of body are still expected
fetch-pack: unexpected disconnect while reading sideband packet
fatal: early EOF
fatal: fetch-pack: invalid index-pack output
"""


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        pytest.param(
            CUT,
            "RPC failed; curl 18 transfer closed with 2602749 bytes remaining to read",
            id="the first one",
        ),
        pytest.param("error: a\nfatal: b", "b", id="the last one"),
        pytest.param("remote: early EOF", "early EOF", id="the remote's"),
        pytest.param(
            "error: no 'https://u:SECRET@h/r/'\nfatal: early EOF",
            "no its address",
            id="no address",
        ),
    ],
)
def test_the_reason_is_what_failed_first(err: str, reason: str) -> None:
    assert remote_reason(err.encode()) == reason


def silent_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "sh -c 'exec sleep 600'")


def test_a_host_that_does_not_answer_is_given_up(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent_ssh(monkeypatch)

    with pytest.raises(KilledGitError, match="no progress for 1 s"):
        update_mirror(mirror, "git@host:o/r.git", patience=Patience(silent_s=1))


def test_a_host_that_answers_for_ever_is_given_up(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drip = "sh -c 'while sleep 0.1; do echo drip >&2; done'"
    monkeypatch.setenv("GIT_SSH_COMMAND", drip)
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")  # else Git asks ssh first

    with pytest.raises(KilledGitError, match="did not end within 2 s"):
        update_mirror(mirror, "git@host:o/r.git", patience=Patience(1.5, 2))


def test_a_list_of_refs_without_end_is_given_up(
    origin: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "MAX_LISTING_BYTES", 10)

    with pytest.raises(KilledGitError, match="list of its refs is longer"):
        update_mirror(mirror, str(origin))


def test_a_program_that_ssh_leaves_running_is_not_waited_for(
    origin: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stay = f"sh -c 'sleep 5 & exec git-upload-pack {origin}'"
    monkeypatch.setenv("GIT_SSH_COMMAND", stay)
    begun = time.monotonic()

    update_mirror(mirror, "git@host:o/r.git", patience=Patience(silent_s=60))

    assert time.monotonic() - begun < 4


def test_what_a_killed_git_left_is_removed(origin: Path, mirror: Path) -> None:
    left = [
        mirror / "packed-refs.lock",
        mirror / "refs" / "tags" / "m@v1.0.0.lock",
        mirror / "objects" / "pack" / "tmp_pack_abc",
        mirror / "objects" / "35" / "tmp_obj_abc",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (mirror / "objects" / "tmp_objdir-incoming-x" / "pack").mkdir(parents=True)

    clean_mirror(mirror, older_than_s=60)
    assert all(path.exists() for path in left)

    clean_mirror(mirror, older_than_s=0)
    assert not any(path.exists() for path in left)
    assert not [*(mirror / "objects").glob("tmp_*")]

    git(origin, "tag", "--delete", "m@v1.0.0")
    assert update_mirror(mirror, str(origin))
    assert refs(mirror) == refs(origin)


def test_a_fetch_that_is_killed_leaves_the_old_refs_or_the_new_ones(
    origin: Path, mirror: Path
) -> None:
    script = (
        "from pathlib import Path; import sys; "
        "from dvc_studio_models.registry.git.mirrors import update_mirror; "
        "print('begun', flush=True); update_mirror(Path(sys.argv[1]), sys.argv[2])"
    )
    for number in range(4):
        before = refs(mirror)
        git(origin, "commit", "--quiet", "--allow-empty", f"--message={number}")
        commit = git(origin, "rev-parse", "HEAD").strip()
        names = [f"m@v{number + 2}.{minor}.0" for minor in range(50)]
        import_tags(origin, [NewTag(name, commit) for name in names])
        process = psutil.Popen(
            [sys.executable, "-c", script, str(mirror), str(origin)],
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(number * 0.03)
            family = [process, *process.children(recursive=True)]
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()

        after = refs(mirror)
        for name, oid in after.items():
            assert oid in {before.get(name), refs(origin)[name]}
        git(mirror, "fsck", "--connectivity-only")
        clean_mirror(mirror, older_than_s=0)
        update_mirror(mirror, str(origin))
        assert refs(mirror) == refs(origin)


def test_maintenance_packs_refs_and_objects(origin: Path, mirror: Path) -> None:
    for number in range(5):
        git(origin, "commit", "--quiet", "--allow-empty", f"--message={number}")
        git(origin, "tag", "--annotate", "--message=m", f"m@v2.0.{number}")
        update_mirror(mirror, str(origin))
    loose = [*(mirror / "refs" / "tags").rglob("*")]
    assert loose

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirrors, "_LOOSE_OBJECTS", 1)
        maintain_mirror(mirror)

    assert not [
        path for path in (mirror / "refs" / "tags").rglob("*") if path.is_file()
    ]
    assert [*(mirror / "objects" / "pack").glob("*.pack")]
    assert refs(mirror) == refs(origin)


def test_a_mirror_needs_git(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)

    with pytest.raises(UnreadableRepoError, match="the program 'git' is needed"):
        clone_mirror(str(origin), tmp_path / "mirror.git")


def test_the_password_of_a_url_is_neither_stored_nor_shown(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    seen: list[str | None] = []
    processes: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            processes.extend(command_lines())
            status = 404 if self.headers["Authorization"] else 401
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://ada:s3cr%21et@127.0.0.1:{server.server_port}/o/r.git"
    try:
        with pytest.raises(UnreadableRepoError) as raised:
            clone_mirror(url, tmp_path / "mirror.git")
    finally:
        server.shutdown()
        server.server_close()

    assert seen == [None, "Basic YWRhOnMzY3IhZXQ="]  # ada:s3cr!et
    assert [line for line in processes if "/o/r.git" in line]
    assert not [line for line in processes if "s3cr" in line]
    assert "s3cr" not in str(raised.value)
    assert "not found" in raised.value.reason


def command_lines() -> list[str]:
    """Return what other users of this machine see of processes."""
    need_proc()
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found.append(file.read_bytes().decode(errors="replace"))
    return found
