"""Mirrors are cloned, kept fresh and shared; and say how fresh they are."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import requests
from fetching import largest_file, noise
from needs import need_proc
from projects import TOKEN, Project, commit_all, git, serving_site, write

from dvc_studio_models.errors import UsageError
from dvc_studio_models.registry.git.mirrors import Patience
from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    known_tokens,
)
from dvc_studio_models.server.mirrors.mirrors import PER_HOST, Mirrors
from dvc_studio_models.server.mirrors.places import MirrorPlace, with_paths
from dvc_studio_models.server.mirrors.repair import clone_beside
from dvc_studio_models.server.mirrors.schedule import RETRY_S, is_due, pause_s
from dvc_studio_models.server.mirrors.state import (
    MirrorState,
    MirrorStatus,
    read_state,
    write_state,
)
from dvc_studio_models.server.mirrors.upkeep import renew
from dvc_studio_models.server.site.site import Site
from tests.server.api import TIMEOUT_S, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FETCH_S = 1
PATIENCE = Patience(silent_s=5)


def config_of(project: Project, url: str = "", **fields: object) -> ServeConfig:
    """Mirror a project beside its storage, where its DVC remote is found."""
    repo = RepoConfig("", "models", url=url or str(project.repo), fetch_s=FETCH_S)
    tokens = known_tokens({TOKEN: "tests"})
    config = ServeConfig((repo,), tokens, data=project.root, **fields)
    return with_paths(config)


def place_of(config: ServeConfig) -> MirrorPlace:
    (repo,) = config.repos
    return MirrorPlace.of(Path(repo.path).parent, repo.name, repo.url or "")


def clones(place: MirrorPlace) -> list[Path]:
    """List what is left of unfinished clones."""
    return [path for path in place.data.iterdir() if ".clone" in path.name]


@contextlib.contextmanager
def running(config: ServeConfig, patience: Patience = PATIENCE) -> Iterator[Mirrors]:
    mirrors = Mirrors(patience=patience)
    mirrors.apply(config)
    try:
        yield mirrors
    finally:
        mirrors.stop()
        eventually(lambda: not mirrors.is_fetching)


def eventually(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def status(mirrors: Mirrors) -> MirrorStatus:
    found = mirrors.status("models")
    assert found
    return found


def fetched(mirrors: Mirrors, after: float = 0) -> Callable[[], bool]:
    """Whether a fetch that began later has been good."""
    return lambda: (status(mirrors).fetched or 0) > after


# Places


def test_a_mirror_is_named_after_the_end_of_its_url(tmp_path: Path) -> None:
    urls = ("git@host:acme/models.git", "https://host/other/models", "ssh://host/")
    repos = (RepoConfig("/srv/models"), *(RepoConfig("", url=url) for url in urls))

    config = with_paths(ServeConfig(repos, None, data=tmp_path))

    assert [repo.name for repo in config.repos] == ["", "models", "models-2", "host"]
    assert config.repos[0].path == "/srv/models"
    assert Path(config.repos[1].path).parent == tmp_path
    assert with_paths(config) == config


def test_a_name_that_gets_another_url_is_another_mirror(tmp_path: Path) -> None:
    places = {
        MirrorPlace.of(tmp_path, "models", url).repo
        for url in ("https://host/a", "https://host/b", "https://ada:old@host/a")
    }

    assert len(places) == 2  # the password does not count


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    for name in ("..", "../x", "a/b", ".", "/etc"):
        assert MirrorPlace.of(tmp_path, name, "u").repo.parent == tmp_path


def test_a_mirror_needs_a_folder() -> None:
    with pytest.raises(UsageError, match="'data'"):
        with_paths(ServeConfig((RepoConfig("", url="git@host:o/r"),), None))


# Times


@pytest.mark.parametrize(
    ("failures", "fetch_s", "expected"),
    [
        (0, 60, 60),
        (1, 60, 120),
        (3, 60, 480),
        (10, 60, 900),
        (0, 3600, 3600),
        (5, 3600, 3600),
        (10_000, 60, 900),
    ],
)
def test_failures_in_a_row_double_the_pause(
    failures: int, fetch_s: int, expected: int
) -> None:
    state = MirrorState(failures=failures)

    assert pause_s(state, fetch_s, chance=0.5) == expected
    assert pause_s(state, fetch_s, chance=0) == pytest.approx(0.9 * expected)
    assert pause_s(state, fetch_s, chance=1) == pytest.approx(1.1 * expected)


def test_a_clock_that_was_set_back_stops_no_fetch() -> None:
    state = MirrorState(tried=2000.0)

    assert not is_due(state, 60, 2059)
    assert is_due(state, 60, 2061)
    assert is_due(state, 60, 1000)


def test_a_mirror_is_stale_after_three_fetches_and_half_a_minute() -> None:
    now = time.time()

    assert not MirrorStatus(now - 200, None, 0, fetch_s=60).is_stale
    assert MirrorStatus(now - 220, None, 0, fetch_s=60).is_stale
    assert MirrorStatus(None, None, 0, fetch_s=60).is_stale
    assert MirrorStatus(now + 50, None, 0, fetch_s=60).age_s == 0


# The file


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = MirrorState(1.5, 2.5, 3, "it failed", 4.5)

    write_state(tmp_path / "state.json", state)

    assert read_state(tmp_path / "state.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"other": 1}',
        b'{"fetched": "x"}',
        b'{"failures": true}',
        b'{"error": 1}',
        b"[" * 50_000,
        b"\xff",
    ],
)
def test_a_state_that_cannot_be_read_is_that_of_a_new_mirror(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "state.json").write_bytes(content)

    assert read_state(tmp_path / "state.json") == MirrorState()


# Fetches


def test_a_mirror_is_cloned_and_then_kept_fresh(project: Project) -> None:
    config = config_of(project)
    repo = place_of(config).repo

    with running(config) as mirrors:
        eventually(fetched(mirrors))
        assert "churn@v2.0.0" in git(repo, "tag")

        project.tag("churn@v9.0.0")
        eventually(lambda: "churn@v9.0.0" in git(repo, "tag"))


def test_a_failure_is_told_and_keeps_the_time_of_the_last_good_fetch(
    project: Project,
) -> None:
    config = config_of(project)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        project.repo.rename(project.root / "away")
        eventually(lambda: status(mirrors).failures)
        failed = status(mirrors)
        (project.root / "away").rename(project.repo)
        eventually(fetched(mirrors, after=failed.fetched or 0))

    assert failed.fetched
    assert failed.error == "there is no Git repository at its URL"
    assert str(project.root) not in str(failed.error)
    assert status(mirrors).error is None
    assert status(mirrors).failures == 0


def test_a_clone_that_fails_leaves_nothing(project: Project) -> None:
    config = config_of(project, url=str(project.root / "gone"))
    place = place_of(config)

    with running(config) as mirrors:
        eventually(lambda: status(mirrors).failures)

    assert status(mirrors).is_stale
    assert not place.repo.exists()
    assert clones(place) == []


def test_what_a_killed_clone_left_is_replaced(project: Project) -> None:
    config = config_of(project)
    place = place_of(config)
    left = place.data / f"{place.clone_prefix}left"
    left.mkdir()
    (left / "HEAD").write_text("torn")

    with running(config) as mirrors:
        eventually(fetched(mirrors))

    assert clones(place) == []
    assert "churn@v2.0.0" in git(place.repo, "tag")


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def start_clone(
    place: MirrorPlace, url: str, patience: Patience
) -> subprocess.Popen[bytes]:
    """Clone in a process that can be killed."""
    code = f"""
from pathlib import Path
from dvc_studio_models.registry.git.mirrors import Patience
from dvc_studio_models.server.mirrors.places import MirrorPlace
from dvc_studio_models.server.mirrors.repair import clone_beside
place = MirrorPlace(Path({str(place.data)!r}), {place.stem!r})
clone_beside(place, {url!r}, Patience(*{tuple(patience)}))
"""
    return subprocess.Popen([sys.executable, "-c", code])


def test_git_of_a_killed_server_waits_for_no_host_for_ever(tmp_path: Path) -> None:
    need_proc()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/acme/models"
        place = MirrorPlace.of(tmp_path, "models", url)
        killed = start_clone(place, url, Patience(silent_s=3))
        connection, _ = listener.accept()
        left = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
        killed.wait()
        with connection:
            is_there = [each.is_running() for each in left]
            eventually(lambda: all(map(has_ended, left)))

    assert is_there
    assert all(is_there)


def test_git_of_a_killed_server_disturbs_no_clone_of_the_next_one(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ssh = tmp_path / "pid", tmp_path / "ssh"
    ssh.write_text(
        f"""#!/bin/sh
        if [ -s '{before}' ]; then  # that of the killed server fails amid this clone
            kill "$(cat '{before}')"
            sleep 1
            exec git-upload-pack '{project.repo}'
        fi
        echo $$ > '{before}'
        exec sleep 600
        """
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")  # else Git asks ssh first
    url = "git@host:acme/models"
    place = MirrorPlace.of(tmp_path, "models", url)
    killed = start_clone(place, url, PATIENCE)
    eventually(lambda: before.exists() and before.read_text())
    killed.kill()
    killed.wait()

    clone_beside(place, url, PATIENCE)

    assert "churn@v2.0.0" in git(place.repo, "tag")
    assert clones(place) == []


def test_a_fetch_for_which_there_is_no_room_leaves_nothing(project: Project) -> None:
    config = config_of(project)
    objects = place_of(config).repo / "objects"
    with running(config) as mirrors:
        eventually(fetched(mirrors))
    write(project.repo, {"notes.bin": noise(2 << 20)})
    commit_all(project, "Store a large file in Git")

    with largest_file(1 << 20), running(config) as mirrors:
        mirrors.fetch_soon("models")
        eventually(lambda: status(mirrors).failures)
        left = {path for path in objects.rglob("tmp_*") if path.is_file()}

    assert left == set()
    with running(config) as mirrors:
        begun = time.time()
        mirrors.fetch_soon("models")
        eventually(fetched(mirrors, begun))
    assert "notes.bin" in git(place_of(config).repo, "ls-tree", "--name-only", "HEAD")


def lose(repo: Path, lost: str) -> None:
    """Remove a file or folder of a mirror, or the object of a rev."""
    if (repo / lost).exists():
        (repo / lost).rename(repo.parent / "lost")
        return
    oid = git(repo, "rev-parse", lost).strip()
    for pack in (repo / "objects/pack").glob("*.pack"):
        with pack.rename(repo.parent / "away.pack").open("rb") as packed:
            unpack = ["git", "unpack-objects", "-q"]
            subprocess.run(unpack, cwd=repo, stdin=packed, check=True)
    (repo / "objects" / oid[:2] / oid[2:]).unlink()


LOST = ["objects/pack", "HEAD", "churn@v2.0.0", "churn@v2.0.0^{commit}"]


@pytest.mark.parametrize("lost", LOST)
def test_a_damaged_mirror_is_cloned_anew(
    project: Project, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(project)
    repo = place_of(config).repo
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        lose(repo, lost)
        eventually(lambda: "cloned anew" in caplog.text)
        eventually(fetched(mirrors, after=time.time()))

    assert status(mirrors).error is None
    assert git(repo, "fsck", "--connectivity-only") == ""
    assert "churn@v2.0.0" in git(repo, "tag")
    assert caplog.text.count("cloned anew") == 1
    assert not place_of(config).old.exists()


def test_a_damaged_mirror_stays_until_there_is_a_new_one(project: Project) -> None:
    config = config_of(project)
    repo = place_of(config).repo
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        before = repo.stat().st_ino
        project.repo.rename(project.root / "away")
        lose(repo, "churn@v2.0.0")
        eventually(lambda: "is damaged" in str(status(mirrors).error))
        error = str(status(mirrors).error)
        assert repo.stat().st_ino == before
        assert clones(place_of(config)) == []
        (project.root / "away").rename(project.repo)
        mirrors.apply(config)
        eventually(lambda: status(mirrors).error is None)

    assert error.startswith("it is damaged, and cannot be cloned anew: ")
    assert str(project.root) not in error
    assert "churn@v2.0.0" in git(repo, "tag")


def test_a_kill_between_the_old_mirror_and_the_new_one_loses_none(
    project: Project,
) -> None:
    config = config_of(project)
    place = place_of(config)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
    place.repo.rename(place.old)
    before = place.old.stat().st_ino
    project.repo.rename(project.root / "away")

    with running(config) as mirrors:
        eventually(lambda: status(mirrors).failures)

    assert place.repo.stat().st_ino == before
    assert not place.old.exists()


@pytest.mark.parametrize("lost", [".", "HEAD"])
def test_a_mirror_that_is_moved_away_is_cloned_at_once_after_a_reload(
    project: Project, lost: str
) -> None:
    config = config_of(project)
    config = replace(config, repos=(replace(config.repos[0], fetch_s=3600),))
    repo = place_of(config).repo
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        (repo / lost).resolve().rename(project.root / "away")
        mirrors.apply(config)
        eventually((repo / "HEAD").is_file)


def test_a_mirror_without_refs_is_not_damaged(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = tmp_path / "empty.git"
    git(tmp_path, "init", "--quiet", "--bare", str(empty))
    with running(config_of(project, url=str(empty))) as mirrors:
        eventually(fetched(mirrors))
        eventually(fetched(mirrors, after=time.time()))

    assert status(mirrors).error is None
    assert "damaged" not in caplog.text


def test_a_fetch_in_the_future_does_not_count(project: Project) -> None:
    config = config_of(project)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
    project.repo.rename(project.root / "away")
    ahead = time.time() + 7200
    write_state(place_of(config).state, MirrorState(ahead, ahead, begun=ahead))

    with running(config) as mirrors:
        eventually(lambda: status(mirrors).failures)

    assert status(mirrors).fetched is None
    assert status(mirrors).is_stale


def test_no_webhook_is_lost_after_the_clock_was_set_back(project: Project) -> None:
    config = config_of(project)
    repos = tuple(replace(repo, fetch_s=3600) for repo in config.repos)
    with running(replace(config, repos=repos)) as mirrors:
        eventually(fetched(mirrors))
        now = time.time()
        state = MirrorState(now, now, begun=now + 7200, maintained=now + 7200)
        write_state(place_of(config).state, state)
        assert read_state(place_of(config).state) == MirrorState(now, now)
        project.tag("churn@v9.0.0")
        mirrors.fetch_soon("models")
        eventually(lambda: "churn@v9.0.0" in git(place_of(config).repo, "tag"))


def test_one_process_fetches_and_all_see_it(project: Project) -> None:
    config = config_of(project)
    place = place_of(config)
    with running(config) as first:
        eventually(fetched(first))
    with place.lock.open("r") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with running(config) as second:
            assert status(second).fetched == status(first).fetched
            project.tag("churn@v9.0.0")
            second.fetch_soon("models")
            time.sleep(3)
            assert "churn@v9.0.0" not in git(place.repo, "tag")

            fcntl.flock(held, fcntl.LOCK_UN)
            eventually(lambda: "churn@v9.0.0" in git(place.repo, "tag"))


def test_two_never_fetch_one_mirror_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = project.root / "begun"
    script = f"sh -c 'echo >> {begun}; exec sleep 600'"
    monkeypatch.setenv("GIT_SSH_COMMAND", script)
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    config = config_of(project, url="git@host:acme/models")

    patience = Patience(silent_s=6)
    with running(config, patience), running(config, patience):
        eventually(begun.exists)
        time.sleep(2.5)  # both have looked
        assert begun.read_text() == "\n"


def test_what_another_process_writes_is_taken_over(project: Project) -> None:
    config = config_of(project)
    place = place_of(config)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        with place.lock.open("r") as held:
            eventually(lambda: _try_lock(held.fileno()))
            write_state(place.state, MirrorState(5.0, time.time(), 7, "it failed"))
            eventually(lambda: status(mirrors).failures == 7)
            assert status(mirrors).fetched == 5.0


def _try_lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_folder_that_cannot_be_written_is_told(project: Project) -> None:
    (project.root / "file").touch()
    config = config_of(project)
    repo = RepoConfig("", "models", url=str(project.repo))
    config = with_paths(ServeConfig((repo,), None, data=project.root / "file"))

    with running(config) as mirrors:
        eventually(lambda: status(mirrors).error)

    assert "cannot be written" in str(status(mirrors).error)
    assert str(project.root) not in str(status(mirrors).error)


def test_a_host_that_hangs_delays_no_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = project.root / "begun"
    script = f"sh -c 'echo >> {begun}; exec sleep 600'"
    monkeypatch.setenv("GIT_SSH_COMMAND", script)
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    hanging = tuple(
        RepoConfig("", f"r{number}", url=f"git@host:o/r{number}") for number in range(9)
    )
    repo = RepoConfig("", "models", url=str(project.repo))
    config = with_paths(ServeConfig((*hanging, repo), None, data=project.root))

    with running(config, Patience(silent_s=3)) as mirrors:
        eventually(fetched(mirrors))
        assert len(begun.read_text()) <= PER_HOST
        first = [mirrors.status(f"r{number}") for number in range(9)]
        eventually(lambda: all(_failures(mirrors, f"r{n}") for n in range(9)))

    assert not any(each and each.failures for each in first)


def _failures(mirrors: Mirrors, name: str) -> int:
    found = mirrors.status(name)
    assert found
    return found.failures


def test_a_fetch_that_is_given_up_does_not_stop_the_next_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(project)
    place = place_of(config)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
    lock = place.repo / "packed-refs.lock"
    lock.touch()
    monkeypatch.setenv("GIT_SSH_COMMAND", "sh -c 'exec sleep 600'")

    def fetch(url: str) -> MirrorState:
        renew(place, "models", url, is_wanted=lambda _: True, patience=Patience(1))
        return read_state(place.state)

    assert "no progress" in str(fetch("git@host:o/r").error)
    assert not lock.exists()

    project.tag("churn@v9.0.0")
    assert fetch(str(project.repo)).error is None


@pytest.mark.parametrize("when", ["start", "reload"])
def test_a_failing_mirror_is_tried_at_once_at_a_start_and_a_reload(
    project: Project, when: str
) -> None:
    """The operator who has just mended what was wrong does not wait for minutes."""
    config = config_of(project)
    place = place_of(config)
    failing = MirrorState(5.0, time.time(), 10, "it failed")
    if when == "start":
        write_state(place.state, failing)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        if when == "reload":
            write_state(place.state, failing)
            eventually(lambda: status(mirrors).failures == 10)
            mirrors.apply(config)
        eventually(fetched(mirrors, after=5.0))

        assert status(mirrors).failures == 0


def test_a_mirror_that_goes_on_failing_is_tried_once_by_all_workers(
    project: Project,
) -> None:
    config = config_of(project, str(project.root / "gone"))
    place = place_of(config)
    write_state(place.state, MirrorState(5.0, time.time(), 10, "it failed"))
    with running(config) as mirrors, running(config) as others:
        eventually(lambda: status(mirrors).failures == 11)
        time.sleep(RETRY_S + 1)

        assert status(others).failures == 11


@pytest.mark.parametrize("is_group", [False, True], ids=["server", "with its git"])
def test_a_stop_during_a_fetch_is_no_failure(tmp_path: Path, is_group: bool) -> None:
    file, data = tmp_path / "serve.yaml", tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/models.git"
        file.write_text(
            f"listen: 127.0.0.1:0\ndata: {data}\nno_auth: true\n"
            f"repos: [{{name: models, url: '{url}'}}]\n"
        )
        command = ("-m", "dvc_studio_models", "serve", "--config", str(file))
        server = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE)
        try:
            assert server.stdout
            server.stdout.readline()
            silent.settimeout(20)
            connection, _ = silent.accept()  # Git waits for a reply from now on
            if is_group:  # as systemd does
                for git_id in programs_in(data):
                    with contextlib.suppress(ProcessLookupError):  # ended with another
                        os.kill(git_id, signal.SIGTERM)
            server.terminate()
            server.wait(20)
        finally:
            server.kill()
            server.communicate()
        connection.close()

    assert server.returncode == 0
    assert [*data.glob("*.json")] == []


def programs_in(folder: Path) -> list[int]:
    """Return the ids of the processes that run in a folder."""
    need_proc()
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if cwd.resolve() == folder.resolve():
                found.append(int(cwd.parent.name))
    assert found
    return found


def test_a_reload_adds_and_removes_mirrors(project: Project) -> None:
    config = config_of(project)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
        mirrors.apply(ServeConfig((), None))
        assert mirrors.status("models") is None

        mirrors.apply(config)
        assert status(mirrors).fetched


def test_with_paths_only_nothing_is_written(project: Project) -> None:
    before = sorted(project.root.rglob("*"))
    config = ServeConfig((RepoConfig.parse(f"acme/models={project.bare}"),), None)

    with serving_site(Site(config)) as url:
        assert ask(url, token=None, repo="acme/models", name="churn").status_code == 200

    assert sorted(project.root.rglob("*")) == before
    assert Site(config).mirrors.status("models") is None


# Replies


def test_replies_say_how_old_the_mirror_is(project: Project) -> None:
    config = config_of(project)
    with running(config) as mirrors:
        eventually(fetched(mirrors))

    with serving_site(Site(config)) as url:
        found = ask(url, repo="models", name="churn")
        missing = ask(url, repo="models", name="nothing")
        link = found.json()["models/churn.pkl"]
        headers = {"Authorization": f"token {TOKEN}"}
        others = [
            requests.get(each, headers=headers, timeout=TIMEOUT_S)
            for each in (
                link,
                f"{url}/api/model-registry/models?repo=models",
                f"{url}/api/model-registry/models/churn?repo=models",
                f"{url}/api/model-registry/models/churn",
            )
        ]

    assert found.status_code == 200
    assert missing.status_code == 404
    assert [each.status_code for each in others] == [200] * 4
    for reply in (found, missing, *others):
        assert 0 <= int(reply.headers["X-Mirror-Age"]) < 60
        assert "X-Mirror-Stale" not in reply.headers


def test_replies_of_a_stale_mirror_say_so(project: Project) -> None:
    config = config_of(project)
    place = place_of(config)
    with running(config) as mirrors:
        eventually(fetched(mirrors))
    state = json.loads(place.state.read_text())
    state["fetched"] -= 4000
    place.state.write_text(json.dumps(state))
    project.repo.rename(project.root / "away")

    with serving_site(Site(config)) as url:
        reply = ask(url, repo="models", name="churn")

    assert reply.status_code == 200
    assert int(reply.headers["X-Mirror-Age"]) > 3900
    assert reply.headers["X-Mirror-Stale"] == "true"


def test_replies_about_a_repo_of_others_have_no_such_header(server: str) -> None:
    assert "X-Mirror-Age" not in ask(server, repo="acme/models", name="churn").headers


def test_why_a_fetch_failed_is_told_without_a_path_of_this_machine(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    gone = project.root.parent / "no models.git"
    with running(config_of(project, str(gone))) as mirrors:
        eventually(lambda: status(mirrors).error)

    error = str(status(mirrors).error)
    assert error == "repository 'its path' does not exist"
    assert str(gone) in caplog.text
