"""A user's cache that fails, is used by two pulls at once, or is killed."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from needs import mount_namespace, other_file_system, stranger
from projects import read_tree
from servers import Behaviour, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

    Done = subprocess.CompletedProcess[str]

pytestmark = pytest.mark.reliability("Through `dvc`: a user's cache that fails")

FILES = {
    "models/large.bin": random.Random(3).randbytes(3 << 20),
    "models/small.bin": b"small",
}
PULL = ("models", "pull", "churn", "--repo", "git@git.example.com:acme/models.git")
WARNING = "WARNING: downloaded files are not kept in the cache: cannot write"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def env(studio: StudioServer, file_server: FileServer, cache: Path) -> dict[str, str]:
    studio.serve("churn", file_server.publish(FILES))
    return {
        **os.environ,
        **studio.environ,
        "DVC_STUDIO_MODELS_CACHE": str(cache),
    }


def objects(cache: Path) -> set[bytes]:
    return set(read_tree(cache / "files" / "md5").values())


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "models"]


def run(
    prefix: list[str],
    out: Path,
    env: Mapping[str, str],
    *options: str,
) -> Done:
    return subprocess.run(
        [*prefix, DVC, *PULL, "--out", out, *options],
        cwd=out.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# A cache that cannot be written


def test_a_cache_of_another_user_is_no_failure(
    env: dict[str, str], tmp_path: Path, cache: Path
) -> None:
    cache.mkdir(mode=0o555)

    done = run(stranger(), tmp_path / "one", env)

    assert (done.returncode, read_tree(tmp_path / "one")) == (0, FILES), done.stderr
    assert done.stderr == f"{WARNING} '{cache}': permission denied\n"
    assert left_in(tmp_path / "one") == []


def test_what_a_read_only_cache_has_is_not_downloaded(
    env: dict[str, str], tmp_path: Path, cache: Path, file_server: FileServer
) -> None:
    run([], tmp_path / "one", env)
    requests = len(file_server.requests)
    md5 = hashlib.md5(FILES["models/small.bin"]).hexdigest()
    (cache / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    before = read_tree(cache)

    script = f"mount --bind {cache} {cache} && mount -o remount,bind,ro {cache}"
    shell = [*mount_namespace(), "sh", "-c", f'{script} && exec "$@"', "sh"]
    done = run(shell, tmp_path / "two", env)

    assert (done.returncode, read_tree(tmp_path / "two")) == (0, FILES), done.stderr
    assert done.stderr == f"{WARNING} '{cache}': permission denied\n"
    assert {e.path for e in file_server.requests[requests:]} == {
        f"/files/md5/{md5[:2]}/{md5[2:]}"
    }
    assert read_tree(cache) == before


@pytest.mark.parametrize("has_home", [True, False], ids=["unwritable", "unset"])
def test_a_user_without_a_home_is_served(
    env: dict[str, str], tmp_path: Path, has_home: bool
) -> None:
    for name in ("DVC_STUDIO_MODELS_CACHE", "XDG_CACHE_HOME", "HOME"):
        env.pop(name, None)
    if has_home:
        env["HOME"] = str(tmp_path / "of-another" / "home")
        (tmp_path / "of-another").mkdir(mode=0o555)
    before = {path.name for path in tmp_path.iterdir()}

    done = run(stranger(), tmp_path / "one", env)

    assert (done.returncode, read_tree(tmp_path / "one")) == (0, FILES), done.stderr
    failure = (
        f"'{env['HOME']}/.cache/dvc-studio-models': permission denied"
        if has_home
        else "'~/.cache': this user has no home folder; set DVC_STUDIO_MODELS_CACHE"
    )
    assert done.stderr == f"{WARNING} {failure}\n"
    assert {path.name for path in tmp_path.iterdir()} == {*before, "one"}


def test_a_user_without_a_name_has_a_cache(
    env: dict[str, str], tmp_path: Path, cache: Path, file_server: FileServer
) -> None:
    first = run(stranger(), tmp_path / "one", env)
    before = len(file_server.requests)
    second = run(stranger(), tmp_path / "two", env)

    assert (first.stderr, second.stderr) == ("", "")
    assert len(file_server.requests) == before
    assert objects(cache) == set(FILES.values())


def test_a_site_cache_that_cannot_be_written_is_not_needed(
    env: dict[str, str], tmp_path: Path, cache: Path, file_server: FileServer
) -> None:
    site = tmp_path / "of-another"
    site.mkdir(mode=0o555)
    env["DVC_SITE_CACHE_DIR"] = str(site / "dvc")

    first = run(stranger(), tmp_path / "one", env)
    before = len(file_server.requests)
    second = run(stranger(), tmp_path / "two", env)

    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert len(file_server.requests) == before
    assert objects(cache) == set(FILES.values())


def test_a_disk_with_space_for_one_copy_is_enough(
    env: dict[str, str], tmp_path: Path, file_server: FileServer
) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    env["DVC_STUDIO_MODELS_CACHE"] = str(disk / "cache")
    script = f'mount -t tmpfs -o size=5m disk {disk} && "$@" && cp -r {disk} {kept}'
    prefix = [*mount_namespace(), "sh", "-c", script, "sh", "env", "--chdir", str(disk)]
    done = run(prefix, disk / "one", env)

    assert (done.returncode, read_tree(kept / "one")) == (0, FILES), done.stderr
    assert done.stderr.startswith(f"{WARNING} '{disk / 'cache' / 'parts'}': ")
    large = len(FILES["models/large.bin"])
    assert large <= file_server.bytes_served < 1.5 * large
    assert list((kept / "cache" / "parts").iterdir()) == []
    assert left_in(kept / "one") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """Run a command where the cache is on a disk of 2 MiB."""
    (tmp_path / "cache").mkdir()
    script = f"mount -t tmpfs -o size=2m cache {tmp_path / 'cache'}"
    return [*mount_namespace(), "sh", "-c", f'{script} && exec "$@"', "sh"]


def test_a_cache_without_space_is_no_failure(
    env: dict[str, str], tmp_path: Path, small_disk: list[str], cache: Path
) -> None:
    done = run(small_disk, tmp_path / "one", env)

    assert (done.returncode, read_tree(tmp_path / "one")) == (0, FILES), done.stderr
    assert done.stderr.startswith(f"{WARNING} '{cache / 'parts'}': ")
    assert done.stderr.count("\n") == 1
    assert left_in(tmp_path / "one") == []


def test_a_cache_that_is_full_is_no_failure(
    env: dict[str, str], tmp_path: Path, small_disk: list[str], cache: Path
) -> None:
    small_disk[-2] = small_disk[-2].replace(
        "&&", f"&& head -c 1500000 /dev/zero > {cache / 'other'} &&", 1
    )
    done = run(small_disk, tmp_path / "one", env)

    assert (done.returncode, read_tree(tmp_path / "one")) == (0, FILES), done.stderr
    assert done.stderr == f"{WARNING} '{cache}': no space left on device\n"


def test_a_cache_that_is_no_folder_is_no_failure(
    env: dict[str, str], tmp_path: Path, cache: Path
) -> None:
    cache.write_text("a file")

    done = run([], tmp_path / "one", env)

    assert (done.returncode, read_tree(tmp_path / "one")) == (0, FILES), done.stderr
    assert done.stderr.startswith(f"{WARNING} '{cache}': ")


# Other file systems


def test_files_on_another_file_system_are_copied(
    run_dvc: RunDvc, env: dict[str, str], tmp_path: Path
) -> None:
    run_dvc("config", "--global", "cache.type", "hardlink", cwd=tmp_path)
    out = other_file_system(tmp_path) / f"models-{os.getpid()}-{time.monotonic_ns()}"
    try:
        for action in ("downloaded", "linked"):
            done = run([], out, env)
            assert (done.returncode, done.stderr, read_tree(out)) == (0, "", FILES)
            assert action in done.stdout
            assert all(path.stat().st_nlink == 1 for path in out.glob("models/*"))
            shutil.rmtree(out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


# Two at once, and pulls that end early


def test_two_pulls_of_one_model_at_once_succeed(
    env: dict[str, str], tmp_path: Path, cache: Path, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(delay_s=0.3)
    outs = [tmp_path / "one", tmp_path / "two"]
    running = [
        subprocess.Popen(
            [DVC, *PULL, "--out", out], env=env, stderr=subprocess.PIPE, text=True
        )
        for out in outs
    ]
    errors = [process.communicate(timeout=60)[1] for process in running]

    assert errors == ["", ""]
    assert [process.returncode for process in running] == [0, 0]
    assert [read_tree(out) for out in outs] == [FILES, FILES]
    assert objects(cache) == set(FILES.values())
    assert list((cache / "parts").iterdir()) == []


def test_a_killed_pull_is_resumed_by_one_to_another_folder(
    env: dict[str, str], tmp_path: Path, cache: Path, file_server: FileServer
) -> None:
    file_server.behaviour = Behaviour(bytes_per_s=800_000)
    first = tmp_path / "one"
    process = subprocess.Popen([DVC, *PULL, "--out", first], env=env)
    try:
        wait_until(lambda: _bytes_of(cache / "parts") > 2_000_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    file_server.behaviour = Behaviour()
    sent = file_server.bytes_served

    assert objects(cache) <= {FILES["models/small.bin"]}
    assert list(first.glob("models/*")) == []
    done = run([], tmp_path / "two", env)

    assert (done.returncode, read_tree(tmp_path / "two")) == (0, FILES), done.stderr
    assert file_server.bytes_served - sent < len(FILES["models/large.bin"]) - 400_000
    assert list((cache / "parts").iterdir()) == []


def _bytes_of(folder: Path) -> int:
    try:
        return sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    except FileNotFoundError:
        return 0


def test_a_damaged_object_is_noticed_and_replaced(
    env: dict[str, str], tmp_path: Path, cache: Path
) -> None:
    run([], tmp_path / "one", env)
    md5 = hashlib.md5(FILES["models/small.bin"]).hexdigest()
    stored = cache / "files" / "md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"SMALL")

    done = run([], tmp_path / "two", env)

    assert (done.returncode, read_tree(tmp_path / "two")) == (0, FILES), done.stderr
    assert stored.read_bytes() == FILES["models/small.bin"]


@pytest.mark.parametrize("has_cache", [False, True], ids=["no cache", "a cache"])
def test_a_dry_run_changes_nothing(
    env: dict[str, str], tmp_path: Path, has_cache: bool
) -> None:
    if has_cache:
        run([], tmp_path / "one", env)
    before = read_tree(tmp_path)

    done = run([], tmp_path / "two", env, "--dry-run")

    assert (done.returncode, done.stderr) == (0, "")
    assert ("link" in done.stdout) == has_cache
    assert read_tree(tmp_path) == before
