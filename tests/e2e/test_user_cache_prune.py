"""``dvc models cache`` outside of DVC projects, and pulls beside a prune."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from projects import git, init_project

from dvc_studio_models import pull as pull_in_python
from dvc_studio_models.files.owner import owner_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from conftest import RunDvc
    from servers import FileServer, StudioServer

REPO = "git@git.example.com:acme/models.git"
OLD = {"models/m.bin": b"old" * 1000, "models/same.bin": b"same" * 1000}
NEW = {"models/m.bin": b"new" * 1000, "models/same.bin": b"same" * 1000}
DAY = 24 * 3600


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def run(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    cache: Path,
    tmp_path: Path,
) -> Callable[..., CompletedProcess[str]]:
    """Run ``dvc models`` in an empty folder."""
    studio.serve("m", file_server.publish(OLD), version="v1.0.0")
    studio.serve("m", file_server.publish(NEW), version="v2.0.0")
    env = {**studio.environ, "DVC_STUDIO_MODELS_CACHE": str(cache)}
    (tmp_path / "empty").mkdir()

    def run(*args: str | Path, cwd: Path = tmp_path / "empty") -> object:
        return run_dvc("models", *args, cwd=cwd, env=env)

    return run


def contents(cache: Path) -> set[bytes]:
    return {path.read_bytes() for path in (cache / "files/md5").glob("??/*")}


def grow_old(cache: Path, version: str | None = None, seconds: float = DAY) -> None:
    """Let the last use of a version, or of all, be so long ago."""
    for path in (cache / "models").glob("*.json"):
        if version in {None, json.loads(path.read_text())["version"]}:
            then = time.time() - seconds
            os.utime(path, (then, then))
    for path in (cache / "files/md5").glob("??/*"):
        os.utime(path, (1, 1))


def out(tmp_path: Path, name: str) -> list[str | Path]:
    return ["--repo", REPO, "--out", tmp_path / name]


def test_ls_prune_and_verify_work_on_the_users_cache(
    run: Callable[..., CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    assert run("pull", "m@v1.0.0", *out(tmp_path, "one")).returncode == 0
    assert run("pull", "m@v2.0.0", *out(tmp_path, "two")).returncode == 0

    recent = json.loads(run("cache", "prune", "-n", "--json").stdout)["kept"]
    grow_old(cache)
    listed = json.loads(run("cache", "ls", "--json").stdout)
    nothing = run("cache", "prune", "--force")
    shutil.rmtree(tmp_path / "one")
    pruned = run("cache", "prune", "--force")

    assert [v["needed_by"][-1] for v in recent] == ["recent pull"] * 2
    assert listed["cache"] == str(cache)
    versions = {v["version"]: v for v in listed["versions"]}
    assert versions["v1.0.0"]["repo"] == REPO
    assert versions["v1.0.0"]["needed_by"] == [str(tmp_path / "one")]
    assert versions["v1.0.0"]["shared"] == 4000
    assert nothing.stdout.startswith("Nothing to remove: 2 versions stay")
    assert (pruned.returncode, pruned.stderr) == (0, "")
    assert contents(cache) == set(NEW.values())
    left = json.loads(run("cache", "ls", "--json").stdout)["versions"]
    assert [v["version"] for v in left] == ["v2.0.0"]
    assert run("cache", "verify").returncode == 0


def test_the_last_use_of_versions_decides(
    run: Callable[..., CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    for version in ("v1.0.0", "v2.0.0"):
        run("pull", f"m@{version}", *out(tmp_path, "one"))
    shutil.rmtree(tmp_path / "one")
    grow_old(cache, "v1.0.0", 40 * DAY)
    grow_old(cache, "v2.0.0", 20 * DAY)

    def would_remove(*args: str) -> list[str]:
        done = run("cache", "prune", "-n", "--json", *args)
        return [v["version"] for v in json.loads(done.stdout)["versions"]]

    assert would_remove() == ["v1.0.0", "v2.0.0"]
    assert would_remove("--older-than", "30d") == ["v1.0.0"]
    assert would_remove("--max-size", "8KB") == ["v1.0.0"]
    assert would_remove("--keep-latest", "1") == ["v1.0.0"]
    assert would_remove("--older-than", "60d", "--max-size", "0") == []


def test_what_dvc_itself_wrote_just_now_is_not_old(
    run: Callable[..., CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    run("pull", "m@v1.0.0", *out(tmp_path, "one"))
    shutil.rmtree(tmp_path / "one")
    grow_old(cache, seconds=60 * DAY)
    for path in (cache / "files/md5").glob("??/*"):
        os.utime(path)

    done = run("cache", "prune", "-f", "--older-than", "30d")

    assert done.stdout.startswith("Nothing to remove: 1 version stays")


def test_a_size_that_cannot_be_reached_and_a_cache_that_is_none(
    run: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    run("pull", "m@v1.0.0", *out(tmp_path, "one"))

    done = run("cache", "prune", "-f", "--max-size", "1KB")
    missing = run("cache", "verify", "--cache-dir", tmp_path / "none")
    nobodys = run("cache", "verify", "--cache-dir", "~no-such-user/x")

    assert "This is more than '--max-size'" in done.stdout
    assert missing.returncode == 254
    assert "there is no folder" in missing.stderr
    assert "there is no folder '~no-such-user/x'" in nobodys.stderr


def test_a_symbolic_link_into_the_users_cache_keeps_what_it_leads_to(
    run: Callable[..., CompletedProcess[str]],
    run_dvc: RunDvc,
    cache: Path,
    tmp_path: Path,
) -> None:
    run_dvc("config", "--global", "cache.type", "symlink", cwd=tmp_path)
    run("pull", "m@v1.0.0", *out(tmp_path, "one"))
    assert (tmp_path / "one/models/m.bin").is_symlink()
    for receipt in cache.glob("users/*/.dvc/tmp/models/receipts/*.json"):
        receipt.unlink()
    grow_old(cache)

    run("cache", "prune", "--force")

    assert (tmp_path / "one/models/m.bin").read_bytes() == OLD["models/m.bin"]


def test_a_record_that_is_damaged_stops_the_removal(
    run: Callable[..., CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    run("pull", "m@v1.0.0", *out(tmp_path, "one"))
    shutil.rmtree(tmp_path / "one")
    record = next((cache / "models").glob("*.json"))
    record.write_text("{")

    done = run("cache", "prune", "--force")

    assert done.returncode == 7
    assert record.name in done.stderr
    assert contents(cache) == set(OLD.values())


def test_dvcs_global_cache_belongs_to_projects_too(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, tmp_path: Path
) -> None:
    studio.serve("m", file_server.publish(OLD))
    run_dvc("config", "--global", "cache.dir", tmp_path / "shared", cwd=tmp_path)
    options = ["--repo", REPO, "--out", tmp_path / "one"]
    done = run_dvc("models", "pull", "m", *options, cwd=tmp_path, env=studio.environ)
    assert done.returncode == 0
    shutil.rmtree(tmp_path / "one")
    grow_old(tmp_path / "shared")

    refused = run_dvc("models", "cache", "prune", "-f", cwd=tmp_path)
    named = run_dvc("models", "cache", "prune", "-f", "--cache-dir",
                    tmp_path / "shared", cwd=tmp_path)  # fmt: skip
    alone = run_dvc("models", "cache", "prune", "-f", "-p", cwd=tmp_path)

    assert (refused.returncode, named.returncode) == (7, 7)
    assert "--projects" in refused.stderr
    assert alone.returncode == 0
    assert contents(tmp_path / "shared") == set()


def test_another_projects_cache_keeps_what_that_project_needs(
    run: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    project = init_project(tmp_path / "project")
    url = "https://git.example.com/acme/other.git"
    run("pull", "m@v1.0.0", "--repo", url, cwd=project.repo)
    cache = project.repo / ".dvc/cache"

    done = run("cache", "prune", "--force", "--cache-dir", cache)

    assert done.returncode == 0
    assert contents(cache) == set(OLD.values())


def test_a_lock_file_of_a_repo_without_dvc_keeps_a_version(
    run: Callable[..., CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "app"
    clone.mkdir()
    git(clone, "init", "--quiet")
    pulled = run("pull", "m@v1.0.0", "--repo", REPO, "--lock", cwd=clone)
    assert pulled.returncode == 0, pulled.stderr
    shutil.rmtree(clone / "models")
    grow_old(cache)

    done = run("cache", "prune", "--force", cwd=clone)
    kept = contents(cache)
    (clone / "models.lock").unlink()
    run("cache", "prune", "--force", cwd=clone)

    assert done.returncode == 0
    assert kept == set(OLD.values())
    assert contents(cache) == set()


# Beside a running pull


def test_what_a_running_pull_counts_on_is_not_removed(
    run: Callable[..., CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    run("pull", "m@v1.0.0", *out(tmp_path, "one"))
    shutil.rmtree(tmp_path / "one")
    part = cache / "parts" / f"{'0' * 32}.11111111.{owner_id()}"
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"of this process")
    grow_old(cache, seconds=DAY / 2)

    done = run("cache", "prune", "--force", "--json")

    assert json.loads(done.stdout)["kept"][0]["needed_by"] == ["running pull"]
    assert part.exists()
    assert contents(cache) == set(OLD.values())


def test_a_pull_downloads_what_was_removed_while_it_ran(
    tmp_path: Path, studio: StudioServer, file_server: FileServer
) -> None:
    project = init_project(tmp_path / "project")
    studio.serve("m", file_server.publish(OLD))
    settings = {"repo": REPO, "url": studio.url, "token": studio.token}
    pull_in_python("m", folder=project.repo, **settings)
    shutil.rmtree(project.repo / "models")
    at_hand, missing = (_object(project.repo, OLD[path]) for path in OLD)
    missing.unlink()

    left = [at_hand]

    def remove(_done: int, _total: int | None) -> None:
        if left:
            left.pop().unlink()

    result = pull_in_python("m", folder=project.repo, progress=remove, **settings)

    assert {file.path for file in result.models[0].files} == set(OLD)
    for path, content in OLD.items():
        assert (project.repo / path).read_bytes() == content


def _object(repo: Path, content: bytes) -> Path:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return repo / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
