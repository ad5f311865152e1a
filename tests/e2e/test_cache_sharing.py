"""A cache that several clones, worktrees and projects use, and its removal."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from needs import mount_namespace
from projects import BERT, ORIGIN_URL, Project, copy_project, git, write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

PRUNE = ("models", "cache", "prune", "--force")


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of all tests; its cache has both versions of all models."""
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


def count(cache: Path) -> int:
    return len(list((cache / "files/md5").glob("??/*")))


def test_from_outside_a_shared_cache_is_not_touched_without_projects(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    clone = registry.project.clone(tmp_path / "clone")
    shared = tmp_path / "shared"
    run_dvc("cache", "dir", "--local", shared, cwd=clone)
    for name in ("churn@v1.0.0", "churn#prod", "bert"):
        done = run_dvc("models", "pull", name, cwd=clone, env=registry.environ)
        assert done.returncode == 0, done.stderr
    (tmp_path / "elsewhere").mkdir()
    before = count(shared)
    outside = {"cwd": tmp_path / "elsewhere"}

    refused = run_dvc(*PRUNE, "--cache-dir", shared, **outside)
    by_variable = run_dvc(
        *PRUNE, env={"DVC_STUDIO_MODELS_CACHE": str(shared)}, **outside
    )
    alone = run_dvc(*PRUNE, "--cache-dir", shared, "--projects", **outside)

    assert (refused.returncode, by_variable.returncode) == (7, 7)
    assert "--projects" in refused.stderr
    assert alone.returncode == 0
    assert count(shared) == before  # what it needs is known by what it pulled
    shutil.rmtree(clone / "models")
    git(clone, "checkout", "-q", "--", "models")
    names = ("models/bert.dvc", "models/churn.pkl.dvc")
    assert run_dvc("checkout", *names, cwd=clone).returncode == 0


def test_a_link_to_a_cache_may_be_of_several_projects(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    (project.repo / ".dvc/cache").rename(tmp_path / "shared")
    (project.repo / ".dvc/cache").symlink_to(tmp_path / "shared")

    done = run_dvc(*PRUNE, cwd=project.repo)

    assert done.returncode == 7
    assert "--projects" in done.stderr


def test_a_branch_from_before_the_project_moved_counts(
    run_dvc: RunDvc, tmp_path: Path
) -> None:
    repo = tmp_path / "mono"
    (repo / "old").mkdir(parents=True)
    git(repo, "init", "--quiet", "--initial-branch", "main")
    git(repo, "remote", "add", "origin", ORIGIN_URL)
    run_dvc("init", "--subdir", cwd=repo / "old")
    run_dvc("cache", "dir", tmp_path / "shared", cwd=repo / "old")
    write(repo / "old", {"dvc.yaml": b"artifacts:\n  m:\n    path: m.bin\n"})
    for number, folder in ((1, "old"), (2, "new")):
        write(repo / folder, {"m.bin": b"%d" % number * 100})
        run_dvc("add", "m.bin", cwd=repo / folder)
        git(repo, "add", "--all")
        git(repo, "commit", "-q", "-m", folder)
        git(repo, "tag", "-a", "-m", "m", f"{folder}=m@v{number}.0.0")
        if folder == "old":
            git(repo, "branch", "release")
            git(repo, "mv", "old", "new")
            git(repo, "commit", "-q", "-m", "move")
            shutil.rmtree(repo / "old", ignore_errors=True)

    done = run_dvc(*PRUNE, "-p", cwd=repo / "new")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Nothing to remove: 2 versions stay")


def test_lock_files_below_a_project_without_git_count(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    (folder / "deploy").mkdir(parents=True)
    run_dvc("init", "--no-scm", cwd=folder)
    pull = ("models", "pull", "churn", "--repo", ORIGIN_URL, "--out", ".")
    pulled = run_dvc(*pull, cwd=folder, env=registry.environ)
    assert pulled.returncode == 0, pulled.stderr
    (content,) = (folder / ".dvc/cache/files/md5").glob("??/*")
    md5, size = content.parent.name + content.name, content.stat().st_size
    pin = (
        "schema: '1.0'\nmodels:\n  churn:\n    requested: '@latest'\n"
        "    version: v2.0.0\n    commit: '" + "1" * 40 + "'\n    files:\n"
        f"    - {{path: models/churn.pkl, hash: md5, md5: {md5}, size: {size}}}\n"
    )
    (folder / "deploy/pins.yaml").write_text(pin)
    shutil.rmtree(folder / "models")

    kept = run_dvc(*PRUNE, cwd=folder)
    (folder / "deploy/pins.yaml").unlink()
    removed = run_dvc(*PRUNE, cwd=folder)

    assert kept.stdout.startswith("Nothing to remove: 1 version stays")
    assert removed.stdout.startswith("Removed")


def test_a_subproject_that_uses_the_cache_of_the_root_keeps_its_content(
    run_dvc: RunDvc, tmp_path: Path
) -> None:
    repo = tmp_path / "mono"
    (repo / "svc").mkdir(parents=True)
    git(repo, "init", "--quiet")
    git(repo, "remote", "add", "origin", ORIGIN_URL)
    run_dvc("init", cwd=repo)
    run_dvc("init", "--subdir", cwd=repo / "svc")
    run_dvc("cache", "dir", "../.dvc/cache", cwd=repo / "svc")
    write(repo / "svc", {"dvc.yaml": b"artifacts:\n  m:\n    path: m.bin\n"})
    for number in (1, 2, 3):
        write(repo / "svc", {"m.bin": b"%d" % number * 100})
        run_dvc("add", "m.bin", cwd=repo / "svc")
        git(repo, "add", "--all")
        git(repo, "commit", "-q", "-m", str(number))
        git(repo, "tag", "-a", "-m", "m", f"svc=m@v{number}.0.0")
    git(repo, "branch", "two", "HEAD~1")

    at_root = run_dvc(*PRUNE, cwd=repo)
    left = count(repo / ".dvc/cache")
    in_svc = run_dvc(*PRUNE, cwd=repo / "svc")

    assert (at_root.returncode, at_root.stderr) == (0, "")
    assert "svc:m@v1.0.0  100 B" in at_root.stdout
    assert (in_svc.returncode, left, count(repo / ".dvc/cache")) == (0, 2, 2)
    for branch in ("two", "-"):
        git(repo, "checkout", "-q", branch)
        assert run_dvc("checkout", cwd=repo / "svc").returncode == 0


@pytest.mark.parametrize("kind", ["clone", "worktree"])
def test_another_working_tree_that_pulled_through_the_cache_keeps_its_content(
    run_dvc: RunDvc, project: Project, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "other"
    if kind == "clone":
        project.clone(other)
    else:
        git(project.repo, "worktree", "add", "--detach", "-q", str(other))
    run_dvc("cache", "dir", "--local", project.repo / ".dvc/cache", cwd=other)
    git(other, "checkout", "-q", "--detach", "bert@v1.0.0")
    pulled = run_dvc(
        "models", "pull", "bert@v1.0.0", "--source", "cache", "--force", cwd=other
    )
    assert pulled.returncode == 0, pulled.stderr

    refused = run_dvc(*PRUNE, cwd=project.repo)
    done = run_dvc(*PRUNE, "-p", cwd=project.repo)

    assert refused.returncode == 7
    assert "--projects" in refused.stderr
    assert done.stdout.startswith("Nothing to remove")
    shutil.rmtree(other / "models/bert")
    assert run_dvc("checkout", "models/bert.dvc", cwd=other).returncode == 0
    config = other / "models/bert/config.json"
    assert config.read_bytes() == BERT["v1.0.0"]["config.json"]


def test_the_head_of_a_worktree_counts_even_if_its_folder_is_gone(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    git(project.repo, "worktree", "add", "--detach", "-q", str(other), "bert@v1.0.0")
    shutil.rmtree(other)

    done = run_dvc(*PRUNE, cwd=project.repo)
    listed = run_dvc("models", "cache", "ls", "bert", cwd=project.repo)

    assert done.stdout.startswith("Nothing to remove")
    assert "worktree other" in listed.stdout


def test_a_root_that_cannot_be_read_stops_the_removal(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    other = project.clone(tmp_path / "other")
    run_dvc("cache", "dir", "--local", project.repo / ".dvc/cache", cwd=other)
    run_dvc("models", "pull", "churn", "--source", "cache", "--force", cwd=other)
    (other / ".dvc/config").write_text("[core\n")

    done = run_dvc(*PRUNE, "-p", cwd=project.repo)

    assert done.returncode == 7
    assert f"'{other}': DVC cannot read its config" in done.stderr


def test_a_project_that_is_named_uses_the_cache_and_is_another_one(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    other = project.clone(tmp_path / "other")
    (project.repo / "sub").mkdir()

    def error_for(path: str) -> str:
        done = run_dvc(*PRUNE, "--dry-run", "-p", path, cwd=project.repo)
        assert done.returncode == 254
        return done.stderr

    assert "there is no folder 'othr'" in error_for("othr")
    assert "'sub' is in the current project" in error_for("sub")
    assert f"'{other}' does not use the cache" in error_for(str(other))
    run_dvc("cache", "dir", "--local", project.repo / ".dvc/cache", cwd=other)
    named = run_dvc(*PRUNE, "--dry-run", "-p", other, cwd=project.repo)
    assert (named.returncode, named.stderr) == (0, "")


def test_a_shallow_clone_may_lack_tags(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    url = registry.project.repo.as_uri()
    git(tmp_path, "clone", "--quiet", "--depth", "1", url, "shallow")
    clone = tmp_path / "shallow"
    git(clone, "remote", "set-url", "origin", ORIGIN_URL)
    pulled = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)
    assert pulled.returncode == 0, pulled.stderr

    done = run_dvc(*PRUNE, cwd=clone)

    assert done.returncode == 7
    assert "git fetch --unshallow --tags" in done.stderr


def test_a_part_of_a_folder_is_kept_by_what_needs_the_folder(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    part = ("--include", "*.json")
    run_dvc("models", "pull", "bert", *part, cwd=clone, env=registry.environ)
    shutil.rmtree(clone / "models/bert")
    before = count(clone / ".dvc/cache")

    done = run_dvc(*PRUNE, cwd=clone)
    listed = run_dvc("models", "cache", "ls", cwd=clone)

    assert done.stdout.startswith("Nothing to remove: 1 version stays")
    assert "workspace, main" in listed.stdout
    assert count(clone / ".dvc/cache") == before == 1


def test_without_tags_nobody_knows_the_stages(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn#dev", cwd=clone, env=registry.environ)
    run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)
    tags = git(clone, "tag").split()
    git(clone, "tag", "-d", *tags)

    done = run_dvc(*PRUNE, cwd=clone)

    assert done.returncode == 7
    assert "'churn' was pulled, but this clone has no tag of it" in done.stderr
    assert "git fetch --tags" in done.stderr


def test_a_lock_file_in_a_folder_that_was_pulled_to_counts_from_anywhere(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path, home: Path
) -> None:
    app, elsewhere = tmp_path / "app", tmp_path / "elsewhere"
    app.mkdir()
    elsewhere.mkdir()
    git(app, "init", "--quiet")
    write(app, {".gitignore": b"*.lock\n", "deploy/README": b""})
    pull = ("models", "pull", "churn#prod", "--repo", ORIGIN_URL, "--out", ".")
    done = run_dvc(*pull, "--lock", "deploy/prod.lock", cwd=app, env=registry.environ)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(app / "models")
    then = time.time() - 3600
    for record in home.rglob("models/*.json"):
        os.utime(record, (then, then))

    kept = run_dvc(*PRUNE, cwd=elsewhere)
    (app / "deploy/prod.lock").unlink()
    removed = run_dvc(*PRUNE, cwd=elsewhere)

    assert kept.stdout.startswith("Nothing to remove: 1 version stays")
    assert removed.stdout.startswith("Removed")


def test_on_a_full_disk_objects_are_removed_without_a_list(
    project: Project, tmp_path: Path
) -> None:
    cache = project.repo / ".dvc/cache"
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    script = (
        f"mount -t tmpfs -o size=600k,nr_inodes=200 cache {cache} && "
        f"cp -r {copy}/. {cache} && "
        f"{{ cat /dev/zero > {cache}/other 2>/dev/null || true; }} && "
        f"{DVC} models cache prune --force && "
        f"find {cache}/files -type f"
    )

    done = subprocess.run(
        [*mount_namespace(), "sh", "-c", script],
        cwd=project.repo,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "bert@v1.0.0  8.2 KiB" in done.stdout
    left = [line for line in done.stdout.splitlines() if line.startswith(str(cache))]
    assert len(left) == count(cache) - 4
