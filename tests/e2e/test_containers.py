"""Containers: a user without a name, and folders and caches of other users.

Each command runs as a user who is not in the password file and has only the rights that
the modes of files grant.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest
from environments import DVC
from needs import give_away, other_file_system, stranger
from projects import BERT, CHURN, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

    Done = subprocess.CompletedProcess[str]

MODEL = "models/churn.pkl"
NAMES = ("USER", "LOGNAME", "LNAME", "USERNAME")
PULL = ("models", "pull", "churn")
READ_ONLY = 0o555
SITE_HINT = (
    "It is in DVC's site cache: set DVC_SITE_CACHE_DIR, or 'dvc config "
    "core.site_cache_dir', to a folder of your own"
)
CACHE_HINT = (
    "It is in the DVC cache: pull with '--no-cache', or use another one: "
    "'dvc cache dir --local DIR'"
)


class RunAsStranger(Protocol):
    def __call__(self, *args: str | Path, **env: str | Path) -> Done: ...


@pytest.fixture
def as_stranger(clone: Path, registry: Registry) -> RunAsStranger:
    """Run ``dvc`` in the clone as a user without a name."""
    command = stranger()
    known = {**os.environ, **registry.environ}
    environ = {name: known[name] for name in known if name not in NAMES}

    def run(*args: str | Path, **env: str | Path) -> Done:
        return subprocess.run(
            [*command, DVC, *args],
            cwd=clone,
            env={**environ, **{name: str(env[name]) for name in env}},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that only root can write to."""
    folder = tmp_path / "of-another"
    folder.mkdir(mode=READ_ONLY)
    return folder


# A clone of another user


def of_another(clone: Path) -> Path:
    """Change the owner of a clone and all its files to another user."""
    for path in (clone, *clone.rglob("*")):
        give_away(path)
    return clone


@pytest.mark.parametrize("args", [PULL, ("models", "list"), ("models", "status")])
def test_a_clone_of_another_user_is_named_and_the_hint_helps(
    run_dvc: RunDvc, registry: Registry, clone: Path, args: tuple[str, ...]
) -> None:
    run_dvc(*PULL, cwd=clone, env=registry.environ)
    of_another(clone)

    done = run_dvc(*args, cwd=clone / "services", env=registry.environ)
    assert done.returncode == 253
    assert f"'{clone}': it belongs to another user\n" in done.stderr

    hint = done.stderr.partition("If you trust it, run '")[2].rpartition("'")[0]
    subprocess.run(shlex.split(hint), check=True)
    done = run_dvc(*args, cwd=clone / "services", env=registry.environ)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_environment_tells_git_to_trust_is_read(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    trust = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    of_another(clone)

    done = run_dvc(*PULL, cwd=clone, env=registry.environ | trust)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("verified against Git\n")


# A user without a name


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(PULL, id="pull"),
        pytest.param(("models", "pull", "bert", "--no-cache"), id="without cache"),
        pytest.param(("models", "pull", "churn", "-o", "out"), id="out"),
        pytest.param(("models", "list"), id="list"),
    ],
)
def test_a_user_without_a_name_is_served(
    as_stranger: RunAsStranger, args: tuple[str, ...]
) -> None:
    done = as_stranger(*args)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_user_without_a_name_sees_what_was_pulled(
    as_stranger: RunAsStranger,
) -> None:
    as_stranger(*PULL)

    status = as_stranger("models", "status", "churn")
    listed = as_stranger("models", "list")

    assert (status.returncode, status.stderr) == (0, "")
    assert "up to date" in status.stdout
    assert f"v2.0.0       {MODEL}" in listed.stdout


# DVC's site cache


def test_a_site_cache_of_another_is_named_and_the_hint_helps(
    as_stranger: RunAsStranger, read_only: Path, tmp_path: Path, clone: Path
) -> None:
    done = as_stranger(*PULL, DVC_SITE_CACHE_DIR=read_only)

    assert done.returncode == 8
    assert done.stderr == (
        f"ERROR: cannot write '{read_only}': permission denied\n{SITE_HINT}\n"
    )
    helped = as_stranger(*PULL, DVC_SITE_CACHE_DIR=tmp_path / "own")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert (clone / MODEL).read_bytes() == CHURN["v2.0.0"]


def test_the_site_cache_of_a_setting_is_named_and_can_be_set_anew(
    as_stranger: RunAsStranger, run_dvc: RunDvc, read_only: Path, clone: Path
) -> None:
    setting = ("config", "--local", "core.site_cache_dir")
    run_dvc(*setting, read_only, cwd=clone)

    done = as_stranger(*PULL, DVC_SITE_CACHE_DIR="")

    assert done.returncode == 8
    assert f"cannot write '{read_only}': permission denied\n{SITE_HINT}" in done.stderr
    own = read_only.with_name("own")
    as_stranger(*setting, own, DVC_SITE_CACHE_DIR="")
    helped = as_stranger(*PULL, DVC_SITE_CACHE_DIR="")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert (own / "repo").is_dir()


def test_databases_that_cannot_be_written_are_named(
    as_stranger: RunAsStranger, tmp_path: Path, clone: Path
) -> None:
    site = tmp_path / "site"
    as_stranger(*PULL, DVC_SITE_CACHE_DIR=site)
    shutil.rmtree(clone / ".dvc/tmp/models")
    (clone / MODEL).write_bytes(b"other")
    for path in [site, *site.rglob("*")]:
        path.chmod(READ_ONLY if path.is_dir() else 0o444)

    done = as_stranger(*PULL, DVC_SITE_CACHE_DIR=site)

    assert done.returncode == 8
    reason = "attempt to write a readonly database"
    assert f"cannot write '{site}': {reason}\n{SITE_HINT}" in done.stderr


def test_what_is_there_is_listed_without_a_site_cache(
    as_stranger: RunAsStranger, read_only: Path
) -> None:
    as_stranger(*PULL)

    done = as_stranger("models", "list", DVC_SITE_CACHE_DIR=read_only)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"v2.0.0       {MODEL}" in done.stdout
    assert list(read_only.iterdir()) == []


def test_what_else_is_refused_is_not_taken_for_the_site_cache(
    as_stranger: RunAsStranger, clone: Path
) -> None:
    shutil.rmtree(clone / ".dvc/tmp", ignore_errors=True)
    (clone / ".dvc").chmod(READ_ONLY)

    done = as_stranger(*PULL)

    assert done.returncode == 8
    expected = f"ERROR: cannot write '{clone / '.dvc'}': permission denied\n"
    assert done.stderr == expected


# Caches


def use_cache(run_dvc: RunDvc, clone: Path, cache: Path, types: str = "copy") -> None:
    run_dvc("config", "--local", "cache.dir", cache, cwd=clone)
    run_dvc("config", "--local", "cache.type", types, cwd=clone)


def seal(folder: Path) -> None:
    """Make a cache read-only."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(READ_ONLY)


@pytest.mark.parametrize("inner", ["", "parts", "files/md5"])
def test_a_shared_cache_that_lacks_the_object_is_named_and_the_hint_helps(
    as_stranger: RunAsStranger,
    run_dvc: RunDvc,
    clone: Path,
    tmp_path: Path,
    inner: str,
) -> None:
    cache = tmp_path / "cache"
    for folder in ("parts", "files/md5"):
        (cache / folder).mkdir(parents=True)
    if not inner:
        (cache / "parts").rmdir()
    give_away(cache / inner)
    use_cache(run_dvc, clone, cache)

    done = as_stranger(*PULL)

    assert done.returncode == 8
    refused = f"cannot write '{cache / inner}': permission denied"
    assert done.stderr == f"ERROR: {refused}\n{CACHE_HINT}\n"
    helped = as_stranger(*PULL, "--no-cache")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert (clone / MODEL).read_bytes() == CHURN["v2.0.0"]
    assert not (cache / inner / "parts").exists()


@pytest.mark.parametrize("source", ["studio", "remote"])
def test_a_cache_of_ones_own_helps_too(
    as_stranger: RunAsStranger,
    run_dvc: RunDvc,
    clone: Path,
    registry: Registry,
    read_only: Path,
    source: str,
) -> None:
    use_cache(run_dvc, clone, read_only)
    url = registry.project.storage
    run_dvc("remote", "modify", "--local", "storage", "url", url, cwd=clone)

    done = as_stranger(*PULL, "--source", source)

    assert done.returncode == 8
    assert f"cannot write '{read_only}': permission denied" in done.stderr
    assert "'dvc cache dir --local DIR'" in done.stderr
    assert ("--no-cache" in done.stderr) == (source == "studio")
    as_stranger("cache", "dir", "--local", read_only.with_name("own"))
    helped = as_stranger(*PULL, "--source", source)
    assert (helped.returncode, helped.stderr) == (0, "")


@pytest.mark.parametrize("types", ["copy", "symlink", "hardlink", "reflink,copy"])
def test_a_read_only_cache_that_has_the_objects_serves_them(
    as_stranger: RunAsStranger,
    run_dvc: RunDvc,
    registry: Registry,
    clone: Path,
    tmp_path: Path,
    types: str,
) -> None:
    filler, cache = registry.project.clone(tmp_path / "filler"), tmp_path / "cache"
    names = ("churn", "bert")
    use_cache(run_dvc, filler, cache)
    run_dvc("models", "pull", *names, cwd=filler, env=registry.environ)
    seal(cache)
    use_cache(run_dvc, clone, cache, types)

    done = as_stranger("models", "pull", *names)

    assert (done.returncode, done.stderr) == (0, "")
    assert "downloaded" not in done.stdout
    assert (clone / MODEL).read_bytes() == CHURN["v2.0.0"]
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


@pytest.fixture
def cache_elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A cache folder on another file system."""
    folder = other_file_system(tmp_path) / f"cache-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_hard_links_to_another_file_system_are_told_and_the_hint_helps(
    run_dvc: RunDvc, registry: Registry, clone: Path, cache_elsewhere: Path
) -> None:
    use_cache(run_dvc, clone, cache_elsewhere, "hardlink")

    done = run_dvc(*PULL, cwd=clone, env=registry.environ)

    assert done.returncode == 8
    assert done.stderr == (
        f"ERROR: cannot link from '{cache_elsewhere}/files/md5': cache.type is "
        "'hardlink', but: invalid cross-device link\n"
        "Allow copies too: 'dvc config cache.type hardlink,copy'\n"
    )
    assert not (clone / MODEL).exists()
    run_dvc("config", "--local", "cache.type", "hardlink,copy", cwd=clone)
    helped = run_dvc(*PULL, cwd=clone, env=registry.environ)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert (clone / MODEL).read_bytes() == CHURN["v2.0.0"]


def test_symbolic_links_to_another_file_system_work(
    run_dvc: RunDvc, registry: Registry, clone: Path, cache_elsewhere: Path
) -> None:
    use_cache(run_dvc, clone, cache_elsewhere, "hardlink,symlink")

    done = run_dvc(*PULL, cwd=clone, env=registry.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / MODEL).is_symlink()
    assert (clone / MODEL).read_bytes() == CHURN["v2.0.0"]
